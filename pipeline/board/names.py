"""Which names of the board a program uses, and whether the board has them: found in its text, without running it.

What a variable holds is inferred from all that is assigned to it, wherever: `led = Pin(25)`, `self.servo = PWM(...)`, lists and what
loops take from them, annotated parameters, what the program's own functions return. Where anything else may be assigned, or nothing is
known, nothing is said. So a wrong name can be missed, but a right one is hardly refused. What the program defines itself does not count.

Where the text cannot be parsed, what stands before the fault is looked at.
"""

import ast
import warnings
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from pipeline.board.api import Api, Item, api, public

ROUNDS = 4  # what is learned of one variable tells of the next
NOT_THERE = {
    "ImportError": "import",
    "ModuleNotFoundError": "import",
    "AttributeError": "attribute",
}  # who expects that a name is missing
ASKS_FIRST = {"hasattr", "platform", "implementation", "uname"}  # so does a test of these
SAME = {"iter", "list", "reversed", "sorted", "tuple"}


class Name(NamedTuple):
    dotted: str  # machine.Pin.irq, or machine.PWM(freq=) for an argument by name
    line: int
    exists: bool


class Type(NamedTuple):
    """What a variable may hold. `name` is dotted for what the board has, and the syntax node for what the program defines."""

    kind: str  # "module", "class", "instance", "function"; "own class", "own instance", "own function", "super"; "list", "dict"
    name: Any = ""
    inner: frozenset = frozenset()  # of a list or dict: what its values may be


Types = frozenset  # of Type; None among them stands for anything
UNKNOWN: Types = frozenset({None})
NOTHING: Types = frozenset()


def parse(program: str) -> ast.Module:
    """The program's tree, or that of the lines before its fault."""
    lines = program.splitlines(keepends=True)
    kept = len(lines)
    while kept:
        try:
            with warnings.catch_warnings(action="ignore"):
                return ast.parse("".join(lines[:kept]))
        except SyntaxError as error:
            kept = min(kept - 1, max(0, (error.lineno or kept) - 1) or kept - 1)
        except (ValueError, RecursionError, MemoryError):
            kept -= 1
    return ast.Module([], [])


def expects(handlers: list[ast.ExceptHandler]) -> set[str]:
    """What the handlers of a `try` take to be possibly missing: imports, attributes."""
    found = set()
    for handler in handlers:
        caught = [ast.unparse(each) for each in getattr(handler.type, "elts", [handler.type]) if each]
        found |= {NOT_THERE[each] for each in caught if each in NOT_THERE}
        if not caught or "Exception" in caught:
            found.add("import")
    return found


class Look(ast.NodeVisitor):
    """One look at the program. `known` is what the look before learned: (scope or class, name) -> Types; `learned` what this one does."""

    def __init__(self, table: Api, known: dict[tuple[Any, str], Types]):
        self.api, self.known = table, known
        self.own = {name for scope, name in known if isinstance(scope, ast.ClassDef)}
        self.learned: dict[tuple[Any, str], Types] = {}
        self.found: list[Name] = []
        self.scopes: list[ast.AST] = []
        self.globals: list[set[str]] = [set()]
        self.classes: list[ast.ClassDef] = []
        self.expected: list[set[str]] = [set()]

    # --- what is learned ----------------------------------------------------------------------------------------------

    def bind(self, name: str, types: Types, scope: Any = None) -> None:
        scope = scope or (self.scopes[0] if name in self.globals[-1] else self.scopes[-1])
        self.learned[scope, name] = self.learned.get((scope, name), NOTHING) | types

    def look_up(self, name: str) -> Types:
        for scope in reversed(self.scopes):
            if isinstance(scope, ast.ClassDef) and scope is not self.scopes[-1]:
                continue  # a class's names are not seen from its methods
            if (scope, name) in self.known:
                return self.known[scope, name]
        return UNKNOWN

    def assign(self, target: ast.expr, types: Types) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, types)
        elif isinstance(target, ast.Attribute):
            self.visit(target.value)
            for each in self.infer(target.value):
                if each and each.kind in ("own instance", "own class"):
                    self.bind(target.attr, types, each.name)
                elif each:
                    self.learned[each.kind, f"{each.name}.{target.attr}"] = UNKNOWN  # the program's own from now on
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                self.assign(each, UNKNOWN)
        else:
            self.visit(target)

    def take(self, target: ast.expr, source: ast.expr) -> None:
        """Binds the target of a loop over `source`."""
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and isinstance(target, ast.Tuple):
            arguments = {"enumerate": [None, *source.args[:1]], "zip": source.args}.get(source.func.id, [])
            if len(arguments) == len(target.elts):
                for each, argument in zip(target.elts, arguments, strict=True):
                    self.assign(each, self.inner(self.infer(argument)) if argument else UNKNOWN)
                return
        self.assign(target, self.inner(self.infer(source)))

    def inner(self, types: Types) -> Types:
        return (
            frozenset().union(*(each.inner if each and each.kind == "list" else UNKNOWN for each in types))
            if types
            else UNKNOWN
        )

    # --- what an expression may be ------------------------------------------------------------------------------------

    def infer(self, node: ast.expr) -> Types:
        if isinstance(node, ast.Constant) and node.value is None:
            return NOTHING  # `led = None` says that something else comes
        if isinstance(node, ast.Name):
            return self.look_up(node.id)
        if isinstance(node, ast.Attribute):
            return frozenset().union(*(self.member(each, node.attr)[2] for each in self.infer(node.value))) or UNKNOWN
        if isinstance(node, ast.Call):
            return self.result(node)
        if isinstance(node, ast.IfExp):
            return self.infer(node.body) | self.infer(node.orelse)
        if isinstance(node, ast.BoolOp):
            return frozenset().union(*map(self.infer, node.values))
        if isinstance(node, ast.NamedExpr | ast.Await):
            return self.infer(node.value)
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return frozenset({Type("list", "", frozenset().union(*map(self.infer, node.elts)))})
        if isinstance(node, ast.ListComp | ast.GeneratorExp):
            with self.within(node):
                return frozenset({Type("list", "", self.infer(node.elt))})
        if isinstance(node, ast.Dict):
            return frozenset({Type("dict", "", frozenset().union(*map(self.infer, node.values)))})
        if isinstance(node, ast.Subscript):
            types = self.infer(node.value)
            if isinstance(node.slice, ast.Slice):
                return types
            return (
                frozenset().union(
                    *(each.inner if each and each.kind in ("list", "dict") else UNKNOWN for each in types)
                )
                or UNKNOWN
            )
        return UNKNOWN

    def result(self, node: ast.Call) -> Types:
        """What a call may give."""
        called = node.func
        if isinstance(called, ast.Name) and called.id == "super" and self.classes:
            return frozenset({Type("super", self.classes[-1])})
        if isinstance(called, ast.Name) and called.id in SAME and len(node.args) == 1:
            return self.infer(node.args[0])
        if isinstance(called, ast.Attribute) and called.attr == "values":
            return frozenset(
                each._replace(kind="list") if each and each.kind == "dict" else None
                for each in self.infer(called.value)
            )
        found: Types = NOTHING
        for each in self.infer(called):
            item = self.api.find(each.name) if each and each.kind in ("class", "function") else None
            if each and each.kind == "class":
                found |= {Type("instance", each.name)}
            elif each and each.kind == "own class":
                found |= {Type("own instance", each.name)}
            elif each and each.kind == "own function":
                found |= self.known.get((each.name, "return"), UNKNOWN)
            else:
                found |= {Type("instance", item.gives)} if item and item.gives else UNKNOWN
        return found or UNKNOWN

    def board_type(self, dotted: str, item: Item) -> Types:
        if item.kind == "constant":
            return frozenset({Type("instance", item.gives)}) if item.gives else UNKNOWN
        return frozenset({Type(item.kind, dotted)})

    def member(self, of: Type | None, name: str) -> tuple[str, bool | None, Types]:
        """(dotted name, whether the board has it or None where that is not said, what it may be) of an attribute."""
        if of is None or not public(name) or (of.kind, f"{of.name}.{name}") in self.known:
            return "", None, UNKNOWN
        if of.kind in ("own instance", "own class", "super"):
            if of.kind != "super" and (of.name, name) in self.known:
                return "", None, self.known[of.name, name]
            bases = self.known.get((of.name, "bases"), NOTHING)
            found = [
                self.member(
                    each and Type({"class": "instance", "own class": "own instance"}.get(each.kind, ""), each.name),
                    name,
                )
                for each in bases
            ]
            best = min(found, key=lambda each: (each[1] is False, each[0]), default=("", None, UNKNOWN))
            heirs = (
                best[1] is False and of.kind != "super" and name in self.own
            )  # a class that inherits from this one may have it
            return ("", None, UNKNOWN) if heirs else best
        owner = self.api.find(of.name) if of.kind in ("module", "class", "instance") else None
        if owner is None or owner.members is None:
            return "", None, UNKNOWN
        dotted = f"{of.name}.{name}"
        item = self.api.find(dotted)
        return dotted, item is not None, self.board_type(dotted, item) if item else UNKNOWN

    # --- what is said -------------------------------------------------------------------------------------------------

    def say(self, dotted: str, line: int, exists: bool, kind: str) -> None:
        if exists or kind not in self.expected[-1]:
            self.found.append(Name(dotted, line, exists))

    @contextmanager
    def expecting(self, kinds: set[str]):
        self.expected.append(self.expected[-1] | kinds)
        yield
        self.expected.pop()

    @contextmanager
    def within(self, scope: ast.AST, names: set[str] | None = None):
        self.scopes.append(scope)
        self.globals.append(names or set())
        yield
        self.scopes.pop()
        self.globals.pop()

    def visit_Module(self, node: ast.Module):
        with self.within(node):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import):
        for alias in node.names:
            item = self.api.find(alias.name)
            there = item is not None and item.kind == "module"
            self.say(alias.name, node.lineno, there, "import")
            bound = alias.name if alias.asname else alias.name.partition(".")[0]
            self.bind(
                alias.asname or bound,
                frozenset({Type("module", self.api.aliases.get(bound, bound))}) if there else UNKNOWN,
            )

    def visit_ImportFrom(self, node: ast.ImportFrom):
        source = node.module or ""
        item = self.api.find(source) if source and not node.level else None
        there = item is not None and item.kind == "module"
        if not node.level and not there:
            self.say(source, node.lineno, False, "import")
        module = Type("module", self.api.aliases.get(source, source)) if there else None
        for alias in node.names:
            if alias.name == "*" and item and module:
                self.say(source, node.lineno, True, "import")
                for name, member in item.known.items():
                    self.bind(name, self.board_type(f"{module.name}.{name}", member))
            elif alias.name != "*":
                dotted, exists, types = self.member(module, alias.name)
                if exists is not None:
                    self.say(dotted, node.lineno, exists, "import")
                self.bind(alias.asname or alias.name, types)

    def visit_Attribute(self, node: ast.Attribute):
        self.visit(node.value)
        if isinstance(node.ctx, ast.Load):
            found = [self.member(each, node.attr) for each in self.infer(node.value)]
            if found and all(exists is not None for _, exists, _ in found):  # one of what it may be is enough
                dotted, exists, _ = min(found, key=lambda each: (not each[1], each[0]))
                self.say(dotted, node.end_lineno or node.lineno, bool(exists), "attribute")

    def visit_Call(self, node: ast.Call):
        self.generic_visit(node)
        types = [each for each in self.infer(node.func) if each is None or each.kind in ("class", "function")]
        item = self.api.find(types[0].name) if len(types) == 1 and types[0] else None
        if item and item.keywords is not None:
            for keyword in node.keywords:
                if keyword.arg:
                    self.say(
                        f"{types[0].name}({keyword.arg}=)", keyword.lineno, keyword.arg in item.keywords, "attribute"
                    )

    # --- statements ---------------------------------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign):
        self.visit(node.value)
        for target in node.targets:
            if (
                isinstance(target, ast.Tuple)
                and isinstance(node.value, ast.Tuple)
                and len(target.elts) == len(node.value.elts)
            ):
                for each, value in zip(target.elts, node.value.elts, strict=True):
                    self.assign(each, self.infer(value))
            else:
                self.assign(target, self.infer(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign | ast.NamedExpr):
        if node.value:
            self.visit(node.value)
            self.assign(node.target, self.infer(node.value))

    visit_NamedExpr = visit_AnnAssign

    def visit_AugAssign(self, node: ast.AugAssign):
        self.visit(node.value)
        self.assign(node.target, UNKNOWN)

    def visit_For(self, node: ast.For | ast.AsyncFor):
        self.visit(node.iter)
        self.take(node.target, node.iter)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    visit_AsyncFor = visit_For

    def visit_With(self, node: ast.With | ast.AsyncWith):
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars:
                self.assign(item.optional_vars, self.infer(item.context_expr))
        for statement in node.body:
            self.visit(statement)

    visit_AsyncWith = visit_With

    def visit_Try(self, node: ast.Try):
        kinds = expects(node.handlers)
        with self.expecting(kinds):
            for statement in node.body:
                self.visit(statement)
        for handler in node.handlers:
            if handler.name:
                self.bind(handler.name, UNKNOWN)
            with self.expecting(kinds & {"import"}):  # the other way, which the board need not have
                for statement in handler.body:
                    self.visit(statement)
        for statement in [*node.orelse, *node.finalbody]:
            self.visit(statement)

    def visit_If(self, node: ast.If):
        self.visit(node.test)
        words = {
            each.id if isinstance(each, ast.Name) else each.attr
            for each in ast.walk(node.test)
            if isinstance(each, ast.Name | ast.Attribute)
        }
        with self.expecting({"import", "attribute"} if words & ASKS_FIRST else set()):
            for statement in [*node.body, *node.orelse]:
                self.visit(statement)

    def visit_Return(self, node: ast.Return):
        if node.value:
            self.visit(node.value)
            function = next(
                (scope for scope in reversed(self.scopes) if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)),
                None,
            )
            if function:
                self.bind("return", self.infer(node.value), function)

    def visit_ClassDef(self, node: ast.ClassDef):
        for each in [*node.bases, *node.decorator_list]:
            self.visit(each)
        self.bind(node.name, frozenset({Type("own class", node)}))
        self.learned[node, "bases"] = frozenset().union(*map(self.infer, node.bases))
        self.classes.append(node)
        with self.within(node):
            for statement in node.body:
                self.visit(statement)
        self.classes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef):
        for each in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(each)
        self.bind(node.name, frozenset({Type("own function", node)}) if not node.decorator_list else UNKNOWN)
        method = isinstance(self.scopes[-1], ast.ClassDef)
        kinds = [ast.unparse(each) for each in node.decorator_list]
        names = {name for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names}
        with self.within(node, names):
            self.parameters(
                node.args, self.classes[-1] if method and "staticmethod" not in kinds else None, "classmethod" in kinds
            )
            for statement in node.body:
                self.visit(statement)

    visit_AsyncFunctionDef = visit_FunctionDef

    def parameters(self, arguments: ast.arguments, owner: ast.ClassDef | None, of_class: bool) -> None:
        every = [
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *filter(None, [arguments.vararg, arguments.kwarg]),
        ]
        for each in every:
            given = self.infer(each.annotation) if each.annotation else UNKNOWN
            self.bind(
                each.arg,
                frozenset(Type("instance", kind.name) if kind and kind.kind == "class" else None for kind in given)
                or UNKNOWN,
            )
        if owner and every:
            self.learned[self.scopes[-1], every[0].arg] = frozenset(
                {Type("own class" if of_class else "own instance", owner)}
            )

    def visit_Lambda(self, node: ast.Lambda):
        with self.within(node):
            self.parameters(node.args, None, False)
            self.visit(node.body)

    def comprehension(self, node: Any) -> None:
        with self.within(node):
            for each in node.generators:
                self.visit(each.iter)
                self.take(each.target, each.iter)
                for test in each.ifs:
                    self.visit(test)
            for part in ("key", "value", "elt"):
                if hasattr(node, part):
                    self.visit(getattr(node, part))

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = comprehension


def used(program: str, board: str) -> list[Name]:
    """The board's names that the program uses, each use, in the order of the lines.

    Names that the board does not have are among them where they are looked for at what is the board's: in a module, in one of its
    classes or an instance of it, by a program's class that inherits from it, among the arguments of its functions; and modules that
    the board does not have.
    """
    tree, known, look = parse(program), {}, None
    for _ in range(ROUNDS):
        look = Look(api(board), known)
        with suppress(RecursionError):  # thousands of brackets: what was seen until then
            look.visit(tree)
        known = look.learned
    return sorted(look.found, key=lambda name: name.line)
