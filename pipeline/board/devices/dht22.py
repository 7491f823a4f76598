"""A DHT22 (AM2302): temperature and humidity over one wire, every two seconds at most."""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Device, Pin, Signal
from pipeline.board.devices._dht import connect
from pipeline.board.devices._values import over_time, within

PAUSE = 2_000_000


class Dht22(Device):
    pin: Pin
    temperature: Annotated[Signal, AfterValidator(within(-40, 80))] = 22.0  # degrees Celsius
    humidity: Annotated[Signal, AfterValidator(within(0, 100))] = 45.0  # percent
    plugged: Annotated[Signal, AfterValidator(within(0, 1))] = 1.0  # 1 while it is there

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        temperature, humidity = over_time(self.temperature), over_time(self.humidity)

        def measure(now: int) -> bytes:
            tenths = round(temperature(now) * 10)
            return round(humidity(now) * 10).to_bytes(2, "big") + (
                abs(tenths) | (0x8000 if tenths < 0 else 0)
            ).to_bytes(2, "big")

        connect(board, board.spec.pin(self.pin), PAUSE, measure, over_time(self.plugged))
