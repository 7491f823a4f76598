"""What `robo corpus` finds out: what a source would bring, and what its newest pins would change.

A proposal is read for real, by the stage's own code, into a folder that goes again; so what is said of it is what a run will do.
"""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core import licenses
from pipeline.core.config import Config, read_removed
from pipeline.core.errors import UserError, shortened, suggestion
from pipeline.core.files import read_jsonl
from pipeline.core.paths import LICENSES, PROCESSED, SPLITS, TOKENIZER
from pipeline.core.prompt import in_dialect
from pipeline.core.schema import package
from pipeline.data import copies, dialects, licences, prepare
from pipeline.data.collect import collect
from pipeline.data.entries import as_source
from pipeline.data.sources import dataset, folder, git, index

INCLUDE = ["*.py"]
SUPPORT = [
    "setup.py",
    "*conf.py",
    "*test_*",
    "*tests/*",
    "docs/*",
    "*versioneer.py",
]  # what packages hold beside what they are for
COLUMNS = {
    "text": ("content", "text", "code"),
    "license": ("license", "licenses", "licence"),
    "path": ("path", "max_stars_repo_path", "file", "filename", "file_path"),
}
BYTES_PER_TOKEN = 3.3  # where no tokenizer is built yet
PATTERNS = {"include": INCLUDE, "exclude": SUPPORT}  # where a corpus has no defaults of its own
UNREAD = "MIT"  # what a proposal is read under, before its licence is known


# --- what it is -------------------------------------------------------------------------------------------------------


def name_of(given: str) -> str:
    return re.sub(r"[^\w.-]+", "-", given.rstrip("/").rpartition("/")[2].removesuffix(".git")).strip("-._") or "source"


def bring_in(path: Path) -> Path:
    """Copies what lies elsewhere under corpora/, the only folder that DVC watches."""
    if path.resolve().is_relative_to(Path("corpora").resolve()):
        return path.resolve().relative_to(Path.cwd().resolve())
    target = Path("corpora", path.resolve().name)
    if target.exists():
        raise UserError(f"{path}: cannot be copied to {target}, which is there already; rename it, or name {target}")
    target.parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.copytree(
            path, target, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", *folder.LEAVINGS)
        )
    else:
        shutil.copyfile(path, target)
    return target


def columns_of(path: Path) -> dict[str, str]:
    """Which columns of a data file are what, by the names that data sets of code give them."""
    there = dataset.columns(path)
    found = {part: next((name for name in names if name in there), None) for part, names in COLUMNS.items()}
    if not found["text"]:
        raise UserError(
            f"{path}: none of its columns is called {', '.join(COLUMNS['text'])}; name the one with the text by "
            f"--text{suggestion('', there).replace('; known', '; there are')}"
        )
    return {part: name for part, name in found.items() if name}


def entry(given: str, patterns: dict, subfolder: str = ".", text: str | None = None) -> dict:
    """A source for what a person names (a package, the address or folder of a git repository, a folder, a data file), without its licence.
    `patterns` are the include and exclude of strangers' packages."""
    path = Path(given).expanduser()
    if git.remote(given) or (path / ".git").exists() or (path / "objects").is_dir():
        if git.remote(given) and "huggingface.co/datasets/" in given:
            raise UserError(
                f"{given}: a data set of the hub is written by hand: kind: dataset, hub: OWNER/NAME, columns; `robo corpus lock` pins it"
            )
        url = given if git.remote(given) else str(path.resolve())  # whole, since a queued run works in a copy elsewhere
        found = {
            "kind": "git",
            "name": name_of(url) + (f"-{name_of(subfolder)}" if subfolder != "." else ""),
            "url": url,
            "commit": git.newest(url),
        }
        return found | ({"subfolder": subfolder} if subfolder != "." else {}) | patterns
    if subfolder != ".":
        raise UserError(f"--subfolder: {given} is no git repository")
    if path.suffix in dataset.FORMATS or path.is_dir():
        if not path.exists():
            raise UserError(f"{given}: no such file")
        if path.is_dir() and not any(each.suffix in dataset.FORMATS for each in path.iterdir()):
            return {
                "kind": "folder",
                "name": name_of(str(path.resolve())),
                "path": str(bring_in(path)),
                "include": INCLUDE,
            }
        columns = {"text": text} if text else columns_of(path)
        return {
            "kind": "dataset",
            "name": name_of(path.resolve().with_suffix("").name),
            "path": str(bring_in(path)),
            "columns": columns,
            "include": ["*"],
        }
    if path.exists() or "/" in given:
        raise UserError(
            f"{given}: {'is no data file' if path.exists() else 'no such file or folder'}; a source is a package, the https address "
            f"or folder of a git repository, a folder, or a file that ends in one of {', '.join(dataset.FORMATS)}"
        )
    name, _, version = given.partition("==")
    return index.newest(name, version=version or None) | patterns


# --- what it would bring ----------------------------------------------------------------------------------------------


@dataclass
class Preview:
    """What a source would bring to a corpus."""

    license: str | None  # as its metadata and the licence text at its top say it
    rows: list[dict]  # provenance
    texts: dict[str, str] = field(default_factory=dict)  # by path, of the files that are usable
    rejected: dict[str, str] = field(default_factory=dict)  # by path, why
    replaced: Counter = field(default_factory=Counter)  # secrets by kind


def license_said(metadata: str | None, said: dict[str, str]) -> str | None:
    """What a source says its licence is. Raises UserError where its metadata and its licence text disagree."""
    above = licences.nearest(
        "a.py", {path.rpartition("/")[2] if ".dist-info/" in path else path: text for path, text in said.items()}
    )
    by_text = licenses.joined(found.expression for found in above) if above else None
    if metadata and by_text and not licenses.keys(by_text) & licenses.keys(metadata):
        raise UserError(
            f"its metadata say {metadata}, and its {above[0].where} says {by_text}: read it, and decide by --license"
        )
    return by_text or metadata


def read(source, dials: dict) -> Preview:
    """Reads a source as collect and prepare will."""
    with tempfile.TemporaryDirectory() as kept:
        raw = Path(kept, "raw")
        try:
            rows = collect([source], raw)
        except UserError as error:
            raise type(error)(str(error).removeprefix(f"sources.0 ({source.name}): ")) from None
        said = {row["path"]: row["text"] for row in read_jsonl(raw / LICENSES.name)}
        found = Preview(license_said(rows[0]["declared"], said) if source.license == UNREAD else None, rows)
        claim, removed = found.license or source.license, read_removed().model_dump()
        for row in rows:
            judged = prepare.judge(
                row | {"license": claim if row["license"] == UNREAD else row["license"]}, str(raw), dials, removed
            )
            found.replaced.update(judged["replaced"])
            (found.rejected if judged["reason"] else found.texts)[row["path"]] = judged["reason"] or judged["text"]
        left_out = raw / "left_out.jsonl"
        found.rejected |= {row["path"]: row["reason"] for row in read_jsonl(left_out)} if left_out.exists() else {}
        return found


def known(texts: dict[str, str], max_overlap: float, processed: Path = PROCESSED) -> dict[str, str] | None:
    """Of the texts that the built corpus holds already, exactly or nearly, which document or source does; None where nothing is built."""
    built = [processed / f"{split}_corpus.jsonl" for split in SPLITS]
    if not all(file.exists() for file in built):
        return None
    holders = {line: set() for text in texts.values() for line in copies.lines(text)}
    exact, there = {text: path for path, text in texts.items()}, {}
    for document in (document for file in built for document in read_jsonl(file)):
        text = document["text"].removeprefix(in_dialect(document.get("dialect", ""), ""))
        if text in exact:
            there[text] = f"duplicate of {document['source']}/{document['path']}"
        for line in holders.keys() & set(copies.lines(text)):
            holders[line].add(document["source"])
    found = {
        path: there.get(text) or prepare.near_duplicate(text, holders, {"max_overlap": max_overlap})
        for path, text in texts.items()
    }
    return {path: why for path, why in found.items() if why}


def tokens(texts: list[str]) -> int:
    """By the tokenizer that is built, else by a rule of thumb."""
    if not TOKENIZER.exists():
        return round(sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN)
    from tokenizers import Tokenizer

    return sum(len(encoded.ids) for encoded in Tokenizer.from_file(str(TOKENIZER)).encode_batch(texts))


def files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"


def in_words(found: Preview, max_overlap: float) -> list[str]:
    size, told = (
        sum(len(text.encode()) for text in found.texts.values()),
        Counter(map(dialects.told, found.texts.values())),
    )
    said = [
        f"{files(len(found.texts))} of {size:,} bytes, about {tokens(list(found.texts.values())):,} tokens: "
        + ", ".join(f"{count} {dialect or 'none told by imports'}" for dialect, count in told.most_common())
    ]
    there = known(found.texts, max_overlap)
    if there is None:
        said.append("not compared with the corpus, since none is built yet (`dvc repro prepare`)")
    elif there:
        said.append(
            f"{len(there)} of them it holds already: "
            + shortened([f"{path} ({why})" for path, why in sorted(there.items())])
        )
    if kinds := +found.replaced:
        said.append("replaced by placeholders: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    if found.rejected:
        reasons = Counter(
            reason.split(":")[0] if not reason.startswith("licence") else reason for reason in found.rejected.values()
        )
        said.append(
            f"left out: {files(len(found.rejected))}: "
            + shortened([f"{count} {reason}" for reason, count in reasons.most_common()], 5)
        )
    return said


# --- the commands -----------------------------------------------------------------------------------------------------


def propose(
    config: Config, given: str, decided: dict, subfolder: str = ".", text: str | None = None, keep: bool = True
) -> tuple[dict, Preview]:
    """(the entry, what it would bring). `decided` are the keys that a person gave: name, license, split, include, exclude; `keep` what was
    copied under corpora/."""
    if fault := licenses.fault(decided.get("license", UNREAD)):
        raise UserError(f"--license: {fault}")
    with undone(given, keep):
        own = config.corpus.defaults.model_dump(exclude_none=True, include={"include", "exclude"})
        said = entry(given, own if "include" in own else PATTERNS, subfolder, text)
        if said["kind"] in index.CALLED and "name" in decided:
            raise UserError(f"--name: a package goes by the name that the index knows it by: {given}")
        if "include" in decided:  # whoever says what is wanted means all of it
            said.pop("exclude", None)
        said |= {"split": "train", **decided}
        names = {package(source): source.name for source in config.corpus.sources}
        if (there := names.get(package(as_source(said | {"license": UNREAD})))) is not None:
            raise UserError(
                f"{there} is in {config.paths['corpus']} already; `robo corpus update {there}` moves its pin"
            )
        found = read(as_source(said | {"license": UNREAD, **decided}), config.params.prepare.model_dump())
        license = decided.get("license") or found.license
        if license is None:
            raise UserError(
                f"{given}: says nothing of its licence; read it, and name it by --license, an SPDX identifier such as MIT"
            )
        if not licenses.passes(license, config.params.prepare.licenses):
            raise UserError(
                f"{given}: is under {license}, {licenses.of_category(license)}, and params.yaml: "
                f"prepare.licenses lets pass only {', '.join(config.params.prepare.licenses)}"
            )
        if not found.texts:
            raise UserError(f"{given}: none of its {len(found.rejected)} files is usable: {in_words(found, 1)[-1]}")
        order = (
            "kind",
            "name",
            "version",
            "sha256",
            "url",
            "commit",
            "subfolder",
            "path",
            "columns",
            "license",
            "split",
            "include",
            "exclude",
        )
        said["license"] = license
        return {key: said[key] for key in order if key in said}, found


@contextmanager
def undone(given: str, keep: bool) -> Generator[None]:
    """Takes back what bring_in() copied where the block fails, or it is not to be kept."""
    target = Path("corpora", Path(given).expanduser().resolve().name)
    before, done = target.exists(), False
    try:
        yield
        done = True
    finally:
        if not before and not (done and keep):
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


def newest(source, version: str | None = None) -> dict[str, str]:
    """The newest pin of a source, or the one of the version, commit or revision that is asked for; empty where there is nothing to pin."""
    if source.kind in index.CALLED:
        found = index.newest(source.name, source.kind, version)
        return {key: found[key] for key in source.pin_keys}
    return {
        key: version or (git.newest(source.url) if key == "commit" else dataset.newest(source.hub))
        for key in source.pin_keys
    }


def at_newest(source, version: str | None = None):
    """The source with its newest pin, or with the one that is asked for."""
    return as_source(source.model_dump(exclude_none=True) | newest(source, version))


def moved(source, dials: dict, version: str | None = None) -> tuple[Any, str] | None:
    """(a source with its newest pin, or the one that is asked for, what that changes), None where it has it. Raises UserError where its
    licence changed."""
    new_source = at_newest(source.model_copy(update={"license": UNREAD}), version)
    if new_source.pin == source.pin:
        return None
    new = read(new_source, dials)
    if new.license and not licenses.keys(new.license) <= licenses.keys(source.license):
        raise UserError(
            f"says {new.license} now, and its licence here is {source.license}; decide, and write it yourself"
        )
    now, count = source.model_copy(update=new_source.pin), files(len(new.rows))
    if source.pin is None:
        return now, f"{now.pinned}: {count}"
    try:
        old = read(source, dials)
    except UserError:  # taken back by its author, or the kind is another now
        return now, f"{source.pinned} -> {now.pinned}: {count}; what it was cannot be had any more"
    before, after = ({row["path"]: row["sha256"] for row in each.rows} for each in (old, new))
    differ = sum(before[path] != after[path] for path in before.keys() & after.keys())
    return now, (
        f"{source.pinned} -> {now.pinned}: {files(len(after.keys() - before.keys()))} new, "
        f"{len(before.keys() - after.keys())} gone, {differ} changed"
    )
