"""A module of the firmware, which is written once for all boards, cut to what one board has.

What the board has not is hidden under another name, as the module itself may need it, and goes where nothing does. Constants get the
board's values. It is done on the syntax tree, so that line numbers and comments are lost; nobody is shown those of the firmware.
"""

import ast
from pathlib import Path

from pipeline.board.api import Item, public


def hidden(name: str) -> str:
    """What a name that the board has not is called, for the firmware's own use."""
    return f"_{name}_"


class Cut(ast.NodeTransformer):
    """Hides what the board has not in a module of the firmware, and sets constants to the board's values."""

    def __init__(self, item: Item, classes: dict[str, Item]):
        self.classes = classes
        self.path: list[str] = []  # the class that is looked at, within its classes
        self.items = [item]  # what the board has of the module, and of these
        self.away: dict[str, set[str]] = {}  # class, or "" for the module -> names that are hidden

    def called(self, name: str) -> str:
        members = self.items[-1].members
        if members is None or not public(name) or name in members:
            return name
        self.away.setdefault(self.path[-1] if self.path else "", set()).add(name)
        return hidden(name)

    def visit_ClassDef(self, node: ast.ClassDef):
        item = (self.items[-1].members or self.classes).get(node.name)
        node.name = self.called(node.name)
        self.path.append(node.name)
        self.items.append(item if item and item.kind == "class" else Item("class", None))
        node.body = [self.visit(each) for each in node.body]
        self.path.pop()
        self.items.pop()
        return node

    def visit_FunctionDef(self, node):  # what is within a function is its own
        node.name = self.called(node.name)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Assign(self, node: ast.Assign):
        for target in node.targets:
            for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(name, ast.Name):
                    known = (self.items[-1].members or {}).get(name.id)
                    if known and known.value is not None and name is target:
                        node.value = ast.Constant(known.value)
                    name.id = self.called(name.id)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom):
        for alias in node.names:
            if alias.name != "*" and (name := alias.asname or alias.name) != self.called(name):
                alias.asname = hidden(name)
        return node


class Rename(ast.NodeTransformer):
    """Lets the firmware use what is hidden by its new name."""

    def __init__(self, away: dict[str, set[str]]):
        self.away, self.owner = away, ""
        self.outer = away.get("", set())  # that mean something hidden within functions
        self.names = self.outer  # and where we are

    def visit_ClassDef(self, node: ast.ClassDef):
        before = self.owner, self.names
        inherited = set().union(*(self.away.get(base.id, ()) for base in node.bases if isinstance(base, ast.Name)))
        self.away[node.name] = self.away.get(node.name, set()) | inherited - set().union(*map(defined, node.body))
        self.owner, self.names = node.name, self.names | self.away.get(node.name, set())
        self.generic_visit(node)
        self.owner, self.names = before
        return node

    def visit_FunctionDef(self, node):
        for outside in [*node.args.defaults, *node.args.kw_defaults, *getattr(node, "decorator_list", [])]:
            if outside:
                self.visit(outside)
        before = self.outer, self.names
        own = {
            each.arg if isinstance(each, ast.arg) else each.id
            for each in ast.walk(node)
            if isinstance(each, ast.arg) or (isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))
        }
        self.outer = self.names = self.outer - own
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self.outer, self.names = before
        return node

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_Name(self, node: ast.Name):
        if node.id in self.names:
            node.id = hidden(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner and node.attr in self.away.get(self.owner if owner in ("self", "cls") else owner, ()):
            node.attr = hidden(node.attr)
        return self.generic_visit(node)


def without_unused(tree: ast.Module, names: set[str]) -> None:
    """Removes the definitions of those of the hidden `names` that nothing in the module uses."""
    while True:
        used = {
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
        }
        gone = names - used

        def stays(node: ast.stmt, gone: set[str] = gone) -> bool:
            if isinstance(node, ast.Assign):
                return not {getattr(target, "id", "") for target in node.targets} <= gone
            if isinstance(node, ast.ImportFrom):
                node.names = [alias for alias in node.names if alias.asname not in gone]
                return bool(node.names)
            return getattr(node, "name", "") not in gone

        before = sum(1 for _ in ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef):
                node.body = [each for each in node.body if stays(each)] or [ast.Pass()]
        if sum(1 for _ in ast.walk(tree)) == before:
            return


def fit(name: str, path: Path, item: Item, classes: dict[str, Item]) -> ast.Module:
    """A module of the firmware, cut to what `item` has; where that does not say, as in a module of the firmware's own, to `classes`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    cut = Cut(item, classes)
    cut.visit(tree)
    Rename(cut.away).visit(tree)
    without_unused(tree, {hidden(each) for names in cut.away.values() for each in names})
    parts = name.split(".")
    for node in ast.walk(tree):  # the hook knows no package that `from . import` could begin at
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) + (path.name == "__init__.py") - node.level]
            node.module, node.level = ".".join([*base, *([node.module] if node.module else [])]), 0
    return tree


def defined(node: ast.stmt) -> set[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def used(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}


def apart(tree: ast.Module, name: str) -> dict[str, ast.Module]:
    """Takes out of a module the classes that it does not use itself: class -> a module with it alone, which takes the rest from this one."""
    found = {}
    for node in [node for node in tree.body if isinstance(node, ast.ClassDef) and public(node.name)]:
        others = [each for each in tree.body if each is not node]
        if not any(node.name in used(each) for each in others) and not any(
            isinstance(each, ast.Global) for each in ast.walk(node)
        ):
            tree.body = others
            found[node.name] = node
    there = set().union(*map(defined, tree.body), found)
    modules = {}
    for cls, node in found.items():
        needs = [ast.alias(each) for each in sorted(used(node) & there - {cls})]
        modules[cls] = ast.Module([*([ast.ImportFrom(name, needs, 0)] if needs else []), node], [])
    return modules
