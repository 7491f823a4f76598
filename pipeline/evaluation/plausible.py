"""What can be checked of a program without knowing what was wanted: it parses, its names exist, it runs, and the pins and numbers that the
request names stand in it. A model is asked several times, and the first answer that passes is taken.

It does not say that a program is right. It catches what a small model gets wrong most: a pin left out, a number that it made up.
"""

import ast
import re
from typing import NamedTuple

from pipeline.board import boards, names
from pipeline.board.run import run
from pipeline.evaluation.robobench import SYNTAX

NUMBERED = r"(?:GPIO|GP|IO|D|pins?)(?:\s*(?:number|no\.?|nr\.?|GPIO|GP))?"
MORE = r"(?:\s*(?:,|and|&|or)\s*(?:GPIO|GP|pin)?\s*\d{1,2}\b(?!\s*(?:ms|s|sec|Hz|%|cm|times)))*"  # pins 3, 4 and 5
PIN = re.compile(rf"\b{NUMBERED}\s*(\d{{1,2}})\b({MORE})", re.IGNORECASE)
UNITS = r"ms|milli|sec|s\b|Hz|hertz|kHz|%|percent|per cent|degree|°|deg|cm|centi|times|x\b"
NUMBER = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?)(?=\s*(?:{UNITS}))", re.IGNORECASE)
QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)")
OUTSIDE = ("OSError", "ETIMEDOUT")  # what a device answers with that is not there: no fault of the program's
SECONDS = 5.0
REFUSAL = "# I cannot"


class Finding(NamedTuple):
    what: str  # was looked at
    fault: str | None  # what is wrong; None where nothing is


def refusal(program: str) -> str | None:
    """What the model says that it cannot do, where that is all of its answer."""
    lines = [line for line in program.splitlines() if line.strip()]
    return lines[0].lstrip("# ") if len(lines) == 1 and lines[0].startswith(REFUSAL) else None


def pins_named(request: str) -> list[int]:
    found = []
    for first, more in PIN.findall(request):
        found += [int(each) for each in (first, *re.findall(r"\d+", more))]
    return list(dict.fromkeys(found))


def numbers_in(program: str) -> set[float]:
    return {float(each) for each in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", program.replace("_", ""))}


def findings(request: str, program: str, board: str) -> list[Finding]:
    """What was looked at, and what is wrong there. The program runs on the simulated board with nothing around it."""
    if not any(line.strip() and not line.strip().startswith("#") for line in program.splitlines()):
        return [Finding("there is a program", "nothing but comments came back")]
    done = run(program, board, (), SECONDS)
    syntax = next((error for error in done.errors if error.kind in SYNTAX), None)
    if syntax:
        return [Finding("it parses", str(syntax))]
    missing = [name for name in names.used(program, board) if not name.exists]
    errors = [error for error in done.errors if error.kind not in OUTSIDE]
    stopped = f"it was stopped: {done.stopped}" if done.stopped else None
    spec, named = boards.load(board), pins_named(request)
    unused = [pin for pin in named if not re.search(rf"(?<![\w.]){pin}(?![\w.])", program)]
    there, said = numbers_in(program), [float(number) for number in NUMBER.findall(request)]
    lost = [number for number in said if not {number, number / 1000, number * 1000, number / 100} & there]
    texts = [first or second for first, second in QUOTED.findall(request)]
    said_by_it = [
        node.value
        for node in ast.walk(names.parse(program))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    unsaid = [text for text in texts if not any(text in each for each in said_by_it)]
    found = [
        Finding("it parses", None),
        Finding(
            "its names exist on the board",
            f"a {board} has no {missing[0].dotted} (line {missing[0].line})" if missing else None,
        ),
        Finding("it runs", f"{errors[0]}" if errors else stopped),
    ]
    if named:
        absent = [pin for pin in named if spec.pin(pin) is None]
        found.append(
            Finding(
                "it uses the pins of the request",
                f"a {board} has no pin {absent[0]}" if absent else f"pin {unused[0]} is not in it" if unused else None,
            )
        )
    if said:
        found.append(Finding("the request's numbers are in it", f"{lost[0]:g} is not" if lost else None))
    if texts:
        found.append(Finding("the request's texts are in it", f"{unsaid[0]!r} is not" if unsaid else None))
    return found
