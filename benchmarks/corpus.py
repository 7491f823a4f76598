"""How the stages from collect to pack grow with the text: MB/s and memory of each at several sizes, and the straight line to 10 GB.

    python benchmarks/corpus.py                             10, 30 and 90 MB, about ten minutes on 2 cores
    python benchmarks/corpus.py --megabytes 300 1000        other sizes
                                --unprepared                without the slowest stage: what was collected goes on as it is

The text is all Python that this machine has, the environment's and the system's. Where that is not enough, files come again with many of their
words changed, so that later text still brings new words. Every stage does what it does in the chain, with the dials of params.yaml, in a
process of its own. Memory is what that process and its children have to themselves (Pss_Anon of proc(5)), looked at ten times a second; pages of
mapped files are not in it, since the system may take them back. Everything lies in a folder under .state, which goes at the end.
"""

import argparse
import hashlib
import json
import os
import random
import re
import resource
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir
from itertools import count
from multiprocessing import Pipe, get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from machine import watched  # noqa: E402
from tables import table  # noqa: E402

from pipeline.core.config import Config  # noqa: E402
from pipeline.core.files import read_jsonl, write_text  # noqa: E402
from pipeline.core.paths import SPLITS  # noqa: E402

FOLDERS = 40  # each a source, since one may have 20,000 files: the first is for val, the second for test
GOAL = 10_000  # MB
ALONE = 5 * 10**6  # bytes that tokenizers encodes alone, for comparison
RAW, PROCESSED, VOCABULARY, IDS = (
    Path("data/raw"),
    Path("data/processed"),
    Path("data/tokenizer.json"),
    Path("data/ids"),
)


def python_files() -> list[Path]:
    """All that this machine has, in an order that says nothing."""
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")} | {
        Path("/usr/lib")
    }
    found = {path.resolve() for place in places for path in place.rglob("*.py") if path.is_file()}
    return sorted(found, key=lambda path: hashlib.sha256(str(path).encode()).digest())


def texts() -> Iterator[str]:
    """Each file once, and then again and again with a third of its longer words made others, each the same in the whole file."""
    files = python_files()
    for turn in count():
        for number, path in enumerate(files):
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if turn:
                chance = random.Random(f"{turn} {number}")
                words = [word for word in sorted(set(re.findall(r"(?a)[a-z]{5,}", text))) if chance.random() < 1 / 3]
                other = {word: "".join(chance.sample(word, len(word))) for word in words}
                text = re.sub(r"(?a)[a-z]{5,}", lambda found, other=other: other.get(found[0], found[0]), text)
            yield text


def make(megabytes: float) -> None:
    """Writes so much text under corpora/."""
    for n in range(FOLDERS):
        Path("corpora", f"part-{n}").mkdir(parents=True)
    written = 0
    for number, text in enumerate(texts()):
        written += Path(f"corpora/part-{number % FOLDERS}/file_{number}.py").write_bytes(text.encode())
        if written >= megabytes * 1e6:
            break


def collect() -> int:
    from pipeline.core.schema import FolderSource
    from pipeline.data.collect import collect as stage

    splits = ["val", "test"] + ["train"] * (FOLDERS - 2)
    sources = [
        FolderSource(
            name=f"part-{n}", kind="folder", path=f"corpora/part-{n}", license="MIT", split=split, include=["*.py"]
        )
        for n, split in enumerate(splits)
    ]
    return sum(row["bytes"] for row in stage(sources, RAW))


def prepare() -> int:
    from pipeline.data.prepare import prepare as stage

    stage(Config(ROOT).params.prepare.model_dump(), RAW, PROCESSED)
    return sum(row["bytes"] for row in read_jsonl(RAW / "provenance.jsonl"))


def unprepared() -> None:
    """The corpus files as prepare leaves them, of all that was collected."""
    PROCESSED.mkdir(parents=True)
    with ExitStack() as stack:
        files = {split: stack.enter_context(open(PROCESSED / f"{split}_corpus.jsonl", "w")) for split in SPLITS}
        for row in read_jsonl(RAW / "provenance.jsonl"):
            text = (RAW / row["source"] / row["path"]).read_text(encoding="utf-8")
            files[row["split"]].write(json.dumps({**row, "text": text}, ensure_ascii=False) + "\n")


def tokenizer() -> int:
    from pipeline.data.tokenizer import texts_of, train

    c = Config(ROOT).tokenizer
    special = c.special_tokens.model_dump(exclude_none=True)
    corpus = PROCESSED / "train_corpus.jsonl"
    write_text(VOCABULARY, train(texts_of([corpus]), c.vocab_size, special, c.split_pattern).to_str())
    return corpus.stat().st_size


def pack() -> int:
    from pipeline.data.pack import pack as stage

    counts = [
        stage(PROCESSED / f"{split}_corpus.jsonl", IDS, VOCABULARY, 1, "uint16") for split in ("val", "test", "train")
    ]
    return sum(count["bytes"] for count in counts)


def alone() -> int:
    """What pack did before it had an encoder of its own, on the first of the text, which must give the same ids."""
    from pipeline.data.tokenizer import load_tokenizer

    batch, size = [], 0
    for row in read_jsonl(PROCESSED / "train_corpus.jsonl"):
        batch.append(row["text"])
        if (size := size + len(row["text"].encode())) >= ALONE:
            break
    encoded = load_tokenizer(VOCABULARY).encode_batch_fast(batch, add_special_tokens=False)
    ids = [number for each in encoded for number in (*each.ids, 1)]
    assert np.array_equal(np.memmap(IDS, "<u2", "r")[: len(ids)], ids), "packing gives other ids than tokenizers"
    return size


def own_memory(process: psutil.Process) -> int:
    """Bytes that a process and its children have to themselves."""
    found = 0
    for each in (process, *process.children(recursive=True)):
        try:
            said = Path(f"/proc/{each.pid}/smaps_rollup").read_text()
        except OSError:  # it ended meanwhile
            continue
        found += sum(1024 * int(kilobytes) for kilobytes in re.findall(r"^Pss_Anon:\s+(\d+)", said, re.MULTILINE))
    return found


def answer(pipe, stage: Callable[[], int]) -> None:
    began = time.perf_counter()
    done = stage()
    pipe.send((done, time.perf_counter() - began))


class Figures(NamedTuple):
    mb: float
    seconds: float
    cpu: float  # seconds, of all processes
    memory: float  # MB at most


def measured(stage: Callable[[], int]) -> Figures:
    """What a stage takes in a process of its own."""
    here, there = Pipe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = get_context("spawn").Process(target=answer, args=(there, stage))
    child.start()
    most, process = 0, psutil.Process(child.pid)
    while child.is_alive():
        most = max(most, own_memory(process))
        child.join(0.1)
    if child.exitcode:
        sys.exit(f"error: {stage.__name__} failed, see above")
    done, seconds = here.recv()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(done / 1e6, seconds, cpu, most / 1e6)


def line(figures: list[Figures], what: str) -> tuple[float, float]:
    """How much it grows with each MB of text, and what it comes to at GOAL, by a straight line."""
    slope, start = np.polyfit([each.mb for each in figures], [getattr(each, what) for each in figures], 1)
    return slope, start + slope * GOAL


def stop(*_) -> None:
    sys.exit("error: stopped by SIGTERM")  # and the folder goes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 30, 90], help="sizes of the raw text")
    parser.add_argument("--unprepared", action="store_true", help="leaves prepare out")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    os.environ["PYTHONPATH"] = str(ROOT)
    stages = [collect, *([] if arguments.unprepared else [prepare]), tokenizer, pack, alone]
    found: dict[str, list[Figures]] = {stage.__name__: [] for stage in stages}
    (ROOT / ".state").mkdir(exist_ok=True)
    with watched():
        for size in arguments.megabytes:
            with tempfile.TemporaryDirectory(prefix="corpus-", dir=ROOT / ".state") as folder, chdir(folder):
                make(size)
                print(f"{size:g} MB of text")
                for stage in stages:
                    found[stage.__name__].append(measured(stage))
                    if stage is collect and arguments.unprepared:
                        unprepared()
            show(found)
    if len(arguments.megabytes) > 1:
        extrapolate(found)


def show(found: dict[str, list[Figures]]) -> None:
    """What each stage took of the last size."""
    table(
        ["stage", "MB", "seconds", "MB/s", "MB a second of a core", "MB of memory"],
        [
            [
                name,
                f"{f.mb:.1f}",
                f"{f.seconds:.1f}",
                f"{f.mb / f.seconds:.2f}",
                f"{f.mb / f.cpu:.2f}",
                f"{f.memory:.0f}",
            ]
            for name, (*_, f) in found.items()
        ],
    )


def extrapolate(found: dict[str, list[Figures]]) -> None:
    """What each stage would take of GOAL."""
    table(
        [
            f"{GOAL / 1000:g} GB, by a straight line",
            "hours",
            "hours of a core",
            "MB of memory",
            "of them a MB of text",
        ],
        [
            [
                name,
                f"{line(figures, 'seconds')[1] / 3600:.2f}",
                f"{line(figures, 'cpu')[1] / 3600:.2f}",
                f"{line(figures, 'memory')[1]:.0f}",
                f"{line(figures, 'memory')[0]:.2f}",
            ]
            for name, figures in found.items()
            if name != "alone"
        ],
    )
    print(
        "tokenizer reads at most 500 MiB, and a process of pack remembers at most a million pieces: above that their lines are flat"
    )


if __name__ == "__main__":
    main()
