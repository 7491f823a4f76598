"""Brings raw MicroPython text under data/raw, with provenance, and never runs a line of it.

How each kind of source is read stands in pipeline/data/sources; here they are walked over, one after another. What is wrong with a stranger's
archive stops the stage, since it may mean harm; a file of one's own that cannot be taken is left out, with the reason.

The output is replaced as a whole, at the end, so a run that fails leaves the one before (dvc.yaml: persist). Archives are kept by hash.
"""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.core.errors import UserError, shortened
from pipeline.core.files import read_jsonl, write_text
from pipeline.core.paths import LEFT_OUT, LICENSES, RAW, REJECTED
from pipeline.core.progress import bar
from pipeline.data import licences
from pipeline.data.sources import KINDS
from pipeline.data.sources.bounds import Names, matches
from pipeline.data.sources.documents import converted

AT_ONCE = 8  # downloads; a small one is mostly waiting for answers
SHOWN = 5  # files left out that are named on the terminal
DECIDED = {"license", "split", "include", "exclude"}  # what a person decides of a source; the rest says what it is


def pin(source) -> str:
    """What has to be fetched for a source: two with the same have it from one file."""
    return source.model_dump_json(exclude=DECIDED)


def about(source) -> dict:
    return {"source": source.name, "kind": source.kind, "version": source.pinned}


def read(source, place: Path | None, out: Path, names: Names) -> tuple[list[dict], dict[str, str], dict[str, str]]:
    """Writes a source's files to out/SOURCE; returns their provenance, the texts about licences by path, and why files were left out."""
    rows, said, left_out = [], {}, {}

    def wanted(path: str) -> bool:
        return bool(licences.ABOUT.fullmatch(path)) or matches(path, source.include, source.exclude)

    for path, content, license in KINDS[source.kind].files(source, place, wanted, left_out):
        if licences.ABOUT.fullmatch(path):  # kept, but never as training text
            said[path] = content.decode(errors="replace").replace("\r\n", "\n").strip()
            continue
        path, content, reason = converted(path, content)
        if reason:
            left_out[path] = reason
            continue
        names.add(f"{source.name}/{path}")
        target = out / source.name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        rows.append(
            {
                **about(source),
                "path": path,
                "license": license or source.license,
                "declared": None,
                "split": source.split,
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
            }
        )
    metadata = [said.pop(path) for path in list(said) if licences.METADATA.fullmatch(path)]
    if declared := next(filter(None, map(licences.declared, metadata)), None):
        for row in rows:
            row["declared"] = declared
    return rows, said, left_out


def same_files(provenance: list[dict]) -> None:
    """Raises UserError where two sources hold just the same files, so that their text would count for one of them by chance."""
    held: dict[str, set[str]] = {}
    for row in provenance:
        held.setdefault(row["source"], set()).add(row["sha256"])
    alike: dict[frozenset, list[str]] = {}
    for source, hashes in held.items():
        alike.setdefault(frozenset(hashes), []).append(source)
    if twice := [" and ".join(sources) for sources in alike.values() if len(sources) > 1]:
        raise UserError(f"sources: {shortened(twice, 10)} hold the same files; leave all but one out")


def collect(sources: list, out: Path = RAW) -> list[dict]:
    """Writes out/SOURCE/PATH for every file, out/provenance.jsonl (source, kind, version, path, license, declared by the package, split,
    sha256, bytes) and out/licenses.jsonl (source, version, license, path, text) with every file that a source ships about licences; where
    files of a folder had to be left out, also out/left_out.jsonl (source, kind, version, path, license, split, reason). Returns the provenance.

    Raises UserError, and leaves no output, when a source cannot be had whole or none of its files is wanted.
    """
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    provenance, licenses, left_out, names = [], [], [], Names()
    for file in ("provenance.jsonl", LICENSES.name, LEFT_OUT.name):
        names.add(file)
    wanted_once = {pin(source): source for source in sources}
    downloads = ThreadPoolExecutor(AT_ONCE)
    try:
        fetched = {key: downloads.submit(KINDS[source.kind].fetch, source) for key, source in wanted_once.items()}
        with bar(len(sources), "collect", " sources") as progress:
            for number, source in enumerate(sources):
                progress.set_postfix_str(source.name, refresh=False)
                try:
                    rows, said, odd = read(source, fetched[pin(source)].result(), unfinished, names)
                    if not rows:
                        raise UserError(
                            f"no file matches include {list(source.include)}"
                            + "".join(f"\n  {printable(path)}: {reason}" for path, reason in odd.items())
                        )
                except UserError as error:
                    raise type(error)(f"sources.{number} ({source.name}): {error}") from error
                provenance += rows
                licenses += [
                    {
                        "source": source.name,
                        "version": source.pinned,
                        "license": source.license,
                        "path": path,
                        "text": text,
                    }
                    for path, text in said.items()
                ]
                left_out += [
                    {
                        **about(source),
                        "path": printable(path),
                        "license": source.license,
                        "split": source.split,
                        "reason": reason,
                    }
                    for path, reason in odd.items()
                ]
                progress.update()
        same_files(provenance)
        for file, rows in (("provenance.jsonl", provenance), (LICENSES.name, licenses), (LEFT_OUT.name, left_out)):
            rows.sort(key=lambda row: (row["source"], row["path"]))
            if rows or file != LEFT_OUT.name:
                write_text(unfinished / file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(out)
    finally:
        downloads.shutdown(cancel_futures=True)
        shutil.rmtree(unfinished, ignore_errors=True)
    return provenance


def printable(path: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def main(config) -> None:
    try:
        rows = collect(config.corpus.sources)
    except UserError as error:
        raise type(error)(f"{config.corpus}: {error}") from error
    print(
        f"collect: {len(rows)} files, {sum(row['bytes'] for row in rows):,} bytes from {len(config.corpus.sources)} sources"
    )
    left_out = list(read_jsonl(LEFT_OUT)) if LEFT_OUT.exists() else []
    for row in left_out[:SHOWN]:
        print(f"left out: {row['source']}/{row['path']}: {row['reason']}")
    if len(left_out) > SHOWN:
        print(f"left out: {len(left_out) - SHOWN} files more; each stands with its reason in {REJECTED}")


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("collect", main)
