"""Predicates about NeoPixels: strips of colours."""

import colorsys
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.board.checks import signals
from pipeline.board.checks.judge import GLITCH, Step, during, in_steps, made, misfit, needs_seconds
from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import (
    AS_TUPLE,
    Byte,
    Count,
    Lasting,
    Pin,
    Time,
    Tolerance,
    When,
    one_of,
    predicate,
    rules,
)
from pipeline.board.checks.signals import Signal, canonical, label, noted
from pipeline.board.checks.words import count as number_of
from pipeline.board.checks.words import lasting, moment, seconds
from pipeline.board.run import Run

# hue in degrees of the colours that people name; None: no hue. What is lit has any colour.
HUES = {
    "red": 0,
    "orange": 28,
    "yellow": 55,
    "green": 120,
    "cyan": 180,
    "blue": 240,
    "purple": 285,
    "magenta": 300,
    "pink": 325,
    "white": None,
    "lit": None,
    "off": None,
}
HUE = 20  # degrees: what is closer is called the same colour
PALE = 0.25  # saturation, below which a colour is white
VALUE = 8  # of 255, which a given value may be off: people scale and round
STILL = 3  # times as long as each of its equal steps, after which a rainbow stands still
OFF = 3  # of 255, which nobody sees


def known(colour):
    if isinstance(colour, str) and colour not in HUES:
        raise ValueError(f"{colour!r} is not known; must be [red, green, blue] or one of {', '.join(HUES)}")
    if isinstance(colour, list) and len(colour) not in (3, 4):
        raise ValueError(f"must be [red, green, blue], not {colour}")
    return colour


Colour = Annotated[str | list[Byte], AfterValidator(known)]
Show = Colour | list[Colour] | dict[int, Colour]


def hue(colour: tuple) -> float | None:
    """Degrees on the colour circle, None for white and grey."""
    h, saturation, _ = colorsys.rgb_to_hsv(*(value / 255 for value in colour[:3]))
    return None if saturation < PALE else h * 360


def is_lit(colour: tuple) -> bool:
    return max(colour) > OFF


def is_colour(seen: tuple, wanted: str | list, tolerance: int = VALUE) -> bool:
    """Whether a pixel has the colour: a named one by its hue, at any brightness; a value within the tolerance."""
    if wanted in ("lit", "off"):
        return is_lit(seen) == (wanted == "lit")
    if isinstance(wanted, str):
        if not is_lit(seen):
            return False
        found, target = hue(seen), HUES[wanted]
        if target is None or found is None:
            return (found is None or (len(seen) == 4 and seen[3] > OFF)) and target is None
        return abs((found - target + 180) % 360 - 180) <= HUE
    return len(seen) >= len(wanted) and all(
        abs(a - b) <= tolerance for a, b in zip(seen, [*wanted, *[0] * (len(seen) - len(wanted))], strict=True)
    )


def frames(run: Run, pin) -> Signal:
    """What a strip shows, as a tuple of colours; () before anything was written."""
    written = noted(run, "pixels", canonical(run, pin))
    return signals.steps(
        [(event.time, tuple(tuple(colour) for colour in event.value)) for event in written], (), run.end
    )


def shows(frame: tuple, wanted: Any, tolerance: int) -> bool:
    """Whether a frame shows: one colour on all pixels, a list of one colour each, or some by their number (the others off)."""
    if isinstance(wanted, dict):
        return len(frame) > max(wanted) and all(
            is_colour(colour, wanted.get(n, "off"), tolerance) for n, colour in enumerate(frame)
        )
    if isinstance(wanted, list) and wanted and not isinstance(wanted[0], int):
        return len(frame) == len(wanted) and all(
            is_colour(colour, one, tolerance) for colour, one in zip(frame, wanted, strict=True)
        )
    return (bool(frame) or wanted == "off") and all(is_colour(colour, wanted, tolerance) for colour in frame)


def colour_told(colour: Any) -> str:
    return colour if isinstance(colour, str) else str(tuple(colour))


def frame_told(frame: tuple) -> str:
    on = [f"{n}: {colour_told(colour)}" for n, colour in enumerate(frame) if is_lit(colour)]
    return (
        "all off"
        if not on
        else f"all {colour_told(frame[0])}"
        if len(set(frame)) == 1
        else ", ".join(on[:6]) + (" ..." if len(on) > 6 else "")
    )


def show_told(wanted: Any) -> str:
    if isinstance(wanted, dict):
        return ", ".join(f"{n}: {colour_told(colour)}" for n, colour in wanted.items()) + ", the others off"
    if isinstance(wanted, list) and wanted and not isinstance(wanted[0], int):
        return ", ".join(colour_told(colour) for colour in wanted)
    return f"all {colour_told(wanted)}"


ShowStep = Annotated[tuple[Show] | tuple[Show, Lasting], AS_TUPLE]


@predicate(rules=rules(one_of("show", "steps"), needs_seconds))
def pixels(
    run: Run,
    *,
    pin: Pin,
    show: Show | None = None,
    steps: Annotated[list[ShowStep], Field(min_length=1)] | None = None,
    repeats: bool = False,
    within: Time = 0.5,
    tolerance: Byte = VALUE,
    when: When,
):
    """The strip at the pin shows: one colour on all pixels, a list of one colour a pixel, or {number: colour} with the others off; or goes
    through `steps` of [what it shows, seconds] in turn.

    A colour is [red, green, blue], each within 8 of 255, or a name such as red, which goes by the hue at any brightness; or lit, for any.
    """
    about, signal = f"the strip at {label(run, pin)}", frames(run, pin)
    if steps:
        found = made(steps, show_told, lambda frame, wanted: shows(frame, wanted, tolerance))
        return in_steps(signal, from_start(when, run), found, repeats, about, frame_told, within=within)
    bad = misfit(signal, when.windows(run), lambda frame: shows(frame, show, tolerance))
    return bad and f"{about} showed {frame_told(bad.value)} {during(bad)}, {show_told(show)} was expected"


@predicate()
def pixels_lit(
    run: Run,
    *,
    pin: Pin,
    count: Count,
    colour: Colour | None = None,
    row: bool = True,
    tolerance: Byte = VALUE,
    when: When,
):
    """So many pixels of the strip are lit (all in this `colour`), beside one another from one end of the strip where `row` is true."""

    def fits(frame):
        on = [n for n, one in enumerate(frame) if is_lit(one)]
        in_row = not on or (on == list(range(on[0], on[-1] + 1)) and (on[0] == 0 or on[-1] == len(frame) - 1))
        return (
            wanted.holds(len(on))
            and (in_row or not row)
            and (colour is None or all(is_colour(frame[n], colour, tolerance) for n in on))
        )

    wanted = number_of(count)
    bad = misfit(frames(run, pin), when.windows(run), fits)
    what = f"{wanted.text} lit{f' in {colour_told(colour)}' if colour is not None else ''}{' in a row from an end' if row else ''}"
    return bad and f"the strip at {label(run, pin)} showed {frame_told(bad.value)} {during(bad)}, {what} was expected"


@predicate(moments=False)
def chase(
    run: Run,
    *,
    pin: Pin,
    count: Annotated[int, Field(ge=2)],
    step: Lasting,
    colour: Colour | None = None,
    tail: list[Colour] | None = None,
    bounce: bool = False,
    tolerance: Tolerance = 0.15,
    when: When,
):
    """One dot runs along the `count` pixels, `step` seconds on each, again and again: round, in either direction, or back and forth (`bounce`).

    It has the `colour`, and a `tail` of colours behind it.
    """
    head, behind = [colour] if colour is not None else [None], tail or []
    way = list(range(count))
    lasts = lasting(step, tolerance)

    def at(place: int, back: int):
        wanted: dict[int, Any] = {(place - back * (n + 1)) % count: one for n, one in enumerate(behind)} | {
            place: head[0]
        }
        return lambda frame: (
            len(frame) == count
            and all(
                is_lit(seen) if n in wanted and wanted[n] is None else is_colour(seen, wanted.get(n, "off"))
                for n, seen in enumerate(frame)
            )
        )

    glitch = min(GLITCH, int(lasts.low / 2))
    said = None
    for places in [way + way[-2:0:-1]] if bounce else [way, way[::-1]]:
        found = [Step(f"the dot at {place}", at(place, 1 if places[0] == 0 else -1), lasts) for place in places]
        fault = in_steps(
            frames(run, pin),
            from_start(when, run),
            found,
            True,
            f"the strip at {label(run, pin)}",
            frame_told,
            glitch=glitch,
        )
        if fault is None:
            return None
        said = said or fault
    return said


@predicate(moments=False)
def rainbow(
    run: Run,
    *,
    pin: Pin,
    period: Lasting | None = None,
    colours: Annotated[int, Field(ge=1)] = 1,
    pixel: Annotated[int, Field(ge=0)] = 0,
    steps: Annotated[int, Field(ge=3)] = 12,
    total: list[int] | None = None,
    after_red: Literal["green", "blue"] | None = None,
    tolerance: Tolerance = 0.2,
    when: When,
):
    """A pixel runs smoothly through the colour circle (red, green and blue in turn), a round in `period` seconds and so many `steps` at least.

    It may go round in either direction, unless `after_red` says which colour comes next. All the time the strip shows so many clearly different
    `colours`, and red + green + blue of the pixel lies within `total` [low, high].
    """
    about, spans = (
        f"pixel {pixel} at {label(run, pin)}",
        [span for span in frames(run, pin).within(*when.window(run)) if len(span.value) > pixel],
    )
    if not spans:
        return f"the strip at {label(run, pin)} has no pixel {pixel}"
    seen = [(span, hue(span.value[pixel])) for span in spans]
    if gaps := [span for span, value in seen if value is None]:
        return f"{about} was {colour_told(gaps[0].value[pixel])} at {moment(gaps[0].start)}, a colour was expected"
    hues = [(span, value) for span, value in seen if value is not None]
    for (_, before), (span, after) in pairwise(hues):
        if abs((after - before + 180) % 360 - 180) > 720 / steps:
            return f"{about} jumped to {colour_told(span.value[pixel])} at {moment(span.start)}, a smooth change was expected"
    if fault := few_colours(spans, colours) or (total and sums(spans, pixel, total)):
        return f"{about if 'sum' in fault else 'the strip'} {fault}"
    turned, starts = 0.0, [(spans[0].start, 0.0)]
    for (_, before), (span, after) in pairwise(hues):
        turned += (after - before + 180) % 360 - 180
        starts.append((span.start, turned))
    window = spans[-1].end - spans[0].start
    if abs(turned) < 30:
        return f"{about} hardly changed its colour, the whole circle was expected"
    if after_red and (turned > 0) != (after_red == "green"):
        return f"{about} went the other way round, {after_red} after red was expected"
    if period is None:
        return None
    took = (starts[-1][0] - starts[0][0]) * 360 / abs(turned)
    round_of = lasting(period, tolerance)
    longest = max(spans, key=lambda span: span.length)
    if longest.length > STILL / steps * round_of.high:
        return f"{about} stood still {during(longest)}, it was to go on"
    if not round_of.holds(took):
        return f"{about} would go round in {seconds(took)} (it turned by {abs(turned):.0f}° in {seconds(window)}), {round_of.text} was expected"
    return None


def few_colours(spans, wanted: int) -> str | None:
    """Whether a frame has fewer clearly different colours: 20 degrees of hue apart."""
    for span in spans:
        hues: list[float] = []
        for value in sorted(h for colour in span.value if is_lit(colour) and (h := hue(colour)) is not None):
            if not hues or value - hues[-1] >= HUE:
                hues.append(value)
        if len(hues) < wanted:
            return f"showed {len(hues)} different colours at {moment(span.start)}, {wanted} at least were expected"
    return None


def sums(spans, pixel: int, total: list[int]) -> str | None:
    for span in spans:
        if not total[0] <= sum(span.value[pixel][:3]) <= total[1]:
            return f"had the sum {sum(span.value[pixel][:3])} at {moment(span.start)}, {total[0]} to {total[1]} was expected"
    return None
