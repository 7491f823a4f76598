"""Packs each split into one flat file of token ids, which training maps into memory.

Documents follow each other, each closed by <eos>. Text is encoded in batches on all cores and written as it comes, so memory
does not grow with the corpus. The sidecar pack.json says how many tokens and raw bytes each file holds (bits per byte need
both) and which tokenizer made them.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import atomic, read_json, read_jsonl, sha256, write_json
from pipeline.core.paths import PAIRS, PAIRS_INDEX, PROCESSED, SIDECAR, SPECIAL_TOKENS, SPLITS, TAUGHT, TOKENIZER
from pipeline.core.progress import bar
from pipeline.core.prompt import as_prompt
from pipeline.data.tokenizer import load_tokenizer

BATCH_BYTES = 4 * 2**20
PAIRS_BATCH = 5000


def batched(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Groups texts until a batch holds about BATCH_BYTES characters."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def pack(corpus: Path, out: Path, tokenizer, eos: int, dtype: str) -> dict:
    """Writes the ids of all documents, little-endian, each followed by eos; returns counts of documents, tokens and raw bytes.

    Raises UserError when an id does not fit the dtype.
    """
    little = np.dtype(dtype).newbyteorder("<")
    if tokenizer.get_vocab_size() - 1 > np.iinfo(dtype).max:
        raise UserError(
            f"{TOKENIZER}: {tokenizer.get_vocab_size()} token ids do not fit dtype {dtype} of the data config; use uint32"
        )
    documents = tokens = raw = 0
    with (
        atomic(out) as unfinished,
        open(corpus, "rb") as lines,
        open(unfinished, "wb") as file,
        bar(corpus.stat().st_size, f"pack {out.stem}", "B") as progress,
    ):
        for batch in batches(json.loads(line)["text"] for line in lines):
            for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                ids = np.array([*encoding.ids, eos], dtype=little)
                file.write(ids.tobytes())  # ids.tofile() does not say that the disk is full
                tokens += len(ids)
            documents += len(batch)
            raw += sum(len(text.encode()) for text in batch)
            progress.update(lines.tell() - progress.n)
    return {"documents": documents, "tokens": tokens, "bytes": raw}


def pack_pairs(pairs: Path, out: Path, index: Path, tokenizer, eos: int, dtype: str, prompt: str) -> dict:
    """Writes each pair as it is asked for: the prompt, then the program, then eos; the index has (start, tokens of the prompt, tokens in all)
    of each, int64. Prompt and program are encoded apart, as they are when the model is asked."""
    little = np.dtype(dtype).newbyteorder("<")
    rows, start, documents = [], 0, 0
    with atomic(out) as unfinished, open(unfinished, "wb") as file:
        for batch in batched(read_jsonl(pairs), PAIRS_BATCH):
            asked = tokenizer.encode_batch_fast(
                [as_prompt(prompt, row["request"], row["board"]) for row in batch], add_special_tokens=False
            )
            programs = tokenizer.encode_batch_fast([row["program"] for row in batch], add_special_tokens=False)
            for request, program in zip(asked, programs, strict=True):
                ids = np.array([*request.ids, *program.ids, eos], dtype=little)
                file.write(ids.tobytes())
                rows.append((start, len(request.ids), len(ids)))
                start += len(ids)
            documents += len(batch)
    with atomic(index) as unfinished:
        unfinished.write_bytes(np.array(rows, dtype="<i8").reshape(-1, 3).tobytes())
    return {"documents": documents, "tokens": start, "longest": max((row[2] for row in rows), default=0)}


def main(config) -> None:
    tokenizer, dtype = load_tokenizer(), config.data.dtype
    eos = tokenizer.token_to_id(read_json(SPECIAL_TOKENS)["eos"])
    # train_path and val_path are outputs of this stage: the config check holds them against dvc.yaml
    paths = {"train": Path(config.data.train_path), "val": Path(config.data.val_path), "test": PROCESSED / "test.bin"}
    counts = {split: pack(PROCESSED / f"{split}_corpus.jsonl", paths[split], tokenizer, eos, dtype) for split in SPLITS}
    tasks = pack_pairs(TAUGHT, PAIRS, PAIRS_INDEX, tokenizer, eos, dtype, config.params.exam.prompt)
    write_json(
        SIDECAR,
        {
            **counts,
            "tasks": tasks,
            "dtype": dtype,
            "vocab_size": tokenizer.get_vocab_size(),
            "eos": eos,
            "tokenizer_sha256": sha256(TOKENIZER),
        },
    )
    print(
        "pack: "
        + ", ".join(
            f"{s} {c['tokens']:,} tokens ({c['bytes'] / c['tokens']:.2f} bytes each)" for s, c in counts.items()
        )
        + f", {tasks['documents']:,} pairs {tasks['tokens']:,} tokens"
    )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("pack", main)
