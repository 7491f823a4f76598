"""What all sensors share that put a voltage on a pin."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.board import Board
from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Signal, steps


def converter(board: Board, pin: Pin) -> Pin:
    """The canonical name of an analog pin."""
    return board.spec.pin(pin)


def put(board: Board, pin: Pin, signal: Signal, volts: Callable[[float], float]) -> None:
    """Puts volts(value) on the pin, step by step of the signal."""
    name = converter(board, pin)
    for time, value in steps(signal):
        if time == 0:
            board.adc.drive(name, volts(value))
        else:
            board.at(time, lambda value=value: (board.adc.drive(name, volts(value)), board.changed()))


class Analog(Device):
    """Base of sensors with one analog pin."""
    pin: Pin

    def pins(self):
        return {"pin": self.pin}


def share(signal):
    for _, value in steps(signal):
        if not 0 <= value <= 1:
            raise ValueError(f"{value:g} is not between 0 and 1")
    return signal


Share = Annotated[Signal, AfterValidator(share)]
