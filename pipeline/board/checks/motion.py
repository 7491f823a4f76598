"""Predicates about what moves: servos, motors, wheels, steppers."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from pipeline.board.checks import signals
from pipeline.board.checks.judge import WITHIN, always, during, in_steps, made, misfit, needs_seconds, over_time, swings
from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import (
    AS_TUPLE,
    Lasting,
    OverTime,
    Pin,
    Positive,
    Time,
    Tolerance,
    When,
    each,
    one_of,
    predicate,
    rules,
)
from pipeline.board.checks.signals import driven, label, together
from pipeline.board.checks.words import lasting, moment, number, percent, seconds, several
from pipeline.board.run import Run

# (pulse at 0, pulse at 180 degrees) in milliseconds of the scales that people use, the two common ones first. All have 90 degrees at about 1.5.
SCALES = [
    (0.5, 2.5),
    (1.0, 2.0),
    *(
        (low / 100, high / 100)
        for low in range(40, 115, 5)
        for high in range(190, 265, 5)
        if abs(low + high - 300) <= 15
    ),
]
PULSE = 0.06  # milliseconds: 5 degrees on the wide scale, 11 on the narrow one; what rounding a duty to 10 bits and to whole percents costs
WIDEST = 3.0  # milliseconds: no servo takes a longer pulse
PERIOD = 20_000  # microseconds from pulse to pulse. An ESP32's PWM is at half before its first duty is set, which no servo sees for less than this
NO_SIGNAL = "without a servo's signal"
CREEP = 0.03  # of full speed, which moves nothing
COIL = 400  # microseconds between the writes to the pins of one step
REST = 400_000  # microseconds: what stands so long has ended its move
STEP_RANGE = 5  # steps more or less are right where nobody says how many

Coils = Annotated[list[Pin], Field(min_length=4, max_length=4)]
Motor = Pin | Annotated[list[Pin], Field(min_length=1, max_length=3)]
NumberSteps = Annotated[list[Annotated[tuple[float] | tuple[float, Lasting], AS_TUPLE]], Field(min_length=1)]


# --- servos -----------------------------------------------------------------------------------------------------------


def milliseconds(value: float | None) -> str:
    return NO_SIGNAL if value is None else f"at {number(value)} ms"


def angle_told(angle: float) -> str:
    wide, narrow = (low + (high - low) * angle / 180 for low, high in SCALES[:2])
    pulses = (
        f"{number(wide)} ms"
        if abs(wide - narrow) < 0.01
        else f"{number(wide)} ms, or {number(narrow)} ms on the narrow scale"
    )
    return f"{number(angle)}° ({pulses})"


@predicate(rules=rules(one_of("angle", "pulse", "steps"), needs_seconds))
def servo(
    run: Run,
    *,
    pin: Pin,
    angle: OverTime | None = None,
    pulse: OverTime | None = None,
    steps: NumberSteps | None = None,
    repeats: bool = False,
    unit: Literal["degrees", "ms"] = "degrees",
    within: Time = WITHIN,
    tolerance: Positive = PULSE,
    when: When,
):
    """A servo at the pin stands at `angle` in degrees (0 to 180), or at a `pulse` in ms, or at [time, angle] steps; or goes through `steps` of
    [angle, seconds] in turn (of [ms, seconds] with `unit` ms). The signal is 40 to 60 Hz.

    For angles any one scale that people use is right (0.5 to 2.5 ms, 1 to 2 ms, and what lies between), but the same for all angles. A
    pulse may be off by the tolerance of 0.06 ms.
    """
    signal, about = signals.pulse(run, pin), label(run, pin)
    if pulse is not None or unit == "ms":
        return stands_at(
            run,
            signal,
            about,
            pulse,
            steps,
            repeats,
            within,
            when,
            lambda value: f"{number(value)} ms ± {number(tolerance)} ms",
            lambda seen, value: seen is not None and abs(seen - value) <= tolerance,
        )
    first = None
    for low, high in SCALES:
        said = stands_at(
            run,
            signal,
            about,
            angle,
            steps,
            repeats,
            within,
            when,
            angle_told,
            lambda seen, value, low=low, high=high: (
                seen is not None and abs(seen - low - (high - low) * value / 180) <= tolerance
            ),
        )
        if said is None:
            return None
        first = first or said
    return first


def stands_at(run, signal, about, value, steps, repeats, within, when, told, fits):
    if steps:
        return in_steps(signal, from_start(when, run), made(steps, told, fits), repeats, about, milliseconds)
    for start, end, wanted in over_time(run, when, value, within):
        said = always(
            signal, [(start, end)], lambda seen, wanted=wanted: fits(seen, wanted), about, milliseconds, told(wanted)
        )
        if said:
            return said
    return None


@predicate(moments=False)
def sweeps(
    run: Run,
    *,
    pin: Pin,
    takes: Lasting,
    between: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None,
    steps: Annotated[int, Field(ge=1)] = 10,
    tolerance: Tolerance = 0.2,
    when: When,
):
    """A servo at the pin swings `between` two angles (0 and 180) to the end, each way in `takes` seconds and so many `steps` at least.

    The tolerance of 20 % is for the waits at the ends and the time that the steps themselves take.
    """
    least, most = between or (0, 180)
    about, spans = (
        label(run, pin),
        [
            span
            for span in signals.pulse(run, pin).within(*from_start(when, run))
            if span.value is not None and (span.value <= WIDEST or span.length >= PERIOD)
        ],
    )
    if not spans:
        return f"{about} had no servo's signal, swinging was expected"
    lowest, highest = min(span.value for span in spans), max(span.value for span in spans)
    if not any(
        abs(lowest - low - (high - low) * least / 180) <= PULSE
        and abs(highest - low - (high - low) * most / 180) <= PULSE
        for low, high in SCALES
    ):
        return f"{about} went from {number(lowest)} to {number(highest)} ms, from {angle_told(least)} to {angle_told(most)} was expected"
    way = lasting(takes, tolerance)
    wave = way._replace(low=2 * way.low, high=2 * way.high, text=f"twice {way.text}")
    return swings(
        spans[1:], wave, steps, max(2.5 / steps * (highest - lowest), 0.01), about, lambda value: f"{number(value)} ms"
    )


# --- motors -----------------------------------------------------------------------------------------------------------


def pace(value: float) -> str:
    return (
        "stopped"
        if abs(value) <= CREEP
        else f"forward at {percent(value)}"
        if value > 0
        else f"backward at {percent(-value)}"
    )


@predicate(rules=rules(one_of("speed", "steps"), needs_seconds))
def motor(
    run: Run,
    *,
    pins: Motor,
    speed: OverTime | None = None,
    steps: NumberSteps | None = None,
    repeats: bool = False,
    within: Time = WITHIN,
    tolerance: Tolerance = 0.05,
    when: When,
):
    """A motor at `pins` ([forward], [forward, backward] or [forward, backward, enable]) turns at `speed`, -1..1, or at [time, speed] steps held
    `within` seconds after each; or goes through `steps` of [speed, seconds] in turn. Braking is stopping.
    """
    about, signal = motor_at(run, pins), signals.speed(run, each(pins))

    def fits(value, wanted):
        return abs(value - wanted) <= tolerance

    if steps:
        return in_steps(signal, from_start(when, run), made(steps, pace, fits), repeats, about, pace)
    for start, end, wanted in over_time(run, when, speed, within):
        if said := always(
            signal, [(start, end)], lambda value, wanted=wanted: fits(value, wanted), about, pace, pace(wanted)
        ):
            return said
    return None


def motor_at(run: Run, pins) -> str:
    return f"the motor at {several([label(run, pin) for pin in each(pins)])}"


Way = Literal["forward", "backward", "stop", "spin left", "spin right", "left", "right"]
WAYS = {"forward": (1, 1), "backward": (-1, -1), "stop": (0, 0), "spin left": (-1, 1), "spin right": (1, -1)}
WayStep = Annotated[tuple[Way] | tuple[Way, Lasting], AS_TUPLE]


def goes(speeds: tuple[float, float], way: str) -> bool:
    left, right = (0 if abs(value) <= CREEP else value for value in speeds)
    if way in ("left", "right"):
        return left < right if way == "left" else left > right
    return tuple((value > 0) - (value < 0) for value in (left, right)) == WAYS[way]


def wheels_told(speeds: tuple[float, float]) -> str:
    return f"left {pace(speeds[0])}, right {pace(speeds[1])}"


@predicate(rules=rules(one_of("go", "steps"), needs_seconds))
def wheels(
    run: Run,
    *,
    left: Motor,
    right: Motor,
    go: Way | list[Annotated[tuple[Time, Way], AS_TUPLE]] | None = None,
    steps: Annotated[list[WayStep], Field(min_length=1)] | None = None,
    repeats: bool = False,
    pause: Time = 0.2,
    within: Time = WITHIN,
    tolerance: Tolerance = 0.1,
    when: When,
):
    """A robot with two wheels (motors as in `motor`) goes forward, backward, left or right (one wheel slower, standing or backward), spin left or
    spin right (wheels against each other) or stop, or by [time, way] steps; or through `steps` of [way, seconds] in turn.

    Between two steps it may stand for `pause` seconds.
    """
    both = together([signals.speed(run, each(left)), signals.speed(run, each(right))])
    if steps:
        return in_steps(
            both,
            from_start(when, run),
            made(steps, str, goes, tolerance),
            repeats,
            "wheels",
            wheels_told,
            pause=round(pause * 1e6),
        )
    for start, end, wanted in over_time(run, when, go, within):
        bad = misfit(both, [(start, end)], lambda speeds, wanted=wanted: goes(speeds, wanted))
        if bad:
            return f"wheels: {wheels_told(bad.value)} {during(bad)}, {wanted} was expected"
    return None


# --- steppers ---------------------------------------------------------------------------------------------------------


def coils(run: Run, pins: list) -> list[tuple[int, float]]:
    """(time, steps) of each change of a four-coil motor's position, in full steps forward along the order of the pins, half ones too.

    None instead of steps where the change was none that turns the motor one way.
    """
    names = [pin for pin in pins]
    states = together([driven(run, pin).map(lambda d: d.duty > 0.5) for pin in names]).settled(COIL)
    found, before = [], None
    for span in states.spans:
        on = [n for n, high in enumerate(span.value) if high]
        if not on:
            continue
        place = (
            2 * on[0]
            if len(on) == 1
            else 2 * on[0] + 1
            if len(on) == 2 and on[1] == on[0] + 1
            else 7
            if on == [0, 3]
            else None
        )
        if before is not None and place != before:
            moved = None if place is None else (place - before + 4) % 8 - 4
            found.append((span.start, moved / 2 if moved in (-2, -1, 1, 2) else None))
        before = place if place is not None else before
    return found


def driver(run: Run, step, direction) -> list[tuple[int, float]]:
    """(time, 1 or -1) of each step of a driver with step and direction pins; direction high is forward."""
    ups = driven(run, step).map(lambda d: d.duty > 0.5)
    turns = driven(run, direction) if direction else None
    return [
        (span.start, 1 if turns is None or turns.at(span.start).duty > 0.5 else -1)
        for span in ups.spans
        if span.value and span.start
    ]


def moves_of(steps: list[tuple[int, float]], pause: int) -> list[list[tuple[int, float]]]:
    """The steps by moves: each goes one way without a pause."""
    found: list[list[tuple[int, float]]] = []
    for time, way in steps:
        same = found and found[-1][-1][1] * way > 0 and time - found[-1][-1][0] < pause
        found[-1].append((time, way)) if same else found.append([(time, way)])
    return found


def without_jerks(moves: list[list[tuple[int, float]]], pause: int) -> list[list[tuple[int, float]]]:
    """The moves, where one step just before a move the other way is part of it: a program whose place in the phases is already the next one."""
    found: list[list[tuple[int, float]]] = []
    for move in moves:
        jerk = found and len(found[-1]) == 1 and len(move) > 1 and move[0][0] - found[-1][0][0] < pause
        found.append([*found.pop(), *move] if jerk else move)
    return found


@predicate(
    moments=False,
    rules=rules(
        one_of("pins", "step"),
        lambda given: [
            (
                (given["pins"] is None) != (given["step"] is None),
                "give pins of a motor with four coils, or step (and direction) of a driver",
            )
        ],
    ),
)
def stepper(
    run: Run,
    *,
    moves: Annotated[list[float], Field(min_length=1)],
    pins: Coils | None = None,
    step: Pin | None = None,
    direction: Pin | None = None,
    slack: Annotated[int, Field(ge=0)] = STEP_RANGE,
    every: Lasting | None = None,
    pause: Lasting | None = None,
    released: bool = False,
    tolerance: Tolerance = 0.2,
    when: When,
):
    """A stepper makes these `moves`, in steps, negative ones the other way: by the coils at `pins`, or by a driver at `step` and `direction`.

    A driver goes forward where direction is high; with coils the first move may go either way. `every` is the seconds of a step, `pause` those
    between moves; `released`: all coils are off at the end. The tolerance of 20 % is what the writes to four pins add to a short wait.
    """
    start, end = from_start(when, run)
    steps = [
        (time, way)
        for time, way in (coils(run, pins) if pins else driver(run, step, direction))
        if start <= time <= end
    ]
    about = "the stepper"
    if bad := [time for time, way in steps if way is None]:
        return f"{about}'s coils were out of order at {moment(bad[0])}"
    found = moves_of(steps, REST)
    found = without_jerks(found, REST) if pins else found
    made_moves = [sum(way for _, way in move) for move in found]
    sign = 1 if step or not made_moves or made_moves[0] * moves[0] > 0 else -1
    if len(found) != len(moves) or any(
        abs(sign * seen - wanted) > slack for seen, wanted in zip(made_moves, moves, strict=False)
    ):
        seen, expected = (
            several([f"{number(steps)} steps" for steps in those])
            for those in ([sign * steps for steps in made_moves], moves)
        )
        return f"{about} made {seen}, {expected} was expected"
    wanted = lasting(every, tolerance, 100) if every is not None else None
    for move in found:
        per_step = (move[-1][0] - move[0][0]) / max(0.5, abs(sum(way for _, way in move[1:])))
        if wanted and len(move) > 1 and not wanted.holds(per_step):
            return (
                f"{about} took {seconds(per_step)} for a step from {moment(move[0][0])} on, {wanted.text} was expected"
            )
    rest = lasting(pause, tolerance) if pause is not None else None
    for before, after in pairwise(found):
        if rest and not rest.holds(after[0][0] - before[-1][0]):
            return f"{about} paused for {seconds(after[0][0] - before[-1][0])} at {moment(before[-1][0])}, {rest.text} was expected"
    on = [label(run, pin) for pin in pins or [] if driven(run, pin).at(end).duty > 0]
    return f"{several(on)} was still on at {moment(end)}, all coils off was expected" if released and on else None
