"""Reflectance sensors of a line follower, from left to right: digital ones (1 over the line), or analog ones on converter pins."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, in_order


def step(value):
    if len(value) != 2 or not isinstance(value[1], list):
        raise ValueError("must be [time, [left, ..., right]]")
    return value


Sees = Annotated[list[float | list[float]], AfterValidator(step)]


class LineSensor(Device):
    pins_: list[Pin] = Field(alias="pins", min_length=1)
    sees: Annotated[list[Sees], AfterValidator(in_order)]   # [time, [left, ..., right]], each from 0, no line, to 1
    analog: bool = False
    inverted: bool = False                                  # low, or no voltage, over the line

    def pins(self):
        return {f"pins.{number}": pin for number, pin in enumerate(self.pins_)}

    def attach(self, board):
        names = [board.spec.pin(pin) for pin in self.pins_]

        def show(values: list[float]) -> None:
            for name, value in zip(names, values, strict=True):
                value = 1 - value if self.inverted else value
                if self.analog:
                    board.adc.drive(name, 3.3 * value)
                    board.changed()
                else:
                    board.gpio.drive(name, int(value >= 0.5))
        for time, values in self.sees:
            board.at(round(time * 1_000_000), lambda values=values: show(values))
