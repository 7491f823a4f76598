"""What the world can tell apart of two runs, and with it what checks make of wrong programs.

A mutant that does what the original does, as far as the world can see, is none: it is equivalent and does not count. That is, pins, prints and
buses do the same, at times within 1 % or what a poll takes. How often a PWM switches its lamp nobody sees, so that counts only where a check
listens. A mutant that passes the checks and is not equivalent is a hole in them, or a change that a person would accept too; whoever reads the
list decides.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from slips import Mutant, mutants

from pipeline.board import boards, checks
from pipeline.board.checks import Check, signals
from pipeline.board.checks.signals import Signal, Span
from pipeline.board.run import Run, run

TIME, POLL = 0.01, 25_000  # share, and microseconds, that an event may come earlier or later and be the same
BRIEF = 10_000  # microseconds; what stands shorter is between two others
SERVO = 60  # hertz; what is slower and not seen is a servo's
LEVEL, PULSE, TONE, SHADE = 0.02, 0.02, 0.01, 2  # of full, milliseconds, share, of 255: what nobody can tell apart
LISTEN = {"tone", "melody", "silent", "pwm"}


def numbers_of(done: Run, heard: set) -> dict:
    """Pin -> (signal, what its value may differ): the pitch of those that are `heard`, a servo's pulse, else how bright or fast."""
    found = {}
    for pin in {event.where for event in done.log if event.what in ("pin", "pwm")}:
        drive = signals.drive(done, pin)
        servo = any(signals.SEEN <= span.value.frequency <= SERVO for span in drive.spans)
        if pin in heard:
            found["tone", pin] = signals.tone(done, pin).settled(BRIEF), TONE
        elif servo:
            found["pulse", pin] = signals.pulse(done, pin).map(lambda pulse: pulse or 0).settled(BRIEF), PULSE
        else:
            found["level", pin] = drive.map(lambda value: value.duty).settled(BRIEF), LEVEL
    return found


def happened(done: Run) -> dict:
    """(what, where) -> [(time, value)] of what is shown, printed, sent and stored."""
    found: dict = {
        ("files", ""): [(0, tuple(sorted(done.files.items())))],
        ("errors", ""): [(error.time, error.kind) for error in done.errors],
        ("stopped", ""): [(0, bool(done.stopped))],
    }
    for what, where in {
        (event.what, event.where) for event in done.log if event.what in ("pixels", "display", "picture")
    }:
        frames = signals.steps(
            [(event.time, event.value) for event in signals.noted(done, what, where)], None, done.end
        )
        found[what, where] = [(span.start, span.value) for span in frames.settled(BRIEF).spans]
    for event in done.log:
        sent = (event.what in ("i2c", "spi") and event.value[0] == "write") or (
            event.what == "uart" and event.value[0] == "sent"
        )
        if (
            sent
            or event.what in ("print", "net", "sleep", "wake", "memory", "reset")
            or (event.what, event.where) == ("watchdog", "bite")
        ):
            found.setdefault((event.what, event.where), []).append((event.time, event.value))
    return found


def late(time: int) -> int:
    """How much earlier or later something may come and be the same."""
    return max(POLL, round(TIME * time))


def strays(one: Signal, two: Signal, slack: float) -> bool:
    """Whether the first is somewhere off all that the second is at about that time."""
    for start, end in pairwise([*(span.start for span in one.spans), one.spans[-1].end]):
        for time in (start + (end - start) // 4, end - (end - start) // 4):
            value, near = (
                one.at(time),
                [span.value for span in two.within(max(0, time - late(time)), time + late(time))],
            )
            if near and not min(near) - slack <= value <= max(near) + slack:
                return True
    return False


def same_value(one, two) -> bool:
    if isinstance(one, tuple) and isinstance(two, tuple):
        return len(one) == len(two) and all(same_value(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, float | int) and isinstance(two, float | int):  # of a colour, 0..255
        return abs(one - two) <= SHADE
    return one == two


def same(one: Run, two: Run, heard: set) -> bool:
    """Whether two runs look and sound the same to the world; what lies so near the end that it may come after it does not count."""
    first, second, still = numbers_of(one, heard), numbers_of(two, heard), Signal([Span(0, one.end, 0)])
    for what in first.keys() | second.keys():
        (a, slack), (b, _) = (one_of.get(what, (still, max(LEVEL, PULSE))) for one_of in (first, second))
        slack = slack if what[0] != "tone" else slack * max(span.value for span in a.spans)
        if strays(a, b, slack) or strays(b, a, slack):
            return False
    first, second = happened(one), happened(two)
    for what in first.keys() | second.keys():
        a, b = first.get(what, []), second.get(what, [])
        shorter = min(len(a), len(b))
        if any(time < one.end - late(one.end) for time, _ in a[shorter:] + b[shorter:]):
            return False
        if any(
            abs(t - u) > late(t) or not same_value(v, w)
            for (t, v), (u, w) in zip(a[:shorter], b[:shorter], strict=True)
        ):
            return False
    return True


# --- judging ----------------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    mutant: Mutant
    verdict: str  # "caught", "missed" or "equivalent"
    said: str  # what the first check said that failed


def caught(program: str, board: str, devices: Sequence, seconds: float, listed: list[Check]) -> list[Verdict]:
    """What the checks make of each mutant of a right program."""
    original, found = run(program, board, devices, seconds), []
    heard = {boards.load(board).pin(pin) for pin in checks.pins_of([check for check in listed if check.name in LISTEN])}
    for mutant in mutants(program):
        done = run(mutant.program, board, devices, seconds)
        said = next((result.said or "" for result in checks.apply(listed, done) if not result.ok), "")
        found.append(
            Verdict(mutant, "caught" if said else "equivalent" if same(original, done, heard) else "missed", said)
        )
    return found
