"""Predicates about outputs that are on or off: LEDs, relays, buzzers that sound by themselves.

On is what is not dark, so a lamp at half its brightness is on. Changes closer together than 10 ms count as one moment: between two writes to
two pins lies time, and nobody sees it.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from pipeline.board.checks.judge import GLITCH, WITHIN, Step, always, during, in_steps, made, misfit, over_time
from pipeline.board.checks.predicate import (
    AS_TUPLE,
    Active,
    Count,
    Lasting,
    Pin,
    PinList,
    Pins,
    Positive,
    Time,
    Tolerance,
    When,
    each,
    one_of,
    predicate,
    rules,
)
from pipeline.board.checks.signals import Signal, Span, canonical, given, label, level, lit, together
from pipeline.board.checks.words import Range, count, lasting, moment, percent, seconds, several, times
from pipeline.board.run import Run

ON = {True: "on", False: "off"}
BOUNCE = 50_000  # microseconds: contacts settle sooner, and no finger presses faster
NOISE = 0.02  # of full: an analog reading wavers, and so does what follows it
START = 500_000  # microseconds in which what repeats should have begun

PinStep = Annotated[tuple[Pin | list[Pin]] | tuple[Pin | list[Pin], Lasting], AS_TUPLE]
PinsOverTime = Pin | list[Pin] | list[Annotated[tuple[Time, Pin | list[Pin]], AS_TUPLE]]


@predicate()
def on(run: Run, *, pin: Pins, active: Active = "high", when: When):
    """The pin (or each of several) is on all through the window, or at the moments."""
    return stands(run, pin, active, when, True)


@predicate()
def off(run: Run, *, pin: Pins, active: Active = "high", when: When):
    """The pin (or each of several) is off all through the window, or at the moments."""
    return stands(run, pin, active, when, False)


def stands(run, pins, active, when, wanted):
    said = (
        always(
            lit(run, pin, active), when.windows(run), lambda value: value == wanted, label(run, pin), ON.get, ON[wanted]
        )
        for pin in each(pins)
    )
    return next(filter(None, said), None)


def complete(signal: Signal, start: int, end: int) -> list[Span]:
    """The spans that begin and end inside a window; what is on from the start of the run began there."""
    return [
        span
        for span in signal.spans
        if (span.start > start or (span.value and span.start == start == 0)) and span.end < end
    ]


def unsteady(spans: list[Span], wanted: dict[bool, Range | None], about: str) -> str | None:
    """The first on or off part that does not last as it should."""
    for span in spans:
        lasts = wanted[span.value]
        if lasts and not lasts.holds(span.length):
            return f"{about} was {ON[span.value]} for {seconds(span.length)} at {moment(span.start)}, {lasts.text} was expected"
    return None


@predicate(
    moments=False,
    rules=rules(
        one_of("on", "off", "period", "frequency"),
        lambda given: [
            (
                given["period"] is None or given["frequency"] is None,
                "period and frequency say the same; give one of them",
            )
        ],
    ),
)
def blinks(
    run: Run,
    *,
    pin: Pin,
    on: Lasting | None = None,
    off: Lasting | None = None,
    period: Lasting | None = None,
    frequency: Positive | None = None,
    times: Count | None = None,
    then: Literal["on", "off"] = "off",
    tolerance: Tolerance = 0.1,
    active: Active = "high",
    when: When,
):
    """The pin goes on and off to the window's end; with `times` so often, and `then` it stays off (or on).

    `on` and `off` are seconds of each part, `period` of both, `frequency` is in hertz. The tolerance is 10 % and at least 20 ms, as nobody times
    a lamp closer by eye and a loop that polls takes its own time. Where it begins, with on or off, is left open.
    """
    if frequency:
        period = 1 / frequency
    about, (start, end) = label(run, pin), when.window(run)
    start = 0 if when.start is None else start
    parts: dict[bool, Range | None] = {
        state: lasting(time, tolerance) if time is not None else None for state, time in ((True, on), (False, off))
    }
    shortest = min(each(time)[0] for time in (on, off, period) if time is not None) * 1e6
    signal = lit(run, pin, active).settled(min(GLITCH, int(shortest / 4)))
    whole = complete(signal, start, end)
    pulses = [span for span in whole if span.value]
    if times is not None:
        if fault := counted(pulses, count(times), signal, end, about, then):
            return fault
    elif len(pulses) < 2:
        last = signal.within(start, end)[-1]
        seen = f"from {moment(last.start)} on" if last.start > start else "all the time"
        return f"{about} was {ON[last.value]} {seen}, blinking was expected"
    if fault := unsteady(whole, parts, about):
        return fault
    if period is not None:
        rounds = lasting(period, tolerance)
        for before, after in pairwise(pulses):
            if not rounds.holds(after.start - before.start):
                late = seconds(after.start - before.start)
                return f"{about} went on {late} after the time before, at {moment(after.start)}; {rounds.text} was expected"
        parts = {value: lasts or rounds for value, lasts in parts.items()}
    grace = START if when.start is None else 0
    return None if times is not None else unfinished(signal, start, end, parts, about, grace)


def seen_times(number: int) -> str:
    return times(number) if number else "never"


def counted(pulses: list[Span], wanted: Range, signal: Signal, end: int, about: str, then: str) -> str | None:
    if not wanted.holds(len(pulses)):
        return f"{about} was on {seen_times(len(pulses))}, {wanted.text} was expected"
    if ON[signal.at(end)] != then:
        return f"{about} was {ON[signal.at(end)]} at the end, at {moment(end)}, {then} was expected"
    return None


def unfinished(
    signal: Signal, start: int, end: int, parts: dict[bool, Range | None], about: str, grace: int
) -> str | None:
    """Whether one of the two parts that a window cuts is longer than it may be: the blinking began late, or stopped."""
    first, *inner, last = signal.within(start, end)
    for span, more in ((first, grace), (last, 0)):
        lasts = parts[span.value]
        longest = (
            lasts.high
            if lasts
            else 1.1 * max((other.length for other in inner if other.value == span.value), default=end)
        )
        if span.length > longest + more:
            return f"{about} was {ON[span.value]} for {seconds(span.length)} from {moment(span.start)} to {moment(span.end)}, blinking was expected"
    return None


@predicate(moments=False, rules=one_of("count", "width", "gap", "every"))
def pulses(
    run: Run,
    *,
    pin: Pin,
    count: Count | None = None,
    width: Lasting | None = None,
    gap: Lasting | None = None,
    every: Lasting | None = None,
    tolerance: Tolerance = 0.1,
    active: Active = "high",
    when: When,
):
    """The on-parts that lie in the window: how many, how long each (`width`) and the off-parts between (`gap`), and from start to start (`every`)."""
    return pulses_of(lit(run, pin, active), label(run, pin), count, width, gap, every, tolerance, *when.window(run))


def pulses_of(signal, about, number, width, gap, every, tolerance, start, end):
    start = 0 if start <= START // 5 else start
    lasts = {
        True: lasting(width, tolerance) if width is not None else None,
        False: lasting(gap, tolerance) if gap is not None else None,
    }
    whole = complete(signal, start, end)
    found = [span for span in whole if span.value]
    if number is not None and not count(number).holds(len(found)):
        return f"{about} was on {seen_times(len(found))} from {moment(start)} to {moment(end)}, {count(number).text} was expected"
    if number is None and not found:
        return f"{about} was never on for a while from {moment(start)} to {moment(end)}, pulses were expected"
    between = (
        [span for span in whole if span.value or (span.start > found[0].start and span.end <= found[-1].start)]
        if found
        else []
    )
    if fault := unsteady(between, lasts, about):
        return fault
    wanted = lasting(every, tolerance) if every is not None else None
    for before, after in pairwise(found):
        if wanted and not wanted.holds(after.start - before.start):
            late = seconds(after.start - before.start)
            return f"{about} went on at {moment(after.start)}, {late} after the time before; {wanted.text} was expected"
    return None


@predicate(moments=False)
def pattern(
    run: Run,
    *,
    pin: Pin,
    times: Annotated[list[Lasting], Field(min_length=1)],
    unit: Positive = 1,
    repeats: bool = False,
    within: Time = 0.5,
    tolerance: Tolerance = 0.1,
    active: Active = "high",
    when: When,
):
    """The pin is on, off, on ... for these `times` in turn, such as a lighthouse's [0.2, 0.3, 0.2, 3]; Morse in units, such as [1, 1, 3].

    Without `repeats` it is off afterwards. It begins `within` seconds.
    """
    ranges = [
        lasting([part * unit for part in time] if isinstance(time, list) else time * unit, tolerance) for time in times
    ]
    steps = [
        Step(ON[n % 2 == 0], lambda value, wanted=n % 2 == 0: value == wanted, lasts) for n, lasts in enumerate(ranges)
    ]
    if not repeats:
        steps = [*(steps[:-1] if len(steps) % 2 == 0 else steps), Step("off", lambda value: not value, None)]
    glitch = min(GLITCH, int(min(lasts.low for lasts in ranges) / 2))
    return in_steps(
        lit(run, pin, active),
        from_start(when, run),
        steps,
        repeats,
        label(run, pin),
        ON.get,
        within=within,
        glitch=glitch,
    )


def from_start(when: When, run: Run) -> tuple[int, int]:
    """The window, from the very start where the author names none: what goes in steps begins when it begins."""
    start, end = when.window(run)
    return (0 if when.start is None else start), end


def which(run: Run, pins: list) -> str:
    return f"{several([label(run, pin) for pin in pins])} on" if pins else "all off"


def lit_of(run: Run, pins: list, active: str) -> Signal:
    """Which of the pins are on, as a set of canonical names."""
    names = [canonical(run, pin) for pin in pins]
    states = together([lit(run, pin, active) for pin in names])
    return states.map(lambda on: frozenset(name for name, state in zip(names, on, strict=True) if state))


def exactly(run: Run, pins) -> frozenset:
    return frozenset(canonical(run, pin) for pin in each(pins))


def known(run: Run, pins) -> list:
    """The pins by their canonical names, each once."""
    return list(dict.fromkeys(canonical(run, pin) for pin in pins))


@predicate(
    moments=False,
    rules=lambda given: [
        (
            given["repeats"] or all(len(step) == 2 for step in given["steps"][:-1]),
            "each step but the last needs its seconds",
        ),
        (
            not given["repeats"] or all(len(step) == 2 for step in given["steps"]),
            "what repeats needs the seconds of each step",
        ),
    ],
)
def sequence(
    run: Run,
    *,
    steps: Annotated[list[PinStep], Field(min_length=1)],
    pins: PinList | None = None,
    repeats: bool = False,
    pause: Time = 0,
    within: Time = 0.5,
    tolerance: Tolerance = 0.1,
    active: Active = "high",
    when: When,
):
    """Exactly the named pins are on, step by step, each step [pin or pins or [], seconds]: traffic lights, chasers, taking turns.

    `pins` are those that are watched, by default all that the steps name. What `repeats` may begin anywhere in its round; else the last step
    may leave its seconds out and holds to the end, and where it has them all pins are off afterwards. `pause` seconds of something else may
    lie between two steps, and it begins `within` seconds.
    """
    watched = known(run, pins or [pin for step in steps for pin in each(step[0])])

    def tell(on: frozenset) -> str:
        return which(run, sorted(on, key=watched.index))

    found = made(steps, lambda pins: which(run, each(pins)), lambda value, pins: value == exactly(run, pins), tolerance)
    if not repeats and found[-1].lasts:
        found.append(Step("all off", lambda value: not value, None))
    return in_steps(
        lit_of(run, watched, active),
        from_start(when, run),
        found,
        repeats,
        "the pins",
        tell,
        pause=round(pause * 1e6),
        within=within,
    )


@predicate()
def only_on(run: Run, *, pins: PinList, on: PinsOverTime, within: Time = WITHIN, active: Active = "high", when: When):
    """Of `pins` exactly those in `on` are on; `on` may be [time, pins] steps, each of which holds `within` seconds after its time.

    Such as on: [[0, []], [1.5, [18]], [3, [18, 19]]].
    """
    watched = known(run, pins)
    states = lit_of(run, watched, active)
    for start, end, wanted in over_time(run, when, on, within):
        names = exactly(run, wanted)
        bad = misfit(states, [(start, end)], lambda value, names=names: value == names)
        if bad:
            return f"{which(run, sorted(bad.value, key=watched.index))} {during(bad)}, {which(run, each(wanted))} was expected"
    return None


@predicate(moments=False)
def follows(
    run: Run,
    *,
    pin: Pin,
    input: Pin,
    inverted: bool = False,
    within: Time = 0.15,
    active: Active = "high",
    input_active: Active | None = None,
    when: When,
):
    """The pin is on while what is at the `input` pin is active (a button pressed, a sensor that sees something), else off; or `inverted`.

    The output may be `within` seconds late.
    """
    cause, late = given(run, input, input_active), round(within * 1e6)
    output, (start, end) = lit(run, pin, active), when.window(run)
    if len(cause.spans) == 1:
        return f"nothing happened at {label(run, input)}, so nothing could follow it"
    for span in cause.spans:
        window = max(start, span.start + (late if span.start else 0)), min(end, span.end)
        if window[0] < window[1]:
            wanted = span.value != inverted
            said = always(
                output, [window], lambda value, wanted=wanted: value == wanted, label(run, pin), ON.get, ON[wanted]
            )
            if said:
                return f"{said}, as {label(run, input)} was {'active' if span.value else 'not active'}"
    return None


def pressed(cause: Signal, end: int) -> list[Span]:
    """The presses: contacts that bounce close and open several times for one, and a spike is none."""
    found: list[Span] = []
    for span in cause.spans:
        if span.value and found and span.start - found[-1].end < BOUNCE:
            found[-1] = Span(found[-1].start, span.end, True)
        elif span.value and span.start < end:
            found.append(span)
    return [span for span in found if span.length >= BOUNCE]


@predicate(moments=False)
def toggles(
    run: Run,
    *,
    pin: Pin,
    input: Pin,
    starts: Literal["on", "off"] | None = "off",
    within: Time = 0.4,
    active: Active = "high",
    when: When,
):
    """The pin changes exactly once for each press at the `input` pin, on pressing or at latest `within` seconds after letting go, and never else.

    Flicker counts as changes. `starts` is its level before the first press, null for either.
    """
    output, (start, end) = lit(run, pin, active), when.window(run)
    about, presses = label(run, pin), pressed(given(run, input), end)
    if starts is not None and ON[output.at(start)] != starts:
        return f"{about} was {ON[output.at(start)]} at {moment(start)}, {starts} was expected"
    changes = [span.start for span in output.spans[1:] if start < span.start <= end]
    for number, press in enumerate(presses):
        until = presses[number + 1].start if number + 1 < len(presses) else end
        mine = [time for time in changes if press.start <= time < until]
        if len(mine) != 1:
            often = times(len(mine)) if mine else "not at all"
            return f"{about} changed {often} at the press of {label(run, input)} at {moment(press.start)}, once was expected"
        if mine[0] > press.end + within * 1e6:
            late = seconds(mine[0] - press.end)
            return f"{about} changed {late} after the press at {moment(press.start)} was over, {within:g} s at most was expected"
    if early := [time for time in changes if not presses or time < presses[0].start]:
        return f"{about} changed at {moment(early[0])}, before {label(run, input)} was pressed"
    return None


@predicate(moments=False)
def never_together(run: Run, *, pins: Annotated[list[Pin], Field(min_length=2)], active: Active = "high", when: When):
    """At most one of the pins is on at a time."""
    watched = known(run, pins)
    bad = misfit(lit_of(run, watched, active), [from_start(when, run)], lambda states: len(states) < 2)
    return (
        bad and f"{which(run, sorted(bad.value, key=watched.index))} together {during(bad)}, one at most was expected"
    )


@predicate(moments=False)
def opposite(
    run: Run, *, pins: Annotated[list[Pin], Field(min_length=2, max_length=2)], tolerance: Tolerance = 0.2, when: When
):
    """One of the two pins is as bright as the other is dark, all the time: taking turns, or a cross-fade. Their sum is 1, give or take 0.2."""
    both = together([level(run, pin) for pin in pins])
    bad = misfit(both, when.windows(run), lambda levels: abs(sum(levels) - 1) <= tolerance)
    seen = (
        several([f"{label(run, pin)} at {percent(value)}" for pin, value in zip(pins, bad.value, strict=True)])
        if bad
        else ""
    )
    return bad and f"{seen} {during(bad)}, the one as bright as the other is dark was expected"


@predicate(moments=False)
def steady(run: Run, *, pin: Pins, when: When):
    """Nothing changes at the pin (or pins) in the window, whatever its level."""
    for name in each(pin):
        spans = level(run, name).within(*when.window(run))
        moved = [span for span in spans if abs(span.value - spans[0].value) > NOISE]
        if moved:
            change = f"from {percent(spans[0].value)} to {percent(moved[0].value)} at {moment(moved[0].start)}"
            return f"{label(run, name)} went {change}, no change was expected"
    return None
