"""Predicates about what a display shows besides text: where it is, bars, things that move."""

from typing import Annotated, NamedTuple

from pydantic import Field

from pipeline.board.checks import signals
from pipeline.board.checks.buses import seen
from pipeline.board.checks.judge import GLITCH, Step, during, in_steps, misfit
from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import Amount, Lasting, Tolerance, When, predicate, rules
from pipeline.board.checks.signals import Signal, noted
from pipeline.board.checks.words import around, lasting
from pipeline.board.run import Run

ROWS = 64
TURN = 2  # steps that a box may rest where it turns round: people stop at the edge, and then go back

Side = Amount | None
Row = Annotated[int, Field(ge=0, lt=ROWS)]


class Box(NamedTuple):
    """What just holds all pixels that are lit; `filled` where all in it are."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    filled: bool = False

    def __str__(self) -> str:
        what = "a filled box" if self.filled else "something"
        return f"{what} of {self.width} x {self.height} at x {self.x}, y {self.y}" if self.width else "nothing"


def box_of(picture: tuple, rows: list[int]) -> Box:
    """Of a picture as the display notes it, what lies in its `rows`."""
    height, data = picture
    first, last = rows
    mask = (1 << last + 1) - (1 << first)
    columns = [
        int.from_bytes(data[start : start + height // 8], "little") & mask for start in range(0, len(data), height // 8)
    ]
    on = [x for x, column in enumerate(columns) if column]
    if not on:
        return Box()
    both = 0
    for x in on:
        both |= columns[x]
    low = (both & -both).bit_length() - 1
    whole = (1 << both.bit_length()) - (1 << low)
    return Box(
        on[0],
        low,
        on[-1] + 1 - on[0],
        both.bit_length() - low,
        all(column == whole for column in columns[on[0] : on[-1] + 1]),
    )


def boxes(run: Run, name: str | None, rows: list[int]) -> Signal:
    """The box on a display; none before it showed something."""
    return signals.steps(
        [(event.time, box_of(event.value, rows)) for event in noted(run, "picture", name)], Box(), run.end
    )


def goes(given: dict) -> list[tuple[bool, str]]:
    """The rule of a box that moves: it needs both ends of its way and its pace."""
    x, step, every = given["x"], given["step"], given["every"]
    whole = step is None or (isinstance(x, list) and (x[1] - x[0]) % step == 0 and x[1] > x[0])
    return [
        ((step is None) == (every is None), "step and every say together how it moves"),
        (whole, "x: must be [left, right], whole steps apart"),
    ]


@predicate(rules=rules(goes))
def display_box(
    run: Run,
    *,
    x: Side = None,
    y: Side = None,
    width: Side = None,
    height: Side = None,
    filled: bool = True,
    rows: Annotated[list[Row], Field(min_length=2, max_length=2)] | None = None,
    step: Annotated[int, Field(ge=1)] | None = None,
    every: Lasting | None = None,
    tolerance: Tolerance = 0.1,
    display: str | None = None,
    when: When,
):
    """All that is lit on the display, or in its `rows` [first, last], is one filled box so many pixels `width` and `height`, with its upper left
    corner at `x` and `y`; or, not `filled`, something that just fits into it. Where its width may be 0 it may be away.

    With `step` it goes back and forth between both `x`, so many pixels `every` so many seconds, to the window's end.
    """
    sides = {"x": x, "y": y, "width": width, "height": height}
    wanted = {side: around(amount, 0) for side, amount in sides.items() if amount is not None}
    told = f"{'a filled box' if filled else 'something'} with {', '.join(f'{side} {bounds.text}' for side, bounds in wanted.items())}"

    def fits(box: Box) -> bool:
        if not box.width:
            return width is not None and wanted["width"].holds(0)
        return (box.filled or not filled) and all(bounds.holds(getattr(box, side)) for side, bounds in wanted.items())

    signal = boxes(run, display, rows or [0, ROWS - 1])
    if step is None:
        bad = misfit(seen(signal), when.windows(run), fits)
        return bad and f"the display showed {bad.value} {during(bad)}, {told} was expected"
    assert isinstance(x, list) and every is not None, "goes() has seen to it"
    left, right = (round(end) for end in x)
    way, lasts = list(range(left, right + 1, step)), lasting(every, tolerance)
    found = [
        Step(
            f"the box at x {place}",
            lambda box, place=place: fits(box) and box.x == place,
            lasts._replace(high=lasts.high * TURN) if place in (left, right) else lasts,
        )
        for place in way + way[-2:0:-1]
    ]
    return in_steps(
        signal, from_start(when, run), found, True, "the display", str, glitch=min(GLITCH, int(lasts.low / 2))
    )
