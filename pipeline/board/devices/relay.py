"""A relay, which notes whether it is closed: some close at a low level."""

from typing import Literal

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Relay(Device):
    pin: Pin
    active: Literal["high", "low"] = "high"

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin = board.spec.pin(self.pin)
        board.gpio.watch(pin, lambda level: board.note("device", f"relay {pin}", level is not None and (level == 1) == (self.active == "high")))
