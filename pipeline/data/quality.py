"""Files that are code, and teach nothing of writing any: what a machine wrote, what was minified, tables, tests of an interpreter.

Each filter takes a text and says why it stays out, if it does, by one sign that a reader would name too. None goes by a mixture of weak
signs: a good program lost is worse than an odd one kept. EXPERIMENTS.md says what they found and what they took for it wrongly.
"""

import re
from collections import Counter

from pipeline.data.dialects import UNREAD, imports, of_module, top

HEADER = 20  # lines in which a file says what it is
ENTRIES = 50  # lines of one shape that make a table
MOST = 0.9  # share of a file's lines, or of its commas, from which on all are so

TOOL = r"by[ ](?:the[ ])?[\w./-]*(?:\.py|gen|generator|protoc|compiler|tool)\b"
GENERATED = re.compile(
    rf"""(?aimx)^[ \t]*[#"'*/!-]*[ \t]*(?:
    (?:(?:this|the)[ ])?(?:(?:file|code|module|script|font|data|table|header)s?[ ])?(?:(?:was|is|were|are|has[ ]been|have[ ]been)[ ])?
      (?:auto(?:matically)?[ -]?generated\b | (?:generated|created|exported)[ ](?:automatically\b|{TOOL}))
    | @generated\b
    | (?:.*\bgenerated\b.*)?\bdo[ ]not[ ](?:edit|modify|change)(?:[ ](?:this[ ]file|manually|by[ ]hand|it))?[ .!]*[-#*]*$
    | .*\bgenerated[ ](?:file|code)\b.*\bdo[ ]not[ ](?:edit|modify|change)\b )"""
)
SKIPS = re.compile(r"""print\(["']SKIP["']\)\s*raise SystemExit""")
A_TEST = re.compile(r"(?ai)\A(?:\#!.*\n|\#.*(?:copyright|licen[cs]e|spdx).*\n|\#?\s*\n)*\#[ \t]*tests?[ \t]+\w")
TESTED_BY = {"unittest", "pytest", "doctest", "hypothesis"}


def generated(text: str, _: dict) -> str | None:
    found = GENERATED.search("\n".join(text.split("\n")[:HEADER]))
    return "generated: its first lines say so" if found else None


def minified(text: str, _: dict) -> str | None:
    """No comment, no empty line, and no blank after a comma."""
    if "#" in text or "\n\n" in text:
        return None
    commas = re.findall(r",[ \n]?", UNREAD.sub('""', text))
    tight = sum(len(comma) == 1 for comma in commas)
    return "minified" if len(commas) >= 8 and tight >= MOST * len(commas) else None


def table(text: str, _: dict) -> str | None:
    """Lists and dicts of words or fractions, which are no numbers to `mostly_data`."""
    lines = [line for line in map(str.strip, UNREAD.sub("''", text).split("\n")) if line]
    shapes = Counter(re.sub(r"(?a)''|\w+", "w", line) for line in lines if line.endswith(","))
    most = max(shapes.values(), default=0)
    return f"a table: {most} of {len(lines)} lines have one shape" if most >= max(ENTRIES, MOST * len(lines)) else None


def test(text: str, _: dict) -> str | None:
    """Of an interpreter or a package; a program that tries out what is wired to a board is none."""
    found = imports(text)
    if SKIPS.search(text) or any(top(each.module) in TESTED_BY and not each.asked for each in found):
        return "a test"
    return "a test" if A_TEST.match(text) and not any(of_module(each.module) for each in found) else None


FILTERS = (generated, minified, table, test)
