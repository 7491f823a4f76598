"""A program as it goes to the board: the same lines, with two things changed that the sandbox needs and no program notices.

A loop that asks the hardware nothing (`while not pressed: pass`) would never let time pass, so each turn of it calls `_tick`. And
decorators such as `@micropython.native` go, since the interpreter in the sandbox was built without what they ask for (see compiler.py).
"""

import ast
import warnings

from pipeline.board.compiler import as_bytecode

# Methods and functions that ask the hardware, so that time passes and interrupts come: a loop that surely calls one needs no tick.
ASKS = {
    "sleep",
    "sleep_ms",
    "sleep_us",
    "idle",
    "lightsleep",
    "value",
    "read",
    "read_u16",
    "toggle",
    "on",
    "off",
    "any",
    "accept",
    "recv",
}
LONGEST = 200_000  # characters; no board takes in a longer program


def asks(node: ast.AST) -> bool:
    """Whether evaluating `node`, an expression or statement, surely asks the hardware."""
    if isinstance(node, ast.If | ast.While):
        return asks(node.test)
    if isinstance(
        node, ast.For | ast.With | ast.Try | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Lambda
    ):
        return False
    if isinstance(node, ast.Call):
        name = (
            node.func.attr
            if isinstance(node.func, ast.Attribute)
            else node.func.id
            if isinstance(node.func, ast.Name)
            else ""
        )
        if name in ASKS:
            return True
    if isinstance(node, ast.BoolOp):
        return asks(node.values[0])
    if isinstance(node, ast.IfExp):
        return asks(node.test)
    return any(asks(child) for child in ast.iter_child_nodes(node))


def prepare(program: str) -> str:
    """The program for the sandbox, line for line. What CPython cannot parse goes as it is: the board will say what is wrong."""
    if len(program) > LONGEST:
        return program
    program = as_bytecode(program)
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(program)
        loops = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.While)
            and not asks(node.test)
            and not any(asks(statement) for statement in node.body)
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program
    lines = program.encode().splitlines(keepends=True)  # ast counts bytes

    def insert(line: int, column: int, text: bytes) -> None:
        lines[line - 1] = lines[line - 1][:column] + text + lines[line - 1][column:]

    marks = []
    for loop in loops:  # parentheses around the test stay outside of its node, so the whole test is put in again
        marks += [
            (loop.test.end_lineno, loop.test.end_col_offset, b")"),
            (loop.test.lineno, loop.test.col_offset, b"_tick() and ("),
        ]
    for mark in sorted(marks, key=lambda m: m[:2], reverse=True):
        insert(*mark)
    return b"".join(lines).decode()
