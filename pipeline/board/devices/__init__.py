"""What stands around a board: buttons, sensors, motors. One module a device; a new file is a new device, and its name is the kind.

A module holds one class that derives from Device: its fields are the keys that a script of inputs may give, and `attach` connects it.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipeline.board.board import Board
from pipeline.core.schema import File

Pin = int | str
FOLDER = Path(__file__).parent


def in_order(value):
    """Times of a script begin at 0 and must not go backwards: a step that stands before the one above it is a slip of whoever wrote it."""
    if isinstance(value, list):
        times = [step[0] if isinstance(step, list | tuple) else step for step in value]
        if times and times[0] < 0:
            raise ValueError(f"time {times[0]} stands before the start, which is 0")
        for before, after in pairwise(times):
            if after < before:
                raise ValueError(f"time {after} stands after {before}; times must not go backwards")
    return value


def pair(step):
    if not isinstance(step, list) or len(step) != 2:
        raise ValueError(f"must be [time, value], not {step}")
    return step


Times = Annotated[list[float], AfterValidator(in_order)]  # seconds
Step = Annotated[list[float], AfterValidator(pair)]  # [time, value]
Signal = Annotated[float | Annotated[list[Step], Field(min_length=1)], AfterValidator(in_order)]  # a number, or steps


def steps(signal: float | list[list[float]]) -> list[tuple[int, float]]:
    """(microseconds, value) of each step of a Signal; the first stands at 0."""
    if not isinstance(signal, list):
        return [(0, float(signal))]
    found = [(round(time * 1_000_000), float(value)) for time, value in signal]
    return found if found[0][0] == 0 else [(0, found[0][1]), *found]


class Device(File):
    """Base of all devices. `pins` says which of its keys are pins, so that a script with a pin that the board lacks is told before a run."""

    def pins(self) -> dict[str, Any]:
        return {}

    def attach(self, board: Board) -> None:
        """Connects it to the board, before the program starts."""
        raise NotImplementedError
