"""The judgements that predicates share: does a signal hold its values, go through its steps, fade, swing?

Each answers None, or a sentence about what was seen and what was expected, which begins with what it is about (`GP15`).
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from pipeline.board.checks.predicate import SETUP, When, timeline
from pipeline.board.checks.signals import Signal, Span, settled
from pipeline.board.checks.words import Range, lasting, moment, seconds
from pipeline.board.run import Run

GLITCH = 10_000  # microseconds: between two writes to two pins lies time, and what is shorter nobody sees
WITHIN = 0.3  # seconds after which people expect that a program has answered


def during(span: Span) -> str:
    return f"at {moment(span.start)}" if span.length <= 0 else f"from {moment(span.start)} to {moment(span.end)}"


def misfit(signal: Signal, windows: list[tuple[int, int]], fits: Callable[[Any], bool]) -> Span | None:
    """The first part of the windows where the signal does not fit, but for glitches."""
    for start, end in windows:
        bad: list[Span] = []
        for span in signal.within(start, end):
            bad = [] if fits(span.value) else [*bad, span]
            if bad and bad[-1].end - bad[0].start >= min(GLITCH, end - start):
                return max(bad, key=lambda s: s.length)
    return None


def always(
    signal: Signal,
    windows: list[tuple[int, int]],
    fits: Callable[[Any], bool],
    about: str,
    tell: Callable[[Any], str | None],
    wanted: str,
) -> str | None:
    """Whether the signal fits all through each window, but for glitches."""
    bad = misfit(signal, windows, fits)
    return bad and f"{about} was {tell(bad.value)} {during(bad)}, {wanted} was expected"


def over_time(run: Run, when: When, value: Any, within: float) -> list[tuple[int, int, Any]]:
    """(from, to, value) in microseconds of each part of the window where a value over time must hold, `within` seconds after each change."""
    if when.moments:
        parts = timeline(value, run.end)
        return [(start, end, next(v for a, _, v in reversed(parts) if a <= start)) for start, end in when.windows(run)]
    begin, until = when.window(run)
    late = round(within * 1_000_000)
    found = []
    for start, end, wanted in timeline(value, run.end):
        start, end = max(begin, start + (late if start else SETUP)), min(end, until)
        if start < end:
            found.append((start, end, wanted))
    return found


# --- steps one after the other ----------------------------------------------------------------------------------------


class Step(NamedTuple):
    told: str  # `GP13 on`
    fits: Callable[[Any], bool]
    lasts: Range | None  # microseconds; None: to the end


class Progress(NamedTuple):
    steps: int  # that were gone through
    fault: str | None


def needs_seconds(given: dict) -> list[tuple[bool, str]]:
    """The rule of a predicate's steps: all that repeat say how long they last; else all but the last, which holds to the end."""
    steps = given["steps"] or []
    return [
        (not given["repeats"] or all(len(step) == 2 for step in steps), "what repeats needs the seconds of each step"),
        (given["repeats"] or all(len(step) == 2 for step in steps[:-1]), "each step but the last needs its seconds"),
        (
            given["repeats"] or not steps or len(steps[-1]) == 1,
            "the last step holds to the end and has no seconds; add one for what follows",
        ),
    ]


def made(
    steps: list, told: Callable[[Any], str], fits: Callable[[Any, Any], bool], tolerance: float = 0.1
) -> list[Step]:
    """The steps of [what, seconds] pairs: `fits(value, what)` says whether the signal is there."""
    return [
        Step(told(what), lambda value, what=what: fits(value, what), lasting(lasts[0], tolerance) if lasts else None)
        for what, *lasts in steps
    ]


def too_long_or_short(step: Step, start: int, end: int, cut: bool) -> str | None:
    """What is wrong with the time of a step; of one that is cut by the window only that it is too long."""
    if step.lasts is None or ((step.lasts.low - 1 <= end - start or cut) and end - start <= step.lasts.high + 1):
        return None
    return f"{step.told} lasted {seconds(end - start)} from {moment(start)} on, {step.lasts.text} was expected"


def follow(
    spans: list[Span],
    steps: list[Step],
    repeats: bool,
    pause: int,
    joined: bool,
    tell: Callable[[Any], str | None],
    first: int = 0,
) -> Progress:
    """Goes along the spans, of which the first fits step `first`. Between and inside steps something else may stand for `pause`.

    That pause counts for the step before it where they are `joined`.
    """
    number, gone, began, fitted, lost = first, 0, spans[0].start, spans[0].start, 0
    for span in spans:
        step = steps[number]
        last = not repeats and number == len(steps) - 1
        if step.fits(span.value):
            fitted, lost = span.end, 0
            continue
        following = None if last else steps[(number + 1) % len(steps)]
        if following and following.fits(span.value):
            if fault := too_long_or_short(step, began, span.start if joined else fitted, repeats and gone == 0):
                return Progress(gone, fault)
            number, gone, began, fitted, lost = (number + 1) % len(steps), gone + 1, span.start, span.end, 0
            continue
        lost += span.length
        if lost <= pause:
            continue
        if last and step.lasts:
            break
        what = f"{step.told} was to stay" if following is None else f"after {step.told}, {following.told} was expected"
        return Progress(gone, f"{tell(span.value)} from {moment(span.start)} on; {what}")
    step, end = steps[number], spans[-1].end
    if repeats:
        short = gone < len(steps)
        fault = too_long_or_short(step, began, fitted, cut=True)
        return Progress(
            gone, fault or (f"only {gone} of its {len(steps)} steps were seen by {moment(end)}" if short else None)
        )
    if number < len(steps) - 1:
        fault = too_long_or_short(step, began, fitted, cut=True)
        return Progress(
            gone, fault or f"{step.told} was the last at {moment(end)}, {steps[number + 1].told} was still to come"
        )
    return Progress(gone + 1, too_long_or_short(step, began, fitted, cut=False))


def in_steps(
    signal: Signal,
    window: tuple[int, int],
    steps: list[Step],
    repeats: bool,
    about: str,
    tell: Callable[[Any], str | None],
    *,
    pause: int = 0,
    joined: bool = False,
    within: float = 0.5,
    glitch: int = GLITCH,
) -> str | None:
    """Whether the signal goes through the steps, in their order, each as long as it should.

    What repeats may begin anywhere in its round. Before the first step it may stay as it was, at the start of a run at rest, for `within` seconds.
    """
    spans = settled(signal.within(*window), glitch)
    latest = window[0] + round(within * 1_000_000)
    best = None  # of the beginnings the first, and of the places in the round the one that goes furthest: that is what was meant
    for at, span in enumerate(spans[:2] if window[0] or at_rest(spans[0].value) else spans[:1]):
        if span.start > latest:
            break
        for first in range(len(steps) if repeats else 1):
            if steps[first].fits(span.value):
                found = follow(spans[at:], steps, repeats, pause, joined, tell, first)
                if found.fault is None:
                    return None
                if best is None or (found.steps > best[1].steps and at == best[0]):
                    best = at, found
        if best is not None and not repeats:
            break
    if best is None:
        return f"{about}: {tell(spans[0].value)} {during(spans[0])}, {steps[0].told} was to begin by {moment(latest)}"
    return f"{about}: {best[1].fault}"


def at_rest(value: Any) -> bool:
    """Whether a value is that of outputs that nobody drives yet: none on, silent, blank."""
    return not value or (isinstance(value, tuple) and all(at_rest(part) for part in value))


# --- values that move -------------------------------------------------------------------------------------------------


def fade(
    spans: list[Span],
    start: float,
    end: float,
    takes: Range | None,
    least: int,
    slack: float,
    about: str,
    tell: Callable[[float], str],
) -> str | None:
    """Whether a value goes from `start` to `end` steadily: never back, in `least` steps at least, in the time it should take."""
    sign = 1 if end > start else -1
    towards = [(span, sign * span.value) for span in spans]
    there = next(
        (
            n
            for n, (span, _) in enumerate(towards)
            if abs(span.value - end) <= slack and any(abs(before.value - start) <= slack for before in spans[:n])
        ),
        None,
    )
    if there is None:
        lowest, highest = tell(min(span.value for span in spans)), tell(max(span.value for span in spans))
        seen = (
            f"began at {tell(spans[0].value)}, ended at {tell(spans[-1].value)} and was between {lowest} and {highest}"
        )
        return f"{about} {seen}; from {tell(start)} to {tell(end)} was expected"
    base = min(value for (span, value) in towards[:there] if abs(span.value - start) <= slack)
    leaves = max(n for n, (_, value) in enumerate(towards[:there]) if value <= base + 0.005) + 1
    top = there
    while top + 1 < len(towards) and towards[top + 1][1] > towards[top][1] and abs(spans[top + 1].value - end) <= slack:
        top += 1
    way = towards[leaves - 1 : top + 1]
    for (_, before), (span, value) in pairwise(way):
        if value < before - 0.01 * abs(end - start):
            return f"{about} went back to {tell(span.value)} at {moment(span.start)}, a steady way from {tell(start)} to {tell(end)} was expected"
    if len(way) - 1 < least:
        return f"{about} went from {tell(start)} to {tell(end)} in {len(way) - 1} steps, {least} at least were expected"
    widest = max(value - before for (_, before), (_, value) in pairwise(way))
    if widest > 2.5 / least * abs(end - start):
        return f"{about} jumped by {tell(widest)} at once, a steady way from {tell(start)} to {tell(end)} was expected"
    took = spans[top].start - spans[leaves].start if len(way) > 2 else 0
    took += took // max(1, len(way) - 2)  # the time of its first step
    if takes and not takes.holds(took):
        return f"{about} took {seconds(took)} from {tell(start)} to {tell(end)}, {takes.text} was expected"
    return None


def crossings(spans: list[Span], low: float, high: float) -> tuple[list[int], list[int]]:
    """When the value rose to the upper and when it fell to the lower third of its range: (rising, falling)."""
    lower, upper = low + (high - low) / 3, high - (high - low) / 3
    rising, falling, up = [], [], None
    for span in spans:
        now = True if span.value >= upper else False if span.value <= lower else up
        if up is not None and now != up:
            (rising if now else falling).append(span.start)
        up = now
    return rising, falling


def swings(
    spans: list[Span], period: Range, least: int, jump: float, about: str, tell: Callable[[float], str]
) -> str | None:
    """Whether a value goes up and down again and again to the window's end, a round in `period`, each way in `least` steps at least."""
    low, high = min(s.value for s in spans), max(s.value for s in spans)
    for before, after in pairwise(spans[1:]):
        if abs(after.value - before.value) > jump:
            return f"{about} jumped from {tell(before.value)} to {tell(after.value)} at {moment(after.start)}, a smooth way was expected"
    rising, falling = crossings(spans, low, high)
    rounds = [(start, end) for edges in (rising, falling) for start, end in pairwise(edges)]
    end = spans[-1].end
    if not rounds:
        return f"{about} went between {tell(low)} and {tell(high)} without a whole round by {moment(end)}, one in {period.text} was expected"
    for start, stop in rounds:
        if not period.holds(stop - start):
            return f"{about} went up and down in {seconds(stop - start)} from {moment(start)} on, {period.text} was expected"
    if end - max(rising + falling) > period.high:
        return f"{about} stood still from {moment(max(rising + falling))} on, it was to go on"
    starts = [span.start for span in spans]
    for start, stop in rounds:
        steps = bisect_left(starts, stop) - bisect_left(starts, start)
        if steps < 2 * least:
            return f"{about} went up and down in {steps} steps, {2 * least} at least were expected"
    return None
