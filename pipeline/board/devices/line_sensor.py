"""Reflectance sensors of a line follower, from left to right: digital ones (1 over the line), or analog ones on converter pins."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.board.boards import Pin
from pipeline.board.devices import Device, in_order
from pipeline.board.devices._analog import SUPPLY, put


def step(value):
    if not isinstance(value, list) or len(value) != 2 or isinstance(value[0], list) or not isinstance(value[1], list):
        raise ValueError("must be [time, [left, ..., right]]")
    return value


Sees = Annotated[tuple[float, list[float]], Field(strict=False), BeforeValidator(step)]


class LineSensor(Device):
    pins_: Annotated[list[Pin], Field(alias="pins", min_length=1)]
    sees: Annotated[
        list[Sees], AfterValidator(in_order), Field(min_length=1)
    ]  # [time, [left, ..., right]], each from 0, no line, to 1
    analog: bool = False
    inverted: bool = False  # low, or no voltage, over the line

    def pins(self):
        return {f"pins.{number}": pin for number, pin in enumerate(self.pins_)}

    def rules(self):
        return [
            (
                all(len(values) == len(self.pins_) for _, values in self.sees),
                f"sees: each step needs {len(self.pins_)} values, one a pin",
            )
        ]

    def attach(self, board):
        for number, pin in enumerate(self.pins_):
            signal = [[time, 1 - values[number] if self.inverted else values[number]] for time, values in self.sees]
            if self.analog:
                put(board, pin, signal, lambda value: SUPPLY * value)
                continue
            name = board.spec.pin(pin)
            for time, value in signal:
                board.at(
                    round(time * 1_000_000), lambda name=name, level=int(value >= 0.5): board.gpio.drive(name, level)
                )
