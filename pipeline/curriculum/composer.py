"""Draws what a pair is made of (parts on free pins, values, clauses, code) and says it: each drawn thing is said in the request as it stands in
the program. What is drawn is drawn from a seed alone. compose.py and rules.py make pairs of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pipeline.board import boards
from pipeline.curriculum import grammar, templates, values
from pipeline.curriculum.parts import Drawn, Part, Pins, Unfit
from pipeline.curriculum.program import assemble
from pipeline.curriculum.surface import ADVERB, END, MARK, PIN_STYLES, article, mended, spoil, tidy, unmarked
from pipeline.curriculum.tasks import FITS, Curriculum, Form, Skill, fits
from pipeline.curriculum.values import Value

# Shares of the requests, or of the clauses.
WIRED = 0.18  # that tell the wiring first or last, in a sentence of its own
WIRED_LAST = 0.4  # of those
BEFORE, AFTER = 0.08, 0.08  # with a greeting before, with a reason or thanks after
ALOUD = 0.1  # that say what goes without saying, where there is something
BOARD = 0.6  # of those for another board than the Pico, that name it: the pin's number alone does not tell
BOARD_FIRST = 0.6  # of those, before the wish
SHORT_AGAIN = 0.8  # of later mentions, that leave the pin out
QUOTED = 0.95  # of the programs, whose comments quote the request at each part and each wish

LONGEST = 1400  # characters of request and program: what surely fits a context of 512, many short names as it may have

BOARDS = ["pico"] * 5 + ["pico_w"] + ["esp32"] * 2  # about as often as people have them
NOUNS = 10  # that are drawn at most, till one is not another part's
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


def closed(text: str) -> str:
    """With an end, where it has none."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


class Composer:
    """Draws one pair: parts on free pins, words, code."""

    def __init__(self, curriculum: Curriculum, rng: Random, board: str, quoted: float = QUOTED, longest: int = LONGEST):
        self.curriculum, self.rng, self.board, self.longest = curriculum, rng, board, longest
        called = curriculum.words.get(f"board-{board.replace('_', '-')}", curriculum.words["board"])
        self.words = {**curriculum.words, "board": called}
        self.port = boards.load(board).port
        self.pins = Pins(board, rng)
        self.parts: list[Part] = []
        self.fixed: set[str] = set()  # names that parts set up besides their own
        self.pin_style = rng.choice(PIN_STYLES[self.port])  # that this request keeps to
        self.wired = rng.random() < WIRED
        self.quotes = rng.random() < quoted

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
        at = self.any(kind.at or self.words["at"])
        where = self.where(at, pins, its)
        full = f"{article(rng, noun, False)}{noun} {where}".strip()
        short = f"{article(rng, noun, True) or 'the '}{noun}" if noun else where
        adjective = next((word for word in noun.split() if word in values.COLOURS), None)
        names = [adjective, *kind.names] if adjective and len(kind.pins) == 1 else kind.names
        name = self.free_name(names)
        told = {pin for pin, _ in grammar.SLOT.findall(at)}
        self.parts.append(Part(kind, name, pins, full, short, its, {pin: pin in told for pin in pins}))
        return self.parts[-1]

    def free_name(self, names: list[str]) -> str:
        """The first of the names that no part has, or the last of them with a number."""
        used = {part.name for part in self.parts} | self.fixed
        return next(
            each for each in [*names, *(f"{names[-1]}{n}" for n in range(2, len(used) + 3))] if each not in used
        )

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
            "of": skill.of,
            "above": skill.above,
            "below": skill.below,
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

    def aloud(self, skills: list[Drawn]) -> str:
        """A sentence that says what goes without saying of one of the parts or of the skills; nothing where there is none."""
        told: list[tuple[Part | Drawn, str]] = [(part, text) for part in self.parts for text in part.kind.aloud]
        told += [(drawn, text) for drawn in skills for text in drawn.skill.aloud]
        if not told:
            return ""
        of, text = self.rng.choice(told)
        if isinstance(of, Drawn):
            return self.filled(self.said(text), of)
        return self.where(self.said(text).replace("{part}", of.short), of.pins, of.its)

    def tell(self, skills: list[Drawn]) -> str:
        """One of the sentences, of each skill that has such, with what its wordings leave open."""
        return "".join(f" {self.filled(self.any(drawn.skill.tell), drawn)}." for drawn in skills if drawn.skill.tell)

    def sentence(
        self, clause: str, subject: str, skills: list[Drawn], plain: bool = True, more: str = "", framed: bool = True
    ) -> str:
        """A request around a clause whose subject is the person (`do`) or the thing (`is`); it is not `plain` where something else, such
        as `when ...,`, stands before it. `more` are sentences that follow; a clause that is not to be `framed` is a sentence already."""
        plain = plain and not (subject == "is" and ADVERB.match(clause))
        frame = self.any(self.words[f"frames-{subject}" if plain else f"frames-{subject}-later"])
        usual = "base" if subject == "do" else "s"
        body = CLAUSE.sub(lambda match: grammar.inflect(clause, match[1] or usual), frame) if framed else clause
        if more := more + self.tell(skills):
            body = f"{closed(body)}{more}"
        if self.rng.random() < ALOUD and (told := self.aloud(skills)):
            body = f"{closed(body)} {told}."
        if self.wired and self.parts:
            last = self.rng.random() < WIRED_LAST
            body = f"{closed(body)} {self.wiring('wiring-last')}" if last else f"{self.wiring('wiring')} {body}"
        body = self.on_board(body)
        if self.rng.random() < BEFORE:
            body = f"{self.any(self.words['before'])} {body}"
        if self.rng.random() < AFTER:
            body = f"{body.rstrip()} {self.any(self.words['after'])}"
        return spoil(self.rng, tidy(body))

    def on_board(self, request: str) -> str:
        """The request, which may name the board where it is another than the Pico."""
        if self.board == "pico" or self.rng.random() >= BOARD:
            return request
        first = self.rng.random() < BOARD_FIRST
        told = self.any(self.words["board-first" if first else "board-last"])
        return f"{told} {request}" if first else f"{closed(request)} {told}"

    def wiring(self, frames: str) -> str:
        """A sentence that tells where all parts are: {parts} as people say it, {flat} without articles, {list} as they note it down."""
        parts = [part for part in self.parts if part.kind.at != [""]]
        if not parts:
            return ""
        told = [part.full for part in parts]
        listed = told[0] if len(told) == 1 else ", ".join(told[:-1]) + f" and {told[-1]}"
        style = self.rng.choice(self.words["noted"])
        noted = [
            style.replace("{part}", THE.sub("", part.short)).replace(
                "{pin}", self.pin_style.format(*part.pins.values())
            )
            if "on {pin}" in (part.kind.at or self.words["at"]) and not part.its
            else THE.sub("", part.full)
            for part in parts
        ]
        made = self.any(self.words[frames]).replace("{parts}", listed).replace("{flat}", THE.sub("", ", ".join(told)))
        return made.replace("{list}", ", ".join(noted))

    def short_enough(self, request: str, program: str) -> None:
        """Raises Unfit where they have too many characters; what must happen then need not be worked out."""
        if len(request) + len(program) > self.longest:
            raise Unfit(f"longer than {self.longest} characters")

    # --- code ---------------------------------------------------------------------------------------------------------

    def code(self, text: str, drawn: Drawn, sleep: Wait = by_sleep) -> str:
        """A skill's code with its slots. Raises what templates.render does."""
        return templates.render(text, **drawn.slots, sleep=sleep, board=self.board, esp32=self.port == "esp32").strip(
            "\n"
        )

    def joined(
        self, form: Form, skills: dict[str, Drawn], slots: dict[str, Value], quotes: dict[str, str], subject: str = "do"
    ) -> str:
        """A form's code with that of its skills. `quotes` are the words for some of them, which stand before their code in a comment."""
        sleep = by_asyncio if form.asyncio else by_sleep
        code: dict[str, Any] = {}
        for name, each in skills.items():
            skill = each.skill
            written = self.code(skill.test if skill.kind == "condition" else skill.code, each, sleep)
            code[name] = (
                self.quoted(quotes[name], written, subject) if name in quotes and skill.kind != "condition" else written
            )
            code[f"{name}_off"] = self.code(skill.off, each)
            code[f"{name}_release"] = skill.release
        return templates.render(form.code, **code, **slots, sleep=sleep)

    def watched(self, drawn: Drawn) -> tuple[list, list, float]:
        """(what happens, what must be seen, for how many seconds) of a skill that is a whole program."""
        given = {**drawn.numbers(), "board": self.board, "esp32": self.port == "esp32"}
        inputs, check = (
            templates.read(templates.render(text, **given)) for text in (drawn.skill.inputs, drawn.skill.check)
        )
        return inputs, check, templates.seconds(drawn.skill.seconds, given)

    def quoted(self, said: str, code: str, subject: str = "do") -> str:
        """The code after a comment with the request's words for it, where this program has such. A model learns to copy from them, and what it
        has to copy into the code then stands close by (EXPERIMENTS.md)."""
        words = unmarked(mended(grammar.inflect(said, "s" if subject == "is" else "base"))).rstrip(".")
        return f"# {words}\n{code}" if self.quotes and words and code else code

    def program(self, body: str, skills: list[Drawn]) -> str:
        """Imports, setup, functions, then the body."""
        makes = [
            self.quoted(
                part.full,
                templates.render(
                    part.kind.make, name=part.name, esp32=self.port == "esp32", said=part.said, **part.pins, **part.its
                ).strip("\n"),
            )
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


def board_for(rng: Random, skills: list[Skill]) -> str:
    """A board that can do all of them. Raises Unfit where there is none."""
    found = [board for board in BOARDS if all(on(skill, board) for skill in skills)]
    if not found:
        raise Unfit(f"no board that can do {' and '.join(skill.name for skill in skills)}")
    return rng.choice(found)


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
