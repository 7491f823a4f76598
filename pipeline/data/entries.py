"""Writes sources into a corpus config as a person would, and their pins into the lock beside it.

The config is changed as text: an entry is one line at the end of its list, as short as the defaults let it be, and what people wrote around
it stays. The lock is nobody's to write: it is made anew each time, one line a source, in an order that a new source moves nothing in.
Whatever would no longer be a right config is not written.
"""

import json
import re
import tempfile
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.config import explain, lock_of, parse_corpus
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.schema import PIN_KEYS, Corpus, Defaults, Pin

PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off)$)[A-Za-z][\w./-]*", re.IGNORECASE)
HEAD = "# What each source of {} is, to the byte. `robo corpus` writes this file, and DVC watches it.\n"


def as_source(said: dict):
    """A source of an entry with its pin. Raises UserError naming the key that is wrong."""
    written = {key: value for key, value in said.items() if key not in PIN_KEYS}
    pin = {key: said[key] for key in PIN_KEYS if key in said}
    schema = Corpus
    try:
        corpus = Corpus.model_validate({"sources": [written]})
        schema = Pin
        pins = {corpus.sources[0].name: Pin.model_validate(pin)}
    except ValidationError as error:
        raise UserError(
            "; ".join(explain(schema, fault).removeprefix("sources.0.") for fault in error.errors())
        ) from None
    return corpus.with_pins(pins).sources[0]


def scalar(value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {scalar(each)}' for key, each in value.items())}}}"
    return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def shortest(said: dict, defaults: Defaults) -> dict | str:
    """An entry without its pin and what goes without saying."""
    entry = {key: value for key, value in said.items() if key not in PIN_KEYS}
    given = defaults.model_dump(exclude_none=True)
    for key, value in (("kind", "sdist"), ("license", given.get("license")), ("split", given.get("split"))):
        if entry[key] == value:
            del entry[key]
    if (entry["include"], entry.get("exclude", [])) == (given.get("include"), given.get("exclude", [])):
        del entry["include"]
        entry.pop("exclude", None)
    return entry["name"] if list(entry) == ["name"] else entry


def lock_text(path: Path, sources: list) -> str:
    """One line a source. Values are quoted, all of them: YAML would take some hashes and versions for numbers."""
    pins = {source.name: source.pin for source in sources if source.pin}
    lines = []
    for name in sorted(pins, key=lambda name: (name.lower(), name)):
        pin = ", ".join(f"{key}: {json.dumps(value)}" for key, value in pins[name].items())
        lines.append(f"{scalar(name)}: {{{pin}}}")
    return HEAD.format(path.name) + "\n".join(lines or ["{}"]) + "\n"


def write_lock(path: Path, sources: list) -> None:
    """Writes the pins of these sources, those of the corpus config at `path`, and no other."""
    write_text(lock_of(path), lock_text(path, sources))


def append(path: Path, corpus: Corpus, said: dict) -> str:
    """Adds an entry as the last of the list, and its pin; returns its line. Raises UserError where the config would not be right then."""
    text = path.read_text(encoding="utf-8").rstrip("\n")
    indent = re.findall(r"^( *)- ", text[text.find("sources:") :], re.MULTILINE)
    line = f"{indent[0] if indent else '  '}- {scalar(shortest(said, corpus.defaults))}"
    wanted = [*corpus.sources, as_source(said)]
    with tempfile.TemporaryDirectory() as kept:
        tried = Path(kept, path.name)
        write_text(tried, f"{text}\n{line}\n")
        write_lock(tried, wanted)
        try:
            read_back = parse_corpus(tried)[0]
        except UserError as error:
            raise UserError(
                f"{path}: cannot be changed by itself: {str(error).replace(str(tried), 'it')}\nWrite it there yourself"
            ) from None
    if read_back.sources != wanted:
        raise UserError(
            f"{path}: cannot be changed by itself, since its sources are not one list of entries. Write it there yourself"
        )
    faults = [fault for good, fault in read_back.rules() if not good]
    if faults:
        raise UserError("\n".join(f"{path}: {fault}" for fault in faults))
    write_lock(path, wanted)  # first: a pin without its source does no harm
    write_text(path, f"{text}\n{line}\n")
    return line
