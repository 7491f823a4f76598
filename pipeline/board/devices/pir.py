"""A motion sensor: high while it sees somebody."""

from pydantic import Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Times


class Pir(Device):
    pin: Pin
    motion: Times  # when, seconds
    hold: float = Field(default=1.0, gt=0, alias="for")  # how long it stays high

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        board.gpio.drive(pin, 0)
        for when in self.motion:
            board.at(round(when * 1_000_000), lambda: board.gpio.drive(pin, 1))
            board.at(round((when + self.hold) * 1_000_000), lambda: board.gpio.drive(pin, 0))
