"""What somebody asked to have removed, and does not come back: configs/removed.yaml.

A package goes by its name, a file by its place, both as they are named there: what others copied of them is theirs. With a hash the content
is meant, and with an author whatever is theirs, so there copies in other sources go as well (copies.py finds them). An author is whom a file
names, or the licence text that is nearest above it. A reason names the entry by its place in the list, not by its words: the list of
rejected files is shown to more people than a name should be.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from pipeline.core.errors import shortened
from pipeline.core.paths import REMOVED
from pipeline.core.schema import Removed
from pipeline.data.licences import TEXT

REASON = f"removed: {{}} of {REMOVED}"
WITH_COPIES = ("authors", "hashes")


def names(text: str, author: str) -> bool:
    """Whether a text names somebody, in large or small letters and over whatever blanks."""
    words = r"\s+".join(map(re.escape, author.split()))
    return bool(re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE))


def above(path: str, shipped: dict[str, str]) -> str:
    """The licence texts of the nearest folder that has any."""
    for folder in PurePosixPath(path).parents:
        if texts := [
            text for name, text in shipped.items() if TEXT.fullmatch(name) and PurePosixPath(name).parent == folder
        ]:
            return "\n".join(texts)
    return ""


def reason(row: dict, text: str, shipped: dict[str, str], removed: dict[str, list[str]]) -> str:
    """Why a file of this provenance and raw text goes, with every entry that says so; empty where none does."""
    said = {"packages": row["source"], "files": f"{row['source']}/{row['path']}", "hashes": row["sha256"]}
    found = [f"{key}.{n}" for key, its in said.items() for n, entry in enumerate(removed[key]) if entry == its]
    texts = (text, above(row["path"], shipped)) if removed["authors"] else ()
    found += [f"authors.{n}" for n, entry in enumerate(removed["authors"]) if any(names(each, entry) for each in texts)]
    return REASON.format(", ".join(found)) if found else ""


def entries(reason: str) -> list[str]:
    """The entries that a reason names."""
    return re.findall(r"\b(?:packages|authors|files|hashes)\.\d+\b", reason) if reason.startswith("removed:") else []


def with_copies(reason: str) -> bool:
    return any(entry.startswith(WITH_COPIES) for entry in entries(reason))


def unmatched(removed: Removed, reasons: Iterable[str]) -> str:
    """One message on the entries that no file answers to; empty where there are none."""
    met = {entry for each in reasons for entry in entries(each)}
    idle = [
        f"{key}.{n} ({entry})"
        for key, its in removed.model_dump().items()
        for n, entry in enumerate(its)
        if f"{key}.{n}" not in met
    ]
    return f"{REMOVED}: nothing that was collected is meant by {shortened(idle, 10)}" if idle else ""
