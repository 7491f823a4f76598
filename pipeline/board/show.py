"""A run on a terminal: how it ended, its errors with their lines, what happened in words, a timeline, and what it printed.

Everything that a program wrote is shown as text, never as markup or as a terminal's commands. A terminal that knows no signs but ASCII
gets those.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.board import words
from pipeline.board.run import Run
from pipeline.board.words import Row

PIPE_WIDTH = 100
LEAST_LANE = 8  # columns of the timeline
SHOWN_ERRORS, SHOWN_LINES, SHOWN_ROWS = 3, 20, 40
ERROR_LENGTH = 300  # characters of its text
AROUND = 1  # lines of the program shown before and after the one with the error
BLOCKS = "▁▂▃▄▅▆▇█"  # levels from 0 to 1
PLAIN = {
    "▁": "_",
    "▂": ".",
    "▃": "-",
    "▄": "=",
    "▅": "+",
    "▆": "*",
    "▇": "%",
    "█": "#",
    "·": ".",
    "°": " deg",
    "µ": "u",
    "│": "|",
    "─": "-",
    "┴": "+",
    "✓": "ok",
    "✗": "no",
    "…": "~",
}
COLORS = {"pin": "green", "input": "cyan", "pwm": "yellow", "error": "bold red"}


def console() -> Console:
    """As wide as the terminal; into a file or pipe as COLUMNS says, else 100 columns."""
    found = Console(highlight=False, markup=False, emoji=False)
    width = shutil.get_terminal_size((PIPE_WIDTH, 0)).columns
    return found if found.is_terminal else Console(width=width, highlight=False, markup=False, emoji=False)


def text_for(out: Console, said: str, style: str = "") -> Text:
    """What `out` can show of it, in one line: no control characters, and no signs that its encoding lacks."""
    said = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in said)
    if not out.encoding.lower().startswith("utf"):
        said = "".join(PLAIN.get(sign, sign) for sign in said).encode("ascii", "backslashreplace").decode()
    return Text(said, style=style)


def line(out: Console, said: str, style: str = "", wrap: bool = True) -> None:
    """Prints it; without `wrap` in one line, which ends in … where there is more."""
    text = text_for(out, said, style)
    if not wrap and text.cell_len > out.width:
        text.truncate(out.width - 1, overflow="crop")
        text.append_text(text_for(out, "…"))
    out.print(text, no_wrap=not wrap, overflow="fold")


# --- the timeline -----------------------------------------------------------------------------------------------------


def levels(steps: Sequence[tuple[int, float | None]], end: int, width: int) -> list[float | None]:
    """The mean level in each of `width` equal slices of the time, None where nobody drove it for the better part of the slice."""
    total, driven = [0.0] * width, [0.0] * width
    slice_ = end / width
    for number, (begin, level) in enumerate(steps):
        until = steps[number + 1][0] if number + 1 < len(steps) else end
        if level is None or until <= begin:
            continue
        first, last = min(width - 1, int(begin / slice_)), min(width - 1, int(until / slice_))
        for cell in range(first, last + 1):
            part = max(0.0, min(until, (cell + 1) * slice_) - max(begin, cell * slice_))
            total[cell] += part * level
            driven[cell] += part
    return [total[cell] / driven[cell] if driven[cell] >= slice_ / 2 else None for cell in range(width)]


def drawn(row: Row, end: int, width: int) -> str:
    """A row's line of the timeline."""

    def cell_of(time: int) -> int:
        return min(width - 1, time * width // end)

    if row.steps:
        found, changes = levels(row.steps, end, width), Counter(cell_of(time) for time, _ in row.steps)
        heights = [None if level is None else round(level * (len(BLOCKS) - 1)) for level in found]
        if row.kind != "pwm":  # a single edge within a slice is no level between; a pulse is, however short
            heights = [
                height
                if height is None
                else max(1, min(height, len(BLOCKS) - 2))
                if changes[cell] > 1
                else round(found[cell] or 0) * (len(BLOCKS) - 1)
                for cell, height in enumerate(heights)
            ]
        return "".join(" " if height is None else BLOCKS[height] for height in heights)
    cells = {cell_of(time) for time in row.ticks}
    return "".join(("!" if row.kind == "error" else "·") if cell in cells else " " for cell in range(width))


def axis(end: int, width: int) -> tuple[str, str]:
    """The ruler below the timeline and its seconds, at round steps that leave room for the figures."""
    step = next(step for step in (m * 10**e for e in range(-4, 7) for m in (1, 2, 5)) if step * 1e6 * width / end >= 8)
    decimals = max(0, len(f"{step:.4f}".rstrip("0").split(".")[1]))
    ruler, figures = ["─"] * width, [" "] * (width + 8)
    number = 0
    while (at := round(number * step * 1e6 / end * width)) < width:
        ruler[at] = "┴"
        said = f"{number * step:.{decimals}f}{' s' if not number else ''}"
        figures[at : at + len(said)] = said
        number += 1
    return "".join(ruler), "".join(figures)[:width]


def timeline(out: Console, rows: list[Row], end: int) -> None:
    room = max(12, min(24, out.width // 4))
    labels = max((min(room, len(row.label)) for row in rows), default=0)
    width = out.width - labels - 2
    if width < LEAST_LANE:  # nothing could be seen on it; the words stand above
        return
    for row in rows:
        name = row.label if len(row.label) <= labels else f"{row.label[: labels - 1]}…"
        lane = text_for(out, drawn(row, end, width), COLORS.get(row.kind, ""))
        out.print(Text.assemble(text_for(out, f"{name:<{labels}}"), "  ", lane), no_wrap=True)
    for said in axis(end, width):
        line(out, f"{'':{labels}}  {said}".rstrip(), "dim", wrap=False)


# --- the rest ---------------------------------------------------------------------------------------------------------


def errors(out: Console, run: Run) -> None:
    program = run.program.splitlines()
    for error in run.errors[:SHOWN_ERRORS]:
        where = f", line {error.line}" if error.line else ""
        line(
            out,
            f"At {words.seconds(error.time)} s{where}: {error.kind}{f': {error.text}' if error.text else ''}"[
                :ERROR_LENGTH
            ],
            "bold red",
        )
        if error.line and error.line <= len(program):
            for number in range(max(1, error.line - AROUND), min(len(program), error.line + AROUND) + 1):
                here = number == error.line
                line(
                    out, f"{'>' if here else ' '} {number:4} │ {program[number - 1]}", "" if here else "dim", wrap=False
                )
    if len(run.errors) > SHOWN_ERRORS:
        line(out, f"and {words.count(len(run.errors) - SHOWN_ERRORS, 'more error')}", "red")


def table(out: Console, title: str, rows: Sequence[tuple[list[str], str]], narrow: int = 1) -> None:
    """`rows` are (cells, style). The first `narrow` columns take what they need, up to half the width; the others share the rest."""
    line(out, title, "bold")
    shown = Table.grid(padding=(0, 2))
    for number in range(len(rows[0][0])):
        shown.add_column(
            overflow="fold", no_wrap=number < narrow, max_width=out.width // 2 if number < narrow else None
        )
    for cells, style in rows:
        shown.add_row(*(text_for(out, cell) for cell in cells), style=style)
    out.print(shown)
    out.print()


def printed(out: Console, run: Run) -> None:
    lines = [event for event in run.log if event.what == "print"]
    if lines:
        line(out, "Printed", "bold")
        figures = max(len(f"{event.time / 1e6:.3f}") for event in lines[:SHOWN_LINES])
        for event in lines[:SHOWN_LINES]:
            line(out, f"{event.time / 1e6:{figures}.3f}  {event.value}", wrap=False)
        if len(lines) > SHOWN_LINES:
            line(out, f"and {words.count(len(lines) - SHOWN_LINES, 'more line')}", "dim")
        out.print()


def show(run: Run, name: str, out: Console, checks: Sequence = ()) -> None:
    """All of it. `name` is the program's file; `checks` are (check in words, passed, why not)."""
    rows = words.rows(run)
    line(out, f"{name} on {words.titled(run.board)}", "bold")
    line(out, words.ending(run), "bold red" if run.failed else "")
    for missing in run.lacks:
        line(
            out,
            f"The simulated board has no {missing} yet, so what the program did after it asked is no sign of what a board would do.",
            "yellow",
        )
    errors(out, run)
    out.print()
    if rows:
        if told := [
            ([row.label, row.words], COLORS.get(row.kind, "")) for row in rows[:SHOWN_ROWS] if row.kind != "error"
        ]:
            table(out, "What happened", told)
        if len(rows) > SHOWN_ROWS:
            line(out, f"and {words.count(len(rows) - SHOWN_ROWS, 'more row')}", "dim")
        timeline(out, rows[:SHOWN_ROWS], words.horizon(run))
        out.print()
    else:
        line(out, "Nothing happened: no pin was driven, nothing was printed.")
        out.print()
    printed(out, run)
    for path, data in sorted(run.files.items()):
        line(out, f"wrote {path}, {words.count(len(data), 'byte')}")
    if checks:
        table(
            out,
            "Checks",
            [
                (["✓" if passed else "✗", said if passed else f"{said}: {why}"], "green" if passed else "red")
                for said, passed, why in checks
            ],
        )


def plain(value):
    """A log's value for JSON: bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def as_json(run: Run, name: str, checks: Sequence = ()) -> str:
    """The whole log: each event as [microseconds, what, where, value]."""
    return json.dumps(
        {
            "program": name,
            "board": run.board,
            "microseconds": run.end,
            "ended": run.ended,
            "stopped": run.stopped,
            "instructions": run.fuel,
            "errors": [vars(error) for error in run.errors],
            "lacks": run.lacks,
            "files": {path: data.hex() for path, data in run.files.items()},
            "checks": [{"check": said, "passed": passed, "why": why} for said, passed, why in checks],
            "log": [[event.time, event.what, plain(event.where), plain(event.value)] for event in run.log],
        },
        ensure_ascii=True,
    )
