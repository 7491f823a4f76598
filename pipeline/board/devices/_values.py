"""What a sensor measures over time, as its script says it."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Signal, in_order, steps


def together(axes: list) -> bool:
    """Whether the axes are steps of [time, [x, y, z]]."""
    return all(
        isinstance(step, list) and len(step) == 2 and not isinstance(step[0], list) and isinstance(step[1], list)
        for step in axes
    )


def three(axes: list) -> list:
    if not axes or any(len(values) != 3 for values in ([step[1] for step in axes] if together(axes) else [axes])):
        raise ValueError("must be [x, y, z], or steps such as [[0, [x, y, z]], [1.5, [x, y, z]]]")
    return in_order(axes) if together(axes) else axes


# [x, y, z], each a number or steps of its own, or steps of [time, [x, y, z]]
Axes = Annotated[list[list[float | list[float]]] | list[Signal], AfterValidator(three)]


def over_time(signal: float | list) -> Callable[[int], float]:
    """The value of a Signal at a time in microseconds."""
    times, values = zip(*steps(signal), strict=True)
    return lambda now: values[max(0, bisect_right(times, now) - 1)]


def axes_over_time(axes: list) -> Callable[[int], list[float]]:
    """x, y and z of Axes at a time in microseconds."""
    if together(axes):
        axes = [[[time, values[n]] for time, values in axes] for n in range(3)]
    each = [over_time(axis) for axis in axes]
    return lambda now: [axis(now) for axis in each]


def within(lowest: float, highest: float) -> Callable:
    """A validator: no value of a Signal may lie outside of what the sensor can measure."""

    def check(signal):
        for _, value in steps(signal):
            if not lowest <= value <= highest:
                raise ValueError(
                    f"{value:g} is not between {lowest} and {highest}, which is all that the sensor can measure"
                )
        return signal

    return check
