"""A DHT11: temperature and humidity in whole degrees and percent over one wire, every second at most."""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Device, Pin, Signal
from pipeline.board.devices._dht import connect
from pipeline.board.devices._values import over_time, within

PAUSE = 1_000_000


class Dht11(Device):
    pin: Pin
    temperature: Annotated[Signal, AfterValidator(within(0, 50))] = 22.0  # degrees Celsius
    humidity: Annotated[Signal, AfterValidator(within(20, 90))] = 45.0  # percent
    plugged: Annotated[Signal, AfterValidator(within(0, 1))] = 1.0  # 1 while it is there

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        temperature, humidity = over_time(self.temperature), over_time(self.humidity)

        def measure(now: int) -> bytes:
            return bytes((round(humidity(now)), 0, round(temperature(now)), 0))

        connect(board, board.spec.pin(self.pin), PAUSE, measure, over_time(self.plugged))
