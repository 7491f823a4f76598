"""Packs each split into one flat file of token ids, which training maps into memory.

Documents follow each other, each closed by <eos>. Each process takes so many bytes of the corpus at a time (encoder.py says how it is fast),
and the ids are written as they come, so memory does not grow with the corpus. After a kill packing goes on where it was: beside the
unfinished file stands how far it is good, and of which corpus and tokenizer. The sidecar pack.json says how many tokens and raw bytes each
file holds (bits per byte need both) and which tokenizer made them.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import atomic, flush, read_json, read_jsonl, sha256, write_json
from pipeline.core.paths import PAIRS, PAIRS_INDEX, PROCESSED, SIDECAR, SPECIAL_TOKENS, SPLITS, TAUGHT, TOKENIZER
from pipeline.core.progress import bar
from pipeline.core.prompt import as_prompt
from pipeline.core.workers import each
from pipeline.data.encoder import Encoder
from pipeline.data.tokenizer import load_tokenizer

BATCH_BYTES = 4 * 2**20
MARK_EVERY = 16  # batches; what a kill costs at most
PAIRS_BATCH = 5000


def batched(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


@lru_cache(1)
def encoder(tokenizer: Path, digest: str, dtype: str) -> Encoder:
    """One in each process, so that it goes on knowing the pieces that it has met; `digest` is of the tokenizer's file."""
    return Encoder(tokenizer, dtype)


def beginning_in(corpus: Path, start: int, size: int) -> Iterator[str]:
    """The texts whose lines begin in these bytes of a corpus."""
    with open(corpus, "rb") as lines:
        if start:
            lines.seek(start - 1)
            lines.readline()
        while lines.tell() < start + size and (line := lines.readline()):
            yield json.loads(line)["text"]


def encoded(start: int, corpus: Path, tokenizer: Path, digest: str, eos: int, dtype: str, size: int) -> dict:
    texts = list(beginning_in(corpus, start, size))
    ids = encoder(tokenizer, digest, dtype).batch(texts)
    end = np.array(eos, np.dtype(dtype).newbyteorder("<")).tobytes()
    return {
        "documents": len(texts),
        "bytes": sum(len(text.encode()) for text in texts),
        "ids": b"".join(part for each in ids for part in (each, end)),
    }


def begun(mark: Path, made_of: dict) -> tuple[int, dict[str, int]]:
    """How many bytes of the corpus were packed before a kill, and the counts of them: none, where that was another corpus or tokenizer."""
    if mark.exists() and (said := read_json(mark))["made_of"] == made_of:
        return said["read"], said["counts"]
    return 0, {"documents": 0, "tokens": 0, "bytes": 0}


def pack(corpus: Path, out: Path, tokenizer: Path, eos: int, dtype: str) -> dict[str, int]:
    """Writes the ids of all documents, little-endian, each followed by eos; returns counts of documents, tokens and raw bytes.

    Raises UserError when an id does not fit the dtype, or is not what tokenizers gives.
    """
    if (vocabulary := load_tokenizer(tokenizer).get_vocab_size()) - 1 > np.iinfo(dtype).max:
        raise UserError(f"{TOKENIZER}: {vocabulary} token ids do not fit dtype {dtype} of the data config; use uint32")
    width, length, digest = np.dtype(dtype).itemsize, corpus.stat().st_size, sha256(tokenizer)
    made_of = {"corpus": sha256(corpus), "tokenizer": digest, "eos": eos, "dtype": dtype, "size": BATCH_BYTES}
    work = partial(encoded, corpus=corpus, tokenizer=tokenizer, digest=digest, eos=eos, dtype=dtype, size=BATCH_BYTES)
    mark = out.with_name(f".{out.name}.unfinished.json")
    with ExitStack() as stack:
        stack.callback(mark.unlink, missing_ok=True)  # but not after a kill
        unfinished = stack.enter_context(atomic(out))
        if not unfinished.exists():
            mark.unlink(missing_ok=True)
        read, counts = begun(mark, made_of)
        file = stack.enter_context(open(unfinished, "ab"))
        file.truncate(counts["tokens"] * width)
        progress = stack.enter_context(bar(length, f"pack {out.stem}", "B", initial=read))
        starts = range(read, length, BATCH_BYTES)
        run = each if len(starts) > 1 else map  # for one batch, another process is not worth its start
        for n, part in enumerate(run(work, starts), 1):
            file.write(part["ids"])
            counts["documents"] += part["documents"]
            counts["tokens"] += len(part["ids"]) // width
            counts["bytes"] += part["bytes"]
            progress.update(min(read + n * BATCH_BYTES, length) - progress.n)
            if n % MARK_EVERY == 0:
                file.flush()
                flush(unfinished)
                write_json(mark, {"made_of": made_of, "read": read + n * BATCH_BYTES, "counts": counts})
    return counts


def pack_pairs(pairs: Path, out: Path, index: Path, tokenizer: Path, eos: int, dtype: str, prompt: str) -> dict:
    """Writes each pair as it is asked for: the prompt, then the program, then eos; the index has (start, tokens of the prompt, tokens in all)
    of each, int64. Prompt and program are encoded apart, as they are when the model is asked."""
    encode = encoder(tokenizer, sha256(tokenizer), dtype).batch
    end = np.array(eos, np.dtype(dtype).newbyteorder("<")).tobytes()
    rows, start, documents = [], 0, 0
    with atomic(out) as unfinished, open(unfinished, "wb") as file:
        for batch in batched(read_jsonl(pairs), PAIRS_BATCH):
            asked = encode([as_prompt(prompt, row["request"], row["board"]) for row in batch])
            programs = encode([row["program"] for row in batch])
            for request, program in zip(asked, programs, strict=True):
                file.write(request + program + end)
                tokens = len(request + program + end) // len(end)
                rows.append((start, len(request) // len(end), tokens))
                start += tokens
            documents += len(batch)
    with atomic(index) as unfinished:
        unfinished.write_bytes(np.array(rows, dtype="<i8").reshape(-1, 3).tobytes())
    return {"documents": documents, "tokens": start, "longest": max((row[2] for row in rows), default=0)}


def main(config) -> None:
    tokenizer, dtype = load_tokenizer(), config.data.dtype
    eos = tokenizer.token_to_id(read_json(SPECIAL_TOKENS)["eos"])
    # train_path and val_path are outputs of this stage: the config check holds them against dvc.yaml
    paths = {"train": Path(config.data.train_path), "val": Path(config.data.val_path), "test": PROCESSED / "test.bin"}
    counts = {split: pack(PROCESSED / f"{split}_corpus.jsonl", paths[split], TOKENIZER, eos, dtype) for split in SPLITS}
    tasks = pack_pairs(TAUGHT, PAIRS, PAIRS_INDEX, TOKENIZER, eos, dtype, config.params.exam.prompt)
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
