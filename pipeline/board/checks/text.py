"""Predicates about what a program prints, or sends over a UART in lines (`uart` says over which)."""

import json as js
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from pipeline.board.checks import signals
from pipeline.board.checks.judge import over_time
from pipeline.board.checks.predicate import (
    Amount,
    Count,
    Lasting,
    OverTime,
    Pattern,
    Patterns,
    Pin,
    Positive,
    Texts,
    Time,
    Tolerance,
    When,
    each,
    one_of,
    predicate,
    rules,
)
from pipeline.board.checks.words import Range, around, count, lasting, moment, seconds, shown, times
from pipeline.board.run import Run

ANSWER = 0.5  # seconds after an event in which a line about it is expected
EARLY = 20_000  # microseconds that a line may come before the moment that is named: times of a program's own drift both ways
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\dxX:]|\.\d)")  # not in names, 0x3c, 12:30 or 1.2.3
NEAR = 0.02  # share: what a sensor's steps and rounding leave; below 25 a whole number must be exact
ROUND = 0.3  # of an interval, in which lines belong to one round of printing

Line = tuple[int, str]


def finder(text: str, case: bool) -> Callable[..., re.Match | None]:
    """Finds a text from a place on, as whole words: `1` is not in `10` or `0.1`, `OPEN` not in `reopened`."""
    before = r"(?<![\w.])(?<!\s-)(?<!^-)" if text[:1].isdigit() else r"(?<!\w)" if text[:1].isalpha() else ""
    after = r"(?!\w|\.\d)" if text[-1:].isdigit() else r"(?!\w)" if text[-1:].isalpha() else ""
    words = r"\s+".join(re.escape(word) for word in text.split())
    return re.compile(before + words + after, 0 if case else re.IGNORECASE).search


def finders(text: Any, pattern: Any, case: bool) -> list[tuple[str, Callable]]:
    """(how it is told, finder) of each text or pattern."""
    if pattern is not None:
        return [(f"/{one}/", re.compile(one, 0 if case else re.IGNORECASE).search) for one in each(pattern)]
    return [(shown(one), finder(one, case)) for one in each(text)]


def in_window(run: Run, uart: int | None, when: When) -> list[Line]:
    """The lines of the window, the whole run where the author names none: a program may print at once. Empty ones do not count."""
    start, end = when.window(run)
    return [
        (time, line)
        for time, line in signals.lines(run, uart)
        if (0 if when.start is None else start) <= time <= end and line.strip()
    ]


def printed(lines: list[Line]) -> str:
    """What there was to see, for a sentence."""
    if not lines:
        return "nothing"
    last = f" ... {shown(lines[-1][1])}" if len(lines) > 3 else ""
    return ", ".join(shown(line) for _, line in lines[:3]) + last


def json_fits(text: str, wanted: dict) -> bool:
    """Whether a text is a JSON object with the wanted values; a pair of numbers is a range."""
    try:
        found = js.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and all(
        key in found and value_fits(found[key], value) for key, value in wanted.items()
    )


def value_fits(found: Any, wanted: Any) -> bool:
    if (
        isinstance(wanted, list)
        and len(wanted) == 2
        and all(isinstance(bound, int | float) for bound in wanted)
        and not isinstance(found, list)
    ):
        return isinstance(found, int | float) and not isinstance(found, bool) and wanted[0] <= found <= wanted[1]
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


@predicate(
    rules=rules(
        one_of("text", "pattern", "json_"),
        lambda given: [
            (
                not given["when"].moments
                or len(given["when"].moments) == 1
                or len(given["when"].moments) == len(each(given["text"] or given["pattern"] or "")),
                "at: must be one time, or one for each text",
            )
        ],
    )
)
def prints(
    run: Run,
    *,
    text: Texts | None = None,
    pattern: Patterns | None = None,
    json_: dict[str, Any] | None = None,
    times: Count | None = None,
    only: bool = False,
    case: bool = False,
    within: Time = ANSWER,
    uart: int | None = None,
    when: When,
):
    """A line with the text is printed; of several texts (or patterns), each after the one before. Words count as whole, case only with `case`.

    `at` a time (or one for each text) it comes within `within` seconds. `times` counts the lines with it, `only` allows no others. `json` wants
    a line that is a JSON object with these values, where [low, high] is a range.
    """
    lines = in_window(run, uart, when)
    if json_ is not None:
        wanted = [(f"JSON with {json_}", lambda line, place=0: re.match("", line) if json_fits(line, json_) else None)]
    else:
        wanted = finders(text, pattern, case)
    if said := one_after_the_other(
        lines, wanted, [round(time * 1e6) for time in when.moments], round(within * 1e6), times == 0
    ):
        return said
    if times is not None:
        for told, find in wanted:
            seen = [line for line in in_moments(lines, when, within) if find(line[1])]
            if not count(times).holds(len(seen)):
                last = f", last at {moment(seen[-1][0])}" if seen else ""
                return f"{told} was printed {how_often(len(seen))}{last}; {count(times).text} was expected"
    other = next((line for line in lines if not any(find(line[1]) for _, find in wanted)), None) if only else None
    return other and f"{shown(other[1])} was printed at {moment(other[0])}, nothing but {wanted[0][0]} was expected"


def how_often(number: int) -> str:
    return times(number) if number else "never"


def in_moments(lines: list[tuple[int, Any]], when: When, within: float) -> list[tuple[int, Any]]:
    """The lines that come near one of the moments, all where there is none."""
    return [
        line
        for line in lines
        if not when.moments or any(-EARLY <= line[0] - at * 1e6 <= within * 1e6 for at in when.moments)
    ]


def one_after_the_other(lines: list[Line], wanted: list, moments: list[int], late: int, may_lack: bool) -> str | None:
    """Whether each of the texts is found after the one before, at its moment where there are moments."""
    if may_lack:
        return None
    row, place = 0, 0
    for number, (told, find) in enumerate(wanted):
        at = moments[min(number, len(moments) - 1)] if moments else None
        while row < len(lines):
            time, line = lines[row]
            found = find(line, place) if at is None or at - EARLY <= time <= at + late else None
            if found:
                place = max(found.end(), place + 1)
                break
            row, place = row + 1, 0
        else:
            where = (
                f" from {moment(at)} to {moment(at + late)}"
                if at is not None
                else f" after {wanted[number - 1][0]}"
                if number
                else ""
            )
            seen = [line for line in lines if at is None or at - EARLY <= line[0] <= at + late]
            return f"{told} was not printed{where}, but {printed(seen)}"
    return None


@predicate(moments=False)
def prints_nothing(
    run: Run,
    *,
    text: Texts | None = None,
    pattern: Patterns | None = None,
    case: bool = False,
    uart: int | None = None,
    when: When,
):
    """No line is printed, or none with any of the texts."""
    wanted = finders(text, pattern, case) if text is not None or pattern is not None else None
    for time, line in in_window(run, uart, when):
        if wanted is None or any(find(line) for _, find in wanted):
            return f"{shown(line)} was printed at {moment(time)}, {'nothing' if wanted is None else 'no such line'} was expected"
    return None


@predicate(moments=False)
def prints_every(
    run: Run,
    *,
    seconds: Lasting,
    text: Texts | None = None,
    pattern: Patterns | None = None,
    case: bool = False,
    tolerance: Tolerance = 0.1,
    uart: int | None = None,
    when: When,
):
    """Lines (with the text) come every so many `seconds` to the window's end. Lines that come close together count as one round."""
    every = lasting(seconds, tolerance)
    wanted = finders(text, pattern, case) if text is not None or pattern is not None else None
    return regular(
        [time for time, line in in_window(run, uart, when) if wanted is None or any(find(line) for _, find in wanted)],
        every,
        when.window(run)[1],
        "a line" if wanted is None else f"a line with {wanted[0][0]}",
    )


def regular(found: list[int], every: Range, end: int, what: str) -> str | None:
    """Whether the times are so far apart, up to the window's end."""
    rounds = [time for before, time in pairwise([-every.high, *found]) if time - before > ROUND * every.low]
    if len(rounds) < 2:
        return f"{what} came {how_often(len(rounds))}, one every {every.text} was expected"
    for before, time in pairwise(rounds):
        if not every.holds(time - before):
            return f"{what} came at {moment(time)}, {seconds(time - before)} after the one before; {every.text} was expected"
    if end - rounds[-1] > every.high:
        return f"{what} came last at {moment(rounds[-1])}, one every {every.text} to {moment(end)} was expected"
    return None


def numbers(line: str, decimals: int | None) -> list[float]:
    """The numbers in a line, those with so many decimals."""
    return [
        float(found) for found in NUMBER.findall(line) if decimals is None or len(found.partition(".")[2]) == decimals
    ]


def slack_of(value: float, tolerance: float | None) -> float:
    return abs(value) * NEAR if tolerance is None else tolerance


@predicate(
    rules=rules(
        one_of("is_", "values", "between"),
        lambda given: [
            (
                given["values"] is None or len(given["when"].moments) in (0, len(given["values"])),
                "at: must be one time for each of the values",
            )
        ],
    )
)
def prints_number(
    run: Run,
    *,
    is_: OverTime | None = None,
    values: Annotated[list[float], Field(min_length=1)] | None = None,
    between: Amount | None = None,
    times: Count | None = None,
    decimals: int | None = None,
    text: str | None = None,
    others: bool = False,
    within: Time = ANSWER,
    tolerance: Time | None = None,
    uart: int | None = None,
    when: When,
):
    """Numbers are printed, anywhere in a line: near `is` (or its [time, number] steps, each some seconds after its time), or one of the
    `values` after the other, or all `between` two bounds.

    `text` looks only at lines with it, `decimals` at numbers with so many. With `is`, half of the lines of each part must hold it and the last
    one must; with `values` each line with a number is the next value (`others` allows any between), lines before the first may be anything;
    `at` gives the time of each, `times` with `between` how many. The tolerance is 2 %, so that a whole number below 25 must be exact.
    """
    find = finder(text, False) if text is not None else None
    lines = [
        (time, found)
        for time, line in in_window(run, uart, when)
        if (find is None or find(line)) and (found := numbers(line, decimals))
    ]
    if values is not None:
        return one_value_after_the_other(
            lines, values, tolerance, others, [round(at * 1e6) for at in when.moments], round(within * 1e6)
        )
    if between is not None:
        return all_between(in_moments(lines, when, within), around(between, tolerance or 0), times, when, within)
    return numbers_over_time(lines, over_time(run, when._replace(moments=()), is_, within), tolerance)


def told(found: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in found)


def numbers_over_time(lines: list, parts: list, tolerance: float | None) -> str | None:
    for start, end, value in parts:
        wanted = around(value, slack_of(value, tolerance))
        here = [
            (time, found)
            for time, found in lines
            if (start if start > 200_000 else 0) <= time < end or time == end == parts[-1][1]
        ]
        fit = [any(wanted.holds(one) for one in found) for _, found in here]
        if not here:
            return f"no number was printed {during_times(start, end)}, {wanted.text} was expected"
        if not fit[-1] or sum(fit) < len(fit) / 2:
            time, found = next(line for line, good in zip(reversed(here), reversed(fit), strict=True) if not good)
            return f"{told(found)} was printed at {moment(time)}, {wanted.text} was expected"
    return None


def during_times(start: int, end: int) -> str:
    return f"from {moment(start)} to {moment(end)}"


def one_value_after_the_other(
    lines: list, values: list[float], tolerance: float | None, others: bool, moments: list[int], late: int
) -> str | None:
    row = 0
    for number_of, value in enumerate(values):
        wanted = around(value, slack_of(value, tolerance))
        skipping = others or number_of == 0
        while row < len(lines) and skipping and not any(wanted.holds(one) for one in lines[row][1]):
            row += 1
        after = f" after {values[number_of - 1]:g}" if number_of else ""
        if row == len(lines):
            return f"{wanted.text} was not printed{after}"
        time, found = lines[row]
        if not any(wanted.holds(one) for one in found):
            return f"{told(found)} was printed at {moment(time)}{after}, {wanted.text} was expected"
        if moments and not moments[number_of] - EARLY <= time <= moments[number_of] + late:
            span = f"from {moment(moments[number_of])} to {moment(moments[number_of] + late)}"
            return f"{told(found)} was printed at {moment(time)}, {span} was expected"
        row += 1
    if row < len(lines) and not others:
        return f"{told(lines[row][1])} was printed at {moment(lines[row][0])}, nothing more was expected after {values[-1]:g}"
    return None


def all_between(lines: list, wanted: Range, often, when: When, within: float) -> str | None:
    for time, found in lines:
        if bad := [one for one in found if not wanted.holds(one)]:
            return f"{told(bad)} was printed at {moment(time)}, {wanted.text} was expected"
    for at in when.moments:
        if not in_moments(lines, When(moments=(at,)), within):
            return f"no number was printed from {moment(at * 1e6)} to {moment((at + within) * 1e6)}, {wanted.text} was expected"
    if often is not None and not count(often).holds(len(lines)):
        return f"{len(lines)} lines with a number were printed, {count(often).text} was expected"
    return None if lines or often is not None else f"no number was printed, {wanted.text} was expected"


@predicate(moments=False)
def prints_total(run: Run, *, pattern: Pattern, is_: float, tolerance: Time = 0, uart: int | None = None, when: When):
    """The numbers that the first group of `pattern` finds in the lines, such as `: (\\d+)$`, add up to `is`."""
    found = [match[1] for _, line in in_window(run, uart, when) for match in re.finditer(pattern, line, re.IGNORECASE)]
    if found and abs(sum(map(float, found)) - is_) <= tolerance:
        return None
    return f"{' + '.join(found) or 'no such number'} was printed, {is_:g} together was expected"


@predicate(moments=False)
def prints_elapsed(run: Run, *, pin: Pin, input: Pin, unit: Positive = 0.001, tolerance: Positive = 0.03, when: When):
    """The time from the pin going on to the next press at `input` is printed, in milliseconds or another `unit` of seconds: a reaction game.

    It may be `tolerance` seconds off.
    """
    start, end = when.window(run)
    ons = [span.start for span in signals.lit(run, pin).spans if span.value and start <= span.start <= end]
    presses = [span.start for span in signals.given(run, input).spans if span.value]
    pairs = [(on, next(iter(press for press in presses if press > on), None)) for on in ons]
    on, press = pairs[0] if pairs else (0, None)
    if press is None:
        return f"{signals.label(run, pin)} did not go on before a press of {signals.label(run, input)}"
    wanted = around((press - on) / 1e6 / unit, tolerance / unit)
    after = [line for time, line in in_window(run, None, when) if time >= press]
    if any(wanted.holds(one) for line in after for one in numbers(line, None)):
        return None
    return f"{printed([(0, line) for line in after])} was printed after the press, {wanted.text} was expected"
