"""Which names a board's MicroPython has: modules, their functions, classes and constants, as a table.

Read from the board's stubs with `ast`. These join what the firmware itself lists, which its constants show by a value, with what the
documentation says of every port; so a constant in capitals without a value is left out, and so is what `lacks` in the board's file names.
Classes written in C list all of their methods, and their bases are for type checkers alone; those of Python modules are real.

The stubs of Python's own modules are CPython's, with all that MicroPython leaves away. So STANDARD says what the firmware has of these.
"""

import ast
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.board import boards
from pipeline.core.files import write_text
from pipeline.core.paths import STATE

CACHE = Path(__file__).parents[2] / STATE / "board"  # whatever folder a program is run from
FIRMWARE = Path(__file__).parent / "firmware"
# module -> class -> its names, or those of the module under "". `name()` is a function, `name()Class` one that gives an instance of that class.
MEMORY_FILE = "close() flush() getvalue() read() readinto() readline() seek() tell() write()"
STREAM = "aclose() awrite() awritestr() close() drain() get_extra_info() read() readexactly() readinto() readline() wait_closed() write()"
STANDARD = {
    "array": {"array": "append() extend()"},
    "asyncio": {
        "": "create_task()Task cur_task current_task()Task gather() get_event_loop()Loop new_event_loop()Loop open_connection() run() "
        "run_until_complete() sleep() sleep_ms() start_server() ticks() ticks_add() ticks_diff() wait_for() wait_for_ms()",
        "CancelledError": "",
        "Event": "clear() is_set() set() wait()",
        "IOQueue": "queue_read() queue_write() remove() wait_io_event()",
        "Lock": "acquire() locked() release()",
        "Loop": "call_exception_handler() close() create_task()Task default_exception_handler() get_exception_handler() run_forever() "
        "run_until_complete() set_exception_handler() stop()",
        "SingletonGenerator": "",
        "StreamReader": STREAM,
        "StreamWriter": STREAM,
        "Task": "cancel() coro data done() state",
        "TaskQueue": "peek() pop() push() remove()",
        "ThreadSafeFlag": "clear() ioctl() set() wait()",
        "TimeoutError": "",
    },
    "collections": {
        "": "namedtuple()",
        "deque": "append() appendleft() extend() pop() popleft()",
        "OrderedDict": "clear() copy() fromkeys() get() items() keys() pop() popitem() setdefault() update() values()",
    },
    "io": {
        "": "open()",
        "BufferedWriter": "flush() write()",
        "BytesIO": MEMORY_FILE,
        "IOBase": "",
        "StringIO": MEMORY_FILE,
    },
    "json": {"": "dump() dumps() load() loads()"},
    "os": {
        "": "chdir() dupterm() dupterm_notify() getcwd() ilistdir() listdir() mkdir() mount() remove() rename() rmdir() sep stat() "
        "statvfs() sync() umount() uname() unlink() urandom()"
    },
    "re": {"": "compile() match() search() sub()"},
    "ssl": {
        "": "CERT_NONE CERT_OPTIONAL CERT_REQUIRED MBEDTLS_VERSION PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER PROTOCOL_TLS_CLIENT "
        "PROTOCOL_TLS_SERVER wrap_socket()"
    },
    "struct": {"": "calcsize() pack() pack_into() unpack() unpack_from()"},
    "sys": {
        "": "argv byteorder exit() implementation maxsize modules path platform print_exception() ps1 ps2 stderr stdin stdout version "
        "version_info"
    },
}
OPEN = {
    "builtins",
    "asyncio.core",
    "asyncio.event",
    "asyncio.funcs",
    "asyncio.lock",
    "asyncio.stream",
}  # whose names are not judged
SHARED = {
    "os": ("vfs", ("VfsFat", "VfsLfs2")),
    "ssl": ("tls", ("SSLContext",)),
}  # classes that stand in a second module too


@dataclass
class Item:
    """What a name stands for. A class's members are those of its instances too."""

    kind: str  # "module", "class", "function" or "constant"
    members: dict[str, "Item"] | None = field(
        default_factory=dict
    )  # of a module or class; None where they are not known
    value: int | None = None  # of a constant, where the stubs say it
    keywords: list[str] | None = None  # arguments that a call can name; None where they are not known
    gives: str = ""  # the board's class that a call gives or a constant is: "machine.Pin"
    error: bool = False  # an exception

    @property
    def known(self) -> dict[str, "Item"]:
        """The members that are known."""
        return {} if self.members is None else self.members


@dataclass
class Api:
    """All that a board has. Aliases are the modules' other names: utime -> time."""

    modules: dict[str, Item]
    aliases: dict[str, str]

    def find(self, dotted: str) -> Item | None:
        """What `machine.Pin.irq`, `umqtt.simple` or `utime.sleep` stands for; None where the board has no such name."""
        parts = dotted.split(".")
        parts[0] = self.aliases.get(parts[0], parts[0])
        for length in range(len(parts), 0, -1):  # the longest module of that name
            if item := self.modules.get(".".join(parts[:length])):
                for part in parts[length:]:
                    item = item.known.get(part) if item else None
                return item
        return None


# --- the stubs --------------------------------------------------------------------------------------------------------


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from statements(node.body)
        else:
            yield node


def public(name: str) -> bool:
    return not name.startswith("_")


def decorators(node) -> dict[str, ast.expr]:
    """Name -> decorator, the last part of a dotted name."""
    found = {}
    for decorator in node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        found[function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")] = decorator
    return found


def literal(node: ast.expr | None) -> int | None:
    try:
        value = ast.literal_eval(node) if node else None
    except ValueError:
        return None
    return value if type(value) is int else None


class Reader:
    """The modules of some folders of stubs, or of Python text, by name."""

    def __init__(self, port: str, given: dict[str, Item] | None = None):
        self.port, self.given = port, given or {}
        self.trees: dict[str, ast.Module] = {}
        self.python: set[str] = set()  # those written in Python, whose classes inherit
        self.done: dict[str, Item] = {}

    def add(self, name: str, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.trees[name] = ast.parse(text)
        if path.suffix == ".py" or text.startswith("# Micropython"):  # as the stubs of frozen modules begin
            self.python.add(name)

    def imports(self, module: str) -> dict[str, str]:
        """Name in the module -> what it was imported from, dotted."""
        found = {}
        for node in statements(self.trees[module].body):
            if isinstance(node, ast.ImportFrom):
                parts = module.split(".")
                package = parts if module in self.packages() else parts[:-1]
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                found |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.asname or alias.name: alias.name for alias in node.names}
        return found

    def packages(self) -> set[str]:
        return {name.rpartition(".")[0] for name in self.trees}

    def origin(self, module: str, node: ast.expr | None) -> str:
        """The dotted name, with the module that it comes from, of what an expression in `module` names; "" for one that is no name."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return f"{self.imports(module).get(node.value.id, '')}.{node.attr}"
        return self.imports(module).get(node.id, f"{module}.{node.id}") if isinstance(node, ast.Name) else ""

    def resolve(self, module: str, node: ast.expr | None) -> str:
        """The dotted name of the class that an expression in `module` names; "" for what is none of these modules'."""
        dotted = self.origin(module, node)
        return dotted if public(dotted.rpartition(".")[2]) and self.class_of(dotted) else ""

    def class_of(self, dotted: str) -> ast.ClassDef | None:
        module, _, name = dotted.rpartition(".")
        body = self.trees[module].body if module in self.trees else []
        return next((node for node in statements(body) if isinstance(node, ast.ClassDef) and node.name == name), None)

    def base(self, module: str, node: ast.expr) -> Item | None:
        """The class that another one inherits from, where it is one of these modules' or of those that are given."""
        dotted = self.origin(module, node)
        source, _, name = dotted.rpartition(".")
        if found := self.class_of(dotted):
            return self.class_item(source, found)
        return self.given[source].known.get(name) if source in self.given else None

    def function(self, module: str, node: ast.FunctionDef | ast.AsyncFunctionDef, method: bool) -> Item:
        a = node.args
        named = [arg.arg for arg in a.args][
            1 if method and not a.posonlyargs and "staticmethod" not in decorators(node) else 0 :
        ]
        return Item(
            "function",
            keywords=None if a.kwarg else [*named, *(arg.arg for arg in a.kwonlyargs)],
            gives=self.resolve(module, node.returns),
        )

    def body(self, module: str, nodes: list[ast.stmt], within: bool) -> dict[str, Item]:
        """The names that statements of a module, or within a class, define."""
        found: dict[str, Item] = {}
        for node in statements(nodes):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                public(node.name) or node.name == "__init__"
            ):
                self.define(found, module, node, within)
            elif isinstance(node, ast.ClassDef) and public(node.name):
                found[node.name] = self.class_item(module, node)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and public(node.target.id):
                kind = ast.unparse(node.annotation)
                undocumented = (
                    node.target.id.isupper()
                    and module not in self.python
                    and "Final" not in kind
                    and kind in ("int", "Incomplete")
                )
                unknown = kind == "Final[int]" and literal(node.value) is None
                if kind != "TypeAlias" and not undocumented and not unknown:
                    found[node.target.id] = Item(
                        "constant", value=literal(node.value), gives=self.resolve(module, node.annotation)
                    )
            elif isinstance(node, ast.Assign) and not (
                isinstance(node.value, ast.Call) and "TypeVar" in ast.unparse(node.value.func)
            ):
                names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
                found |= {name: Item("constant", value=literal(node.value)) for name in names if public(name)}
        return found

    def define(self, found: dict[str, Item], module: str, node, within: bool) -> None:
        """A function, or one more overload of it."""
        with_ = decorators(node)
        ports = [
            keyword.value for keyword in getattr(with_.get("mp_available"), "keywords", []) if keyword.arg == "port"
        ]
        if ports and ast.literal_eval(ports[0]) != self.port:
            return
        if "property" in with_:
            found[node.name] = Item("constant", gives=self.resolve(module, node.returns))
            return
        item, before = self.function(module, node, within), found.get(node.name)
        if before and before.kind == "function":
            item.keywords = (
                None
                if before.keywords is None or item.keywords is None
                else list(dict.fromkeys([*before.keywords, *item.keywords]))
            )
            item.gives = before.gives if before.gives == item.gives else ""
        found[node.name] = item

    def class_item(self, module: str, node: ast.ClassDef) -> Item:
        members: dict[str, Item] = {}
        item = Item("class", members, gives="")
        for base in node.bases:
            parent = self.base(module, base)
            item.error |= parent.error if parent else ast.unparse(base).endswith(("Exception", "Error"))
            if parent and module in self.python:
                members |= parent.members or {}
                item.keywords = parent.keywords
        own = self.body(module, node.body, True)
        if made := own.pop("__init__", None):
            item.keywords = made.keywords
        for target in ast.walk(node):  # of Python text: self.width = ...
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store) and public(target.attr):
                members.setdefault(target.attr, Item("constant"))
        members |= own
        if any(isinstance(each, ast.FunctionDef) and each.name == "__getattr__" for each in node.body):
            item.members = None
        return item

    def module(self, name: str) -> Item:
        if name not in self.done:
            self.done[name] = item = Item("module", self.body(name, self.trees[name].body, False))
            item.known.pop("__init__", None)
            for node in statements(
                self.trees[name].body
            ):  # `import x as x` is how the stubs of a package hand a name on
                if isinstance(node, ast.ImportFrom):
                    origins = self.imports(name)
                    for alias in node.names:
                        source, _, original = origins[alias.asname or alias.name].rpartition(".")
                        within = source in self.trees and source.split(".")[0] == name.split(".")[0]
                        if alias.asname == alias.name and within and original in self.module(source).known:
                            item.known[alias.name] = self.module(source).known[original]
        return self.done[name]


def modules_in(folder: Path, suffix: str) -> dict[str, Path]:
    """Module name -> file of a folder of modules and packages."""
    names = {
        path: ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(folder.rglob(f"*{suffix}"))
    }
    return {name: path for path, name in names.items()}


def is_module(name: str) -> bool:
    """Whether a file of the stubs is a module that a program can import: rp2 is a folder in the stubs, but one module on the board."""
    return not name.startswith(("__", "_boot", "rp2."))


def standard(module: str) -> Item:
    found = Item("module")
    for owner, names in STANDARD[module].items():
        if owner:
            found.known[owner] = Item("class", error=owner.endswith("Error"))
        members = found.known[owner].known if owner else found.known
        for name, called, gives in (name.partition("()") for name in names.split()):
            members[name] = Item("function" if called else "constant", gives=gives and f"{module}.{gives}")
    return found


def read(board: str) -> Api:
    """The board's table, from its stubs, STANDARD and the board's file."""
    spec = boards.load(board)
    stubs = Reader(spec.port)
    for name, path in modules_in(boards.stubs(spec), ".pyi").items():
        if is_module(name):
            stubs.add(name, path)
    aliases = {name: name[1:] for name in stubs.trees if name[0] == "u" and not stubs.module(name).members}
    table = {name: stubs.module(name) for name in stubs.trees if name not in aliases}
    table |= {name: standard(name) for name in STANDARD}
    for name, (other, classes) in SHARED.items():
        table[name].known.update({cls: table[other].known[cls] for cls in classes if other in table})
    table |= {name: Item("module", None) for name in OPEN}
    for name, path in modules_in(FIRMWARE, ".py").items():
        if name in spec.libraries:
            stubs.add(name, path)
    table |= {name: stubs.module(name) if name in stubs.trees else Item("module", None) for name in spec.libraries}
    for name in list(table):  # the packages that modules stand in
        for length in range(1, name.count(".") + 1):
            table.setdefault(".".join(name.split(".")[:length]), Item("module"))
    for dotted in spec.lacks:
        owner, _, last = dotted.rpartition(".")
        holder = Api(table, {}).find(owner) if owner else Item("", table)
        place = holder.known if holder else {}
        assert last in place, f"{board}: lacks: {dotted} is not in the stubs"
        del place[last]
    for dotted, names in spec.keywords.items():
        item = Api(table, {}).find(dotted)
        assert item and item.keywords is not None, f"{board}: keywords: {dotted} is not in the stubs, or takes any"
        item.keywords += names
    return Api(table, {name: other for name, other in aliases.items() if other in table})


# --- on disk ----------------------------------------------------------------------------------------------------------


def key(board: str) -> str:
    """The hash of all that a board's table is made of."""
    spec = boards.load(board)
    libraries = [path for name, path in modules_in(FIRMWARE, ".py").items() if name in spec.libraries]
    parts = [Path(__file__), boards.LOCK, boards.FOLDER / f"{board}.yaml", *libraries]
    return sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()


def kept(name: str, key: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, which JSON can hold, from a file of .state/board where that was made for the same key.

    A folder that cannot be written costs time, no more.
    """
    path = CACHE / f"{name}.json"
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["key"] == key:
            return found["content"]
    content = make()
    with contextlib.suppress(OSError):
        write_text(path, json.dumps({"key": key, "content": content}))
    return content


def pack(item: Item) -> dict:
    """An item as JSON, without what is as usual."""
    usual = Item("")
    found = {name: value for name, value in vars(item).items() if name != "members" and value != getattr(usual, name)}
    if item.members is None or item.members:
        found["members"] = item.members and {name: pack(member) for name, member in item.members.items()}
    return found


def unpack(found: dict) -> Item:
    members = found.get("members", {})
    fields: dict[str, Any] = {
        **found,
        "members": members and {name: unpack(member) for name, member in members.items()},
    }
    return Item(**fields)


@cache
def api(board: str) -> Api:
    """What the board has. Raises UserError for an unknown board, and where its stubs are not installed."""

    def make() -> dict:
        table = read(board)
        return {"modules": {name: pack(item) for name, item in table.modules.items()}, "aliases": table.aliases}

    found = kept(f"api-{board}", key(board), make)
    return Api({name: unpack(item) for name, item in found["modules"].items()}, found["aliases"])
