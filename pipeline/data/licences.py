"""Whether a file may be trained on: what is said of its licence, by whom, and whether that passes.

A corpus config claims a licence for a whole source. Whoever wrote it may have read the package's metadata, which lie, and not the one file
that somebody copied there. So each file is asked itself: SPDX identifiers (also of REUSE, beside the file or in REUSE.toml), the texts of
licences in its comments (by licenseclassifier), and what its comments say in words. Then the nearest licence file, then the package's
metadata. Whatever is said, by whichever, must be of a category that `prepare.licenses` names. The nearest licence file, or the metadata where
there is none, must also say what the config claims. A file's own word may name another licence that passes: it stays, under that one.

Words are hard: "compatible with the GPL" is no licence, "taken from X (GPL)" is one. A name counts where its clause also says that
something is licensed, released, taken or copyrighted, or where it stands alone, and not after a "not" or a comparison. "All rights
reserved" says nothing: it stands above half of the BSD licences.
"""

import fnmatch
import re
import tomllib
from collections.abc import Iterable
from email.parser import HeaderParser
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.core import licenses
from pipeline.core.errors import UserError

# Files that say under which licence others stand: by name, the package's metadata, and REUSE's: a folder of texts, one beside a file, a table
TEXT = re.compile(r"(?!.*\.py$)(.*/)?(LICEN[CS]E|COPYING|UNLICEN[CS]E)([-._][^/]*)?", re.IGNORECASE)
METADATA = re.compile(r"PKG-INFO|(.*/)?[^/]+\.egg-info/PKG-INFO|[^/]+\.dist-info/METADATA")
TABLE = "REUSE.toml"
ABOUT = re.compile(
    rf"{TEXT.pattern}|(.*/)?LICENSES/[^/]+|{METADATA.pattern}|(.*/)?{re.escape(TABLE)}|(?!.*\.py$)(.*/)?NOTICE([-._][^/]*)?|"
    r".*\.(py|ipynb)\.license",
    re.IGNORECASE,
)

SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n]*?)[ \t]*(?:\*/|-->)?[ \t]*(?:\n|$)")
DUNDER = re.compile(r"^__licen[cs]e__\s*=\s*(\"{3}|'{3}|[\"'])(.*?)\1", re.MULTILINE | re.DOTALL)
# whole-line comments that follow each other, texts in three quotation marks, and lines that are nothing but a text
SAID = re.compile(
    r"(?:^[ \t]*#[^\n]*(?:\n|$))+|\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|^[ \t]*(?:\"[^\"\n]+\"|'[^'\n]+')[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"^[ \t]*(?:#+!?|\*)?[ \t]*", re.MULTILINE)
# Where none of these stands, nothing is said that could keep a text out: looking for them is fast
HINTS = (
    "licen",
    "spdx",
    "gpl",
    "general public",
    "creative commons",
    "cc by",
    "cc-by",
    "cc0",
    "mpl-",
    "eupl",
    "sspl",
    "busl",
    "cddl",
    "cecill",
    "commercial",
    "use only",
    "usage only",
    "purposes only",
    "for personal",
    "for educational",
    "for academic",
    "confidential",
    "redistribut",
    "be distribut",
    "not distribut",
    "public domain",
    "permission to",
    "permission is",
    "commons clause",
    "polyform",
)
# A word before a name that takes it back, with the few words that may stand between
TAKEN_BACK = re.compile(
    r"\b(?:not|no|non|without|unlike|instead of|than|replac\w+|(?:in)?compatib(?:le|ility) (?:with|to)|versus|vs\.?|avoids?)"
    r"\W+(?:(?!except|unless|but)\w+[^\w,]+){0,5}$",
    re.IGNORECASE,
)
COMPARED = re.compile(r"^['’]?s?[- ]?(?:in)?compatib|^[- ]free\b|^[- ]?like\b", re.IGNORECASE)
GRANTED = re.compile(
    r"licen[cs]|\bunder\b|\bterms\b|copyright|\(c\)|©|copyleft|\breleased\b|\bpublished\b|\bdistributed\b|"
    r"\b(?:placed|choos\w+|taken|copied|ported|adapted|derived|borrowed|stolen|from|based on)\b",
    re.IGNORECASE,
)
LATER = re.compile(r"\bor[ -](?:\(?at your option\)?,? ?)?(?:any |a )?(?:later|newer|greater|above)\b", re.IGNORECASE)
EITHER = re.compile(r"\b(?:either|dual(?:ly)?|choice)\b", re.IGNORECASE)
# All that stands between two names of one choice: "the MIT license, or (at your option) under the terms of the GPL"
BETWEEN = re.compile(
    r"(?:\W|\b(?:and|or|either|both|the|an?|any|of|under|with|at|your|option|choice|terms?|versions?|v?\d+|licen[cs]e[ds]?|"
    r"software|public|gnu|new|clause|only|https?|www|org|com|opensource|apache|licenses|html|txt|php|mit)\b)*",
    re.IGNORECASE,
)
# A line of a list of a project's parts, as in MicroPython's own LICENSE: it speaks of that path alone
PART = re.compile(r"^[ \t]*/[\w.*-][^\s()]* \([^()\n]*\)[ \t]*$", re.MULTILINE)
OF_PARTS = re.compile(r"[^.\n]{0,200}\blisted below\b[^.]{0,200}\.")
CLAUSE_END = re.compile(r"[.;!?](?=\s|$)|\n\s*\n| - ")

VERSION = r"(?:,?[- ]?\(?v(?:ersion)?[ .]?)?[ -]?(?P<version>[1-9](?:\.\d)?)?(?P<later>\+)?"
GNU_ORG = r"(?:https?://)?(?:www\.)?gnu\.org/\S*?/"
NAMES = {  # how people write it -> SPDX id; {version} is what stands there, else what follows the |
    rf"(?:{GNU_ORG}AGPL|(?:GNU )?(?:Affero General Public Licen[cs]e|AGPL)){VERSION}": "AGPL-{version}|3.0",
    rf"(?:{GNU_ORG}LGPL|(?:GNU )?(?:(?:Lesser|Library) (?:GNU )?General Public Licen[cs]e|LGPL)){VERSION}": "LGPL-{version}|2.0",
    rf"(?:{GNU_ORG}GPL|(?:GNU )?General Public Licen[cs]e|GNU Public Licen[cs]e|(?:GNU )?GPL){VERSION}": "GPL-{version}|1.0",
    r"(?:CC|Creative Commons)[- ](?:BY|Attribution)(?P<parts>(?:[- ]*(?:NC|SA|ND|Non-?Commercial|Share-?Alike|No-?Deriv\w*)\b)*)"
    + VERSION: "CC-BY",
    r"CC[- ]?0\b|Creative Commons Zero": "CC0-1.0",
    r"Mozilla Public Licen[cs]e|(?-i:MPL)(?:[- ]?v?2(?:\.0)?)?": "MPL-2.0",
    r"European Union Public Licen[cs]e|EUPL": "EUPL-1.2",
    r"Server Side Public Licen[cs]e|SSPL": "SSPL-1.0",
    r"Business Source Licen[cs]e|BUSL": "BUSL-1.1",
    r"Eclipse Public Licen[cs]e|EPL[- ]v?\d(?:\.\d)?": "EPL-2.0",
    r"Common Development and Distribution Licen[cs]e|(?-i:CDDL)": "CDDL-1.0",
    r"Open Software Licen[cs]e|OSL[- ]v?3(?:\.0)?": "OSL-3.0",
    r"CeCILL": "CECILL-2.1",
    r"Elastic Licen[cs]e": "Elastic-2.0",
    r"Commons Clause": "LicenseRef-scancode-commons-clause",
    r"PolyForm[- ]Non-?commercial": "PolyForm-Noncommercial-1.0.0",
    r"Ubuntu Font Licen[cs]e": "Ubuntu-font-1.0",
    r"SIL Open Font Licen[cs]e|\bOFL\b": "OFL-1.1",
    r"Artistic Licen[cs]e": "Artistic-2.0",
    r"(?:The )?MIT(?:[/-]X11)?(?: (?:Public )?Licen[cs]e)?|Expat Licen[cs]e": "MIT",
    r"Apache(?: Software)?(?: Licen[cs]e)?(?:,? ?v?(?:ersion )?2(?:\.0)?)?|ASL 2\.0": "Apache-2.0",
    r"0BSD|(?:Zero|0)-clause BSD": "0BSD",
    r"(?:Simplified |2-clause )BSD|BSD[- ]2(?:-clause)?": "BSD-2-Clause",
    r"(?:(?:new |modified |3-clause )?BSD)(?:[- ]3(?:-clause)?)?": "BSD-3-Clause",
    r"ISC(?: Licen[cs]e)?": "ISC",
    r"zlib(?:/libpng)? Licen[cs]e": "Zlib",
    r"(?:The )?Unlicen[cs]e\b": "Unlicense",
    r"WTFPL": "WTFPL",
    r"Boost Software Licen[cs]e": "BSL-1.0",
    r"Python Software Foundation Licen[cs]e|PSF[- ]Licen[cs]e": "PSF-2.0",
    r"public domain": "LicenseRef-scancode-public-domain",
}
# What needs no name: it says what may not be done
LIMITS = (
    r"(?:personal|educational|academic|research|non-?commercial|evaluation|hobby)(?:(?:,| and| or|/)+ ?(?:personal|private|"
    r"educational|academic|research|non-?commercial|home|hobby))* (?:use|usage|purposes?),? only\b",
    r"\bonly (?:be used )?for (?:personal|educational|academic|research|non-?commercial) (?:use|purposes?)\b",
    r"\bnon-?commercial (?:use|usage|purposes?)\b",
    r"\b(?:not (?:to )?(?:be )?(?:used )?for|no|without|prohibits?|forbids?) (?:any )?commercial (?:use|usage|purposes?)\b",
    r"\bcommercial (?:use|usage) (?:is )?(?:prohibited|forbidden|not (?:allowed|permitted)|requires)\b",
    r"\b(?:proprietary (?:and|&) confidential|confidential (?:and|&) proprietary|company confidential|strictly confidential)\b",
    r"\b(?:do|must|may) not (?:be )?(?:redistributed?|distributed?)\b",
)
BOTH = re.compile(
    r"(?<!-)\bcommercial(?:ly)?\W+(?:and|or)\W+(?:for )?non-?commercial|non-?commercial(?:ly)?\W+(?:and|or)\W+(?:for )?commercial",
    re.IGNORECASE,
)
LIMITED = "LicenseRef-scancode-proprietary-license"
UNKNOWN = "LicenseRef-scancode-unknown-spdx"
LIMITING = re.compile("|".join(LIMITS), re.IGNORECASE)
NAMING = [(re.compile(rf"(?<![\w/-])(?:{name})(?!\w)", re.IGNORECASE), spdx) for name, spdx in NAMES.items()]
QUOTE = 60  # characters of what stands there that a reason shows


class Found(NamedTuple):
    """One thing that is said: the licence as an SPDX expression, and where, with the words."""

    expression: str
    where: str


def spdx_id(named: re.Match, spdx: str, clause: str) -> str:
    """The SPDX id of a name as it stands, with its version where there is one."""
    version = f"{named['version'] or ''}.0"[:3] if "version" in named.re.groupindex else ""  # "3" is 3.0
    if "|" in spdx:
        family, oldest = spdx.split("-{version}|")
        exact = f"{family}-{version}-{'or-later' if named['later'] or LATER.search(clause) else 'only'}"
        return exact if exact in licenses.known() else f"{family}-{oldest}-or-later"
    if spdx == "CC-BY":
        said = re.sub(r"[^a-z]", "", named["parts"].lower())
        parts = [
            short
            for short, long in (("NC", "noncommercial"), ("SA", "sharealike"), ("ND", "noderiv"))
            if short.lower() in said or long in said
        ]
        exact, newest = ("-".join([spdx, *parts, each]) for each in (version, "4.0"))
        return exact if exact in licenses.known() else newest
    return spdx


def clauses(text: str) -> Iterable[tuple[int, str]]:
    """(start, clause) of a text, each on one line, of the same length as it stands there."""
    start = 0
    for end in (*(match.end() for match in CLAUSE_END.finditer(text)), len(text)):
        yield start, text[start:end].replace("\n", " ")
        start = end


def choices(named: list[tuple[int, int, str]], clause: str) -> list[tuple[int, str]]:
    """(place, SPDX expression) of the names in a clause, (start, end, id) each: those that follow one another and have an "or" among them are one."""
    told: list[list[tuple[int, int, str]]] = []
    for name in sorted(named):
        if told and BETWEEN.fullmatch(clause, told[-1][-1][1], name[0]):
            told[-1].append(name)
        else:
            told.append([name])
    found = []
    for group in told:
        within = LATER.sub("", clause[group[0][0] : group[-1][0]])
        if len(group) > 1 and (EITHER.search(clause) or re.search(r"\bor\b", within, re.IGNORECASE)):
            found.append((group[0][0], " OR ".join(dict.fromkeys(each for *_, each in group))))
        else:
            found += [(place, each) for place, _, each in group]
    return found


def in_words(text: str) -> list[tuple[int, str]]:
    """(place, SPDX expression) of what a text says of its licence in words."""
    found = []
    for start, clause in clauses(text):
        found += [(start + limit.start(), LIMITED) for limit in LIMITING.finditer(clause) if not BOTH.search(clause)]
        taken, named = [], []
        for pattern, spdx in NAMING:
            for name in pattern.finditer(clause):
                if any(a < name.end() and name.start() < b for a, b in taken):
                    continue  # "Lesser General Public License" holds another name
                taken.append(name.span())
                line = (
                    text[start : start + name.start()].rpartition("\n")[2],
                    text[start + name.end() : start + len(clause)].partition("\n")[0],
                )
                before, after = (re.findall(r"\w+|[,(]", part) for part in line)
                alone = len(before) + len(after) <= 2 or (not before and after[0] in ",(")
                if (
                    (alone or GRANTED.search(clause))
                    and not TAKEN_BACK.search(clause[: name.start()])
                    and not COMPARED.search(text[start + name.end() : start + len(clause)])
                ):
                    named.append((*name.span(), spdx_id(name, spdx, clause)))
        found += [(start + place, expression) for place, expression in choices(named, clause)]
    return found


def families(expression: str) -> set[str]:
    """The licences that an expression names, without their versions."""
    return {re.split(r"-v?\d", key)[0] for key in licenses.keys(expression)}


@lru_cache(1024)
def stated(text: str) -> tuple[tuple[int, str], ...]:
    """(place, SPDX expression) of everything that a text without comment signs says: identifiers, texts of licences, then words beside them."""
    from licenseclassifier import identify_license

    found, exact = [], set()
    covered = [part.span() for part in PART.finditer(text)]
    if covered:
        covered += [part.span() for part in OF_PARTS.finditer(text)]
    for line in SPDX.finditer(text):
        covered.append(line.span())
        try:
            found.append((line.start(), str(licenses.parsed(line[1]))))
            exact |= families(line[1])
        except UserError:
            found += [(line.start(), said) for _, said in in_words(f"licence {line[1]}")] or [(line.start(), UNKNOWN)]
    for whole in identify_license(text):
        covered.append((whole.start, whole.end))
        found.append((whole.start, str(licenses.parsed(whole.id)) if whole.id in licenses.known() else UNKNOWN))
    rest = list(text)
    for a, b in covered:
        rest[a:b] = ["\n" if sign == "\n" else "." for sign in rest[a:b]]
    words = in_words("".join(rest))
    # what an identifier says exactly, or a choice between two, words around it say again
    exact = exact.union(*(families(said) for _, said in words if " OR " in said))
    return tuple(
        sorted(found + [(place, said) for place, said in words if " OR " in said or not families(said) <= exact])
    )


def hinted(text: str) -> bool:
    small = text.lower()
    return any(hint in small for hint in HINTS)


def by_the_file(text: str) -> list[Found]:
    """What a Python file's comments, bare texts and `__license__` say."""
    if not hinted(text):
        return []
    found = []
    for said in SAID.finditer(text):
        if hinted(said[0]):
            plain = MARK.sub("", said[0])
            for place, expression in stated(plain):
                found.append((text.count("\n", 0, said.start()) + plain.count("\n", 0, place) + 1, expression))
    for dunder in DUNDER.finditer(text):
        for _, expression in stated(dunder[2]):
            found.append((text.count("\n", 0, dunder.start()) + 1, expression))
    lines, once = text.split("\n"), {}
    for line, expression in sorted(found):
        once.setdefault(expression, Found(expression, f"line {line}: {lines[line - 1].strip()[:QUOTE]!r}"))
    return list(once.values())


def beside(path: str, shipped: dict[str, str]) -> list[Found]:
    """What REUSE's files say of one file: PATH.license, and the tables above it."""
    found = [Found(expression, f"{path}.license") for _, expression in stated(shipped.get(f"{path}.license", ""))]
    for folder in PurePosixPath(path).parents:
        if (table := str(folder / TABLE)) in shipped:
            inside = PurePosixPath(path).relative_to(folder).as_posix()
            found += [Found(expression, table) for expression in annotated(inside, shipped[table])]
    return found


def annotated(path: str, table: str) -> list[str]:
    """What a REUSE.toml says of a path below its folder. The last entry that fits holds; a broken table says nothing good."""

    def listed(value) -> list[str]:
        return value if isinstance(value, list) else [value]

    try:
        fitting = [
            entry.get("SPDX-License-Identifier", [])
            for entry in tomllib.loads(table).get("annotations", [])
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in listed(entry["path"]))
        ]
        return [str(licenses.parsed(each)) for each in listed(fitting[-1])] if fitting else []
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, UserError):
        return [UNKNOWN]


def nearest(path: str, shipped: dict[str, str]) -> list[Found]:
    """What the licence files of the nearest folder above a file say, where one says anything."""
    for folder in PurePosixPath(path).parents:
        texts = [
            name
            for name in shipped
            if TEXT.fullmatch(name) and PurePosixPath(name).parent == folder and folder.name != "LICENSES"
        ]
        if found := [
            Found(expression, name)
            for name in sorted(texts)
            for expression in dict.fromkeys(each for _, each in stated(shipped[name]))
        ]:
            return found
    return []


def declared(metadata: str) -> str | None:
    """The licence that a package's metadata name, where it is one: by expression, in words, or by classifier."""
    fields = HeaderParser().parsestr(metadata)
    classifiers = [
        line.rpartition("::")[2].strip() for line in fields.get_all("Classifier", []) if line.startswith("License ::")
    ]
    for said in (fields["License-Expression"], fields["License"], *classifiers):
        try:
            return str(licenses.parsed(said.strip()))
        except (UserError, AttributeError):
            if found := stated(f"licence {said.strip()}" if said else ""):
                return licenses.joined(expression for _, expression in found)
    return None


def judge(
    path: str, text: str, claim: str, shipped: dict[str, str], metadata: str | None, categories: list[str]
) -> tuple[str, str]:
    """(the licence that a file stands under, why it may not be used; empty when it may).

    `claim` is the config's word for the source, `shipped` the source's licence files by path, `metadata` what declared() found.
    """
    if not licenses.passes(claim, categories):  # of a row of a data set; a source's own is refused before anything runs
        return claim, f"licence: {claim} is {licenses.of_category(claim)}"
    own = by_the_file(text) + beside(path, shipped)
    above = nearest(path, shipped)
    package = [Found(metadata, "the package's metadata")] if metadata else []
    chosen = licenses.keys(claim)
    for found in (*own, *above, *package):
        offered = (
            found not in own and licenses.keys(found.expression) <= chosen
        )  # by a claim such as "MIT OR GPL-2.0-only"
        if not offered and not licenses.passes(found.expression, categories):
            return claim, f"licence: claimed {claim}, found {found.expression} ({found.where})"
    if own:
        return licenses.joined(each for each, _ in own), ""
    for found in above or package:
        if not licenses.keys(found.expression) <= chosen:
            return claim, f"licence: claimed {claim}, found {found.expression} ({found.where})"
    return claim, ""
