"""Wrong programs made of a right one, to see whether its checks notice: each differs in one place, by a slip that people and models make."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, TypeGuard

OFF = 128  # pixels that a text moves on a display: off it. One pixel, or one line, further is no fault
WAITS = {"sleep", "sleep_ms", "sleep_us"}
BUSES = {"I2C", "SoftI2C", "SPI", "SoftSPI"}
PINS = {"Pin", "PWM", "ADC", "Signal", "NeoPixel", "DHT11", "DHT22", "TouchPad"}
KIND_OF_NUMBER = {
    **dict.fromkeys((*WAITS, "period", "timeout"), "time"),
    **dict.fromkeys(("duty_u16", "duty", "duty_ns"), "PWM duty"),
    "freq": "PWM frequency",
    "range": "count",
}  # by what is called with it, or its keyword
OTHER = {
    "on": "off",
    "off": "on",
    "high": "low",
    "low": "high",
    "PULL_UP": "PULL_DOWN",
    "PULL_DOWN": "PULL_UP",
    "IRQ_FALLING": "IRQ_RISING",
    "IRQ_RISING": "IRQ_FALLING",
    "PERIODIC": "ONE_SHOT",
    "ONE_SHOT": "PERIODIC",
    "min": "max",
    "max": "min",
}
KIND_OF_NAME = {
    "on": "level",
    "off": "level",
    "high": "level",
    "low": "level",
    "PULL_UP": "pull",
    "PULL_DOWN": "pull",
    "min": "limit",
    "max": "limit",
}
COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=",
    ast.GtE: "<",
    ast.Gt: "<=",
    ast.LtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
}
COUNTED: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*"}
SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//"}


class Mutant(NamedTuple):
    kind: str
    line: int
    program: str


class Edit(NamedTuple):
    kind: str
    line: int
    changes: list[tuple[int, int, str]]  # (from, to, what stands there instead), in characters


# --- the text ---------------------------------------------------------------------------------------------------------


class Text:
    """A program's text and tree; finds the place of a node in the text."""

    def __init__(self, program: str):
        self.program, self.tree = program, ast.parse(program)
        self.lines = program.encode().splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line.decode()))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.pins = {name for call in self.calls() for name in self.pin_names(call)}

    def place(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None, "as everything that was parsed"
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1][:column].decode())

    def of(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.place(node)
        return self.program[start:end]

    def calls(self) -> list[ast.Call]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]

    def pin_names(self, call: ast.Call) -> list[str]:
        """The variables that stand where a pin's number is asked for."""
        return [call.args[0].id] if name_of(call) in PINS and call.args and isinstance(call.args[0], ast.Name) else []

    def is_pin(self, node: ast.expr) -> bool:
        """Whether a number is that of a pin: Pin(15), LED = 15 before Pin(LED), or one of those that a comprehension makes pins of."""
        parent = self.parents[node]
        if isinstance(parent, ast.Tuple | ast.List):
            node, parent = parent, self.parents[parent]
        if isinstance(parent, ast.Call):
            return name_of(parent) in PINS and parent.args[:1] == [node]
        if isinstance(parent, ast.keyword):
            return parent.arg in ("scl", "sda", "tx", "rx", "sck", "mosi", "miso")
        if isinstance(parent, ast.Assign):
            return any(isinstance(target, ast.Name) and target.id in self.pins for target in parent.targets)
        if isinstance(parent, ast.For | ast.comprehension):
            return parent.iter is node and any(
                isinstance(name, ast.Name) and name.id in self.pins for name in ast.walk(parent.target)
            )
        return False


def name_of(node: ast.AST | None) -> str:
    """The last part of what is called or named."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class Number(ast.expr):
    """What a node is that is_number() takes, as the type checker knows it."""

    value: int | float


def is_number(node: ast.AST | None) -> TypeGuard[Number]:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def written(value: float, like: float) -> str:
    return str(int(value)) if isinstance(like, int) else repr(round(value, 9))


# --- the slips --------------------------------------------------------------------------------------------------------


def numbers(text: Text) -> Iterator[Edit]:
    pins = sorted((node for node in ast.walk(text.tree) if is_number(node) and text.is_pin(node)), key=text.place)
    taken = {node.value for node in pins}
    for node in pins:
        other = next(n for n in (node.value + 1, node.value - 1, *range(100)) if n not in taken and n >= 0)
        yield Edit("another pin", node.lineno, [(*text.place(node), str(other))])
    for one, two in pairwise(pins):
        if one.value != two.value:
            yield Edit("pins swapped", one.lineno, [(*text.place(one), text.of(two)), (*text.place(two), text.of(one))])
    for node in ast.walk(text.tree):
        if not is_number(node) or text.is_pin(node):
            continue
        kind, value = kind_of_number(text, node), node.value
        if kind == "bus speed":  # which nobody sees
            continue
        changed = (
            [value - 1, value + 1]
            if kind == "count"
            else [value + OFF]
            if kind == "place"
            else [value // 2 if isinstance(value, int) else value / 2, value * 2]
        )
        if kind == "number" and value in (0, 1):
            changed = [1 - value]
        for new in changed:
            if new != value:
                what = (
                    kind if kind in ("count", "number", "place") else f"{kind} {'halved' if new < value else 'doubled'}"
                )
                yield Edit(what, node.lineno, [(*text.place(node), written(new, value))])


def kind_of_number(text: Text, node: ast.expr) -> str:
    parent = text.parents[node]
    if isinstance(parent, ast.Compare):
        return "threshold"
    if (
        isinstance(parent, ast.keyword)
        and parent.arg in ("freq", "baudrate")
        and name_of(text.parents[parent]) in BUSES
    ):
        return "bus speed"
    if isinstance(parent, ast.Call) and name_of(parent) == "text" and node in parent.args[1:3]:
        return "place"
    named = parent.arg if isinstance(parent, ast.keyword) else name_of(parent) if isinstance(parent, ast.Call) else ""
    return KIND_OF_NUMBER.get(named, "number")


def names(text: Text) -> Iterator[Edit]:
    for node in ast.walk(text.tree):
        if not isinstance(node, ast.Attribute | ast.Name) or name_of(node) not in OTHER:
            continue
        name, (_, end) = name_of(node), text.place(node)
        yield Edit(
            KIND_OF_NAME.get(name, "edge or mode"),
            node.end_lineno or node.lineno,
            [(end - len(name), end, OTHER[name])],
        )
    for call in text.calls():
        for number, argument in enumerate(call.args):
            if name_of(argument) in ("PULL_UP", "PULL_DOWN") and number:
                yield Edit(
                    "pull", argument.lineno, [(text.place(call.args[number - 1])[1], text.place(argument)[1], "")]
                )
        if name_of(call) in ("value", "Pin") and call.args and isinstance(call.func, ast.Attribute):
            start, end = text.place(call.args[0])
            yield Edit("level", call.lineno, [(start, end, f"not ({text.program[start:end]})")])


def tests(text: Text) -> Iterator[Edit]:
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
            left, right = text.place(node.left)[1], text.place(node.comparators[0])[0]
            between = text.program[left:right]
            sign = re.search(r"[<>=!]+", between)
            if sign:
                yield Edit(
                    "comparison", node.lineno, [(left + sign.start(), left + sign.end(), COMPARED[type(node.ops[0])])]
                )
        elif isinstance(node, ast.BoolOp):
            word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            places = [(text.place(one)[1], text.place(two)[0]) for one, two in pairwise(node.values)]
            found = [
                (start, match) for start, end in places if (match := re.search(rf"\b{word}\b", text.program[start:end]))
            ]
            if len(found) == len(places):
                yield Edit(
                    "comparison",
                    node.lineno,
                    [(start + match.start(), start + match.end(), other) for start, match in found],
                )
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield Edit("level", node.lineno, [(*text.place(node), f"({text.of(node.operand)})")])
        elif isinstance(node, ast.If) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
            yield Edit("comparison", node.lineno, [(*text.place(node.test), f"not ({text.of(node.test)})")])
        elif isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
            yield Edit("loop once", node.lineno, [(text.place(node)[0], text.place(node.test)[1], "for _ in (1,)")])


def sums(text: Text) -> Iterator[Edit]:
    for node in ast.walk(text.tree):
        if isinstance(node, ast.BinOp) and type(node.op) in COUNTED:
            left, right = text.place(node.left)[1], text.place(node.right)[0]
            at = text.program.find(SIGNS[type(node.op)], left, right)
            if at >= 0 and (is_number(node.left) or not isinstance(node.left, ast.Constant | ast.JoinedStr)):
                yield Edit("sum", node.lineno, [(at, at + len(SIGNS[type(node.op)]), COUNTED[type(node.op)])])
        elif isinstance(node, ast.AugAssign) and type(node.op) in COUNTED:
            left, right = text.place(node.target)[1], text.place(node.value)[0]
            at = text.program.find(SIGNS[type(node.op)], left, right)
            yield Edit("direction", node.lineno, [(at, at + len(SIGNS[type(node.op)]), COUNTED[type(node.op)])])
        elif (
            isinstance(node, ast.Tuple)
            and len(parts := [part for part in node.elts if is_number(part)]) == len(node.elts) == 3
        ):
            red, green, blue = parts
            for one, two in ((red, green), (green, blue)):
                if one.value != two.value:
                    yield Edit(
                        "colours swapped",
                        node.lineno,
                        [(*text.place(one), text.of(two)), (*text.place(two), text.of(one))],
                    )


def texts(text: Text) -> Iterator[Edit]:
    for node in ast.walk(text.tree):
        if (
            not isinstance(node, ast.Constant)
            or not isinstance(node.value, str | bytes)
            or isinstance(text.parents[node], ast.JoinedStr | ast.Expr)
        ):
            continue
        start, end = text.place(node)
        inner = text.program[start:end]
        if found := re.search(r"[%{]:?\.(\d)f", inner):
            yield Edit(
                "decimals", node.lineno, [(start + found.start(1), start + found.end(1), str(int(found[1]) + 1))]
            )
        letters = [match.start() for match in re.finditer(r"(?<![%\\{:.])[A-Za-z](?![^{]*\})", inner[1:])]
        if letters:
            at = start + 1 + letters[-1]
            yield Edit("text", node.lineno, [(at, at + 1, "q" if text.program[at] != "q" else "w")])
    for node in ast.walk(text.tree):
        if isinstance(node, ast.JoinedStr) and node.lineno == node.end_lineno:
            start, end = text.place(node)
            if found := re.search(r":\.(\d)f", text.program[start:end]):
                yield Edit(
                    "decimals", node.lineno, [(start + found.start(1), start + found.end(1), str(int(found[1]) + 1))]
                )


def statements(text: Text) -> Iterator[Edit]:
    assigned = [
        target.id
        for node in ast.walk(text.tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    for node in [node for node in ast.walk(text.tree) if isinstance(node, ast.stmt)]:
        call = node.value if isinstance(node, ast.Expr) else None
        call = call.value if isinstance(call, ast.Await) else call
        if isinstance(call, ast.Call):
            yield Edit(
                "wait removed" if name_of(call) in WAITS else "statement dropped",
                node.lineno,
                [(*text.place(node), "pass")],
            )
        elif isinstance(node, ast.AugAssign | ast.Break) or (
            isinstance(node, ast.Assign)
            and all(not isinstance(target, ast.Name) or assigned.count(target.id) > 1 for target in node.targets)
        ):
            yield Edit("statement dropped", node.lineno, [(*text.place(node), "pass")])


SLIPS = (numbers, names, tests, sums, texts, statements)


def mutants(program: str) -> list[Mutant]:
    """All mutants of a program, in the order of its lines. Raises SyntaxError for one that Python cannot read."""
    text = Text(program)
    found: dict[str, Mutant] = {}
    for edit in sorted(
        (edit for slip in SLIPS for edit in slip(text) if edit.changes), key=lambda edit: (edit.changes[0], edit.kind)
    ):
        changed = program
        for start, end, new in sorted(edit.changes, reverse=True):
            changed = changed[:start] + new + changed[end:]
        if changed != program and can_be_read(changed):
            found.setdefault(changed, Mutant(edit.kind, edit.line, changed))
    return list(found.values())


def can_be_read(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError):
        return False
    return True
