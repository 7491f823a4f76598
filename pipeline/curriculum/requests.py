"""Whole requests, as people write them: tasks/requests/. Clauses in frames (compose.py) all have the same build, and what people ask has not: a
story, the wiring in a sentence of its own or in brackets, half a sentence. So some requests stand there as a whole, each for a program or for a
form with its skills, and only what is drawn is put in.

A comment of the program quotes what stands between stars, the wish, and the few words before a pin, the part.
"""

import re
from dataclasses import dataclass
from random import Random

from pipeline.curriculum import grammar, timeline
from pipeline.curriculum.composer import Composer, Pair, board_for, closed
from pipeline.curriculum.parts import Part, Unfit
from pipeline.curriculum.surface import mended, spoil
from pipeline.curriculum.tasks import Asked, Curriculum, named, parsed
from pipeline.curriculum.values import COLOURS, Value

WISH = "*"  # around what shall happen
WORDS = 4  # before a pin, that are quoted with it at most, if no article stands there
OWN = re.compile(r"^(?:the|my|an?) ")
NEAR = 90  # characters between the first and the last pin of a part that are quoted with them
HELD = "\x10{}\x11"  # the place of what is said for a slot
PLACE = re.compile(r"\x10(\d+)\x11")
BREAK = re.compile(r"[.;:!?,](?=\s|$)|[)*\n]|\s-+\s|\b(?:and|or|while|when|if|with|then|so)\b", re.IGNORECASE)
ARTICLE = re.compile(r"\b(?:[Tt]he|[Mm]y|an?|An|[Oo]ur|one|[Tt]his)\s")  # but no "LED A"


@dataclass(frozen=True)
class Mention:
    """A slot in a request, and what is said there."""

    slot: str
    attribute: str
    said: str


def say(composer: Composer, attribute: str, drawn: Part | Value) -> str:
    """What is said for one mention of a slot. Raises Unfit for the pin of a part that is on none."""
    if isinstance(drawn, Value):
        return str(drawn.more.get(attribute, drawn.said))
    if not attribute:
        said, drawn.mentioned = drawn.short if drawn.mentioned else drawn.full, True
        return said
    if attribute == "short":
        return drawn.short
    if attribute == "noun":
        return OWN.sub("", drawn.short)
    if attribute == "it":
        return composer.rng.choice(drawn.kind.it)
    if attribute in drawn.its:
        return drawn.its[attribute].said
    if drawn.kind.at == [""] or attribute not in drawn.pins:  # where one of several kinds of device is drawn
        raise Unfit(f"a part that has no {attribute} to be told")
    return composer.pin_style.format(drawn.pins[attribute])


def worded(composer: Composer, template: str, slots: dict[str, Part | Value]) -> tuple[str, list[Mention]]:
    """(the text with places for what is said of slots, what is said there). Parts are called as the text calls them."""
    mentions = [
        Mention(name, attribute, say(composer, attribute, slots[name]))
        for name, attribute in grammar.SLOT.findall(template)
    ]
    numbers = iter(range(len(mentions)))
    text = grammar.SLOT.sub(lambda match: HELD.format(next(numbers)), template)
    for name, part in slots.items():
        if not isinstance(part, Part) or part.mentioned:
            continue
        places = [
            n for n, each in enumerate(mentions) if each.slot == name and each.attribute in {*part.pins, *part.its}
        ]
        part.said = {pin: any(mentions[n].attribute == pin for n in places) for pin in part.pins}
        part.full = filled(quote(text, places), mentions) if places else ""
        if part.name in COLOURS and not any(
            each.slot == name and each.attribute in ("noun", "short") for each in mentions
        ):
            part.name = composer.free_name(part.kind.names)  # nobody speaks of the colour that was drawn
    return text, mentions


def filled(text: str, mentions: list[Mention]) -> str:
    """The text with what is said in its places."""
    return PLACE.sub(lambda match: mentions[int(match[1])].said, text)


def quote(text: str, places: list[int]) -> str:
    """The words about a part: from a few before the first of its places to the last, if that is near."""
    spans = {int(match[1]): match.span() for match in PLACE.finditer(text)}
    start, end = spans[places[0]][0], spans[places[-1]][1]
    if end - start > NEAR:
        end = spans[places[0]][1]
    begin = max([0, *(stop for at, (_, stop) in spans.items() if stop <= start and at not in places)])
    begin = max([begin, *(match.end() for match in BREAK.finditer(text, begin, start))])
    before = text[begin:start]
    articles = [match.start() for match in ARTICLE.finditer(before)]
    words = before[articles[-1] :] if articles else " ".join(before.split()[-WORDS:]) + " "
    found = words + text[start:end].replace(WISH, "")
    return found + ")" if found.count("(") > found.count(")") else found


def whole(curriculum: Curriculum, rng: Random, asked: Asked, quoted: float, longest: int) -> Pair:
    """One of the requests of an entry, with its program. Raises Unfit where its parts do not go together, or it is too long."""
    form_name, names = parsed(asked.of)
    form, skills = curriculum.forms.get(form_name or ""), [curriculum.skills[name] for name in names]
    composer = Composer(curriculum, rng, board_for(rng, skills), quoted, longest)
    composer.wired = False
    if composer.pin_style == "{}":  # a number alone could be anything
        composer.pin_style = "pin {}"
    drawn = dict(zip(form.takes if form else ["a"], map(composer.draw, skills), strict=True))
    more = {name: composer.value(given) for name, given in form.slots.items()} if form else {}
    text, mentions = worded(composer, composer.any(asked.say), named([*(each.slots for each in drawn.values()), more]))
    wish = filled(", ".join(text.split(WISH)[1::2]) or text, mentions)
    said = mended(filled(text.replace(WISH, ""), mentions))
    if told := composer.tell([*drawn.values()]):
        said = closed(said) + told
    request = spoil(rng, composer.on_board(said))
    if form:
        body = composer.joined(form, drawn, more, {})
        watched = timeline.plan(form, drawn, more).watched
    else:
        body = composer.code(skills[0].code, drawn["a"])
        watched = composer.watched(drawn["a"])
    program = composer.program(composer.quoted(wish, body), [*drawn.values()])
    composer.short_enough(request, program)
    return Pair(request, program, composer.board, [skill.intent for skill in skills], asked.of, *watched)
