"""Requests with several wishes: each is a rule of tasks/rules.yaml, and a program fulfils them side by side.

A rule says what is done in each round, and never waits, so any of them go together: in one loop, where those with a time of their own look at the
clock, or each in a task of asyncio. What each must do is checked as if it were alone.
"""

import re
from dataclasses import dataclass
from random import Random
from textwrap import indent
from typing import Any

from pipeline.curriculum import grammar, templates, timeline
from pipeline.curriculum.composer import Composer, Pair, by_asyncio, choose
from pipeline.curriculum.parts import Drawn, Unfit
from pipeline.curriculum.surface import ADVERB
from pipeline.curriculum.tasks import Curriculum, Rule, Skill, fits
from pipeline.curriculum.values import Value

TOGETHER = [1, 1, 2, 2]  # how many rules a request has
TRIES = 20  # in which a time is found that is long enough for a reading that was asked for
ROUND = 20  # milliseconds that a loop waits between two rounds, long enough for the bounce of a button
STEP = " " * 4
TASKS = 0.15  # share of those programs of rules that give each rule a task of asyncio
OWN = Skill(name="own", intent="own", kind="program", slots={})  # of a rule: what it says beside that which it takes


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


def worded(composer: Composer, rule: Rule, text: str, key: str, own: Drawn, drawn: dict[str, Drawn]) -> str:
    """The clause of a rule; its verbs are still open. {a} is the clause of what it takes, {r.limit} a slot of that or another of its clauses."""

    def put(match: re.Match) -> str:
        name, form = match[1], match[2]
        if name in own.slots:
            return composer.filled(match[0], own)
        each = drawn[name]
        if form in each.slots:
            return each.slots[form].said
        if form in each.clauses:
            return composer.clause(each, form)
        usual = {"event": "if", "press": "if", "level": "while", "reading": "of"}.get(rule.takes[name], key)
        said = composer.clause(each, usual)
        return grammar.inflect(said, form) if form else said

    return grammar.SLOT.sub(put, composer.said(text))


def several(composer: Composer, clauses: list[str], subject: str, skills: list[Drawn], tasks: bool) -> str:
    """A request of one clause or several: a sentence for each, one long sentence, or a list."""
    rng, usual = composer.rng, "base" if subject == "do" else "s"
    later = [grammar.inflect(clause, usual) for clause in clauses[1:]]
    told = f" {composer.any(composer.words['by-asyncio'])}." if tasks else ""
    manner = rng.choice(["sentences"] * 5 + ["one", "one", "list", "list"]) if later else "sentences"
    plain = clauses[0].startswith("~") if subject == "do" else not ADVERB.match(clauses[0])
    if manner == "sentences":
        more = "".join(f" {composer.any(composer.words['also'])}{clause}." for clause in later)
        return composer.sentence(clauses[0], subject, skills, plain, more + told)
    listed = [grammar.inflect(clauses[0], usual), *later]
    if manner == "one":
        text = composer.any(composer.words["and-also"]).join([", ".join(listed[:-1]), listed[-1]])
    else:
        style = rng.choice(composer.words["listed"])
        text = composer.any(composer.words["list-of"]) + "".join(
            f" {style.replace('{n}', str(n)).replace('{clause}', clause)}" for n, clause in enumerate(listed, 1)
        )
    return composer.sentence(f"{text}.", subject, skills, plain, told, framed=False)


def written(composer: Composer, rule: Rule, own: Drawn, drawn: dict[str, Drawn]) -> tuple[str, str]:
    """(the lines before the loop, those in it) of a rule."""
    given: dict[str, Any] = {}
    for name, each in drawn.items():
        skill = each.skill
        given[name] = composer.code(skill.test if skill.kind == "condition" else skill.code, each)
        given[f"{name}_off"] = composer.code(skill.off, each)
        given |= {f"{name}_{slot}": value for slot, value in each.slots.items()}
    rendered = (
        templates.render(text, **own.slots, **given, esp32=composer.port == "esp32") for text in (rule.setup, rule.loop)
    )
    setup, loop = (text.strip("\n") for text in rendered)
    return setup, loop


def from_rules(composer: Composer, rules: list[Rule], skill: Skill | None = None) -> Pair:
    """Rules side by side, one of which takes `skill`. Raises Unfit where they do not go together."""
    rng = composer.rng
    key = rng.choice(["do", "is"])
    said, ruled, everything, t = [], [], [], timeline.Timeline()
    for rule in rules:
        own = Drawn(OWN.model_copy(update={"intent": rule.intent}), {}, {})
        own.slots.update({name: composer.slot(given) for name, given in rule.slots.items()})
        if skill and rule.every and "reading" in rule.takes.values():
            for _ in range(TRIES):
                if not too_slow(skill, own.slots[rule.every]):
                    break
                own.slots[rule.every] = composer.slot(rule.slots[rule.every])
        pause = own.slots[rule.every] if rule.every else None
        without = {each.name for each in composer.curriculum.skills.values() if too_slow(each, pause)}
        drawn: dict[str, Drawn] = {}
        for name, role in rule.takes.items():
            if skill and fits(skill, role) and skill.name not in without:
                drawn[name], skill = composer.draw(skill), None
            else:
                drawn[name] = composer.draw(choose(composer.curriculum, rng, role, composer.board, without))
        said.append(worded(composer, rule, rng.choice(rule.do if key == "do" else rule.is_), key, own, drawn))
        before, loop = written(composer, rule, own, drawn)
        ruled.append(
            Ruled(
                rule.name,
                before,
                composer.quoted(said[-1], loop, key),
                pause,
                any(is_slow(each.skill) for each in drawn.values()),
            )
        )
        expect(t, rule, own, drawn)
        everything += [own, *drawn.values()]
    if skill or t.end > timeline.LONGEST:
        raise Unfit("read too often" if skill else "too long to watch")
    tasks = len(rules) > 1 and rng.random() < TASKS and not any(each.slow for each in ruled)
    request = several(composer, said, key, everything, tasks)
    program = composer.program(as_tasks(ruled) if tasks else as_loop(ruled), everything)
    composer.short_enough(request, program)
    return Pair(
        request,
        program,
        composer.board,
        [each.skill.intent for each in everything if each.skill.intent],
        f"rules({', '.join(rule.name for rule in rules)})",
        t.inputs,
        t.checks,
        round(t.end, 3),
    )


def is_slow(skill: Skill) -> bool:
    """What takes its time to be read."""
    return skill.kind == "reading" and bool(skill.lasts)


def too_slow(skill: Skill, pause: Value | None) -> bool:
    """A state that takes its time, or a reading that needs more than `pause` between two, cannot be done in every round."""
    return (skill.kind == "state" and bool(skill.lasts)) or (
        is_slow(skill) and (not pause or pause.value < float(skill.lasts))
    )


def expect(t: timeline.Timeline, rule: Rule, own: Drawn, drawn: dict[str, Drawn]) -> None:
    """Writes down what happens to the board, and what a rule must then do."""
    given = own.numbers()
    for name, each in drawn.items():
        given |= {f"{name}_{slot}": value for slot, value in each.numbers().items()}
        if each.skill.kind == "state":
            t.world(each, [])
    timeline.played(t, drawn, templates.read(templates.render(rule.plan, **given)))
    t.inputs += templates.read(templates.render(rule.inputs, **given))
    t.checks += templates.read(templates.render(rule.check, **given))
    t.end = max(t.end, templates.seconds(rule.seconds, given))


@dataclass
class Ruled:
    """The code of a rule."""

    name: str
    before: str  # lines before the loop
    loop: str  # those in it
    pause: Value | None  # the time between two rounds, where it has one of its own
    slow: bool  # a round takes so long that this must not be added to the pause


def as_loop(rules: list[Ruled]) -> str:
    """One loop that never waits for long. A rule that is alone just waits its time; with others it looks at the clock."""
    first = rules[0]
    if len(rules) == 1 and not (first.pause and first.slow):
        wait = first.pause.sleep if first.pause else f"time.sleep_ms({ROUND})"
        return "\n".join([*first.before.splitlines(), "while True:", indent(first.loop, STEP), f"    {wait}"])
    before, body, clocks = [], [], 0
    for each in rules:
        loop = each.loop
        if each.pause:
            clocks += 1
            last, ms = "last" if clocks == 1 else f"last{clocks}", each.pause.whole_ms
            before.append(f"{last} = time.ticks_ms()")
            loop = f"if time.ticks_diff(time.ticks_ms(), {last}) >= {ms}:\n    {last} = time.ticks_add({last}, {ms})\n{indent(loop, STEP)}"
        before += each.before.splitlines()
        body.append(indent(loop, STEP))
    return "\n".join([*before, "while True:", *body, f"    time.sleep_ms({ROUND})"])


def as_tasks(rules: list[Ruled]) -> str:
    """A task of asyncio for each."""
    names, made = [each.name.replace("-", "_") for each in rules], []
    for name, each in zip(names, rules, strict=True):
        wait = by_asyncio(each.pause) if each.pause else f"await asyncio.sleep_ms({ROUND})"
        lines = [f"async def {name}():", *([indent(each.before, STEP)] if each.before else [])]
        made += [*lines, "    while True:", indent(each.loop, 2 * STEP), f"        {wait}", ""]
    started = ", ".join(f"{name}()" for name in names)
    return "\n".join([*made, "async def main():", f"    await asyncio.gather({started})", "", "asyncio.run(main())"])
