"""Turns raw files into three clean JSONL corpora, with provenance on every line and a reason for every file left out.

Secrets go first (secrets.py), so that nothing after this has seen them. A document passes one filter after another; the first that objects
names the reason. New filters are one more entry in FILTERS. None asks the running Python what it thinks of a text: each version of it thinks
otherwise, and one commit shall give one corpus. What MicroPython is, MicroPython's compiler says. The licence is judged last (licences.py), by
what stands in a file, beside it and above it.

Splits are by source package, as the corpus config says: files of one author on both sides of a split make held-out figures look better
than they are. So do ports of one package to another name, which share most of their lines: of two such files the held-out one goes, as of
two equal ones.

What takes the time is to judge each file. That is done for some files together, whose judgements stand on disk under a name that says of what they
are and by which code: memory does not grow with the text, and after a kill just the others are judged.

Whoever has a single folder has no packages to hold out. With `split: auto` its files are divided by groups instead, which are what packages
are elsewhere: a subfolder stays together, and so do files that share most of their lines.
"""

import hashlib
import json
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path, PurePosixPath

from pipeline.board.compiler import refusal
from pipeline.core.config import read_removed
from pipeline.core.errors import UserError
from pipeline.core.files import atomic, read_jsonl, write_json
from pipeline.core.paths import EXAM, LEFT_OUT, LICENSES, METRICS, PROCESSED, RAW, REJECTED, SPLITS
from pipeline.core.progress import bar
from pipeline.core.prompt import in_dialect
from pipeline.core.reasons import kind
from pipeline.core.workers import each
from pipeline.data import contamination, copies, dialects, licences, quality, removal, secrets
from pipeline.data.copies import lines

LONG = 400  # characters; nobody reads a longer line, and few write one
TOGETHER = 100  # files that are judged in one go; what a kill costs each process at most
HELD_OUT = 0.1  # share of the text of folders with `split: auto` that val and test get each

# The parts of a program, by signs that are the same in every edition of Unicode. Operators come one sign at a time: only lengths are asked for.
PARTS = re.compile(r"""(?axs)
    (?P<silent> \s+ | \#[^\n]*)
    | (?P<string> (?P<prefix> \w*) (?P<quote> \'{3}|\"{3}|'|") (?:\\.|(?!(?P=quote)).)* (?P=quote))
    | (?P<number> 0[xXoObB][\da-fA-F_]+ | \.?\d[\d_.]*(?:[eE][+-]?\d+)?)
    | \w+ | .""")
# A list or a dict of JSON's words alone, with nothing before or after it. Not json.loads: how deep it goes depends on Python's version.
JSON = re.compile(r"""(?a)\s*[\[{](?:"(?:\\.|[^\\"\n])*"|[\[\]{}:,\s\d.eE+-]|true|false|null)*""")


def clean(text: str) -> str:
    """One form for every file: no byte order mark, LF line ends, no blanks at line ends, one newline at the end."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def data_share(text: str) -> float:
    """Share of a file's code that stands in numbers and bytes literals: fonts, images and tables are mostly that.

    In characters, without blanks, comments and text strings.
    """
    literals = code = 0
    for part in PARTS.finditer(text):
        is_data = part.lastgroup == "number" or (part.lastgroup == "string" and "b" in part["prefix"].lower())
        if is_data:
            literals += len(part[0])
        if is_data or part.lastgroup is None:
            code += len(part[0])
    return literals / code if code else 0.0


def too_short(text, dials):
    return f"shorter than {dials['min_bytes']} bytes" if len(text.encode()) < dials["min_bytes"] else None


def too_long(text, dials):
    return f"longer than {dials['max_bytes']} bytes" if len(text.encode()) > dials["max_bytes"] else None


def long_lines(text, dials):
    """A table in one line of an otherwise good program is no reason to lose the program."""
    share = sum(len(line) for line in text.split("\n") if len(line) > LONG) / len(text)
    return (
        f"long lines: {share:.0%} of its characters are in lines of more than {LONG}"
        if share > dials["max_long_share"]
        else None
    )


def not_text(text, dials):
    return "not text: it holds a NUL" if "\0" in text else None


def is_json(text, dials):
    """What a pattern such as `*` lets in: to MicroPython it is an expression like others."""
    return "JSON, not code" if JSON.fullmatch(text) else None


def not_micropython(text, dials):
    said = refusal(text)
    return f"not MicroPython: {said}" if said else None


def mostly_data(text, dials):
    return "data, not code" if data_share(text) > dials["max_data_share"] else None


FILTERS = (too_short, too_long, long_lines, not_text, is_json, not_micropython, mostly_data, *quality.FILTERS)


def near_duplicate(text: str, taught: dict[str, set[str]], dials: dict) -> str:
    """Why a held-out text is no fair question, if it is none; `taught` says which training packages hold a line."""
    own = lines(text)
    holders = Counter(package for line in own for package in taught[line])
    package, shared = min(holders.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    return (
        f"near duplicate of {package}: {shared} of {len(own)} lines" if shared > dials["max_overlap"] * len(own) else ""
    )


def units(files: dict[str, int], packages: set[str]) -> dict[str, str]:
    """For each of the files (SOURCE/PATH -> bytes) what it belongs to by its place: the subfolder, or at the top the file itself.

    A subfolder with more than half of the text is a shelf, and what lies on it is looked at instead, unless it is among `packages`.
    """
    opened: set[str] = set()
    while True:
        found = {}
        for path in files:
            above = [str(folder) for folder in reversed(PurePosixPath(path).parents)][2:]
            found[path] = next((folder for folder in above if folder not in opened), path)
        sizes = Counter()
        for path, unit in found.items():
            sizes[unit] += files[path]
        shelves = {unit for unit, size in sizes.items() if 2 * size > sizes.total()} - files.keys() - packages
        if not shelves:
            return found
        opened |= shelves


def join_near_duplicates(texts: list[str], groups: list[str], max_overlap: float) -> list[str]:
    """`groups` of the texts, with those made one of which a text shares more than `max_overlap` of its lines with the other."""
    while True:
        holders = defaultdict(set)
        for text, group in zip(texts, groups, strict=True):
            for line in lines(text):
                holders[line].add(group)
        into = {group: group for group in groups}

        def find(group: str, into: dict[str, str] = into) -> str:
            while into[group] != group:
                group = into[group]
            return group

        for text, group in zip(texts, groups, strict=True):
            own = sorted(lines(text), key=lambda line: len(holders[line]))
            most = int(max_overlap * len(own))
            # Who shares more than `most` lines shares one of any len(own) - most, and the rarest have the fewest holders.
            for other in sorted({holder for line in own[: len(own) - most] for holder in holders[line]} - {group}):
                if sum(other in holders[line] for line in own) > max_overlap * len(own):
                    first, second = sorted((find(group), find(other)))
                    into[second] = first
        joined = [find(group) for group in groups]
        if joined == groups:
            return groups
        groups = joined


def divide(sizes: dict[str, int]) -> dict[str, str]:
    """Group -> split, of groups with so many bytes each: at least one for every split, and about HELD_OUT for val and for test.

    By the hashes of their names, so that a new group leaves most others where they were. Large ones come after the small ones, so that a
    held-out split has several; one of more than HELD_OUT comes alone, and the largest is always taught.
    """
    enough = HELD_OUT * sum(sizes.values())
    taught = max(sorted(sizes), key=sizes.__getitem__)
    splits, held = dict.fromkeys(sizes, "train"), {"val": 0, "test": 0}
    for group in sorted(
        sizes.keys() - {taught},
        key=lambda group: (max(enough / 4, sizes[group]), hashlib.sha256(group.encode()).digest()),
    ):
        split = min(held, key=held.__getitem__)
        if held[split] >= enough or (held[split] and sizes[group] > enough):
            break
        splits[group], held[split] = split, held[split] + sizes[group]
    return splits


def split_folders(documents: list[dict], packages: set[str], dials: dict) -> list[dict]:
    """Of each good document of a folder with `split: auto`: its group, as SOURCE/PATH, and the split that the group is in.

    Raises UserError where they form fewer groups than there are splits.
    """
    names = [f"{document['source']}/{document['path']}" for document in documents]
    sizes = {name: len(document["text"].encode()) for name, document in zip(names, documents, strict=True)}
    place = units(sizes, packages)
    groups = join_near_duplicates(
        [document["text"] for document in documents], [place[name] for name in names], dials["max_overlap"]
    )
    weight = Counter()
    for name, group in zip(names, groups, strict=True):
        weight[group] += sizes[name]
    if len(weight) < len(SPLITS):
        raise UserError(
            f"split: auto: {len(names)} usable files form {len(weight)} group(s) that belong together (a subfolder, or files that "
            f"share more than prepare.max_overlap of their lines): {', '.join(sorted(weight)) or 'none'}. Three are needed, one for "
            "each of train, val and test. Add files of another kind, or say `split: train` and give val and test sources of their own"
        )
    splits = divide(weight)
    return [{"group": group, "split": splits[group]} for group in groups]


@cache
def shipped(raw: str) -> dict[str, dict[str, str]]:
    """The licence files of each source, by their paths in it."""
    files = defaultdict(dict)
    for row in read_jsonl(Path(raw) / LICENSES.name):
        files[row["source"]][row["path"]] = row["text"]
    return files


@cache
def brought(raw: str) -> dict[str, set[str]]:
    """What a program of each source may import from its source."""
    modules = defaultdict(set)
    for row in read_jsonl(Path(raw) / "provenance.jsonl"):
        modules[row["source"]].update(part.split(".")[0] for part in PurePosixPath(row["path"]).parts)
    return modules


def judge(row: dict, raw: str, dials: dict, removed: dict[str, list[str]] | None = None) -> dict:
    """Adds `text`, `reason` (empty when the document is good), `dialect` (empty where its imports do not tell) and `replaced` (secrets by
    kind) to a row of provenance; `license` becomes that of the file itself."""
    replaced, license, own = Counter(), row["license"], brought(raw)[row["source"]]
    content = (Path(raw) / row["source"] / row["path"]).read_bytes()
    gone = removed and removal.reason(row, content.decode("utf-8", "replace"), shipped(raw)[row["source"]], removed)
    try:
        text, replaced = secrets.replaced(clean(content.decode("utf-8")))
        reason = gone or next((r for f in FILTERS if (r := f(text, dials))), "") or dialects.desktop(text, own) or ""
    except UnicodeDecodeError:
        text, reason = "", gone or "not UTF-8"
    if not reason:
        license, reason = licences.judge(
            row["path"], text, license, shipped(raw)[row["source"]], row["declared"], dials["licenses"]
        )
    return {
        "text": text,
        "license": license,
        "reason": reason,
        "dialect": "" if reason else dialects.told(text, own),
        "replaced": {kind: replaced[kind] for kind in secrets.KINDS},
    }


def judged_together(part: tuple[Path, list[dict]], **given) -> int:
    """Judges some rows and writes what is found where it is not there yet. Returns how many they are."""
    import pyarrow

    path, rows = part
    if not path.exists():
        named = [{"source": row["source"], "path": row["path"]} for row in rows]
        table = pyarrow.Table.from_pylist([name | judge(row, **given) for name, row in zip(named, rows, strict=True)])
        with atomic(path) as unfinished, pyarrow.ipc.new_stream(unfinished, table.schema) as stream:
            stream.write_table(table)
    return len(rows)


def own_code() -> str:
    """A hash of all our modules that are loaded, which decide what is judged how."""
    files = sorted(m.__file__ for n, m in list(sys.modules.items()) if n.startswith("pipeline.") and m.__file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def judged(rows: list[dict], raw: Path, dials: dict, removed: dict[str, list[str]] | None, folder: Path):
    """The judgements of all rows, a datasets.Dataset in their order. `folder` keeps them till it is deleted; others that it held go."""
    import datasets

    same = json.dumps([dials, removed, sorted(shipped(str(raw)).items()), own_code()], ensure_ascii=False)
    parts = {}
    for start in range(0, len(rows), TOGETHER):
        some = rows[start : start + TOGETHER]
        name = hashlib.sha256((same + json.dumps(some, ensure_ascii=False)).encode()).hexdigest()
        parts[folder / f"{name}.arrow"] = some
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(folder.iterdir()) - set(parts):
        old.unlink()
    there = sum(len(some) for path, some in parts.items() if path.exists())
    work = partial(judged_together, raw=str(raw), dials=dials, removed=removed)
    missing = [(path, some) for path, some in parts.items() if not path.exists()]
    with bar(len(rows), "prepare", "files", initial=there) as progress:
        for count in each(work, missing):
            progress.update(count)
    return datasets.concatenate_datasets([datasets.Dataset.from_file(str(path)) for path in parts])


class Texts(Sequence[str]):
    """The texts of a data set, read from where they lie. datasets' own column asks all pieces of the data set for each text, and there is a
    piece for every TOGETHER files."""

    def __init__(self, documents):
        self.column = documents.data.column("text")

    def __getitem__(self, number):
        return self.column[number].as_py()

    def __len__(self) -> int:
        return len(self.column)


def order(row: dict) -> tuple:
    """Train first: of two equal files on different sides, the held-out one goes."""
    return (*SPLITS, "auto").index(row["split"]), row["source"], row["path"]


def ports(texts: Sequence[str], rows: list[dict], reasons: dict[int, str], dials: dict) -> dict[int, str]:
    """A reason for each held-out document that stands in a training package, by their numbers."""
    held_out = [n for n, row in enumerate(rows) if row["split"] != "train" and not reasons[n]]
    taught = {line: set() for n in held_out for line in lines(texts[n])}
    for n, row in enumerate(rows):
        if row["split"] == "train" and not reasons[n]:
            for line in taught.keys() & set(lines(texts[n])):
                taught[line].add(row.get("group", row["source"]))
    return {n: reason for n in held_out if (reason := near_duplicate(texts[n], taught, dials))}


def prepare(
    dials: dict, raw: Path = RAW, out: Path = PROCESSED, removed: dict[str, list[str]] | None = None, exam: Path = EXAM
) -> dict:
    """Writes {train,val,test}_corpus.jsonl and rejected.jsonl to `out`; returns counts. `removed` is the list of what must not be there.

    Raises UserError when a split is left without a document.
    """
    import datasets

    datasets.disable_progress_bars()
    rows = sorted(read_jsonl(raw / "provenance.jsonl"), key=order)
    refusal("")  # so that the interpreter is there, compiled once, before several processes want it
    secrets.scanner()  # and so are the rules
    brought(str(raw))  # and what of each source they all ask for
    judgements = out.with_name(".judged.unfinished")
    documents = judged(rows, raw, dials, removed, judgements)
    texts, reasons = Texts(documents), dict(enumerate(documents["reason"]))
    reasons |= copies.said(documents, texts, rows, reasons, dials)  # whose processes open the files once more
    shutil.rmtree(judgements)  # what is mapped stays when its file is gone
    divided = [n for n, row in enumerate(rows) if row["split"] == "auto"]
    if divided:
        packages = {
            f"{rows[n]['source']}/{PurePosixPath(rows[n]['path']).parent}"
            for n in divided
            if rows[n]["path"].endswith("__init__.py")
        }
        # from here on it is as if the config had said so of each
        good = [n for n in divided if not reasons[n]]
        for n, found in zip(good, split_folders(list(documents.select(good)), packages, dials), strict=True):
            rows[n] |= found
    reasons |= ports(texts, rows, reasons, dials)
    licence_texts = (row["text"] for row in read_jsonl(raw / LICENSES.name))
    reasons |= contamination.said(texts, rows, reasons, contamination.asked(exam), licence_texts)
    counts = {split: Counter() for split in SPLITS}
    rejections, replaced, by_dialect = Counter(), Counter(), defaultdict(Counter)
    told = zip(rows, documents["dialect"], documents["reason"], strict=True)
    usual = dialects.majority((row["source"], dialect) for row, dialect, reason in told if not reason)
    out.mkdir(parents=True, exist_ok=True)
    with (
        atomic(out / "train_corpus.jsonl") as train,
        atomic(out / "val_corpus.jsonl") as val,
        atomic(out / "test_corpus.jsonl") as test,
        atomic(out / "rejected.jsonl") as rejected,
        open(train, "w", encoding="utf-8") as train_file,
        open(val, "w", encoding="utf-8") as val_file,
        open(test, "w", encoding="utf-8") as test_file,
        open(rejected, "w", encoding="utf-8") as rejected_file,
    ):
        files = {"train": train_file, "val": val_file, "test": test_file}
        turns = sorted(range(len(rows)), key=lambda n: order(rows[n]))
        for n, found in zip(turns, documents.select(turns), strict=True):
            document, text, reason = rows[n] | {"license": found["license"]}, found["text"], reasons[n]
            if reason:
                rejections[kind(reason)] += 1
                rejected_file.write(json.dumps({**document, "reason": reason}, ensure_ascii=False) + "\n")
                continue
            replaced.update({kind: number for kind, number in found["replaced"].items() if number})
            dialect = found["dialect"] or usual[document["source"]]
            text = in_dialect(dialect, text) if dials["dialect_line"] else text
            for count in (counts[document["split"]], by_dialect[dialect]):
                count.update(documents=1, bytes=len(text.encode()))
            row = {**document, "dialect": dialect, "text": text}
            files[document["split"]].write(json.dumps(row, ensure_ascii=False) + "\n")
        for row in read_jsonl(raw / LEFT_OUT.name) if (raw / LEFT_OUT.name).exists() else ():
            rejections["left out by collect"] += 1
            rejected_file.write(json.dumps(row, ensure_ascii=False) + "\n")
        empty = [split for split in SPLITS if not counts[split]]
        if empty:
            why = "; ".join(f"{n} {reason}" for reason, n in rejections.most_common()) or "nothing was collected"
            raise UserError(
                f"no usable file for {' and '.join(empty)} (rejected: {why}). Add sources to the corpus config, or loosen "
                "params.yaml: prepare"
            )
    groups = (
        {"groups": {split: len({rows[n]["group"] for n in good if rows[n]["split"] == split}) for split in SPLITS}}
        if divided
        else {}
    )
    return {
        **{split: dict(counts[split]) for split in SPLITS},
        "dialects": {dialect: dict(count) for dialect, count in sorted(by_dialect.items())},
        "rejected": dict(sorted(rejections.items())),
        "replaced": dict(sorted(replaced.items())),
        **groups,
    }


def main(config) -> None:
    removed = read_removed()
    counts = prepare(config.params.prepare.model_dump(), removed=removed.model_dump())
    write_json(METRICS / "prepare.json", counts)
    print(
        "prepare: "
        + ", ".join(f"{s} {counts[s]['documents']} documents {counts[s]['bytes']:,} bytes" for s in SPLITS)
        + f", {sum(counts['rejected'].values())} rejected"
    )
    if counts["replaced"]:
        print(
            "replaced by placeholders: " + ", ".join(f"{number} {kind}" for kind, number in counts["replaced"].items())
        )
    if idle := removal.unmatched(removed, (row["reason"] for row in read_jsonl(REJECTED))):
        print(idle)
    if groups := counts.get("groups"):
        print(
            f"split: auto: {sum(groups.values())} groups of files (a subfolder, or files that share most of their lines): "
            + ", ".join(f"{split} {number}" for split, number in groups.items())
        )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("prepare", main)
