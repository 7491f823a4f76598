"""Writes sources and their pins into a corpus config as a person would.

The config is changed as text: an entry is one line at the end of its list, a pin is replaced where it stands, and what people wrote around
them stays. Whatever would no longer be a right config is not written.
"""

import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.config import explain, parse
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.schema import Corpus

PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off)$)[A-Za-z][\w./-]*", re.IGNORECASE)


def as_source(said: dict):
    """Raises UserError naming the key that is wrong."""
    try:
        return Corpus.model_validate({"sources": [said]}).sources[0]
    except ValidationError as error:
        raise UserError(
            "; ".join(explain(Corpus, fault).removeprefix("sources.0.") for fault in error.errors())
        ) from None


def scalar(value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {scalar(each)}' for key, each in value.items())}}}"
    return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def changed(path: Path, text: str, wanted: list[dict]) -> None:
    """Writes a config's new text, where it then holds the sources that are wanted, and all rules; else raises UserError."""
    with tempfile.TemporaryDirectory() as kept:
        tried = Path(kept, path.name)
        write_text(tried, text)
        try:
            read_back = parse(tried, Corpus)
        except UserError as error:
            raise UserError(
                f"{path}: cannot be changed by itself: {str(error).replace(str(tried), 'it')}\nWrite it there yourself"
            ) from None
    if [source.model_dump() for source in read_back.sources] != wanted:
        raise UserError(
            f"{path}: cannot be changed by itself, since its sources are not one list of entries. Write it there yourself"
        )
    faults = [fault for good, fault in read_back.rules() if not good]
    if faults:
        raise UserError("\n".join(f"{path}: {fault}" for fault in faults))
    write_text(path, text)


def append(path: Path, corpus: Corpus, said: dict) -> str:
    """Adds an entry as the last of the list; returns its line."""
    text = path.read_text(encoding="utf-8").rstrip("\n")
    indent = re.findall(r"^( *)- ", text[text.find("sources:") :], re.MULTILINE)
    line = f"{indent[0] if indent else '  '}- {scalar(said)}"
    changed(path, f"{text}\n{line}\n", [source.model_dump() for source in (*corpus.sources, as_source(said))])
    return line


def repin(path: Path, corpus: Corpus, old, pins: dict[str, str]) -> None:
    """Puts new pins in the place of a source's old ones."""
    text = path.read_text(encoding="utf-8")
    starts = [match.start() for match in re.finditer(r"^ *- ", text, re.MULTILINE)] + [len(text)]
    mark = old.commit if old.kind == "git" else old.sha256
    for start, end in pairwise(starts):
        if mark in (part := text[start:end]):
            for key, value in pins.items():
                part = re.sub(
                    rf"(\b{key}:\s*[\"']?){re.escape(getattr(old, key))}\b",
                    lambda match, value=value: match[1] + value,
                    part,
                    count=1,
                )
            text = text[:start] + part + text[end:]
            break
    changed(path, text, [source.model_dump() | (pins if source == old else {}) for source in corpus.sources])
