"""Predicates about the program itself: how it ends and fails, the watchdog, sleep, files, and what its text defines and uses."""

import ast
import re
import warnings
from itertools import pairwise
from typing import Literal

from pipeline.board.checks.levels import from_start
from pipeline.board.checks.predicate import (
    Active,
    Count,
    Lasting,
    Pattern,
    Patterns,
    Pin,
    Positive,
    Texts,
    Tolerance,
    When,
    each,
    one_of,
    predicate,
)
from pipeline.board.checks.signals import canonical, label, noted
from pipeline.board.checks.text import finders, printed
from pipeline.board.checks.words import count, lasting, moment, number, seconds, several, shown
from pipeline.board.run import Run


def over(run: Run) -> bool:
    """Whether the program put the board to sleep or restarted it, which ends it as it was meant to."""
    return bool(noted(run, "sleep", "deep") or noted(run, "reset") or noted(run, "watchdog", "bite"))


def runs(run: Run, expected: list[dict]) -> str | None:
    """Whether nothing went wrong besides the errors that `expected` names."""
    for error in run.errors:
        if not any(is_expected(error, one) for one in expected):
            return f"{error} at {moment(error.time)}, no error was expected"
    if run.stopped and not over(run):
        return f"the program was stopped: {run.stopped}"
    return f"the simulated board has no {run.lacks[0]} yet" if run.lacks else None


def is_expected(error, wanted: dict) -> bool:
    return error.kind == wanted["kind"] and (wanted["text"] is None or wanted["text"] in error.text)


@predicate(moments=False)
def fails(run: Run, *, kind: str, text: str | None = None, when: When):
    """The program ends with an error of this `kind`, with the text in it, which otherwise no program may."""
    start, end = from_start(when, run)
    if any(is_expected(error, {"kind": kind, "text": text}) and start <= error.time <= end for error in run.errors):
        return None
    return f"{run.errors[0] if run.errors else 'no error'} came, {kind} was expected"


@predicate(moments=False)
def ends(run: Run, *, when: When):
    """The program comes to its end within the window, instead of going on for ever."""
    start, end = from_start(when, run)
    if run.ended is not None and start <= run.ended <= end:
        return None
    seen = "was still running" if run.ended is None else f"ended at {moment(run.ended)}"
    return f"the program {seen}, its end from {moment(start)} to {moment(end)} was expected"


# --- the board's own --------------------------------------------------------------------------------------------------


@predicate(moments=False)
def watchdog_fed(
    run: Run,
    *,
    longest: Positive | None = None,
    shortest: Positive | None = None,
    timeout: float | None = None,
    when: When,
):
    """A watchdog was started (with this `timeout` in seconds), is fed to the window's end with `longest` seconds between at most, and `shortest`
    at least, and does not bite."""
    start, end = from_start(when, run)
    if bites := [event for event in noted(run, "watchdog", "bite") if event.time <= end]:
        return f"the watchdog reset the board at {moment(bites[0].time)}"
    begun, fed = (
        noted(run, "watchdog", "start"),
        [e.time for e in noted(run, "watchdog") if e.where in ("start", "feed")],
    )
    if not fed:
        return "no watchdog was started"
    if timeout is not None and not any(abs(event.value / 1_000 - timeout) <= 0.01 * timeout for event in begun):
        seen = several([f"{number(event.value / 1_000)} s" for event in begun])
        return f"the watchdog was started with {seen}, {number(timeout)} s was expected"
    times = [max(start, fed[0]), *[time for time in fed if start <= time <= end], end]
    gap, at = max((after - before, before) for before, after in pairwise(times))
    if longest is not None and gap > longest * 1e6:
        return f"the watchdog was not fed for {seconds(gap)} from {moment(at)} on, {number(longest)} s at most was expected"
    feeds = [event.time for event in noted(run, "watchdog", "feed") if start <= event.time <= end]
    least = 1e6 * (shortest or 0)
    if early := next(((after - before, after) for before, after in pairwise(feeds) if after - before < least), None):
        return f"the watchdog was fed at {moment(early[1])}, {seconds(early[0])} after the time before, {number(least / 1e6)} s at least was expected"
    return None if longest is not None or len(fed) > 1 else "the watchdog was never fed"


@predicate(moments=False)
def resets(run: Run, *, by: Literal["watchdog", "program"] | None = None, times: Count = 1, when: When):
    """The board is reset in the window, by the watchdog or by the program."""
    start, end = from_start(when, run)
    found = [
        e
        for e in run.log
        if start <= e.time <= end
        and (
            (e.what == "reset" and by != "watchdog" and e.where != "watchdog")
            or (e.what == "watchdog" and e.where == "bite" and by != "program")
        )
    ]
    wanted = count(times)
    seen = f"at {', '.join(moment(e.time) for e in found)}" if found else "never"
    return (
        None
        if wanted.holds(len(found))
        else f"the board was reset {seen}, {wanted.text} from {moment(start)} to {moment(end)} was expected"
    )


@predicate(moments=False)
def slept(
    run: Run,
    *,
    kind: Literal["deep", "light"] = "deep",
    seconds: Lasting | Literal["until woken"] | None = None,
    tolerance: Tolerance = 0.02,
    wake: Pin | None = None,
    level: Active = "high",
    when: When,
):
    """The board went to deep (or light) sleep in the window, for so many `seconds`, or until a pin wakes it: `wake`, once it is at `level`."""
    start, end = from_start(when, run)
    found = [e for e in noted(run, "sleep", kind) if start <= e.time <= end]
    if not found:
        return f"the board did not go to {kind} sleep from {moment(start)} to {moment(end)}"
    if wake is not None and not any(
        canonical(run, wake) in event.value[0] and event.value[1] == (level == "high") for event in noted(run, "wake")
    ):
        return f"{label(run, wake)} does not wake the board when it is {level}"
    if seconds is None:
        return None
    lasts = lasting(seconds, tolerance) if not isinstance(seconds, str) else None
    fits = [e for e in found if (not e.value if lasts is None else bool(e.value) and lasts.holds(e.value * 1_000))]
    told = f"{number(found[0].value / 1_000)} s" if found[0].value else "ever"
    return (
        None
        if fits
        else f"the board went to {kind} sleep for {told} at {moment(found[0].time)}, {lasts.text if lasts else seconds} was expected"
    )


@predicate()
def remembers(run: Run, *, pattern: Pattern):
    """The clock's memory, which outlasts a deep sleep of an ESP32, holds in the end what the pattern finds, one character a byte."""
    kept = noted(run, "memory", "rtc")
    if kept and re.search(pattern, kept[-1].value.decode("latin-1")):
        return None
    return f"the clock's memory holds {kept[-1].value if kept else 'nothing'}, {pattern!r} was expected"


@predicate(moments=False)
def wrote_file(
    run: Run,
    *,
    name: str,
    text: Texts | None = None,
    pattern: Patterns | None = None,
    lines: Count | None = None,
    each_line: Pattern | None = None,
    case: bool = False,
):
    """The program leaves a file of this `name`: with the texts (or patterns) one after the other, so many `lines`, `each_line` like the pattern."""
    found = next((data for path, data in run.files.items() if path.lstrip("/") == name.lstrip("/")), None)
    if found is None:
        return f"no file {name} was written" + (f", but {', '.join(sorted(run.files))}" if run.files else "")
    rows = [(n, line) for n, line in enumerate(found.decode("utf-8", "replace").splitlines()) if line.strip()]
    if lines is not None and not count(lines).holds(len(rows)):
        return f"{name} has {len(rows)} lines, {count(lines).text} was expected"
    row = 0
    for told, find in finders(text, pattern, case) if text is not None or pattern is not None else []:
        row = next((n + 1 for n in range(row, len(rows)) if find(rows[n][1], 0)), None)
        if row is None:
            return f"{name} holds {printed(rows)}, {told} was expected"
    for told, find in finders(None, each_line, case) if each_line is not None else []:
        if other := next((line for _, line in rows if not find(line, 0)), None):
            return f"{name} has the line {shown(other)}, {told} was expected"
    return None


# --- the program's text -----------------------------------------------------------------------------------------------


def defined(tree: ast.AST, prefix: str = "") -> set[str]:
    """The functions and classes of a program, methods as Class.method."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= defined(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= defined(node, prefix)
    return found


def named(tree: ast.AST) -> set[str]:
    """All names that a program uses: variables, attributes, modules, with and without MicroPython's u before (uasyncio)."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {part for alias in node.names for part in alias.name.split(".")} | set(
                (getattr(node, "module", None) or "").split(".")
            )
    return found | {name[1:] for name in found if name.startswith("u")}


@predicate(rules=one_of("defines", "uses", "avoids"))
def source(run: Run, *, defines: Texts | None = None, uses: Texts | None = None, avoids: Texts | None = None):
    """The program's text defines these functions, classes or methods (Lamp.blink), uses these names (Timer, irq, asyncio), avoids those (sleep)."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(run.program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "the program cannot be read"
    there, used = defined(tree), named(tree)
    for wanted in each(defines) if defines is not None else []:
        if wanted not in there:
            return f"the program does not define {wanted}{f', but {sorted(there)}' if there else ''}"
    for wanted in each(uses) if uses is not None else []:
        if wanted not in used:
            return f"the program does not use {wanted}"
    return next(
        (
            f"the program uses {name}, which it should not"
            for name in (each(avoids) if avoids is not None else [])
            if name in used
        ),
        None,
    )
