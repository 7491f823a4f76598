"""What happens to a board while a program runs, as a list of devices with their scripts:

    - button: {pin: 14, pressed: [1.0, 2.5]}
    - hcsr04: {trigger: 3, echo: 2, distance: [[0, 50], [2, 10]]}

Each module of devices/ is a kind of device, and says what keys it takes.
"""

import importlib
import inspect
import pkgutil
from functools import cache
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.board import boards, devices
from pipeline.board.devices import Device
from pipeline.core.config import explain, read_yaml
from pipeline.core.errors import UserError, suggestion
from pipeline.core.schema import File


@cache
def kinds() -> dict[str, type[Device]]:
    """The devices that there are: name of the module -> its class."""
    found = {}
    for name in sorted(
        module.name for module in pkgutil.iter_modules(devices.__path__) if not module.name.startswith("_")
    ):
        module = importlib.import_module(f"{devices.__name__}.{name}")
        own = [
            kind
            for kind in vars(module).values()
            if inspect.isclass(kind) and issubclass(kind, Device) and kind.__module__ == module.__name__
        ]
        assert len(own) == 1, f"devices/{name}.py must hold one class that derives from Device, not {len(own)}"
        found[name] = own[0]
    return found


def keys(kind: type[Device]) -> list[str]:
    """The keys of a device, those that may be left out with `?`."""
    return [f"{field.alias or name}{'' if field.is_required() else '?'}" for name, field in kind.model_fields.items()]


def about(kind: str) -> str:
    """What a device is: the first line of its module."""
    return (inspect.getdoc(inspect.getmodule(kinds()[kind])) or "").split("\n")[0]


def ranges(pins: list[int]) -> str:
    """`0 to 5, 12 to 19` for the numbers."""
    runs = [[pin for _, pin in run] for _, run in groupby(enumerate(sorted(pins)), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def missing_pin(board: str, pin) -> str:
    spec = boards.load(board)
    named = f" and {', '.join(spec.named)}" if spec.named else ""
    return f"{'an' if board[0] in 'aeiou' else 'a'} {board} has no pin {pin}; it has {ranges(spec.pins)}{named}"


def in_file(fault: ErrorDetails, content) -> tuple[int | str, ...]:
    """A fault's location without what pydantic put in: it names the branch of a choice of types as well, which no file holds."""
    kept, last = [], len(fault["loc"]) - 1
    for number, step in enumerate(fault["loc"]):
        if isinstance(content, dict) and (step in content or (number == last and fault["type"] == "missing")):
            kept.append(step)
            content = content.get(step)
        elif isinstance(content, list) and isinstance(step, int):
            kept.append(step)
            content = content[step] if step < len(content) else None
    return tuple(kept)


def faults(schema: type[File], content: dict, error: ValidationError) -> list[str]:
    """One line for each thing that is wrong. Where a value may be of several types, pydantic tells a fault for each of them: the
    deepest is what the author meant, else the one whose type fits, else all of them are said in one line.
    """
    found = error.errors()
    for fault in found:
        fault["loc"] = in_file(fault, content)
    found = [
        f
        for f in found
        if not any(len(o["loc"]) > len(f["loc"]) and o["loc"][: len(f["loc"])] == f["loc"] for o in found)
    ]
    lines = []
    for _, group in groupby(found, lambda fault: fault["loc"]):
        group = list(group)
        first, *others = [fault for fault in group if not fault["type"].endswith("_type")] or group
        also = [other["msg"].removeprefix("Input should be ") for other in others]
        first["msg"] = " or ".join([first["msg"], *also])
        lines.append(explain(schema, first))
    return lines


def make(entry, board: str) -> tuple[Device | None, list[str]]:
    """One entry of the list as (its device, what is wrong with it)."""
    if not isinstance(entry, dict) or len(entry) != 1:
        return None, [" must be one device with its keys, such as button: {pin: 14, pressed: [1.0]}"]
    kind, content = next(iter(entry.items()))
    if kind not in kinds():
        return None, [f" there is no device {kind!r}{suggestion(kind, kinds())}"]
    content, schema, spec = {} if content is None else content, kinds()[kind], boards.load(board)
    if not isinstance(content, dict):
        return None, [f"{kind}: must hold keys and values, not {content!r}"]
    try:
        device = schema.model_validate(content)
    except ValidationError as error:
        return None, [f"{kind}.{fault}" for fault in faults(schema, content, error)]
    wrong = [
        f"{key}: {missing_pin(board, pin)}"
        for key, pin in device.pins().items()
        if pin is not None and spec.pin(pin) is None
    ]
    wrong += [fault for good, fault in device.rules() if not good]
    return device, [f"{kind}.{fault}" for fault in wrong]


def parse(value, board: str, where: str | Path) -> list[Device]:
    """The devices of a list as it came from YAML. Raises UserError with all its faults, each after `where` and its place in the list."""
    if not isinstance(value, list):
        raise UserError(f"{where}: must be a list of devices, such as - button: {{pin: 14, pressed: [1.0]}}")
    made = [make(entry, board) for entry in value]
    if wrong := [
        f"{where}: {number}{':' if fault.startswith(' ') else '.'}{fault}"
        for number, (_, of_it) in enumerate(made)
        for fault in of_it
    ]:
        raise UserError("\n".join(wrong))
    return [device for device, _ in made if device is not None]


def read(path: str | Path, board: str) -> list[Device]:
    """The devices of a YAML file. Raises UserError, with the line where it is no YAML."""
    return parse(read_yaml(Path(path)), board, path)
