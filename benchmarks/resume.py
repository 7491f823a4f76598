"""Kills training with SIGKILL at random places, starts it again, and counts the bits that differ from a run that was not killed.

    python benchmarks/resume.py [--kills 20] [--seed 0] [--compiled]

A small model on made-up text, with everything on that could go wrong: dropout, accumulation, workers that load data, evaluations, and
AdamW and Muon in turns. A place is the n-th call of a function inside the run: a micro-batch, a batch of an evaluation, the writing of
a checkpoint. Every run is a process of its own, forked from this one after the imports, which take longer than the run. Eager and in
float32 by default; with `--compiled` as configs/training/cpu-minutes.yaml has it: compiled, `precision: auto` and all cores. Ends with status 1
when a single bit or line differs.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

STEPS, ACCUMULATE, EVAL_EVERY, CHECKPOINT_EVERY, VAL_BATCHES = 30, 2, 7, 4, 4
MODEL = dict(
    architecture="gpt2",
    vocab_size=512,
    context_length=32,
    d_model=64,
    n_layers=2,
    n_heads=2,
    d_ff=256,
    tie_embeddings=True,
    dropout=0.1,
)
TRAINING = dict(
    learning_rate=3e-3,
    muon_learning_rate=5e-3,
    init_from=None,
    warmup_ratio=0.2,
    min_lr=3e-4,
    weight_decay=0.1,
    betas=[0.9, 0.95],
    grad_clip_norm=1.0,
    precision="32-true",
    force_precision=False,
    accumulate_grad_batches=ACCUMULATE,
    max_steps=STEPS,
    max_tokens=None,
    max_time=None,
    eval_every=EVAL_EVERY,
    patience=None,
    keep="best",
    sample_prompts=[],
    checkpoint_every=CHECKPOINT_EVERY,
    compile=False,
    seed=7,
    devices=1,
    strategy="auto",
    num_nodes=1,
)
DATA = dict(
    train_path="train.bin",
    val_path="val.bin",
    block_size=32,
    stride=32,
    dtype="uint16",
    batch_size=4,
    num_workers=2,
    tasks_share=0.5,
    request_weight=0,
    program_weight=1,
)
PAIRS, PAIR, REQUEST = 300, 12, 5  # pairs, and tokens of one and of its request
SIDECAR = {
    "train": {"tokens": 8000},
    "tasks": {"tokens": PAIRS * PAIR},
    "tokenizer_sha256": "none",
    "eos": 1,
}
RESULTS = ("models/trained/model.safetensors", "metrics/train.csv", "metrics/train.json")


def places() -> dict[str, tuple[object, str, int]]:
    """Name of a place -> (what holds the function, its name, how often a whole run calls it)."""
    from pipeline.training.callbacks import Metrics
    from pipeline.training.module import Trainee

    evaluations = STEPS // EVAL_EVERY + 1
    return {
        "micro-batch": (Trainee, "training_step", STEPS * ACCUMULATE),
        "evaluation": (Metrics, "conclude", evaluations),
        "checkpoint": (Path, "replace", STEPS // CHECKPOINT_EVERY + 1),
    }  # written, but not yet under its name


def run(folder: Path, training: dict, kill_at: tuple[str, int] | None = None) -> int:
    """Trains in a process of its own, which kills itself at the n-th call of a place; returns how it ended, as os.waitpid says."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        os.chdir(folder)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        import torch

        from pipeline.training.train import Stop, train

        if not training["compile"]:
            torch.set_num_threads(1)  # this model is too small for more
        if kill_at:
            holder, name, _ = places()[kill_at[0]]
            original, left = getattr(holder, name), [kill_at[1]]

            def call(*arguments, **options):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **options)

            setattr(holder, name, call)
        with Stop() as stop:
            train(MODEL, training, DATA, SIDECAR, stop)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def prepare(folder: Path) -> Path:
    folder.mkdir()
    tokens = (np.cumsum(np.random.default_rng(3).integers(1, 4, 8000)) % 512).astype("<u2")
    tokens.tofile(folder / "train.bin")
    tokens[: VAL_BATCHES * 4 * 32 + 1].tofile(folder / "val.bin")
    (folder / "data/processed").mkdir(parents=True)
    tokens[: PAIRS * PAIR].tofile(folder / "data/processed/tasks.bin")
    pairs = [(PAIR * number, REQUEST, PAIR) for number in range(PAIRS)]
    np.array(pairs, dtype="<i8").tofile(folder / "data/processed/tasks.idx")
    return folder


def differing(a: bytes, b: bytes) -> int:
    """Bits."""
    if len(a) != len(b):
        return 8 * max(len(a), len(b))
    return int(np.unpackbits(np.frombuffer(a, np.uint8) ^ np.frombuffer(b, np.uint8)).sum())


def must_end_well(folder: Path, status: int) -> None:
    if status:
        sys.exit(f"a run ended with status {status}:\n{(folder / 'log').read_text()[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the places")
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="as configs/training/cpu-minutes.yaml has it, instead of eager in float32",
    )
    arguments = parser.parse_args()
    how = {"compile": True, "precision": "auto"} if arguments.compiled else {}
    training = {
        "muon": {**TRAINING, **how, "optimizer": "muon"},
        "adamw": {**TRAINING, **how, "optimizer": "adamw", "muon_learning_rate": None},
    }
    draw, bad = random.Random(arguments.seed), 0
    import lightning  # noqa: F401  before forking

    at = places()
    with tempfile.TemporaryDirectory() as scratch:
        whole = {}
        for optimizer in ("muon", "adamw"):
            folder = prepare(Path(scratch, optimizer))
            must_end_well(folder, run(folder, training[optimizer]))
            whole[optimizer] = [(folder / path).read_bytes() for path in RESULTS]
        print(f"{STEPS} steps; a checkpoint every {CHECKPOINT_EVERY}, an evaluation every {EVAL_EVERY}")
        print(
            "kill  optimizer  killed before           resumed from  weights: bits differing  train.csv: bits  train.json: bits"
        )
        for n in range(1, arguments.kills + 1):
            optimizer, place = ("muon", "adamw")[n % 2], draw.choice([*["micro-batch"] * 3, "evaluation", "checkpoint"])
            call = draw.randint(1, at[place][2])
            folder = prepare(Path(scratch, str(n)))
            killed = run(folder, training[optimizer], (place, call))
            assert os.WIFSIGNALED(killed) and os.WTERMSIG(killed) == signal.SIGKILL, (folder / "log").read_text()
            kept = sorted(folder.rglob("step-*.ckpt"))
            must_end_well(folder, run(folder, training[optimizer]))
            bits = [
                differing((folder / path).read_bytes(), before)
                for path, before in zip(RESULTS, whole[optimizer], strict=True)
            ]
            bad += any(bits)
            where = f"{place} {call}" + (f" (step {(call - 1) // ACCUMULATE + 1})" if place == "micro-batch" else "")
            start = f"step {int(kept[-1].stem.split('-')[1])}" if kept else "the beginning"
            print(f"{n:4}  {optimizer:9}  {where:22}  {start:13} {bits[0]:23}  {bits[1]:15}  {bits[2]:16}", flush=True)
    print(f"{arguments.kills - bad} of {arguments.kills} killed runs ended as the runs that were not killed")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
