"""One program on one board: from its text and what happens to the board, to the log of what it did."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.board import boards, image, sandbox
from pipeline.board.board import TIME_IS_UP, Board, Event
from pipeline.board.hardware.power import MEANT
from pipeline.board.source import prepare

LINE = re.compile(r'File "main\.py", line (\d{1,9})\b')
SECONDS = 5.0


@dataclass(frozen=True)
class Error:
    """An exception that the program did not catch, or of an interrupt's handler."""

    time: int  # microseconds
    kind: str  # ValueError
    text: str
    line: int | None  # of the program
    traceback: str

    def __str__(self) -> str:
        return f"{self.kind}{f': {self.text}' if self.text else ''}{f' (line {self.line})' if self.line else ''}"


@dataclass(frozen=True)
class Run:
    """What a program did. Times are in microseconds since its start."""

    board: str
    program: str
    log: list[Event]
    end: int  # when the look at it ended
    ended: int | None  # when the program was through; None where it went on
    stopped: str | None  # why it was stopped before its time
    errors: list[Error]
    lacks: list[str]  # names that the simulated board does not have yet
    files: dict[str, bytes]  # that it wrote
    fuel: int  # instructions it took

    @property
    def output(self) -> list[str]:
        return [event.value for event in self.log if event.what == "print"]

    @property
    def failed(self) -> bool:
        """Whether it raised or was stopped, other than by a deep sleep or a reset of its own, which a program may well mean."""
        return bool(self.errors or (self.stopped and self.stopped not in MEANT))


def read_errors(text: str, times: list[int]) -> list[Error]:
    """The interpreter's tracebacks, without the frames that are ours."""
    found = []
    for number, part in enumerate(text.split("Traceback (most recent call last):\n")[1:]):
        rows = part.rstrip("\n").split("\n")
        frames = [row for row in rows[:-1] if 'File "main.py"' in row]
        last = rows[-1]
        kind, _, said = last.partition(": ")
        lines = LINE.findall("\n".join(frames))
        found.append(
            Error(
                times[number] if number < len(times) else times[-1] if times else 0,
                kind,
                said,
                int(lines[-1]) if lines else None,
                "\n".join(["Traceback (most recent call last):", *frames, last]),
            )
        )
    return found


def on_flash(path: str, content: bytes) -> bytes:
    """A file beside the program: a module's loops let time pass as the program's do."""
    try:
        return prepare(content.decode()).encode() if path.endswith(".py") else content
    except UnicodeDecodeError:  # the board will say what is wrong
        return content


def run(
    program: str,
    board: str = "pico",
    inputs: Sequence = (),
    seconds: float = SECONDS,
    fuel: int = sandbox.FUEL,
    beside: dict[str, bytes] | None = None,
) -> Run:
    """Runs `program` for `seconds` of the board's time. `inputs` are devices (see inputs.py), attached before it starts; `beside` are files
    that lie on the board with it, path -> content, such as modules that it imports.

    Raises UserError for an unknown board.
    """
    spec = boards.load(board)
    there = Board(spec, seconds)
    for device in inputs:
        device.attach(there)
    files = {
        **image.files(board),
        **{path: on_flash(path, content) for path, content in (beside or {}).items()},
        "main.py": prepare(program).encode(errors="replace"),
    }
    outcome = sandbox.run(
        image.start(board), files, there.call, there.printed, there.clock, there.epoch, fuel, image.errors(board)
    )
    there.end_of_output()
    stopped = None if outcome.stopped == TIME_IS_UP else outcome.stopped
    times = [event.time for event in there.log if event.what == "error"]
    return Run(
        board,
        program,
        [event for event in there.log if event.what != "error"],
        there.end,
        there.ended,
        stopped,
        read_errors(outcome.errors, times),
        there.lacks,
        outcome.files,
        outcome.fuel,
    )
