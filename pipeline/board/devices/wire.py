"""A wire from a pin that the program drives to one that it reads. Of PWM it carries the level that there is for most of the time."""

from pydantic import Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Wire(Device):
    source: Pin = Field(alias="from")
    target: Pin = Field(alias="to")

    def pins(self):
        return {"from": self.source, "to": self.target}

    def attach(self, board):
        source, target = board.spec.pin(self.source), board.spec.pin(self.target)
        board.gpio.watch(source, lambda level: board.gpio.drive(target, level))
