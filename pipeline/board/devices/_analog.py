"""What all sensors share that put a voltage on a pin."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.board import Board
from pipeline.board.boards import Pin
from pipeline.board.devices import Device, Signal, steps
from pipeline.core.errors import UserError

SUPPLY = 3.3  # volts


def put(board: Board, pin: Pin, signal: Signal, volts: Callable[[float], float]) -> None:
    """Puts volts(value) on the pin, step by step of the signal. Raises UserError for a pin that the board cannot measure at."""
    name = board.spec.pin(pin)
    if name is None or name not in board.spec.adc.values():
        raise UserError(
            f"pin {pin} of a {board.spec.title} cannot measure volts; these can: {', '.join(map(str, board.spec.adc.values()))}"
        )
    for time, value in steps(signal):
        board.at(time, lambda value=value: (board.adc.drive(name, volts(value)), board.changed()))


class AnalogSensor(Device):
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
