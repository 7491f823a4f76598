"""pack: the very bytes that an independent encoding gives, in little memory, and nothing half-written on a full disk or after a kill."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from chain import edit
from stages import copy_configs, files_under, run_stage, stage_environment, write_pairs
from tiny import CODE, DOCUMENTS, SPECIAL, make_tokenizer

from pipeline.core.errors import UserError
from pipeline.core.files import sha256
from pipeline.core.schema import SPLIT_PATTERNS
from pipeline.data import encoder
from pipeline.data import pack as module
from pipeline.data.encoder import Encoder
from pipeline.data.pack import BATCH_BYTES, MARK_EVERY, beginning_in, pack
from pipeline.data.tokenizer import train

HARD = [*DOCUMENTS, "<eos>\n", "\n", "a<eos><pad>b\n", '\u2028 \x85 {"text": 1}\n', CODE * 20]


def write_corpus(path: Path, texts) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"source": "x", "text": text}, ensure_ascii=False) + "\n" for text in texts)
    return path


PAIRS = [("Blink the LED\non pin 3", CODE), ("Print <eos>", 'print("<eos>")\n')]


def encoded(folder: Path, texts) -> list[int]:
    """All ids, one document at a time, with tokenizers alone."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return [n for text in texts for n in (*tokenizer.encode(text, add_special_tokens=False).ids, 1)]


@pytest.fixture
def project(tmp_path):
    """What the stage reads: configs, a tokenizer of 512 tokens and three corpora."""
    root = copy_configs(tmp_path / "project")
    for file in ("configs/tokenizers/robo-code-8k.yaml", "configs/models/robo-nano-5m.yaml"):
        edit(root, file, vocab_size=512)
    (root / "data/tokenizer").mkdir(parents=True)
    make_tokenizer(root / "data/tokenizer")
    for split, texts in (("train", HARD), ("val", HARD[:2]), ("test", HARD[2:4])):
        write_corpus(root / f"data/processed/{split}_corpus.jsonl", texts)
    write_pairs(root / "data/curriculum/train.jsonl", PAIRS)
    return root


@pytest.mark.parametrize("dtype, code", [("uint16", "H"), ("uint32", "I")])
def test_the_stage_writes_these_bytes_and_counts(project, dtype, code):
    edit(project, "configs/data/robo-code-8k-256.yaml", dtype=dtype)
    done = run_stage(project, "pack")
    assert done.returncode == 0, done.stderr
    sidecar = json.loads((project / "data/processed/pack.json").read_text())
    for split, texts in (("train", HARD), ("val", HARD[:2]), ("test", HARD[2:4])):
        ids = encoded(project / "data/tokenizer", texts)
        assert (project / f"data/processed/{split}.bin").read_bytes() == struct.pack(f"<{len(ids)}{code}", *ids)
        assert ids.count(1) == len(texts), "eos closes each document and stands nowhere else"
        assert sidecar.pop(split) == {
            "documents": len(texts),
            "tokens": len(ids),
            "bytes": sum(len(text.encode()) for text in texts),
        }
    asked = [[*encoded(project / "data/tokenizer", [f"# {' '.join(request.split())}\n"])[:-1]] for request, _ in PAIRS]
    whole = [
        [*ids, *encoded(project / "data/tokenizer", [program])] for ids, (_, program) in zip(asked, PAIRS, strict=True)
    ]
    flat, starts = [n for ids in whole for n in ids], [0, len(whole[0])]
    assert (project / "data/processed/tasks.bin").read_bytes() == struct.pack(f"<{len(flat)}{code}", *flat)
    rows = np.fromfile(project / "data/processed/tasks.idx", "<i8").reshape(-1, 3).tolist()
    assert rows == [[start, len(ask), len(ids)] for start, ask, ids in zip(starts, asked, whole, strict=True)]
    assert sidecar.pop("tasks") == {"documents": 2, "tokens": len(flat), "longest": max(map(len, whole))}
    assert sidecar == {
        "dtype": dtype,
        "vocab_size": 512,
        "eos": 1,
        "tokenizer_sha256": sha256(project / "data/tokenizer/tokenizer.json"),
    }
    first = files_under(project / "data/processed")
    assert not any(name.startswith(".") for name in first)
    assert run_stage(project, "pack").returncode == 0
    assert files_under(project / "data/processed") == first


@pytest.mark.parametrize("size", [1, 7, 100, 333, 10**6])
def test_every_text_begins_in_one_batch(tmp_path, size):
    corpus = write_corpus(tmp_path / "c.jsonl", HARD)
    found = [text for start in range(0, corpus.stat().st_size, size) for text in beginning_in(corpus, start, size)]
    assert found == HARD


def test_many_batches_give_the_bytes_of_one(tmp_path, tiny_tokenizer, monkeypatch):
    tokenizer, corpus = tiny_tokenizer / "tokenizer.json", write_corpus(tmp_path / "c.jsonl", HARD * 5)
    counts = pack(corpus, tmp_path / "one.bin", tokenizer, 1, "uint16")
    monkeypatch.setattr(module, "BATCH_BYTES", 100)
    assert pack(corpus, tmp_path / "many.bin", tokenizer, 1, "uint16") == counts
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "many.bin").read_bytes()
    assert np.fromfile(tmp_path / "one.bin", "<u2").max() < 512


@pytest.fixture(scope="module", params=SPLIT_PATTERNS)
def tokenizer(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    path.write_text(train(DOCUMENTS, 500, SPECIAL, request.param).to_str(), encoding="utf-8")
    return path


# One of each kind that the patterns tell apart, blanks of every kind, what folds to the letters after an apostrophe, and whole pieces
PLAIN = [
    *"aZ_9'sStTmMdD.,(\"\\\t\n\r\x0b\x0c\x00\x1c\x1f\x7f ",
    "  ",
    "\n\n",
    "\r\n",
    "'ll",
    "'RE",
    "'Ve",
    " the",
    "<eos>",
    "0x",
    "->",
]
WIDE = [
    *"éÉßŉſKſﬀﬆʼ’ªµ二й٣½Ⅷ²\u0301\u0903\u200d\u0345\x85\xa0\u1680\u2028\u2029\u3000\u180e\ufeff\ufffd",
    "👩‍👩",
    "'ſ",
    "இ",
    "हि",
]
NEWER = [*"\u0558\ua7ce\U00010940\u0378\U000e01ef"]  # letters and marks to some edition of Unicode


@pytest.mark.parametrize("alphabet", [PLAIN, PLAIN + WIDE, PLAIN + WIDE + NEWER], ids=["ascii", "any", "newer"])
def test_the_ids_are_those_of_tokenizers(tokenizer, alphabet):
    chance, encode = random.Random(1), Encoder(tokenizer, "uint16")
    texts = ["".join(chance.choices(alphabet, k=chance.randrange(60))) for _ in range(400)]
    for text in [*texts, "".join(texts), *HARD, "", " " * 10_000, "\n" * 10_000, "a" * 3000, " \n" * 3000 + "x"]:
        ids = np.frombuffer(encode.encode(text), "<u2").tolist()
        assert ids == encoded(tokenizer.parent, [text])[:-1], ascii(text[:200])


def test_characters_that_engines_know_otherwise_are_left_to_tokenizers(tokenizer):
    encode = Encoder(tokenizer, "uint16")
    text = f"x{NEWER[1]}y = 1"
    assert encode.any.findall(text) != [piece for piece, _ in encode.split.pre_tokenize_str(text)], "or choose another"
    assert encode.encode(text) == encode.whole(text) and encode.other == {NEWER[1]}
    assert not encode.ids, "not even cut by us"


def test_a_wrong_cut_ends_in_one_message_and_no_file(tmp_path, tiny_tokenizer, monkeypatch):
    path = tiny_tokenizer / "tokenizer.json"
    monkeypatch.setattr(Encoder, "is_same", lambda *_: True)
    monkeypatch.setattr(encoder, "ascii_only", lambda _: "(?s:.)")
    module.encoder.cache_clear()
    try:
        with pytest.raises(UserError, match=r"tokenizer\.json: packing cut a text otherwise than tokenizers does, at "):
            pack(write_corpus(tmp_path / "c.jsonl", [CODE]), tmp_path / "c.bin", path, 1, "uint16")
    finally:
        module.encoder.cache_clear()
    assert files_under(tmp_path).keys() == {"c.jsonl"}
    monkeypatch.undo()
    monkeypatch.setattr(encoder, "LETTERS", "A-Z")
    with pytest.raises(AssertionError):
        Encoder(path, "uint16")


def test_few_pieces_are_remembered(tokenizer, monkeypatch):
    monkeypatch.setattr(encoder, "MOST", 10)
    encode = Encoder(tokenizer, "uint16")
    assert encode.encode(CODE) == encode.whole(CODE) and len(encode.ids) <= 10


def test_packing_goes_on_where_it_was_killed(tmp_path, tiny_tokenizer, monkeypatch):
    tokenizer = tiny_tokenizer / "tokenizer.json"
    corpus, out, begun = write_corpus(tmp_path / "c.jsonl", HARD * 3), tmp_path / "c.bin", []
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    whole = pack(corpus, out, tokenizer, 1, "uint16")
    expected = out.read_bytes()

    def killed(work, starts, after):
        for n, start in enumerate(starts):
            if n == after:
                os._exit(9)
            yield work(start)

    def counted(work, starts):
        begun.append(starts[0] // 1000)
        return map(work, starts)

    def again(change=lambda: None):
        out.unlink()
        if not (child := os.fork()):
            module.each = lambda work, starts: killed(work, starts, 2 * MARK_EVERY + 5)
            pack(corpus, out, tokenizer, 1, "uint16")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9 and not out.exists()
        change()
        return pack(corpus, out, tokenizer, 1, "uint16")

    monkeypatch.setattr(module, "each", counted)
    assert again() == whole and out.read_bytes() == expected
    again(lambda: (tmp_path / ".c.bin.unfinished").unlink())
    assert out.read_bytes() == expected
    again(lambda: write_corpus(corpus, HARD * 4))
    assert out.read_bytes() == np.array(encoded(tiny_tokenizer, HARD * 4), "<u2").tobytes()
    assert begun == [2 * MARK_EVERY, 0, 0]
    assert files_under(tmp_path).keys() == {"c.jsonl", "c.bin"}


def test_ids_that_do_not_fit_are_refused(tmp_path, tiny_tokenizer):
    with pytest.raises(UserError, match="512 token ids do not fit dtype uint8 of the data config; use uint32"):
        pack(
            write_corpus(tmp_path / "c.jsonl", HARD), tmp_path / "c.bin", tiny_tokenizer / "tokenizer.json", 1, "uint8"
        )
    assert not list(tmp_path.glob("*.bin"))


PEAK = """
import os, re, sys
from pathlib import Path
from pipeline.data import pack
corpus, out, tokenizer = map(Path, sys.argv[1:])
work, pack.BATCH_BYTES = pack.encoded, pack.BATCH_BYTES // 16
def peak():
    return re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
def measured(*given, **named):
    done = work(*given, **named)
    out.with_name(f"worker-{os.getpid()}").write_text(peak())
    return done
pack.encoded = measured
pack.pack(corpus, out, tokenizer, 1, "uint16")
print(peak(), max(int(worker.read_text()) for worker in out.parent.glob("worker-*")))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path, tiny_tokenizer):
    """Of the process that writes and of those that encode; not by getrusage, which knows what the process was forked from, too."""
    peaks, sizes = [], []
    for times in (1, 20):
        folder = tmp_path / str(times)
        corpus = write_corpus(folder / "c.jsonl", (f"# {n}\n" + CODE for n in range(1500 * times)))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, corpus, folder / "out.bin", tiny_tokenizer / "tokenizer.json"],
            check=True,
            env=stage_environment(),
            capture_output=True,
            text=True,
        )
        peaks.append([int(each) for each in done.stdout.split()])
        sizes.append(corpus.stat().st_size)
    assert sizes[0] > 2 * BATCH_BYTES // 16, "the smaller one fills some batches too"
    for little, much in zip(*peaks, strict=True):
        assert much < 1.15 * little, f"KiB of the writer and of the largest encoder, for corpora of {sizes}: {peaks}"


@pytest.fixture
def small_disk(project):
    """data/processed of the project on a disk of 1 MiB."""
    processed = project / "data/processed"
    kept = files_under(processed)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(processed)], capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        for name, content in kept.items():
            (processed / name).write_bytes(content)
        yield processed
    finally:
        subprocess.run(["umount", str(processed)], check=True)


@pytest.mark.parametrize("room", [0, 5000, 60_000])
def test_a_full_disk_ends_in_one_message(project, small_disk, room):
    """Full at once, within the first file, and within a later one."""
    later = room == 60_000
    write_corpus(project / "data/processed/train_corpus.jsonl", [CODE] if later else [CODE * 100])
    write_corpus(project / "data/processed/test_corpus.jsonl", [CODE * 200] if later else [CODE])
    disk = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - room // 4096 * 4096)))
    before = files_under(small_disk)
    done = run_stage(project, "pack")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    full = "test.bin" if later else "train.bin"
    assert (
        message
        == f"error: data/processed/{full}: the disk is full. Nothing unfinished was left there; free some space and run again"
    )
    after = files_under(small_disk)
    whole = {
        f"{split}.bin": np.array(encoded(project / "data/tokenizer", texts), "<u2").tobytes()
        for split, texts in (("train", [CODE]), ("val", HARD[:2]))
    }
    assert after == before | (whole if later else {})


def test_a_kill_leaves_no_half_file(project):
    write_corpus(project / "data/processed/train_corpus.jsonl", (CODE * 40 for _ in range(1500)))
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.data.pack"],
        cwd=project,
        env=stage_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    unfinished = project / "data/processed/.train.bin.unfinished"
    try:
        until = time.monotonic() + 60
        while not (unfinished.exists() and unfinished.stat().st_size > 2**16):
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not list((project / "data/processed").glob("*.bin")) and not (project / "data/processed/pack.json").exists()
    write_corpus(project / "data/processed/train_corpus.jsonl", HARD)
    assert run_stage(project, "pack").returncode == 0
    assert len(np.fromfile(project / "data/processed/train.bin", "<u2")) == len(
        encoded(project / "data/tokenizer", HARD)
    )
    assert not unfinished.exists()


def test_the_special_tokens_file_says_which_is_eos(project):
    (project / "data/tokenizer/special_tokens.json").write_text(json.dumps(SPECIAL | {"eos": "<bos>"}))
    assert run_stage(project, "pack").returncode == 0
    assert np.fromfile(project / "data/processed/val.bin", "<u2")[-1] == 2
