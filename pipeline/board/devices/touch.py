"""A touch pin of an ESP32, and a finger that comes to it."""

from pydantic import Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Times


class Touch(Device):
    pin: Pin
    touched: Times  # when, seconds
    hold: float = Field(default=0.3, gt=0, alias="for")  # how long each time

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        for when in self.touched:
            board.at(round(when * 1_000_000), lambda: board.touch.touch(pin, True))
            board.at(round((when + self.hold) * 1_000_000), lambda: board.touch.touch(pin, False))
