"""What is taught, as data: the files of tasks/ and what may stand in them. tasks/README.md says how to write one.

Devices are what is wired to the board. Skills are what a program can do with them: an `action` begins and ends, a `state` is on or off, a
`condition` is true or not, a `reading` is a number, a `program` is a whole. Forms join actions, states and conditions into programs: for ever, then,
when, while. Rules are wishes that a program fulfils side by side, one or two of them. The words of all of them are templates (grammar.py), the
code is Jinja.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.core.schema import File, Name, Text

MANY = 0.35  # an intent of ten skills is drawn 2.2 times as often as one of a single skill
JOINED = re.compile(r"([\w-]+)\(([\w-]+(?:, [\w-]+)*)\)")  # a form with its skills: while(button-pressed, led-on-off)
FITS = {
    "action": "action",
    "state": "state",
    "event": "condition",
    "level": "condition",
    "press": "condition",
    "reading": "reading",
}  # role in a form -> kind of skill
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


class Asked(File):
    """Whole requests, as people write them (requests.py), of a program or of a form with its skills."""

    of: Text
    say: Phrases


def parsed(of: str) -> tuple[str | None, list[str]]:
    """(the form's name, or None for a program; the names of its skills)"""
    match = JOINED.fullmatch(of)
    return (match[1], match[2].split(", ")) if match else (None, [of])


def fits(skill: Skill, role: str) -> bool:
    """Whether a form or a rule can take the skill there. Something is held or seen for a while (`level`), somebody does it (`press`); an event
    needs no words for that."""
    return skill.kind == FITS[role] and (role != "level" or bool(skill.while_)) and (role != "press" or skill.press)


def named(several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The slots of several skills and their form, by the names that a whole request has for them: led, and where there is one already led2, led3."""
    found: dict[str, Any] = {}
    for slots in several:
        for name, each in slots.items():
            names = chain([name], (f"{name}{number}" for number in count(2)))
            found[next(free for free in names if free not in found)] = each
    return found


@dataclass(frozen=True)
class Curriculum:
    """All that is taught, read and found to fit together."""

    words: dict[str, list[str]]
    devices: dict[str, DeviceKind]
    forms: dict[str, Form]
    rules: dict[str, Rule]
    skills: dict[str, Skill]
    cannot: list[Cannot]
    asked: list[Asked]
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
    def asked_weights(self) -> list[float]:
        """Of each entry of whole requests: how many it has, and the root of how often its intents are asked for, as more was written for those."""
        often = [[self.often.get(self.skills[name].intent, 1) for name in parsed(each.of)[1]] for each in self.asked]
        return [len(each.say) * (sum(its) / len(its)) ** 0.5 for each, its in zip(self.asked, often, strict=True)]

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
