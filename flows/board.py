"""`robo board`: what a MicroPython program does on a board, without one. The only command that needs no project around it."""

import os
import re
import sys
from pathlib import Path

from pipeline.board import boards, inputs, show, words
from pipeline.core.config import read_yaml
from pipeline.core.errors import UserError

LONGEST = 3600.0  # seconds
LEFT_OUT = "with their keys; those with ? may be left out"


def read_program(path: str) -> str:
    """A program's text from its file, or from standard input where `path` is -."""
    name = "standard input" if path == "-" else path
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder; a program is one file, such as main.py") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not UTF-8 text: {error}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: cannot be read: {error}") from None


def read_beside(paths: list[str]) -> dict[str, bytes]:
    """The files that lie on the board beside the program: each file by its name, each folder with all that is in it."""
    found = {}
    for given in map(Path, paths):
        inside = sorted(each for each in given.rglob("*") if each.is_file()) if given.is_dir() else [given]
        for each in inside:
            try:
                found[str(each.relative_to(given.parent))] = each.read_bytes()
            except OSError as error:
                raise UserError(f"--with: {each}: {error.strerror}") from None
    return found


def write_picture(path: str, text: str) -> None:
    from pipeline.core.files import write_text

    if not path.endswith(".svg"):
        raise UserError(f"--plot: {path} must end with .svg")
    try:
        write_text(Path(path), text)
    except OSError as error:
        raise UserError(f"--plot: {path}: {error.strerror}") from None


def list_all(out, title: str, things: list[tuple[str, list[str], str]]) -> None:
    """`things` are (name, keys, what it is), of which the first clause is shown."""
    show.table(
        out,
        title,
        [
            ([name, " ".join(keys), " ".join(re.split(r"\.(?:\s|$)|[;(]", about)[0].split())], "")
            for name, keys, about in things
        ],
    )


def list_devices(out) -> None:
    list_all(
        out,
        f"Devices for --inputs, {LEFT_OUT}",
        [(kind, inputs.keys(schema), inputs.about(kind)) for kind, schema in inputs.kinds().items()],
    )


def list_checks(out) -> None:
    from pipeline.board.checks import PREDICATES

    list_all(
        out,
        f"Checks for --check, {LEFT_OUT}",
        [(name, known.keys(), known.__doc__ or "") for name, known in sorted(PREDICATES.items())],
    )


def list_coverage(out, board: str) -> None:
    """How much of each module of the board is simulated."""
    from pipeline.board.image import coverage

    modules = coverage(board)
    total, there = sum(len(names) for _, names, *_ in modules), sum(len(simulated) for _, _, simulated, _ in modules)
    rows = []
    for module, names, simulated, missing in modules:
        whole = [
            name for name in missing if name.rpartition(".")[0] not in missing
        ]  # a class stands for all that it has
        rows.append([module, f"{len(simulated)} of {len(names)}", f"without {', '.join(whole)}" if whole else ""])
    show.table(
        out, f"What of {words.titled(board)} is simulated: {there:,} of {total:,} names", [(row, "") for row in rows], 2
    )


def read_checks(path: str, board: str) -> list:
    from pipeline.board import checks

    wanted = checks.parse(read_yaml(Path(path)), path)
    if wrong := [
        inputs.missing_pin(board, pin) for pin in checks.pins_of(wanted) if boards.load(board).pin(pin) is None
    ]:
        raise UserError("\n".join(f"{path}: {fault}" for fault in wrong))
    return wanted


def judge(wanted: list, done) -> list[tuple[str, bool, str]]:
    """(check as its author wrote it, whether it holds, why not)"""
    from pipeline.board import checks

    return [
        (
            " ".join([result.name, *(f"{key}: {value}" for key, value in result.arguments.items())]),
            result.ok,
            result.said or "",
        )
        for result in checks.apply(wanted, done)
    ]


def run_program(arguments, out) -> int:
    """Runs it and says what it did; 1 where it failed, or a check of it. Where there are checks, they say what is a failure."""
    from pipeline.board.run import run

    board, name = arguments.on, "the program" if arguments.program == "-" else arguments.program
    if not 0 < arguments.seconds <= LONGEST:
        raise UserError(f"--seconds: {arguments.seconds:g} must be more than 0 and at most {LONGEST:g}")
    boards.load(board)
    devices = inputs.read(arguments.inputs, board) if arguments.inputs else []
    wanted = read_checks(arguments.check, board) if arguments.check else []
    done = run(read_program(arguments.program), board, devices, arguments.seconds, beside=read_beside(arguments.beside))
    results = judge(wanted, done) if wanted else []
    if arguments.json:
        print(show.as_json(done, name, results))
    else:
        show.show(done, name, out, results)
    if arguments.plot:
        from pipeline.board.plot import plot

        write_picture(arguments.plot, plot(done, name))
    return int(not all(passed for _, passed, _ in results) if results else done.failed)


def board(arguments) -> None:
    """Exits with 0, with 1 where the program failed, with 2 and one message where it was asked for something that cannot be."""
    try:
        out = show.console()
        lists = [
            act
            for wanted, act in (
                (arguments.devices, lambda: list_devices(out)),
                (arguments.checks, lambda: list_checks(out)),
                (arguments.coverage, lambda: list_coverage(out, arguments.on)),
            )
            if wanted
        ]
        if not lists and not arguments.program:
            raise UserError("which program? Give its file, such as main.py, or - for standard input")
        for act in lists:
            act()
        status = run_program(arguments, out) if arguments.program else 0
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
