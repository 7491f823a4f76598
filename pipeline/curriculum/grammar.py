"""Sentences out of templates, as tasks/ writes them.

    [a|b|]      one of these, or nothing; they nest
    <name>      one of the phrases that tasks/words.yaml has under that name
    {slot}      what was drawn for the slot, as it is said; {slot.it} on a later mention
    ~verb       in the form that the sentence around asks for
    ~+verb      the same, of several: they are, they blink

A sentence is made in two steps: `expand` chooses, and `inflect` gives the verbs their form, so that one template serves "Blink the LED",
"How do I blink the LED?" and "a script that blinks the LED".
"""

import re
from functools import cache
from random import Random

from pipeline.core.errors import UserError, suggestion

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SYMBOL = re.compile(r"<([a-z][a-z-]*)>")
SLOT = re.compile(r"\{([a-z_]\w*)(?:\.([a-z]\w*))?\}")
VERB = re.compile(r"~(\+?)(\w+)")
DEPTH = 20  # of phrases that hold phrases; deeper ones hold themselves
IRREGULAR = {
    "be": ("is", "being"),
    "have": ("has", "having"),
    "do": ("does", "doing"),
    "go": ("goes", "going"),
    "lie": ("lies", "lying"),
}
PLURAL = {"be": "are"}
DOUBLED = {  # whose last letter is written twice: running
    "begin",
    "clap",
    "cut",
    "dim",
    "dip",
    "drop",
    "drum",
    "flip",
    "get",
    "hit",
    "hum",
    "let",
    "log",
    "map",
    "nod",
    "plan",
    "plot",
    "program",
    "put",
    "quit",
    "run",
    "scan",
    "scrub",
    "set",
    "shut",
    "sit",
    "skip",
    "snap",
    "spin",
    "step",
    "stop",
    "sum",
    "swap",
    "tap",
    "transmit",
    "wag",
}


def expand(template: str, rng: Random, words: dict[str, list[str]]) -> str:
    """The template with its choices made. Slots and verbs stay. Raises UserError for a phrase that words.yaml does not have."""
    text = template
    for _ in range(DEPTH):
        text = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
        text = SYMBOL.sub(lambda match: rng.choice(phrases(match[1], words)), text)
        if not CHOICE.search(text) and not SYMBOL.search(text):
            return text
    raise UserError(f"{template!r}: its phrases hold one another without end")


def phrases(name: str, words: dict[str, list[str]]) -> list[str]:
    """Raises UserError for a name that words.yaml does not have."""
    if name not in words:
        raise UserError(f"<{name}>: no such phrase in tasks/words.yaml{suggestion(name, words)}")
    return words[name]


@cache
def third(verb: str) -> str:
    """He, she or it does it: blinks, flashes, tries."""
    if verb in IRREGULAR:
        return IRREGULAR[verb][0]
    if re.search(r"(s|sh|ch|x|z|o)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


@cache
def gerund(verb: str) -> str:
    """Doing it: blinking, making, running."""
    if verb in IRREGULAR:
        return IRREGULAR[verb][1]
    if verb in DOUBLED:
        return verb + verb[-1] + "ing"
    return (verb[:-1] if re.search(r"[^eo]e$", verb) else verb) + "ing"


def inflect(text: str, form: str) -> str:
    """Gives the verbs their form: base (blink), s (blinks), ing (blinking), to (to blink), should (should blink).

    With `to` and `should` only the first verb of a clause takes the word, as people say it.
    """
    if form in ("to", "should"):
        return VERB.sub(lambda match: match[2], VERB.sub(lambda match: f"{form} {match[2]}", text, count=1))
    change = {"base": str, "s": third, "ing": gerund}[form]
    return VERB.sub(
        lambda match: PLURAL.get(match[2], match[2]) if match[1] and form == "s" else change(match[2]), text
    )
