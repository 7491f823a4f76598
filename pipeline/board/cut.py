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

    def __init__(self, item: Item):
        self.path: list[str] = []               # the class that is looked at, within its classes
        self.items = [item]                     # what the board has of the module, and of these
        self.away: dict[str, set[str]] = {}     # class, or "" for the module -> names that are hidden

    def called(self, name: str) -> str:
        members = self.items[-1].members
        if members is None or not public(name) or name in members:
            return name
        self.away.setdefault(self.path[-1] if self.path else "", set()).add(name)
        return hidden(name)

    def visit_ClassDef(self, node: ast.ClassDef):
        item = (self.items[-1].members or {}).get(node.name)
        node.name = self.called(node.name)
        self.path.append(node.name)
        self.items.append(item if item and item.kind == "class" else Item("class", None))
        node.body = [self.visit(each) for each in node.body]
        self.path.pop()
        self.items.pop()
        return node

    def visit_FunctionDef(self, node):          # what is within a function is its own
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


class Rename(ast.NodeTransformer):
    """Lets the firmware use what is hidden by its new name."""

    def __init__(self, away: dict[str, set[str]]):
        self.away, self.owner = away, ""
        self.names = away.get("", set())        # that mean something hidden where we are

    def visit_ClassDef(self, node: ast.ClassDef):
        before = self.owner, self.names
        self.owner, self.names = node.name, self.names | self.away.get(node.name, set())
        self.generic_visit(node)
        self.owner, self.names = before
        return node

    def visit_FunctionDef(self, node):
        for outside in [*node.args.defaults, *node.args.kw_defaults, *getattr(node, "decorator_list", [])]:
            if outside:
                self.visit(outside)
        before = self.names
        own = {each.arg if isinstance(each, ast.arg) else each.id for each in ast.walk(node)
               if isinstance(each, ast.arg) or (isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))}
        self.names = self.away.get("", set()) - own
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self.names = before
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
        used = {node.id if isinstance(node, ast.Name) else node.attr for node in ast.walk(tree)
                if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)}

        def defines(node: ast.stmt) -> set[str]:
            if isinstance(node, ast.Assign):
                return {getattr(target, "id", "") for target in node.targets}
            return {getattr(node, "name", "")}

        found = False
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef):
                kept = [each for each in node.body if not defines(each) <= names - used]
                found |= len(kept) < len(node.body)
                node.body = kept or [ast.Pass()]
        if not found:
            return


def fit(name: str, path: Path, item: Item) -> ast.Module:
    """A module of the firmware, cut to what `item` has."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    cut = Cut(item)
    cut.visit(tree)
    Rename(cut.away).visit(tree)
    without_unused(tree, {hidden(each) for names in cut.away.values() for each in names})
    parts = name.split(".")
    for node in ast.walk(tree):     # the hook knows no package that `from . import` could begin at
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[:len(parts) + (path.name == "__init__.py") - node.level]
            node.module, node.level = ".".join([*base, *([node.module] if node.module else [])]), 0
    return tree
