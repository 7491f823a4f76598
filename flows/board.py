"""`robo board`: what a MicroPython program does on a board, without one. The only command that needs no project around it."""

import os
import sys
from pathlib import Path

from pipeline.board import boards, inputs, show
from pipeline.core.config import read_yaml
from pipeline.core.errors import UserError

LONGEST = 3600.0        # seconds


def read_program(path: str) -> str:
    """A program's text from its file, or from standard input where `path` is -."""
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder; a program is one file, such as main.py") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: {error}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def write_picture(path: str, text: str) -> None:
    from pipeline.core.files import write_text
    if not path.endswith(".svg"):
        raise UserError(f"--plot: {path} must end with .svg")
    try:
        write_text(Path(path), text)
    except OSError as error:
        raise UserError(f"--plot: {path}: {error.strerror}") from None


def list_devices(out) -> None:
    show.table(out, "Devices for --inputs, with their keys; those with ? may be left out",
               [([kind, inputs.about(kind), " ".join(inputs.keys(schema))], "") for kind, schema in inputs.kinds().items()])


def list_checks(out) -> None:
    from pipeline.board import checks
    show.table(out, "Checks for --check", [([name, about], "") for name, about in checks.about().items()])


def list_coverage(out, board: str) -> None:
    """How much of each module of the board is simulated."""
    from pipeline.board.api import coverage
    modules = coverage(board)
    total, there = sum(has for _, has, *_ in modules), sum(simulated for _, _, simulated, _ in modules)
    rows = [[module, f"{simulated} of {has}", f"without {', '.join(missing)}" if missing else ""] for module, has, simulated, missing in modules]
    show.table(out, f"What of a {boards.load(board).title} is simulated: {there:,} of {total:,} names", [(row, "") for row in rows], 2)


def run_program(arguments, out) -> int:
    """Runs it and says what it did; 1 where it raised, was stopped or failed a check."""
    from pipeline.board.run import run
    board, name = arguments.on, "the program" if arguments.program == "-" else arguments.program
    if not 0 < arguments.seconds <= LONGEST:
        raise UserError(f"--seconds: {arguments.seconds:g} must be more than 0 and at most {LONGEST:g}")
    boards.load(board)
    devices = inputs.read(arguments.inputs, board) if arguments.inputs else []
    wanted = []
    if arguments.check:
        from pipeline.board import checks
        wanted = checks.parse(read_yaml(Path(arguments.check)), board, arguments.check)
    done = run(read_program(arguments.program), board, devices, arguments.seconds)
    results = [(str(check), *check.apply(done)) for check in wanted]
    if arguments.plot:
        from pipeline.board.plot import plot
        write_picture(arguments.plot, plot(done, name))
    if arguments.json:
        print(show.as_json(done, name, results))
    else:
        show.show(done, name, out, results)
    return int(bool(done.errors or done.stopped or not all(passed for _, passed, _ in results)))


def board(arguments) -> None:
    """Exits with 0, with 1 where the program failed, with 2 and one message where it was asked for something that cannot be."""
    try:
        out = show.console()
        lists = [act for wanted, act in ((arguments.devices, lambda: list_devices(out)), (arguments.checks, lambda: list_checks(out)),
                                         (arguments.coverage, lambda: list_coverage(out, arguments.on))) if wanted]
        if not lists and not arguments.program:
            raise UserError("which program? Give its file, such as main.py, or - for standard input")
        for act in lists:
            act()
        status = run_program(arguments, out) if arguments.program else 0
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except BrokenPipeError:         # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
