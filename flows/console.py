"""What a person at the terminal sees of a flow: one line a stage, progress bars as they come, tables at the end.

Prefect's page gets the same lines as logs. Its own console logging is quiet, since it would say everything twice.
"""

import contextlib
import sys
import threading

_lock = threading.Lock()
_running: set[str] = set()
_bar_shown = False

SIGNS = {"Executed": "✓", "Cached": "↺", "Skipped": "·", "Failed": "✗", "Running": "▸"}


def is_live() -> bool:
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """Prints a whole line, clearing a progress bar that stands there."""
    global _bar_shown
    with _lock, contextlib.suppress(OSError):       # where nobody reads it any more, the run goes on
        if _bar_shown:
            print("\r\033[K", end="")
            _bar_shown = False
        print(text, flush=True)


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
        with _lock:
            print(f"\r\033[K{text}", end="", flush=True)
            _bar_shown = True
