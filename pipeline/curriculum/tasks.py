"""What is taught, as data: the files of tasks/ and what may stand in them. tasks/README.md says how to write one.

Devices are what is wired to the board. Skills are what a program can do with them: an `action` begins and ends, a `state` is on or off, a
`condition` is true or not, a `reading` is a number, a `program` is a whole. Forms join actions, states and conditions into programs: for ever, then,
when, while. Rules are wishes that a program fulfils side by side, one or two of them. The words of all of them are templates (grammar.py), the
code is Jinja.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipeline.core.config import explain, read_yaml
from pipeline.core.errors import UserError, suggestion
from pipeline.core.schema import File, Name, Text
from pipeline.curriculum import grammar, values

FOLDER = Path("tasks")
MANY = 0.35  # an intent of ten skills is drawn 2.2 times as often as one of a single skill
WORDS, DEVICES, FORMS, RULES, OFTEN = "words.yaml", "devices", "forms.yaml", "rules.yaml", "often.yaml"
NEEDED = {
    "action": ["do"],
    "state": ["do", "undo", "off"],
    "condition": ["if_", "test"],
    "program": ["do"],
    "reading": ["of", "above", "below", "levels", "code"],
    "form": ["do"],
    "rule": ["do", "is_", "loop"],
}  # or `is` for `do`
Phrases = Annotated[list[str], Field(min_length=1)]
PinKind = Literal["out", "near", "row", "onboard", "in", "adc", "sda", "scl", "tx", "rx", "sck", "mosi", "miso"]


class DeviceKind(File):
    """Something wired to the board."""

    pins: dict[str, PinKind] = Field(default={"pin": "out"})
    nouns: Phrases  # "LED"; the article comes by itself
    at: Phrases | None = (
        None  # where it is, with {pin} or whatever its pins are called; words.yaml's `at` where it is left out
    )
    it: Phrases = Field(default=["it"])  # on a later mention
    aloud: list[str] = Field(
        default=[]
    )  # sentences that say what goes without saying, such as what high means, of {part} and its pins
    names: Phrases  # what a program calls it
    make: str  # the line, or lines, that set it up; `name` and its pins stand for themselves
    helpers: str = ""  # functions that go with it
    slots: dict[Name, Any] = Field(default={})  # values of its own, which `at` can tell: a strip's number of pixels


class Skill(File):
    """What can be wished for. `do` has the person as its subject (~blink {led}), `is` the thing ({led} ~blinks), `short` is a fragment."""

    name: Name
    intent: Name
    kind: Literal["action", "state", "condition", "reading", "program"]
    slots: dict[Name, Any]  # device kind, several of which one is drawn, or {kind of value: [arguments]}
    do: list[str] = Field(default=[])
    is_: list[str] = Field(default=[], alias="is")
    short: list[str] = Field(default=[])
    aloud: list[str] = Field(
        default=[]
    )  # sentences that say what goes without saying, or the same in other words, with its slots
    tell: list[str] = Field(default=[])  # sentences with what the other wordings leave open; one always follows
    undo: list[str] = Field(default=[])  # of a state: to end it, as `do`
    if_: list[str] = Field(default=[], alias="if")  # of a condition: it becomes true
    while_: list[str] = Field(default=[], alias="while")  # of a condition: it is true
    of: list[str] = Field(default=[])  # of a reading: what is read, "the temperature of {sensor}"
    above: list[str] = Field(default=[])  # of a reading: it is over its slot `limit`
    below: list[str] = Field(default=[])  # of a reading: it is under it
    levels: str = ""  # of a reading: what it is below its slot `low`, below `limit`, between `low` and `high`, above `limit`, above `high`, as an expression
    code: str = ""
    off: str = ""  # of a state: the code that ends it
    test: str = ""  # of a condition: the expression
    release: bool = False  # of a condition: true for as long as somebody holds it, and acted on once
    press: bool = False  # of a condition: somebody does it on purpose, so it may switch something over
    setup: str = ""  # lines before the loop
    helpers: str = ""  # functions
    lasts: str | float = (
        0  # of an action: seconds, an expression over its slots; of a state: that it takes; of a reading: between two of them
    )
    gap: bool = False  # of an action: done again at once it would not be seen to end, so a pause must follow
    inputs: str = ""  # what happens meanwhile, as YAML; of a condition over `spans`, when it is true
    check: str = ""  # what must happen, as YAML; an action's from t0 to t1, a state's while it is on
    idle: str = ""  # what must be so from t0 to t1 while it does not happen
    seconds: str | float = 5  # of a program: that it is watched
    board: Name | None = None  # where it needs one
    boards: list[Name] | None = None  # where it needs one of these
    weight: Annotated[float, Field(gt=0)] = 1


class Form(File):
    """A way to join skills into a program. `{a}`, `{b}` are their clauses, `{c}` a condition's, `{t}` a time, `{n}` a number of times."""

    name: Name
    takes: dict[Literal["a", "b", "c", "d"], Literal["action", "state", "event", "level"]]
    slots: dict[Name, Any] = Field(default={})
    do: list[str] = Field(default=[])
    is_: list[str] = Field(default=[], alias="is")
    code: Text
    asyncio: bool = False  # waits by asyncio
    timeline: Name | None = None  # what happens when, where it is not the form's name (timeline.TIMELINES)
    weight: Annotated[float, Field(gt=0)] = 1


class Rule(File):
    """One of several wishes that a program fulfils side by side: what it does in each round of a loop, or of a task of its own. Its words have
    the clauses of what it takes, `{a}`, and its slots."""

    name: Name
    intent: Name | None = None  # beside those of what it takes
    takes: dict[Literal["a", "b", "c", "d", "r"], Literal["state", "event", "level", "press", "reading"]] = Field(
        default={}
    )
    slots: dict[Name, Any] = Field(default={})
    do: list[str] = Field(default=[])
    is_: list[str] = Field(default=[], alias="is")
    setup: str = ""  # lines before the loop
    loop: Text
    every: Name | None = None  # the slot with the time between two rounds, where it is not for every round of the loop
    inputs: str = ""
    check: str = ""
    plan: str = ""  # what happens meanwhile to what it takes, and what must be seen of it (timeline.played)
    seconds: str | float = 5
    weight: Annotated[float, Field(gt=0)] = 1


class Cannot(File):
    """What cannot be done: ways to ask for it, and the one comment that is the answer."""

    ask: Phrases
    answer: Text
    slots: dict[Name, Any] = Field(default={})


@dataclass(frozen=True)
class Curriculum:
    """All that is taught, read and found to fit together."""

    words: dict[str, list[str]]
    devices: dict[str, DeviceKind]
    forms: dict[str, Form]
    rules: dict[str, Rule]
    skills: dict[str, Skill]
    cannot: list[Cannot]
    often: dict[str, float]  # intent -> how often it is asked for, beside one that is not in here

    @cached_property
    def intents(self) -> list[str]:
        """What can be wished for, in order of the alphabet."""
        return sorted({skill.intent for skill in self.skills.values()})

    @cached_property
    def weights(self) -> dict[str, float]:
        """Of each skill among those of its kind. It is the intent that is drawn, one of many skills a little more often than one of few."""
        groups: dict[tuple[str, str], list[Skill]] = {}
        for skill in self.skills.values():
            groups.setdefault((skill.intent, skill.kind), []).append(skill)
        return {
            skill.name: skill.weight
            / sum(each.weight for each in group)
            * len(group) ** MANY
            * self.often.get(intent, 1)
            for (intent, _), group in groups.items()
            for skill in group
        }

    @cached_property
    def kinds(self) -> dict[str, list[Skill]]:
        """The skills of each kind, in the order of the files."""
        found: dict[str, list[Skill]] = {}
        for skill in self.skills.values():
            found.setdefault(skill.kind, []).append(skill)
        return found

    def of(self, kind: str) -> list[Skill]:
        """All skills of a kind."""
        return self.kinds.get(kind, [])


def validated(schema: type[File], content: Any, place: str) -> tuple[Any, list[str]]:
    """(the entry, or None, and what is wrong with it)"""
    try:
        return schema.model_validate(content), []
    except ValidationError as error:
        return None, [f"{place}: {explain(schema, fault)}" for fault in error.errors()]


def templates(entry: Skill | Form | Rule) -> Iterator[tuple[str, str]]:
    """(key, template) of all its words."""
    for key in ("do", "is_", "short", "aloud", "tell", "undo", "if_", "while_", "of", "above", "below"):
        for template in getattr(entry, key, []):
            yield key.rstrip("_"), template


def misfit(name: str, arguments: Any) -> str | None:
    """What the arguments of a kind of value, or of `text`, must be, where these do not fit."""
    wanted = inspect.signature(values.text if name == "text" else values.KINDS[name])
    bound = [None, None] if name == "text" else [None]  # which a task does not give
    try:
        if isinstance(arguments, list):
            wanted.bind(*bound, *arguments)
            return None
    except TypeError:
        pass
    return f"[{', '.join(list(wanted.parameters)[len(bound) :])}]"


def slot_faults(place: str, slots: dict[str, Any], devices: dict, words: dict) -> Iterator[str]:
    """What is wrong with slots: a device that there is not, a kind of value with other arguments than it takes."""
    for slot, given in slots.items():
        where = f"{place}: slots.{slot}"
        if isinstance(given, (str, list)):
            for each in [given] if isinstance(given, str) else given:
                if each not in devices:
                    yield f"{where}: no device {each!r} in {FOLDER / DEVICES}{suggestion(each, devices)}"
        elif isinstance(given, dict) and len(given) == 1:
            ((kind, arguments),) = given.items()
            if kind == "phrase":
                if not isinstance(arguments, list) or len(arguments) != 1 or arguments[0] not in words:
                    yield f"{where}: phrase: must be a list of one phrase of {WORDS}, not {arguments}"
            elif kind != "text" and kind not in values.KINDS:
                yield f"{where}: no kind of value {kind!r}{suggestion(kind, [*values.KINDS, 'text', 'phrase'])}"
            elif wanted := misfit(kind, arguments):
                yield f"{where}: {kind}: must be {wanted}, not {arguments}"
        else:
            yield f"{where}: must be a device, or a kind of value with its arguments such as {{time: [0.1, 2]}}"


def faults(place: str, entry: Skill | Form | Rule, devices: dict, words: dict) -> Iterator[str]:
    """What is wrong with a skill or a form that pydantic cannot see."""
    yield from slot_faults(place, entry.slots, devices, words)
    known = {**entry.slots, **({} if isinstance(entry, Skill) else entry.takes)}
    for key, template in templates(entry):
        for name, _ in grammar.SLOT.findall(template):
            if name not in known:
                yield f"{place}: {key}: no slot {{{name}}}{suggestion(name, known)}"
        for name in grammar.SYMBOL.findall(template):
            if name not in words:
                yield f"{place}: {key}: no phrase <{name}> in {WORDS}{suggestion(name, words)}"
    kind = entry.kind if isinstance(entry, Skill) else type(entry).__name__.lower()
    for key in NEEDED[kind]:
        if not getattr(entry, key) and not (key == "do" and entry.is_):
            yield f"{place}: {key.rstrip('_')}: missing, which a {kind} needs"


def read_words(path: Path) -> dict[str, list[str]]:
    """Name -> phrases. Raises UserError where the file holds something else."""
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(
        isinstance(v, list) and all(isinstance(p, str) for p in v) for v in content.values()
    ):
        raise UserError(f"{path}: must map names to lists of phrases")
    return content


def read_often(path: Path, intents: set[str]) -> tuple[dict[str, float], list[str]]:
    """(intent -> how often it is asked for, what is wrong with it)"""
    content = read_yaml(path)
    if not isinstance(content, dict):
        return {}, [f"{path}: must map intents to numbers"]
    wrong = [
        f"{path}: {name}: no skill has this intent{suggestion(str(name), intents)}"
        for name in content
        if name not in intents
    ]
    wrong += [
        f"{path}: {name}: must be a number above 0, not {value!r}"
        for name, value in content.items()
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0
    ]
    return content, wrong


def load(folder: Path = FOLDER) -> Curriculum:
    """Reads words, devices, forms and all skills under `folder`. Raises UserError with all faults, one a line, each with file, entry and key."""
    words, wrong = read_words(folder / WORDS), []
    devices, forms, rules, skills, cannot = {}, {}, {}, {}, []
    for path in sorted(folder.rglob(f"{DEVICES}/*.yaml")):
        entries = read_yaml(path)
        if not isinstance(entries, dict):
            wrong.append(f"{path}: must map names to devices")
            continue
        for name, entry in entries.items():
            if name in devices:
                wrong.append(f"{path}: {name}: there is another device of this name")
            devices[name], faulty = validated(DeviceKind, entry, f"{path}: {name}")
            wrong += [
                *faulty,
                *(slot_faults(f"{path}: {name}", devices[name].slots, {}, words) if devices[name] else []),
            ]
    for path in sorted(folder.rglob("*.yaml")):
        if path.name in (WORDS, OFTEN) or path.parent.name == DEVICES:
            continue
        entries = read_yaml(path)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            wrong.append(f"{path}: must be a list of entries")
            continue
        for number, entry in enumerate(entries, 1):
            place = f"{path}: {entry.get('name', f'entry {number}')}"
            schema = {FORMS: Form, RULES: Rule}.get(path.name) or (Cannot if "answer" in entry else Skill)
            made, faulty = validated(schema, entry, place)
            wrong += faulty
            if made is None:
                continue
            if schema is Cannot:
                wrong += slot_faults(place, made.slots, devices, words)
                cannot.append(made)
                continue
            known = {Form: forms, Rule: rules}.get(schema, skills)
            if made.name in known:
                wrong.append(f"{place}: name: there is another of this name")
            known[made.name] = made
            wrong += faults(place, made, devices, words)
    often: dict[str, float] = {}
    for path in sorted(folder.rglob(OFTEN)):
        more, faulty = read_often(path, {skill.intent for skill in skills.values()})
        often, wrong = often | more, wrong + faulty
    if wrong:
        raise UserError("\n".join(wrong))
    return Curriculum(words, devices, forms, rules, skills, cannot, often)
