"""How a request looks as people type it: pins and articles in many manners, lower case, a missing full stop, a slip of the finger.

Templates leave doubled commas and "every a second" behind, which `tidy` mends; `spoil` then does what people do. Quoted texts, numbers,
addresses and whatever stands between MARK and END are copied into the program, so nobody touches those.
"""

import re
from collections.abc import Callable
from random import Random

MARK, END = "\x02", "\x03"  # around what must stay as it is; they are gone after `spoil`
PIN_STYLES = {  # about as often as people write them
    "rp2": ["GP{}"] * 8
    + ["pin {}"] * 6
    + ["GPIO{}", "GPIO {}", "GPIO {}", "gp{}", "Pin {}", "pin GP{}", "pin number {}", "GP {}", "IO{}", "{}"],
    "esp32": ["GPIO {}"] * 6
    + ["GPIO{}"] * 5
    + ["pin {}"] * 6
    + ["IO{}", "D{}", "gpio{}", "Pin {}", "gpio {}", "pin number {}", "{}"],
}

# Shares of the requests, or of the nouns.
NO_ARTICLE = 0.1
DEFINITE = 0.75  # of the first mentions: "the LED on pin 3" before anybody has heard of it
LOWER_CASE = 0.2
NO_FULL_STOP = 0.25
NO_ARTICLES = 0.05  # none in the whole request
SLIP = 0.05  # a letter left out, doubled or swapped with the next; of those as many have another

SEVERAL = re.compile(r"[^su]s$")  # things that take no "a": LEDs, but not a bus or a glass
TAIL = re.compile(r" (?:of|with|on|for|that|in)\b| \(")  # where the noun of a phrase ends
AN = re.compile(r"[aeio]|LED|RGB|SG|OLED|L\d|HC|u(?!s|art)", re.IGNORECASE)
# what may stand before the subject of a sentence: "for 2 s the motor runs"
ADVERB = re.compile(
    r"(?:for|every|each time|while|when\w*|if|in|at|with|on|once|over|until|after|first|twice|as|\w+ times|\d+ ?x)\s",
    re.IGNORECASE,
)
PROTECTED = re.compile(
    r"\x02[^\x03]*\x03|\w+\([^)]*\)|\"[^\"]*\"|'[^']*'|\([^)]*\)|\S*\d\S*|\S+[/_.:]\w\S*"
)  # the last are addresses and topics
ARTICLE = re.compile(r"\b(?:the|a|an) ")
LONG_WORD = re.compile(r"\b[a-z]{5,}\b")
SENTENCES = re.compile(r"(?<=[.!?]) (?=\w)")
NAME = re.compile(r"[a-z]+\d")  # gp3 keeps its small letter at the start of a sentence
TIDY = [
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\s+([,.;?!])", r"\1"),
        (r"([,;:])\1+", r"\1"),
        (r"(?<!\.)\.{2}(?![.\d])", "."),
        (r"\b([Ee]very|[Ee]ach) (?:an?|one) (?=second|minute|half|quarter|tenth|fifth|fourth|full)", r"\1 "),
        (r"\ban? (the|my) ", r"\1 "),
        (r"(?i)\bpin (?=pin )", ""),
        (r",(?=[.;:?!]|$)", ""),
        (r"I 'd", "I'd"),
    )
]


def article(rng: Random, noun: str, definite: bool) -> str:
    """ "the ", "my ", "an ", or nothing, as it may stand before the noun. `definite` is what was mentioned before."""
    if not noun or rng.random() < NO_ARTICLE:
        return ""
    if definite or rng.random() < DEFINITE:
        return rng.choice(["the", "the", "the", "the", "my"]) + " "
    if SEVERAL.search(TAIL.split(noun)[0]):
        return ""
    return "an " if AN.match(noun) and not noun.lower().startswith("one") else "a "


def mended(text: str) -> str:
    """The text with single spaces and no doubled signs."""
    text = " ".join(text.split())
    for pattern, put in TIDY:
        text = pattern.sub(put, text)
    return text


def tidy(text: str) -> str:
    """`mended`, with a capital at the start of each sentence."""
    text = mended(text)
    return " ".join(each if NAME.match(each) else each[:1].upper() + each[1:] for each in SENTENCES.split(text))


def outside(change: Callable[[str], str], text: str) -> str:
    """The text, changed but for what is protected."""
    parts, at = [], 0
    for match in PROTECTED.finditer(text):
        parts += [change(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*parts, change(text[at:])])


def slip(rng: Random, text: str) -> str:
    """One of the longer words with a slip of the finger in it."""
    spans = [match.span() for match in PROTECTED.finditer(text)]
    words = [
        match for match in LONG_WORD.finditer(text) if not any(start <= match.start() < end for start, end in spans)
    ]
    if not words:
        return text
    match = rng.choice(words)
    word, at = match[0], rng.randrange(1, len(match[0]) - 2)
    word = rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at] + word[at:],
        ]
    )
    return text[: match.start()] + word + text[match.end() :]


def spoil(rng: Random, text: str) -> str:
    """As people type: sometimes in lower case, without the full stop, with a slip. What is protected stays; the marks around it go."""
    if rng.random() < LOWER_CASE:
        text = outside(str.lower, text)
    if rng.random() < NO_FULL_STOP:
        text = text.rstrip(".")
    if rng.random() < NO_ARTICLES:
        text = outside(lambda part: ARTICLE.sub("", part), text)
    while rng.random() < SLIP:
        text = slip(rng, text)
    return unmarked(text)


def unmarked(text: str) -> str:
    """Without the marks around what must stay."""
    return text.replace(MARK, "").replace(END, "")
