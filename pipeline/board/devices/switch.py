"""A switch that stays where it was put, to ground or to 3V3."""

from typing import Literal

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Signal, steps


class Switch(Device):
    pin: Pin
    closed: Signal  # 0 open, 1 closed
    to: Literal["ground", "3V3"] = "ground"

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin, level = board.spec.pin(self.pin), 0 if self.to == "ground" else 1
        for time, value in steps(self.closed):
            board.at(time, lambda value=value: board.gpio.drive(pin, level if value >= 0.5 else None))
