"""One pair of the curriculum: a request with the program that fulfils it, and the check that says so.

What is drawn is drawn from a seed alone. A pair is made of parts (devices on pins, parts.py), clauses (what is said of them), code and a
timeline of what must happen (timeline.py). Request, program and check are made of the same drawn values, so that they cannot disagree.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pipeline.board import boards
from pipeline.curriculum import grammar, templates, timeline, values
from pipeline.curriculum.parts import Drawn, Part, Pins, Unfit
from pipeline.curriculum.program import assemble
from pipeline.curriculum.surface import ADVERB, END, MARK, PIN_STYLES, article, spoil, tidy
from pipeline.curriculum.tasks import Curriculum, Form, Skill
from pipeline.curriculum.values import Value

BOARDS = ["pico"] * 5 + ["pico_w"] + ["esp32"] * 2  # about as often as people have them

# Shares of the requests, or of the clauses.
CANNOT = 0.125  # that cannot be met
PROGRAMS = 0.7  # of the others, that are whole programs; the rest are forms of actions, states and conditions
WIRED = 0.22  # that tell the wiring first, in a sentence of its own
BEFORE, AFTER = 0.16, 0.16  # with a greeting before, with a reason or thanks after
ALOUD = 0.35  # that say what goes without saying, where there is something
SHORT_AGAIN = 0.8  # of later mentions, that leave the pin out

NOUNS = 10  # that are drawn at most, till one is not another part's
FITS = {
    "action": "action",
    "state": "state",
    "event": "condition",
    "level": "condition",
}  # role in a form -> kind of skill
SET_UP = re.compile(r"^(\w+) = ", re.MULTILINE)
TELLS_PIN = re.compile(r"pin|trig|echo|=|gp|GP")
CLAUSE = re.compile(r"\{c(?:\.(\w+))?\}")
THE = re.compile(r"\b(?:the|my) ")

Wait = Callable[[Value], str]  # a time -> the statement that waits for it


@dataclass
class Pair:
    """A request and a program, with what is needed to see that the one fulfils the other. None of it is checked yet (make.fault)."""

    request: str
    program: str
    board: str
    intents: list[str]
    made_of: str  # form and skills, for the report
    inputs: list = field(default_factory=list)
    check: list = field(default_factory=list)
    seconds: float = 5  # of the board's time that it is watched


def by_sleep(value: Value) -> str:
    """The statement that waits for a time."""
    return value.sleep


def by_asyncio(value: Value) -> str:
    """The same for a program whose parts take turns."""
    return f"await {value.sleep.replace('time.', 'asyncio.')}"


class Composer:
    """Draws one pair: parts on free pins, words, code."""

    def __init__(self, curriculum: Curriculum, rng: Random, board: str):
        self.curriculum, self.words, self.rng, self.board = curriculum, curriculum.words, rng, board
        self.port = boards.load(board).port
        self.pins = Pins(board, rng)
        self.parts: list[Part] = []
        self.fixed: set[str] = set()  # names that parts set up besides their own
        self.pin_style = rng.choice(PIN_STYLES[self.port])  # that this request keeps to
        self.wired = rng.random() < WIRED

    # --- parts and values ---------------------------------------------------------------------------------------------

    def said(self, text: str) -> str:
        """A template with its choices made."""
        return grammar.expand(text, self.rng, self.words)

    def any(self, options: list[str]) -> str:
        """One of some templates, with its choices made."""
        return self.said(self.rng.choice(options))

    def value(self, given: dict) -> Value:
        """Of a kind of value with its arguments, such as {time: [0.1, 2]}."""
        ((kind, arguments),) = given.items()
        if kind == "text":
            return values.text(self.rng, self.words["texts"], *arguments)
        if kind == "phrase":  # one of the phrases of words.yaml, as it is
            found = self.said(f"<{arguments[0]}>")
            return Value(f"{MARK}{found}{END}", f'"{found}"', found)
        return values.kind(kind)(self.rng, *(arguments or []))

    def slot(self, given: Any) -> Part | Value:
        """What a task's slot asks for: a device, one of several, or a value."""
        given = self.rng.choice(given) if isinstance(given, list) else given
        return self.part(given) if isinstance(given, str) else self.value(given)

    def part(self, kind_name: str) -> Part:
        """A device of this kind. Raises Unfit where it does not go with those that there are."""
        kind, rng = self.curriculum.devices[kind_name], self.rng
        fixed = set(SET_UP.findall(kind.make)) or (set() if kind.pins else {kind_name})
        if both := fixed & {*self.fixed, *(part.name for part in self.parts)}:
            raise Unfit(f"two parts that both set up {' and '.join(sorted(both))}")
        self.fixed |= fixed
        pins = self.pins.draw(kind.pins)
        its = {name: self.value(given) for name, given in kind.slots.items()}
        noun = self.noun(kind.nouns)
        where = self.where(self.any(kind.at or self.words["at"]), pins, its)
        full = f"{article(rng, noun, False)}{noun} {where}".strip()
        short = f"{article(rng, noun, True) or 'the '}{noun}" if noun else where
        adjective = next((word for word in noun.split() if word in values.COLOURS), None)
        names = [adjective, *kind.names] if adjective and len(kind.pins) == 1 else kind.names
        used = {part.name for part in self.parts} | self.fixed
        name = next(
            each for each in [*names, *(f"{names[-1]}{n}" for n in range(2, len(used) + 3))] if each not in used
        )
        self.parts.append(Part(kind, name, pins, full, short, its))
        return self.parts[-1]

    def noun(self, nouns: list[str]) -> str:
        """What a part is called. Two parts of one name would be mixed up."""
        drawn = 0
        while True:
            drawn += 1
            found = self.any(nouns).strip()
            if (
                drawn == NOUNS
                or not found
                or not any(part.short.lower().endswith(found.lower()) for part in self.parts)
            ):
                return found

    def where(self, at: str, pins: dict[str, int], its: dict[str, Value]) -> str:
        """The words of `at` with pins in this request's manner, {pin.n} as a number alone."""
        told = {name: self.pin_style.format(pin) for name, pin in pins.items()} | {
            name: value.said for name, value in its.items()
        }
        text = grammar.SLOT.sub(lambda match: str(pins[match[1]] if match[2] == "n" else told[match[1]]), at)
        if self.pin_style == "{}" and "pin" in pins and not TELLS_PIN.search(text):  # "the LED on 5" could be anything
            return text.replace(str(pins["pin"]), f"pin {pins['pin']}")
        return text

    def draw(self, skill: Skill) -> Drawn:
        """Raises Unfit where its parts do not go with those that there are."""
        slots = {name: self.slot(given) for name, given in skill.slots.items()}
        written = {
            "do": skill.do,
            "is": skill.is_,
            "short": skill.short,
            "undo": skill.undo,
            "if": skill.if_,
            "while": skill.while_,
        }
        return Drawn(skill, slots, {key: self.rng.choice(options) for key, options in written.items() if options})

    # --- words --------------------------------------------------------------------------------------------------------

    def clause(self, drawn: Drawn, key: str) -> str:
        """A clause with its slots said; verbs are still open."""
        return self.filled(self.said(drawn.clauses[key]), drawn)

    def filled(self, text: str, drawn: Drawn) -> str:
        """A text with the slots of a skill said."""

        def say(match: re.Match) -> str:
            each = drawn.slots[match[1]]
            if isinstance(each, Value):
                return str(each.more.get(match[2], each.said)) if match[2] else each.said
            if match[2] == "it":
                return self.rng.choice(each.kind.it)
            if match[2] == "short" or self.wired or (each.mentioned and self.rng.random() < SHORT_AGAIN):
                return each.short
            each.mentioned = True
            return each.full

        return grammar.SLOT.sub(say, text)

    def join(self, text: str, clauses: dict[str, str]) -> str:
        """A form's words with the clauses put in; `{a.ing}` fixes the form of a verb."""

        def put(match: re.Match) -> str:
            said = clauses[match[1]]
            return grammar.inflect(said, match[2]) if match[2] else said

        return grammar.SLOT.sub(put, self.said(text))

    def aloud(self, skills: list[Drawn]) -> list[str]:
        """Sentences that say what goes without saying of the parts and the skills."""
        of_parts = [
            self.where(self.said(text).replace("{part}", part.short), part.pins, part.its)
            for part in self.parts
            for text in part.kind.aloud
        ]
        return of_parts + [self.filled(self.said(text), drawn) for drawn in skills for text in drawn.skill.aloud]

    def sentence(self, clause: str, subject: str, skills: list[Drawn], plain: bool = True) -> str:
        """A request around a clause whose subject is the person (`do`) or the thing (`is`); it is not `plain` where something else, such
        as `when ...,`, stands before it."""
        plain = plain and not (subject == "is" and ADVERB.match(clause))
        frame = self.any(self.words[f"frames-{subject}" if plain else f"frames-{subject}-later"])
        usual = "base" if subject == "do" else "s"
        body = CLAUSE.sub(lambda match: grammar.inflect(clause, match[1] or usual), frame)
        if self.rng.random() < ALOUD and (told := self.aloud(skills)):
            body = f"{body if body.endswith(('.', '?', '!')) else f'{body}.'} {self.rng.choice(told)}."
        if self.wired and self.parts:
            body = f"{self.wiring()} {body}"
        if self.rng.random() < BEFORE:
            body = f"{self.any(self.words['before'])} {body}"
        if self.rng.random() < AFTER:
            body = f"{body.rstrip()} {self.any(self.words['after'])}"
        return spoil(self.rng, tidy(body))

    def wiring(self) -> str:
        """A sentence that tells where all parts are."""
        told = [part.full for part in self.parts if part.kind.at != [""]]
        if not told:
            return ""
        listed = told[0] if len(told) == 1 else ", ".join(told[:-1]) + f" and {told[-1]}"
        return self.any(self.words["wiring"]).replace("{parts}", listed).replace("{flat}", THE.sub("", ", ".join(told)))

    # --- code ---------------------------------------------------------------------------------------------------------

    def code(self, text: str, drawn: Drawn, sleep: Wait = by_sleep) -> str:
        """A skill's code with its slots. Raises what templates.render does."""
        return templates.render(text, **drawn.slots, sleep=sleep, board=self.board, esp32=self.port == "esp32").strip(
            "\n"
        )

    def program(self, body: str, skills: list[Drawn]) -> str:
        """Imports, setup, functions, then the body."""
        makes = [
            templates.render(part.kind.make, name=part.name, esp32=self.port == "esp32", **part.pins, **part.its)
            for part in self.parts
        ]
        return assemble(
            [*makes, *(self.code(drawn.skill.setup, drawn) for drawn in skills)],
            [*(part.kind.helpers for part in self.parts), *(self.code(drawn.skill.helpers, drawn) for drawn in skills)],
            body,
        )


def on(skill: Skill, board: str) -> bool:
    """Whether a board can do it."""
    return board in (skill.boards or [board]) and skill.board in (None, board)


def fits(skill: Skill, role: str) -> bool:
    """Whether a form can take the skill there. Something is held or seen for a while (`level`); an event needs no words for that."""
    return skill.kind == FITS[role] and (role != "level" or bool(skill.while_))


def choose(curriculum: Curriculum, rng: Random, role: str, board: str, without: set[str]) -> Skill:
    """A skill for a form, but for those named in `without`. Raises Unfit where there is none."""
    found = [
        skill
        for skill in curriculum.of(FITS[role])
        if fits(skill, role) and skill.name not in without and on(skill, board)
    ]
    if not found:
        raise Unfit(f"no skill left for {role}")
    return rng.choices(found, [curriculum.weights[skill.name] for skill in found])[0]


def from_program(composer: Composer, skill: Skill) -> Pair:
    """A skill that is a whole program."""
    rng, drawn = composer.rng, composer.draw(skill)
    key = rng.choice([key for key in ("do", "is", "short") if key in drawn.clauses])
    composer.wired &= key != "short"
    clause = composer.clause(drawn, key)
    request = (
        spoil(rng, tidy(clause))
        if key == "short"
        else composer.sentence(clause, key, [drawn], key != "do" or clause.startswith("~"))
    )
    given = {**drawn.numbers(), "board": composer.board, "esp32": composer.port == "esp32"}
    inputs, check = (templates.read(templates.render(text, **given)) for text in (skill.inputs, skill.check))
    return Pair(
        request,
        composer.program(composer.code(skill.code, drawn), [drawn]),
        composer.board,
        [skill.intent],
        skill.name,
        inputs,
        check,
        templates.seconds(skill.seconds, given),
    )


def from_form(composer: Composer, form: Form, skills: dict[str, Skill]) -> Pair:
    """Skills joined by a form. Raises Unfit where they cannot all be said in one of its ways, or do not go together."""
    rng, done = composer.rng, [skill for skill in skills.values() if skill.kind != "condition"]
    ways = [
        key
        for key, options, said in (
            ("do", form.do, all(skill.do for skill in done)),
            ("is", form.is_, all(skill.is_ for skill in done)),
        )
        if options and said
    ]
    if not ways:
        raise Unfit("no common way to say it")
    key = rng.choice(ways)
    words = rng.choice(form.do if key == "do" else form.is_)
    order = dict.fromkeys(
        [*(name for name, _ in grammar.SLOT.findall(words) if name in skills), *skills]
    )  # in which they are mentioned
    drawn = {name: composer.draw(skills[name]) for name in order}
    slots = {name: composer.value(given) for name, given in form.slots.items()}
    takes: dict[str, str] = {**form.takes}
    clauses = {
        name: composer.clause(drawn[name], {"event": "if", "level": "while"}.get(takes[name], key)) for name in order
    }
    request = composer.join(words, {**clauses, **{name: value.said for name, value in slots.items()}})
    request = composer.sentence(
        request, key, list(drawn.values()), request.startswith("~") if key == "do" else words.startswith("{a}")
    )
    sleep = by_asyncio if form.asyncio else by_sleep
    code = {}
    for name, each in drawn.items():
        skill = each.skill
        code[name] = composer.code(skill.test if skill.kind == "condition" else skill.code, each, sleep)
        code[f"{name}_off"] = composer.code(skill.off, each)
        code[f"{name}_release"] = skill.release
    body = templates.render(form.code, **code, **slots, sleep=sleep)
    planned = timeline.plan(form, drawn, slots)
    return Pair(
        request,
        composer.program(body, list(drawn.values())),
        composer.board,
        [each.skill.intent for each in drawn.values()],
        f"{form.name}({', '.join(skill.name for skill in skills.values())})",
        planned.inputs,
        planned.checks,
        round(planned.end + 0.05, 3),
    )


def from_cannot(composer: Composer) -> Pair:
    """A request that cannot be met, with the comment that says so."""
    rng, each = composer.rng, composer.rng.choice(composer.curriculum.cannot)
    slots = {name: composer.slot(given) for name, given in each.slots.items()}
    said = {name: drawn.full if isinstance(drawn, Part) else drawn.said for name, drawn in slots.items()}
    text = grammar.SLOT.sub(lambda match: said[match[1]], composer.any(each.ask))
    return Pair(
        spoil(rng, tidy(grammar.inflect(text, "base"))),
        each.answer.strip() + "\n",
        composer.board,
        ["cannot"],
        "cannot",
        seconds=0.1,
    )


def pair(curriculum: Curriculum, seed: int, number: int, only: str | None = None) -> Pair:
    """Pair `number` of a curriculum. `only` asks for one skill or form by name, or for `cannot`.

    Raises Unfit where the draw does not go together; jinja2.TemplateError, yaml.YAMLError and UserError for a fault in tasks/.
    """
    rng = Random(f"{seed}/{number}")
    skill = curriculum.skills.get(only) if only else None
    board = (
        skill.board or rng.choice(skill.boards or BOARDS)
        if skill and (skill.board or skill.boards)
        else rng.choice(BOARDS)
    )
    composer = Composer(curriculum, rng, board)
    if only == "cannot" or (only is None and curriculum.cannot and rng.random() < CANNOT):
        return from_cannot(composer)
    if skill and skill.kind == "program":
        return from_program(composer, skill)
    if only is None and rng.random() < PROGRAMS:
        programs = [each for each in curriculum.of("program") if on(each, board)]
        return from_program(composer, rng.choices(programs, [curriculum.weights[each.name] for each in programs])[0])
    forms = [
        form
        for form in curriculum.forms.values()
        if not skill or any(fits(skill, role) for role in form.takes.values())
    ]
    form = (
        curriculum.forms[only] if only in curriculum.forms else rng.choices(forms, [form.weight for form in forms])[0]
    )
    chosen: dict[str, Skill] = {}
    for name, role in form.takes.items():
        if skill and fits(skill, role) and skill not in chosen.values():
            chosen[name] = skill
        else:  # two conditions may be of one skill, on two devices
            without = {each.name for each in chosen.values()} if role in ("state", "action") else set()
            chosen[name] = choose(curriculum, rng, role, board, without)
    return from_form(composer, form, chosen)
