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
from pipeline.curriculum.tasks import Curriculum, Form, Rule, Skill
from pipeline.curriculum.values import Value

BOARDS = ["pico"] * 5 + ["pico_w"] + ["esp32"] * 2  # about as often as people have them

# Shares of the requests, or of the clauses.
CANNOT = 0.125  # that cannot be met
RULED = 0.42  # of the others, that wish for several things side by side
PROGRAMS = 0.68  # of the rest, that are whole programs; what is left are forms of actions, states and conditions
TOGETHER = [1, 2, 2, 2, 3]  # how many rules a request has
TASKS = 0.15  # share of those programs of rules that give each rule a task of asyncio
WIRED = 0.25  # that tell the wiring first or last, in a sentence of its own
WIRED_LAST = 0.4  # of those
BEFORE, AFTER = 0.16, 0.16  # with a greeting before, with a reason or thanks after
ALOUD = 0.35  # that say what goes without saying, where there is something
SHORT_AGAIN = 0.8  # of later mentions, that leave the pin out

NOUNS = 10  # that are drawn at most, till one is not another part's
FITS = {
    "action": "action",
    "state": "state",
    "event": "condition",
    "level": "condition",
    "press": "condition",
    "reading": "reading",
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
        at = self.any(kind.at or self.words["at"])
        where = self.where(at, pins, its)
        full = f"{article(rng, noun, False)}{noun} {where}".strip()
        short = f"{article(rng, noun, True) or 'the '}{noun}" if noun else where
        adjective = next((word for word in noun.split() if word in values.COLOURS), None)
        names = [adjective, *kind.names] if adjective and len(kind.pins) == 1 else kind.names
        used = {part.name for part in self.parts} | self.fixed
        name = next(
            each for each in [*names, *(f"{names[-1]}{n}" for n in range(2, len(used) + 3))] if each not in used
        )
        told = {pin for pin, _ in grammar.SLOT.findall(at)}
        self.parts.append(Part(kind, name, pins, full, short, its, {pin: pin in told for pin in pins}))
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
            body = f"{body if body.endswith(('.', '?', '!')) else f'{body}.'}{more}"
        if self.rng.random() < ALOUD and (told := self.aloud(skills)):
            body = f"{body if body.endswith(('.', '?', '!')) else f'{body}.'} {told}."
        if self.wired and self.parts:
            last = self.rng.random() < WIRED_LAST
            body = (
                f"{body if body.endswith(('.', '?', '!')) else f'{body}.'} {self.wiring('wiring-last')}"
                if last
                else f"{self.wiring('wiring')} {body}"
            )
        if self.rng.random() < BEFORE:
            body = f"{self.any(self.words['before'])} {body}"
        if self.rng.random() < AFTER:
            body = f"{body.rstrip()} {self.any(self.words['after'])}"
        return spoil(self.rng, tidy(body))

    def wiring(self, frames: str) -> str:
        """A sentence that tells where all parts are: {parts} as people say it, {flat} without articles, {list} as they note it down."""
        parts = [part for part in self.parts if part.kind.at != [""]]
        if not parts:
            return ""
        told = [part.full for part in parts]
        listed = told[0] if len(told) == 1 else ", ".join(told[:-1]) + f" and {told[-1]}"
        style = self.rng.choice(self.words["noted"])
        noted = [
            style.replace("{part}", THE.sub("", part.short)).replace("{pin}", self.pin_style.format(*part.pins.values()))
            if "on {pin}" in (part.kind.at or self.words["at"]) and not part.its
            else THE.sub("", part.full)
            for part in parts
        ]
        made = self.any(self.words[frames]).replace("{parts}", listed).replace("{flat}", THE.sub("", ", ".join(told)))
        return made.replace("{list}", ", ".join(noted))

    def rule_words(self, rule: Rule, text: str, key: str, own: Drawn, drawn: dict[str, Drawn]) -> str:
        """The clause of a rule; its verbs are still open. {a} is the clause of what it takes, {r.limit} a slot of that or another of its clauses."""

        def put(match: re.Match) -> str:
            name, form = match[1], match[2]
            if name in own.slots:
                return self.filled(match[0], own)
            each = drawn[name]
            if form in each.slots:
                return each.slots[form].said
            if form in each.clauses:
                return self.clause(each, form)
            usual = {"event": "if", "press": "if", "level": "while", "reading": "of"}.get(rule.takes[name], key)
            said = self.clause(each, usual)
            return grammar.inflect(said, form) if form else said

        return grammar.SLOT.sub(put, self.said(text))

    def several(self, clauses: list[str], subject: str, skills: list[Drawn], tasks: bool) -> str:
        """A request of one clause or several: a sentence for each, one long sentence, or a list."""
        rng, usual = self.rng, "base" if subject == "do" else "s"
        later = [grammar.inflect(clause, usual) for clause in clauses[1:]]
        told = f" {self.any(self.words['by-asyncio'])}." if tasks else ""
        manner = rng.choice(["sentences"] * 5 + ["one", "one", "list", "list"]) if later else "sentences"
        plain = clauses[0].startswith("~") if subject == "do" else not ADVERB.match(clauses[0])
        if manner == "sentences":
            more = "".join(f" {self.any(self.words['also'])}{clause}." for clause in later)
            return self.sentence(clauses[0], subject, skills, plain, more + told)
        listed = [grammar.inflect(clauses[0], usual), *later]
        if manner == "one":
            text = self.any(self.words["and-also"]).join([", ".join(listed[:-1]), listed[-1]])
        else:
            style = rng.choice(self.words["listed"])
            text = self.any(self.words["list-of"]) + "".join(
                f" {style.replace('{n}', str(n)).replace('{clause}', clause)}" for n, clause in enumerate(listed, 1)
            )
        return self.sentence(f"{text}.", subject, skills, plain, told, framed=False)

    # --- code ---------------------------------------------------------------------------------------------------------

    def code(self, text: str, drawn: Drawn, sleep: Wait = by_sleep) -> str:
        """A skill's code with its slots. Raises what templates.render does."""
        return templates.render(text, **drawn.slots, sleep=sleep, board=self.board, esp32=self.port == "esp32").strip(
            "\n"
        )

    def rule_code(self, rule: Rule, own: Drawn, drawn: dict[str, Drawn]) -> tuple[str, str]:
        """(the lines before the loop, those in it) of a rule."""
        given: dict[str, Any] = {}
        for name, each in drawn.items():
            skill = each.skill
            given[name] = self.code(skill.test if skill.kind == "condition" else skill.code, each)
            given[f"{name}_off"] = self.code(skill.off, each)
            given |= {f"{name}_{slot}": value for slot, value in each.slots.items()}
        rendered = (
            templates.render(text, **own.slots, **given, esp32=self.port == "esp32") for text in (rule.setup, rule.loop)
        )
        setup, loop = (text.strip("\n") for text in rendered)
        return setup, loop

    def program(self, body: str, skills: list[Drawn]) -> str:
        """Imports, setup, functions, then the body."""
        makes = [
            templates.render(
                part.kind.make, name=part.name, esp32=self.port == "esp32", said=part.said, **part.pins, **part.its
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


def fits(skill: Skill, role: str) -> bool:
    """Whether a form or a rule can take the skill there. Something is held or seen for a while (`level`), somebody does it (`press`); an event
    needs no words for that."""
    return skill.kind == FITS[role] and (role != "level" or bool(skill.while_)) and (role != "press" or skill.press)


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
        spoil(rng, tidy(clause + (f".{told}" if (told := composer.tell([drawn])) else "")))
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


OWN = Skill(name="own", intent="own", kind="program", slots={})  # of a rule: what it says beside that which it takes


def from_rules(composer: Composer, rules: list[Rule], skill: Skill | None = None) -> Pair:
    """Rules side by side, one of which takes `skill`. Raises Unfit where they do not go together."""
    rng, words = composer.rng, composer.words
    tasks, key = len(rules) > 1 and rng.random() < TASKS, rng.choice(["do", "is"])
    slow = {each.name for each in composer.curriculum.of("state") if each.lasts}  # what takes so long cannot be done in every round
    said, loops, everything, t = [], [], [], timeline.Timeline()
    for rule in rules:
        drawn = {}
        for name, role in rule.takes.items():
            if skill and fits(skill, role):
                drawn[name], skill = composer.draw(skill), None
            else:
                drawn[name] = composer.draw(choose(composer.curriculum, rng, role, composer.board, slow))
        own = Drawn(OWN.model_copy(update={"intent": rule.intent}), {name: composer.slot(given) for name, given in rule.slots.items()}, {})
        said.append(composer.rule_words(rule, rng.choice(rule.do if key == "do" else rule.is_), key, own, drawn))
        code = composer.rule_code(rule, own, drawn)
        given = {**own.numbers(), **{f"{name}_{slot}": value for name, each in drawn.items() for slot, value in each.numbers().items()}}
        pause = own.slots[rule.every] if rule.every else None
        if any(not pause or pause.value < timeline.lasting(each) for each in drawn.values() if each.skill.kind == "reading" and each.skill.lasts):
            raise Unfit("read too often")
        timeline.played(t, drawn, templates.read(templates.render(rule.plan, **given)))
        t.inputs += templates.read(templates.render(rule.inputs, **given))
        t.checks += templates.read(templates.render(rule.check, **given))
        t.end = max(t.end, templates.seconds(rule.seconds, given))
        for each in drawn.values():
            if each.skill.kind == "state":
                t.world(each, [])
        loops.append((rule, *code, pause))
        everything += [own, *drawn.values()]
    if t.end > timeline.LONGEST:
        raise Unfit("too long to watch")
    return Pair(
        composer.several(said, key, everything, tasks),
        composer.program(as_tasks(loops) if tasks else as_loop(loops), everything),
        composer.board,
        [each.skill.intent for each in everything if each.skill.intent],
        f"rules({', '.join(rule.name for rule in rules)})",
        t.inputs,
        t.checks,
        round(t.end, 3),
    )


Ruled = tuple[Rule, str, str, Value | None]  # with its lines before the loop, those in it, and the time between two rounds


def indented(text: str, by: int = 4) -> str:
    """Each line but the empty ones a step to the right."""
    return "\n".join(f"{' ' * by}{line}" if line else "" for line in text.splitlines())


def as_loop(rules: list[Ruled]) -> str:
    """One loop that never waits for long. A rule that is alone just waits its time; with others it looks at the clock."""
    if len(rules) == 1:
        _, setup, loop, pause = rules[0]
        return f"{setup}\nwhile True:\n{indented(loop)}\n    {pause.sleep if pause else 'time.sleep_ms(20)'}\n".lstrip("\n")
    before, body = [], []
    for _, setup, loop, pause in rules:
        if pause:
            last = f"last{len(before) + 1}" if any(line.startswith("last") for line in "\n".join(before).splitlines()) else "last"
            before.append(f"{last} = time.ticks_ms()")
            ms = pause.whole_ms
            loop = f"if time.ticks_diff(time.ticks_ms(), {last}) >= {ms}:\n    {last} = time.ticks_add({last}, {ms})\n{indented(loop)}"
        before += [setup] if setup else []
        body.append(indented(loop))
    return "\n".join([*before, "while True:", *body, "    time.sleep_ms(20)"]) + "\n"


def as_tasks(rules: list[Ruled]) -> str:
    """A task of asyncio for each."""
    made, names = [], [rule.name.replace("-", "_") for rule, *_ in rules]
    for name, (_, setup, loop, pause) in zip(names, rules, strict=True):
        wait = by_asyncio(pause) if pause else "await asyncio.sleep_ms(20)"
        before = f"{indented(setup)}\n" if setup else ""
        made.append(f"async def {name}():\n{before}    while True:\n{indented(loop, 8)}\n        {wait}\n")
    started = ", ".join(f"{name}()" for name in names)
    return "\n".join([*made, f"async def main():\n    await asyncio.gather({started})\n", "asyncio.run(main())"]) + "\n"


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


def together(curriculum: Curriculum, rng: Random, first: list[Rule], only: str | None) -> list[Rule]:
    """Rules that go together: none twice, and no two that read something."""
    number, found = rng.choice(TOGETHER), [curriculum.rules[only]] if only in curriculum.rules else []
    while len(found) < number:
        fit = [
            rule
            for rule in (curriculum.rules.values() if found else first)
            if rule not in found and not ("r" in rule.takes and any("r" in each.takes for each in found))
        ]
        if not fit:
            break
        found.append(rng.choices(fit, [rule.weight for rule in fit])[0])
    rng.shuffle(found)
    return found


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
    rules = [
        rule
        for rule in curriculum.rules.values()
        if not skill or any(fits(skill, role) for role in rule.takes.values())
    ]
    if rules and (only in curriculum.rules or (skill and skill.kind == "reading") or (only is None and rng.random() < RULED)):
        return from_rules(composer, together(curriculum, rng, rules, only), skill)
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
