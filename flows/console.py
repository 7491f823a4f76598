"""What a person at the terminal sees of a flow: one line a stage, progress bars as they come, tables at the end.

Prefect's page gets the same lines as logs. Its own console logging is quiet, since it would say everything twice. Bars and tables are as
wide as the terminal allows, and longer lines break between words.
"""

import contextlib
import shutil
import sys
import textwrap
import threading

_lock = threading.Lock()
_running: set[str] = set()
_bar_shown = False

Table = tuple[str, list[str], list[list[str]]]  # title, headings, rows
LOG_COLUMNS = 140  # where neither a terminal nor COLUMNS says how wide it is
GAP = 3  # columns between two cells
LONG_WORD = 24  # characters; a longer one may be broken in a narrow table

SIGNS = {"Executed": "✓", "Cached": "↺", "Skipped": "·", "Failed": "✗", "Running": "▸"}


def is_live() -> bool:
    return sys.stdout.isatty()


def clock(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def wrapped(text: str) -> str:
    """As it stands on a terminal: between words, what follows further in."""
    columns, lines = shutil.get_terminal_size().columns, []
    for line in text.split("\n"):
        margin = " " * (len(line) - len(line.lstrip()) + 4)
        lines += (
            [line]
            if len(line) <= columns
            else textwrap.wrap(line, columns, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)
        )
    return "\n".join(lines)


def say(text: str = "") -> None:
    """Prints whole lines, clearing a progress bar that stands there."""
    global _bar_shown
    with _lock, contextlib.suppress(OSError):  # where nobody reads it any more, the run goes on
        if _bar_shown:
            print("\r\033[K", end="")
            _bar_shown = False
        print(wrapped(text) if is_live() else text, flush=True)


def started(name: str, why: str) -> None:
    _running.add(name)
    say(f"{SIGNS['Running']} {name:<20} {why}")


def ended(name: str, state: str, seconds: float, why: str) -> None:
    _running.discard(name)
    say(f"{SIGNS[state]} {name:<20} {state:<9} {seconds:6.1f} s  {why}")


def bar(name: str, text: str) -> None:
    """Shows a stage's progress bar in place; two stages at once would overwrite each other, so then nothing is shown."""
    global _bar_shown
    if is_live() and _running == {name} and text.strip():
        from tqdm.utils import disp_trim

        with _lock:  # the stage has fitted it to the terminal as that was when the stage began
            print(f"\r\033[K{disp_trim(text.rstrip(), shutil.get_terminal_size().columns - 1)}", end="", flush=True)
            _bar_shown = True


def fitted(headings: list[str], rows: list[list[str]], room: int) -> list[int] | None:
    """The width of each column of a table so that lines break between words; None where `room` is too little for that."""
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(min(len(word), LONG_WORD) for cell in column for word in cell.split() or [""]) for column in columns]
    spare = room - sum(widths) - GAP * len(columns) - 1
    if spare < 0:
        return None
    for lines in (rows, [headings]):  # headings last: over several lines they lose nothing
        missing = [max(0, *(len(line[column]) - width for line in lines)) for column, width in enumerate(widths)]
        for column in sorted(range(len(columns)), key=missing.__getitem__):  # and who needs little gets it first
            given = min(missing[column], spare)
            widths[column] += given
            spare -= given
    return widths


def show_tables(tables: list[Table]) -> None:
    """Prints them; one that does not fit into the terminal as a table, as a list under each row's first cell."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table as RichTable

    console = Console(
        width=None if Console().is_terminal else shutil.get_terminal_size((LOG_COLUMNS, 0)).columns, highlight=False
    )
    for title, headings, rows in tables:
        console.print(f"[bold]{escape(title)}[/]")
        if (widths := fitted(headings, rows, console.width)) is None:
            for first, *others in rows:
                console.print(f"\n  {escape(first)}")
                for heading, cell in zip(headings[1:], others, strict=True):
                    console.print(Padding(f"{escape(heading)}: {escape(cell)}", (0, 0, 0, 4)))
            console.print()
            continue
        table = RichTable(box=box.SIMPLE_HEAD)
        for column, (heading, width) in enumerate(zip(headings, widths, strict=True)):
            # figures stand right, so that their digits do under each other
            figures = all(row[column][:1].isdigit() for row in rows) and heading not in ("", "tensors really in it")
            table.add_column(escape(heading), width=width, justify="right" if figures else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
