"""One pair of the curriculum: a request with the program that fulfils it, and the check that says so.

What is drawn is drawn from a seed alone. A pair is made of parts (devices on pins, parts.py), clauses (what is said of them), code and a
timeline of what must happen (timeline.py). Request, program and check are made of the same drawn values, so that they cannot disagree.
"""

from random import Random

from pipeline.curriculum import grammar, requests, rules, timeline
from pipeline.curriculum.composer import LONGEST, QUOTED, Composer, Pair, board_for, choose
from pipeline.curriculum.parts import Part, Unfit
from pipeline.curriculum.surface import spoil, tidy
from pipeline.curriculum.tasks import Asked, Curriculum, Form, Skill, fits

TRIES = 8  # draws of one wish, till one goes together and is short enough
WISHES = 3  # that are tried so

# Shares of the requests.
CANNOT = 0.125  # that cannot be met
WHOLE = 0.5  # of those that can be met, that are said as people say them (requests.py)
PROGRAMS = 0.66  # of those without rules, that are whole programs; the others are forms of actions, states, conditions


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
    program = composer.program(composer.quoted(clause, composer.code(skill.code, drawn), key), [drawn])
    composer.short_enough(request, program)
    return Pair(request, program, composer.board, [skill.intent], skill.name, *composer.watched(drawn))


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
    program = composer.program(composer.joined(form, drawn, slots, clauses, key), list(drawn.values()))
    composer.short_enough(request, program)
    return Pair(
        request,
        program,
        composer.board,
        [each.skill.intent for each in drawn.values()],
        f"{form.name}({', '.join(skill.name for skill in skills.values())})",
        *timeline.plan(form, drawn, slots).watched,
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


def pair(
    curriculum: Curriculum,
    seed: int,
    number: int,
    only: str | Asked | None = None,
    several: float = 0,
    longest: int = LONGEST,
    quoted: float = QUOTED,
) -> Pair:
    """Pair `number` of a curriculum. `only` asks for one skill or form by name, for `cannot`, or for the whole requests of an entry; of what is
    drawn in clauses, `several` is the share that is made of rules, and of a wish the first is taken whose request and program have no more than
    `longest` characters; `quoted` is the share of the programs with comments.

    Raises Unfit where no draw goes together or is short enough; jinja2.TemplateError, yaml.YAMLError and UserError for a fault in tasks/.
    """
    rng = Random(f"{seed}/{number}")
    if only == "cannot" or (only is None and curriculum.cannot and rng.random() < CANNOT):
        return from_cannot(Composer(curriculum, rng, board_for(rng, []), quoted))
    programs, why = (1 - several) * PROGRAMS, ""
    as_asked = only is None and curriculum.asked and rng.random() < WHOLE
    for _ in range(WISHES):
        # a wish that takes many words is drawn again before another is, so that what people ask often is drawn often however long it is
        if as_asked:
            wish = rng.choices(curriculum.asked, curriculum.asked_weights)[0]
        else:
            wish = only or (program(curriculum, rng) if rng.random() < programs else None)
        for _ in range(TRIES):
            try:
                if isinstance(wish, Asked):
                    return requests.whole(curriculum, rng, wish, quoted, longest)
                return met(curriculum, rng, wish, several / (1 - programs), quoted, longest)
            except Unfit as error:
                why = str(error)
    raise Unfit(why)


def program(curriculum: Curriculum, rng: Random) -> str:
    """The name of a skill that is a whole program, drawn as often as people ask for it."""
    programs = curriculum.of("program")
    return rng.choices(programs, [curriculum.weights[each.name] for each in programs])[0].name


def met(curriculum: Curriculum, rng: Random, only: str | None, ruled: float, quoted: float, longest: int) -> Pair:
    """A request that can be met, with its program: the wish that is named, or skills joined by a form or, `ruled` of them, by rules. Raises
    Unfit where the draw does not go together, or is too long."""
    skill = curriculum.skills.get(only) if only else None
    board = board_for(rng, [skill] if skill else [])
    composer = Composer(curriculum, rng, board, quoted, longest)
    if skill and skill.kind == "program":
        return from_program(composer, skill)
    fit = [
        rule
        for rule in curriculum.rules.values()
        if not skill or (any(fits(skill, role) for role in rule.takes.values()) and (rule.every or not skill.lasts))
    ]
    if fit and (
        only in curriculum.rules or (skill and skill.kind == "reading") or (only is None and rng.random() < ruled)
    ):
        return rules.from_rules(composer, rules.together(curriculum, rng, fit, only), skill)
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
