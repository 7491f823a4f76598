"""What a predicate is, and how a list of checks in YAML becomes calls of predicates.

A predicate is a function over a run with keyword arguments, `blinks(run, pin=15, on=0.5, off=0.5)`. It returns None where it holds, else one
sentence that says what was seen and what was expected. Its signature is its schema: the types say what YAML may give, `when` stands for the
keys `from`, `to` and `at`, and a name that Python keeps for itself has an underscore behind it (`is_` is the key `is`).
"""

import inspect
import re
from collections.abc import Callable
from textwrap import indent
from types import FunctionType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model

from pipeline.board.checks.signals import PinName
from pipeline.board.devices import Signal
from pipeline.board.inputs import faults
from pipeline.board.run import Run
from pipeline.core.errors import UserError, suggestion
from pipeline.core.schema import File

SETUP = 100_000  # microseconds from the start in which a program sets up its pins, and nothing is judged


def ordered(amount):
    if isinstance(amount, list) and (len(amount) != 2 or amount[0] > amount[1]):
        raise ValueError(f"must be one number or [lowest, highest], not {amount}")
    return amount


# steps stand in YAML as lists, and in what a predicate takes as tuples, so that each place in them has its own type
AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


def pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


Time = Annotated[float, Field(ge=0)]  # seconds
Share = Annotated[float, Field(ge=0, le=1)]
Pin = Annotated[int | str, AfterValidator(PinName)]
Pins = Pin | Annotated[list[Pin], Field(min_length=1)]
Active = Literal["high", "low"]
Lasting = Annotated[Time | list[Time], AfterValidator(ordered)]  # seconds, or [lowest, highest]
OverTime = Signal  # a number, or [time, value] steps
Amount = Annotated[float | list[float], AfterValidator(ordered)]
Count = Annotated[int | list[int], AfterValidator(ordered)]
Texts = str | Annotated[list[str], Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(pattern)]
Patterns = Pattern | Annotated[list[Pattern], Field(min_length=1)]
Tolerance = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
PinList = Annotated[list[Pin], Field(min_length=1)]
Byte = Annotated[int, Field(ge=0, le=255)]


def each(value) -> list:
    """A list of what may be one or several."""
    return value if isinstance(value, list) else [value]


class When(NamedTuple):
    """The part of a run that a predicate looks at, in seconds; left out: from when the set-up is over to the end."""

    start: float | None = None
    end: float | None = None
    moments: tuple[float, ...] = ()

    def window(self, run: Run) -> tuple[int, int]:
        start = SETUP if self.start is None else round(self.start * 1_000_000)
        return min(start, run.end), run.end if self.end is None else min(run.end, round(self.end * 1_000_000))

    def windows(self, run: Run) -> list[tuple[int, int]]:
        """Each of the moments, or the one window."""
        return [(at, at) for at in (min(run.end, round(moment * 1_000_000)) for moment in self.moments)] or [
            self.window(run)
        ]


PERIOD = {"from_": (Time | None, Field(None, alias="from")), "to": (Time | None, None)}
MOMENTS = {"at": (Time | list[Time] | None, None)}


class Predicate:
    """A predicate, which also knows its name, its arguments and what they may be."""

    def __init__(self, function: FunctionType, rules: Callable[[dict], list[tuple[bool, str]]] | None, moments: bool):
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self.judge, self.rules, self.name = function, rules, function.__name__.rstrip("_")
        self.__doc__ = inspect.getdoc(function)
        self.windowed = any(p.name == "when" for p in parameters)
        own: dict[str, Any] = {
            p.name: (p.annotation, Field(... if p.default is p.empty else p.default, alias=p.name.rstrip("_")))
            for p in parameters
            if p.name != "when"
        }
        self.schema = create_model(
            self.name,
            __base__=File,
            **own,
            **(PERIOD if self.windowed else {}),
            **(MOMENTS if self.windowed and moments else {}),
        )

    def keys(self) -> list[str]:
        """Its arguments, those that may be left out with `?`."""
        return [
            f"{field.alias or name}{'' if field.is_required() else '?'}"
            for name, field in self.schema.model_fields.items()
        ]

    def arguments(self, given: dict) -> dict:
        """What the function is called with. Raises ValidationError, or UserError for what no single argument can say."""
        checked = self.schema.model_validate(given)
        found = {name: getattr(checked, name) for name in self.schema.model_fields}
        if self.windowed:
            moments = found.pop("at", None)
            found["when"] = When(found.pop("from_"), found.pop("to"), () if moments is None else tuple(each(moments)))
        if wrong := [fault for good, fault in self.rules(found) if not good] if self.rules else []:
            raise UserError("; ".join(wrong))
        return found

    def __call__(self, run: Run, **given) -> str | None:
        """Judges a run. `from_` may stand for `from`, which Python does not take."""
        return self.judge(run, **self.arguments({name.rstrip("_"): value for name, value in given.items()}))


PREDICATES: dict[str, Predicate] = {}


def predicate(
    rules: Callable[[dict], list[tuple[bool, str]]] | None = None, moments: bool = True
) -> Callable[[FunctionType], Predicate]:
    """Makes a predicate of a function. `rules` give (whether it holds, what is wrong) for arguments that must suit each other."""

    def make(function: FunctionType) -> Predicate:
        found = Predicate(function, rules, moments)
        assert found.name not in PREDICATES
        PREDICATES[found.name] = found
        return found

    return make


def one_of(*names: str) -> Callable[[dict], list[tuple[bool, str]]]:
    """A rule: at least one of the arguments must be there."""
    return lambda given: [
        (any(given[name] is not None for name in names), f"needs {' or '.join(name.rstrip('_') for name in names)}")
    ]


def rules(*several: Callable[[dict], list[tuple[bool, str]]]) -> Callable[[dict], list[tuple[bool, str]]]:
    return lambda given: [rule for rule_set in several for rule in rule_set(given)]


# --- values over time -------------------------------------------------------------------------------------------------


def timeline(value: Any, until: int) -> list[tuple[int, int, Any]]:
    """(from, to, value) in microseconds of a value, or of its [time, value] steps."""
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(step, list | tuple) and len(step) == 2 for step in value)
    ):
        return [(0, until, value)]
    starts = [round(time * 1_000_000) for time, _ in value]
    return [
        (start, min(end, until), step[1])
        for start, end, step in zip(starts, [*starts[1:], until], value, strict=True)
        if start < until
    ]


# --- lists of checks --------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    name: str
    given: dict  # as the author wrote it
    arguments: dict  # as the predicate takes it


class Result(NamedTuple):
    name: str
    arguments: dict
    ok: bool
    said: str | None  # where it is not: what was seen and what was expected


LOGIC = ("all_of", "any_of", "not")  # whose argument is a list of checks, or one


def make(entry: Any, place: str) -> tuple[Check | None, list[str]]:
    """One entry of a list of checks as (the check, what is wrong with it)."""
    if not isinstance(entry, dict) or len(entry) != 1:
        return None, [f"{place}: must be one check with its arguments, such as blinks: {{pin: 15, on: 0.5, off: 0.5}}"]
    name, given = next(iter(entry.items()))
    if name not in PREDICATES:
        return None, [f"{place}: there is no check {name!r}{suggestion(name, PREDICATES)}"]
    if name in LOGIC and given in (None, []):
        return None, [f"{place}.{name}: must hold checks"]
    if name in LOGIC:
        made = [make(inner, f"{place}.{name}.{number}") for number, inner in enumerate(each(given))]
        return Check(name, {name: given}, {"checks": [check for check, _ in made]}), [
            fault for _, found in made for fault in found
        ]
    known = PREDICATES[name]
    if given is None:
        given = {}
    elif not isinstance(given, dict):  # prints: done is short for prints: {text: done}
        given = {known.keys()[0].rstrip("?"): given}
    try:
        return Check(name, given, known.arguments(given)), []
    except ValidationError as error:
        return None, [f"{place}.{name}.{fault}" for fault in faults(known.schema, given, error)]
    except UserError as error:
        return None, [f"{place}.{name}: {error}"]


def parse(value: Any, where: str) -> list[Check]:
    """The checks of a list as it came from YAML. Raises UserError with all its faults, each after `where` and its place in the list."""
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: must be a list of checks, such as - blinks: {{pin: 15, on: 0.5, off: 0.5}}")
    made = [make(entry, f"{where}: {number}") for number, entry in enumerate(value)]
    if wrong := [fault for _, found in made for fault in found]:
        raise UserError("\n".join(wrong))
    return [check for check, _ in made if check]


def holds(check: Check, run: Run) -> str | None:
    return PREDICATES[check.name].judge(run, **check.arguments)


def pins_of(checks: list[Check]) -> list[int | str]:
    """The pins that the checks name, as their author wrote them."""
    found: list = []

    def look(value: Any) -> None:
        if isinstance(value, PinName):
            found.append(value.name)
        elif isinstance(value, Check):
            look(value.arguments)
        elif isinstance(value, dict):
            look(list(value.values()))
        elif isinstance(value, list | tuple):
            for inner in value:
                look(inner)

    look(list(checks))
    return list(dict.fromkeys(found))


def vocabulary() -> str:
    """Every predicate with its arguments and what it says, for people who write checks."""
    takes = {
        name: "[checks]" if name in LOGIC else f"{{{', '.join(known.keys())}}}"
        for name, known in sorted(PREDICATES.items())
    }
    return "\n\n".join(f"{name}: {takes[name]}\n{indent(PREDICATES[name].__doc__ or '', '    ')}" for name in takes)
