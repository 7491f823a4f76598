"""Predicates about how bright, and about PWM as such."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.board.checks.judge import WITHIN, always, fade, in_steps, made, needs_seconds, over_time, swings
from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import (
    AS_TUPLE,
    Active,
    Amount,
    Lasting,
    OverTime,
    Pin,
    Share,
    Time,
    Tolerance,
    When,
    one_of,
    predicate,
    rules,
)
from pipeline.board.checks.signals import Drive, drive, label, level
from pipeline.board.checks.words import around, lasting, moment, number, percent, seconds
from pipeline.board.run import Run

ENDS = 0.05  # of full: who asks for a fade to full takes 95 % for it
SINE_AT_ENDS = 0.42  # of the time, that a sine spends in the outer 15 % on both sides; it is 0.51 of a sine, 0.3 of a straight line

REST = 0.3  # of the period, that it may stand still at an end; one that is cut off at full stands longer

ShareStep = Annotated[tuple[Share] | tuple[Share, Lasting], AS_TUPLE]


@predicate(rules=rules(one_of("is_", "steps"), needs_seconds))
def brightness(
    run: Run,
    *,
    pin: Pin,
    is_: OverTime | None = None,
    steps: Annotated[list[ShareStep], Field(min_length=1)] | None = None,
    repeats: bool = False,
    within: Time = WITHIN,
    tolerance: Tolerance = 0.03,
    active: Active = "high",
    when: When,
):
    """How bright the pin is, 0..1: `is` a share, or [time, share] steps held `within` seconds after each; or `steps` of [share, seconds] in turn.

    It is the duty of a PWM, also of one that the program makes by fast switching. The tolerance is 3 points: people round their duties.
    """
    about, signal = label(run, pin), level(run, pin, active)
    if steps:
        found = made(
            steps,
            lambda share: around(share, tolerance, " %", 100).text,
            lambda value, share: abs(value - share) <= tolerance,
        )
        return in_steps(signal, from_start(when, run), found, repeats, about, percent)
    for start, end, wanted in over_time(run, when, is_, within):
        bounds = around(wanted, tolerance, " %", 100)
        if said := always(
            signal, [(start, end)], bounds.holds, about, lambda value: f"at {percent(value)}", bounds.text
        ):
            return said
    return None


@predicate(
    moments=False,
    rules=lambda given: [
        (
            len(given["between"]) == 2 and given["between"][0] != given["between"][1],
            "between: must be [first, last], two different shares",
        )
    ],
)
def fades(
    run: Run,
    *,
    pin: Pin,
    between: list[Share],
    takes: Lasting | None = None,
    steps: Annotated[int, Field(ge=2)] = 10,
    tolerance: Tolerance = 0.15,
    active: Active = "high",
    when: When,
):
    """The brightness goes once from the first share to the last of `between` in `takes` seconds: never back, in so many `steps` at least.

    What comes after is not judged. The tolerance of 15 % leaves room for rounded steps and for a curve that suits the eye.
    """
    spans = level(run, pin, active).within(*from_start(when, run))
    return fade(
        spans, *between, lasting(takes, tolerance) if takes is not None else None, steps, ENDS, label(run, pin), percent
    )


@predicate(moments=False)
def breathes(
    run: Run,
    *,
    pin: Pin,
    period: Lasting,
    low: Share = 0.15,
    high: Share = 0.8,
    steps: Annotated[int, Field(ge=2)] = 10,
    jump: Share = 0.2,
    shape: Literal["sine"] | None = None,
    tolerance: Tolerance = 0.15,
    active: Active = "high",
    when: When,
):
    """The brightness goes smoothly up and down to the end, a round in `period` seconds, to `low` or less and to `high` or more.

    In so many `steps` each way at least, none wider than `jump`. With `shape` sine it is slow at both ends and fast between.
    """
    about, spans = label(run, pin), level(run, pin, active).within(*when.window(run))
    darkest, brightest = min(span.value for span in spans), max(span.value for span in spans)
    if darkest > low or brightest < high:
        return f"{about} went between {percent(darkest)} and {percent(brightest)}, from {percent(low)} to {percent(high)} at least was expected"
    if said := swings(spans, lasting(period, tolerance), steps, jump, about, percent):
        return said
    longest = max(spans[1:-1], key=lambda span: span.length)
    if longest.length > REST * lasting(period, 0).high:
        return f"{about} stood at {percent(longest.value)} for {seconds(longest.length)} at {moment(longest.start)}, a smooth way was expected"
    edge = 0.15 * (brightest - darkest)
    at_ends = sum(span.length for span in spans if not darkest + edge < span.value < brightest - edge) / (
        spans[-1].end - spans[0].start
    )
    if shape and at_ends < SINE_AT_ENDS:
        return f"{about} was near its ends {percent(at_ends)} of the time, about 50 % was expected of a sine"
    return None


@predicate(rules=one_of("frequency", "duty"))
def pwm(
    run: Run,
    *,
    pin: Pin,
    frequency: Amount | None = None,
    duty: Share | list[Share] | None = None,
    tolerance: Tolerance = 0.02,
    when: When,
):
    """The pin carries PWM of this `frequency` in hertz and this `duty`, 0..1: 2 % of the one and 2 points of the other off at most."""
    if isinstance(frequency, list):
        wanted = around(frequency, 0, " Hz")
    else:
        wanted = around(frequency, frequency * tolerance, " Hz") if frequency is not None else None
    share = around(duty, tolerance, " %", 100) if duty is not None else None

    def fits(value: Drive) -> bool:
        right = wanted is None or bool(value.frequency and value.duty and wanted.holds(value.frequency))
        return right and (share is None or share.holds(value.duty))

    def tell(value: Drive) -> str:
        if value.frequency:
            return f"at {number(value.frequency)} Hz and {percent(value.duty)}"
        return f"{'high' if value.duty else 'low'}, without PWM"

    expected = " and ".join(part.text for part in (wanted, share) if part)
    return always(drive(run, pin), when.windows(run), fits, label(run, pin), tell, expected)
