"""Turns raw files into three clean JSONL corpora, with provenance on every line and a reason for every file left out.

A document passes one filter after another; the first that objects names the reason. New filters (secrets, deeper licence checks) are
one more entry in FILTERS. Splits are by source package, as the corpus config says: files of one author on both sides of a split make
held-out figures look better than they are. So do ports of one package to another name, which share most of their lines: of two such
files the held-out one goes, as of two equal ones.
"""

import ast
import hashlib
import io
import json
import os
import re
import tokenize
import warnings
from collections import Counter
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import atomic, read_jsonl, write_json
from pipeline.core.paths import METRICS, PROCESSED, RAW, SPLITS
from pipeline.core.progress import is_live
from pipeline.core.schema import COPYLEFT

SHORT = 12          # characters; a shorter line is everybody's


def clean(text: str) -> str:
    """One form for every file: no byte order mark, LF line ends, no blanks at line ends, one newline at the end."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def data_share(text: str) -> float:
    """Share of a file's code that stands in numbers and bytes literals: fonts, images and tables are mostly that.

    In characters, without blanks, comments and text strings.
    """
    literals = code = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_string = token.type == tokenize.STRING
        is_bytes = is_string and "b" in re.match(r"\w*", token.string)[0].lower()
        if token.type == tokenize.NUMBER or is_bytes:
            literals += len(token.string)
        if token.type in (tokenize.NUMBER, tokenize.NAME, tokenize.OP) or is_bytes:
            code += len(token.string)
    return literals / code if code else 0.0


def too_short(text, dials):
    return f"shorter than {dials['min_bytes']} bytes" if len(text.encode()) < dials["min_bytes"] else None


def too_long(text, dials):
    return f"longer than {dials['max_bytes']} bytes" if len(text.encode()) > dials["max_bytes"] else None


def long_lines(text, dials):
    return f"a line longer than {dials['max_line_length']} characters" if max(map(len, text.split("\n"))) > dials["max_line_length"] else None


def not_python(text, dials):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # of invalid escapes in other people's strings
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"not Python: {getattr(error, 'msg', str(error)) or 'nested too deep'}"
    return None


def mostly_data(text, dials):
    try:
        return "data, not code" if data_share(text) > dials["max_data_share"] else None
    except (SyntaxError, tokenize.TokenError) as error:     # a backslash alone on a line: the compiler takes what tokenize refuses
        return f"not Python: {getattr(error, 'msg', error)}"


def licence_conflict(text, dials):
    found = COPYLEFT.search(text)
    return f"licence: the text mentions {found[0]!r}" if found else None


FILTERS = (too_short, too_long, long_lines, not_python, mostly_data, licence_conflict)


def lines(text: str) -> list[str]:
    """The lines that could tell where a text comes from, without their indentation."""
    return [line for line in map(str.strip, text.split("\n")) if len(line) >= SHORT]


def near_duplicate(text: str, taught: dict[str, set[str]], dials: dict) -> str:
    """Why a held-out text is no fair question, if it is none; `taught` says which training packages hold a line."""
    own = lines(text)
    holders = Counter(package for line in own for package in taught[line])
    package, shared = min(holders.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    return f"near duplicate of {package}: {shared} of {len(own)} lines" if shared > dials["max_overlap"] * len(own) else ""


def judge(row: dict, raw: str, dials: dict) -> dict:
    """Adds `text` and `reason` (empty when the document is good) to a row of provenance."""
    try:
        text = clean((Path(raw) / row["source"] / row["path"]).read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        return {"text": "", "reason": "not UTF-8"}
    return {"text": text, "reason": next((r for f in FILTERS if (r := f(text, dials))), "")}


def prepare(dials: dict, raw: Path = RAW, out: Path = PROCESSED) -> dict:
    """Writes {train,val,test}_corpus.jsonl and rejected.jsonl to `out`; returns counts.

    Raises UserError when a split is left without a document.
    """
    import datasets
    if not is_live():
        datasets.disable_progress_bars()
    # train first: of two equal files on different sides, the held-out one goes
    rows = sorted(read_jsonl(raw / "provenance.jsonl"), key=lambda r: (SPLITS.index(r["split"]), r["source"], r["path"]))
    documents = datasets.Dataset.from_list(rows).map(
        judge, fn_kwargs={"raw": str(raw), "dials": dials}, num_proc=min(os.cpu_count(), len(rows)), desc="prepare")
    held_out = documents.select([n for n, row in enumerate(rows) if row["split"] != "train"])
    taught = {line: set() for text in held_out["text"] for line in lines(text)}
    counts = {split: Counter() for split in SPLITS}
    reasons, seen = Counter(), {}
    out.mkdir(parents=True, exist_ok=True)
    with (atomic(out / "train_corpus.jsonl") as train, atomic(out / "val_corpus.jsonl") as val,
          atomic(out / "test_corpus.jsonl") as test, atomic(out / "rejected.jsonl") as rejected,
          open(train, "w", encoding="utf-8") as train_file, open(val, "w", encoding="utf-8") as val_file,
          open(test, "w", encoding="utf-8") as test_file, open(rejected, "w", encoding="utf-8") as rejected_file):
        files = {"train": train_file, "val": val_file, "test": test_file}
        for document in documents:
            text, reason = document.pop("text"), document.pop("reason")
            name = f"{document['source']}/{document['path']}"
            digest = hashlib.sha256(text.encode()).digest()
            if not reason and digest in seen:
                reason = f"duplicate of {seen[digest]}"
            elif not reason and document["split"] != "train":
                reason = near_duplicate(text, taught, dials)
            if reason:
                reasons[reason.split(":")[0].split(" of ")[0]] += 1
                rejected_file.write(json.dumps({**document, "reason": reason}, ensure_ascii=False) + "\n")
                continue
            seen[digest] = name
            if document["split"] == "train":
                for line in taught.keys() & set(lines(text)):
                    taught[line].add(document["source"])
            counts[document["split"]].update(documents=1, bytes=len(text.encode()))
            files[document["split"]].write(json.dumps({**document, "text": text}, ensure_ascii=False) + "\n")
        empty = [split for split in SPLITS if not counts[split]]
        if empty:
            why = "; ".join(f"{n} {reason}" for reason, n in reasons.most_common()) or "nothing was collected"
            raise UserError(f"no usable file for {' and '.join(empty)} (rejected: {why}). Add sources to the corpus config, or loosen "
                            "params.yaml: prepare")
    return {**{split: dict(counts[split]) for split in SPLITS}, "rejected": dict(sorted(reasons.items()))}


def main(config) -> None:
    counts = prepare(config.params.prepare.model_dump())
    write_json(METRICS / "prepare.json", counts)
    print("prepare: " + ", ".join(f"{s} {counts[s]['documents']} documents {counts[s]['bytes']:,} bytes" for s in SPLITS)
          + f", {sum(counts['rejected'].values())} rejected")


if __name__ == "__main__":
    from pipeline.core.stage import run
    run("prepare", main)
