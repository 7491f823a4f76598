"""A relay, which notes when it closes (True) and opens (False); some close at a low level."""

from typing import Literal

from pipeline.board.boards import Pin
from pipeline.board.devices import Device


class Relay(Device):
    pin: Pin
    active: Literal["high", "low"] = "high"

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        pin, closing = board.spec.pin(self.pin), int(self.active == "high")
        closed = False

        def changed(level: int | None) -> None:
            nonlocal closed
            if (level == closing) != closed:
                closed = not closed
                board.note("device", f"relay {pin}", closed)

        board.gpio.watch(pin, changed)
