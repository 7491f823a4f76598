"""Predicates about passive buzzers, which sound at the frequency that they are driven with."""

from typing import Annotated

from pydantic import Field

from pipeline.board.checks import signals
from pipeline.board.checks.judge import WITHIN, Step, always, in_steps, made, over_time
from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import AS_TUPLE, Lasting, OverTime, Pin, Time, Tolerance, When, predicate
from pipeline.board.checks.signals import label
from pipeline.board.checks.words import number
from pipeline.board.run import Run

LENGTH = 0.15  # share: a player's own steps add to each note
GAP = 0.1  # seconds of silence that a note may have at its end, which makes two of the same pitch two

Note = Annotated[tuple[float, Lasting], AS_TUPLE]


def hertz(frequency: float) -> str:
    return f"{number(frequency)} Hz" if frequency else "silent"


def sounds(value: float, frequency: float, tolerance: float) -> bool:
    return abs(value - frequency) <= tolerance * frequency


@predicate()
def tone(run: Run, *, pin: Pin, frequency: OverTime, within: Time = WITHIN, tolerance: Tolerance = 0.02, when: When):
    """The pin sounds at `frequency` in hertz, or at [time, hertz] steps held `within` seconds after each; 0 is silence.

    The tolerance is 2 %, a third of a semitone.
    """
    for start, end, wanted in over_time(run, when, frequency, within):
        said = always(
            signals.tone(run, pin),
            [(start, end)],
            lambda value, wanted=wanted: sounds(value, wanted, tolerance),
            label(run, pin),
            lambda value: f"at {hertz(value)}" if value else "silent",
            hertz(wanted) if wanted else "silence",
        )
        if said:
            return said
    return None


@predicate()
def silent(run: Run, *, pin: Pin, when: When):
    """The pin makes no tone: no PWM, or one of duty 0 or 1."""
    return always(
        signals.tone(run, pin),
        when.windows(run),
        lambda value: not value,
        label(run, pin),
        lambda value: f"at {hertz(value)}",
        "silence",
    )


@predicate(moments=False)
def melody(
    run: Run,
    *,
    pin: Pin,
    notes: Annotated[list[Note], Field(min_length=1)],
    repeats: bool = False,
    pause: Time = GAP,
    within: Time = 0.5,
    tolerance: Tolerance = 0.02,
    when: When,
):
    """The pin plays `notes`, each [hertz, seconds] with 0 for a rest, and is silent afterwards, or `repeats` to the end.

    A note may end `pause` seconds early, which is how people part it from the next: its time runs to where the next begins. The first
    begins `within` seconds.
    """
    joined = []
    for (
        frequency,
        lasts,
    ) in notes:  # two of one pitch in a row are heard as one long one, unless there is a gap, which is left open
        if (
            joined
            and joined[-1][0] == frequency
            and not isinstance(lasts, list)
            and not isinstance(joined[-1][1], list)
        ):
            joined[-1] = (frequency, joined[-1][1] + lasts)
        else:
            joined.append((frequency, lasts))
    steps = made(joined, hertz, lambda value, frequency: sounds(value, frequency, tolerance), LENGTH)
    if not repeats:
        steps = [*(steps[:-1] if joined[-1][0] == 0 else steps), Step("silence", lambda value: not value, None)]
    return in_steps(
        signals.tone(run, pin),
        from_start(when, run),
        steps,
        repeats,
        label(run, pin),
        hertz,
        pause=round(pause * 1e6),
        joined=True,
        within=within,
    )
