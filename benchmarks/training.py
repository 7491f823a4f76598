"""How fast the trainer is and how soon it is good, beside nanoGPT (https://github.com/karpathy/nanoGPT, MIT) on this machine.

    python benchmarks/training.py CHECKOUT              tokens/s of a training step, for two profiles
    python benchmarks/training.py CHECKOUT --quality    seconds to the held-out bits per byte that nanoGPT reaches after 250 steps
    python benchmarks/training.py CHECKOUT --beside 2   the same beside two processes that never rest, as on a laptop in use

Both train the same shape on the same packed text of this folder, in turns, each turn in a fresh process; the best turn of each counts.
nanoGPT is run through its own train.py, in a scratch copy:

- as shipped: what its README tells people without a GPU to do, which is float32 without compiling;
- at its best: two lines changed, for bfloat16 autocast where this CPU is fast at it, fused AdamW, and compiled.

Ours is the train stage's own function, Lightning and callbacks included. The limit is the time that the shape's matrix products alone
take, forward and backward, in the same number format.
"""

import argparse
import json
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import Watch, watched
from tables import table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PROFILES = {
    "robo-nano-5m": ("robo-code-8k-256", 16),
    "robo-tiny-25m": ("robo-code-8k", 8),
}  # data config and batch: 4,096 tokens a step
TURNS, STEPS, SKIPPED = 2, {"ours": 40, "nanoGPT as shipped": 15, "nanoGPT at its best": 40}, 5
QUALITY_STEPS = 250
OURS = """
import json, sys
from pipeline.core.files import read_json
from pipeline.training.train import train
from pipeline.training.stop import Stop
model, training, data, sidecar = json.loads(sys.argv[1])
with Stop() as stop:
    figures = train(model, training, data, sidecar, stop)
print("RESULT", json.dumps({**figures, **read_json("metrics/speed.json")}))
"""
# nanoGPT's model on every token of the validation text, in windows of its context, as pipeline.evaluation.evaluate reads them.
THEIR_LOSS = """
import sys, numpy as np, torch
from model import GPT, GPTConfig
saved = torch.load("out/ckpt.pt", map_location="cpu", weights_only=True)
model = GPT(GPTConfig(**saved["model_args"]))
model.load_state_dict({name.removeprefix("_orig_mod."): value for name, value in saved["model"].items()})
model.eval()
ids = np.fromfile(sys.argv[1], np.uint16).astype(np.int64)
ids, size, total = torch.from_numpy(ids), model.config.block_size, 0.0
with torch.inference_mode():
    for start in range(0, len(ids) - 1, size):
        window = ids[start:start + size + 1][None]
        if window.shape[1] > 1:
            total += float(model(window[:, :-1], window[:, 1:])[1]) * (window.shape[1] - 1)
print("RESULT", total)
"""


def run(folder: Path, *command: str) -> str:
    """Runs Python in `folder`, with this project importable, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(f"{folder}: {' '.join(command)[:200]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def configs(profile: str, **training) -> tuple[dict, dict, dict, dict]:
    """model, training, data and sidecar as pipeline.training.train.train wants them; no dropout, as nanoGPT's default."""
    from pipeline.core.config import read_yaml
    from pipeline.core.files import read_json
    from pipeline.core.paths import SIDECAR

    data, batch = PROFILES[profile]
    model = {
        **read_yaml(ROOT / f"configs/models/{profile}.yaml"),
        "dropout": 0.0,
        "emb_dropout": 0.0,
        "attn_dropout": 0.0,
        "resid_dropout": 0.0,
    }
    t = {
        **read_yaml(ROOT / "configs/training/cpu-half-hour.yaml"),  # whose rates suit these widths
        "accumulate_grad_batches": 1,
        "sample_prompts": [],
        **training,
    }
    return model, t, {**read_yaml(ROOT / f"configs/data/{data}.yaml"), "batch_size": batch}, read_json(ROOT / SIDECAR)


# --- the two sides ----------------------------------------------------------------------------------------------------


def ours(profile: str, **training) -> tuple[dict, float]:
    """The figures of a run and its seconds, from a fresh process that has compiled nothing before."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data").symlink_to(ROOT / "data")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
        begun = time.perf_counter()
        said = run(Path(folder), "-c", OURS, json.dumps(configs(profile, **training)))
        took = time.perf_counter() - begun
    return json.loads(said.split("RESULT ")[1]), took


def scratch(checkout: Path, folder: Path, vocab_size: int, best: bool) -> Path:
    """A copy of nanoGPT with our packed text as a dataset, and changed as described above where `best`."""
    copy = folder / "nanoGPT"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git", "assets", "data"))
    (copy / "data/robo").mkdir(parents=True)
    for split in ("train", "val"):
        shutil.copy(ROOT / f"data/processed/{split}.bin", copy / "data/robo")
    (copy / "data/robo/meta.pkl").write_bytes(pickle.dumps({"vocab_size": vocab_size}))
    if best:
        for file, old, new in (
            ("train.py", "nullcontext() if device_type == 'cpu' else ", ""),
            ("model.py", "fused_available and device_type == 'cuda'", "fused_available"),
        ):
            text = (copy / file).read_text()
            assert old in text, f"nanoGPT's {file} is not the one that this benchmark knows"
            (copy / file).write_text(text.replace(old, new))
    return copy


def nanogpt(checkout: Path, profile: str, steps: int, best: bool, quality: bool = False) -> tuple[float, float | None]:
    """Tokens/s without the first steps, and the summed nats over the validation text where `quality` asks for them."""
    from pipeline.training.precision import choose

    model, _, data, _ = configs(profile)
    bfloat16 = best and choose("auto")[0] == "bf16-mixed"
    with tempfile.TemporaryDirectory() as folder:
        copy = scratch(checkout, Path(folder), model["vocab_size"], bfloat16)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
        said = run(
            copy,
            "train.py",
            "--dataset=robo",
            "--device=cpu",
            f"--compile={best}",
            f"--dtype={'bfloat16' if bfloat16 else 'float32'}",
            f"--n_layer={model['n_layers']}",
            f"--n_head={model['n_heads']}",
            f"--n_embd={model['d_model']}",
            f"--block_size={model['context_length']}",
            f"--batch_size={data['batch_size']}",
            "--gradient_accumulation_steps=1",
            "--bias=True",
            f"--max_iters={steps}",
            f"--lr_decay_iters={steps}",
            f"--warmup_iters={round(0.05 * steps)}",
            "--log_interval=1",
            f"--eval_interval={steps if quality else 10**9}",
            "--eval_iters=1",
        )
        times = [float(ms) / 1000 for ms in re.findall(r"iter \d+: loss [\d.]+, time ([\d.]+)ms", said)][SKIPPED:]
        times = [
            each for n, each in enumerate(times) if not quality or n + SKIPPED < steps
        ]  # the last one holds an evaluation
        nats = (
            float(run(copy, "-c", THEIR_LOSS, str(ROOT / "data/processed/val.bin")).split("RESULT ")[1])
            if quality
            else None
        )
    return data["batch_size"] * model["context_length"] * len(times) / sum(times), nats


def limit(profile: str) -> float:
    """Tokens/s if there were nothing but the matrix products of the linear layers and the head: one forward, two backward."""
    import torch

    from pipeline.training.precision import choose

    model, _, data, _ = configs(profile)
    dtype = torch.bfloat16 if choose("auto")[0] == "bf16-mixed" else torch.float32
    d, ff, tokens = model["d_model"], model["d_ff"], data["batch_size"] * model["context_length"]
    shapes = [(d, 3 * d), (d, d), (d, ff), (ff, d)] * model["n_layers"] + [(d, model["vocab_size"])]
    operands = [
        (torch.randn(tokens, n, dtype=dtype), torch.randn(n, m, dtype=dtype), torch.randn(tokens, m, dtype=dtype))
        for n, m in shapes
    ]
    best = math.inf
    for _ in range(5):
        begun = time.perf_counter()
        for x, weight, gradient in operands:
            x @ weight, gradient @ weight.T, x.T @ gradient
        best = min(best, time.perf_counter() - begun)
    return tokens / best


# --- what is shown ----------------------------------------------------------------------------------------------------


def speed(checkout: Path, watch: Watch) -> None:
    for profile in PROFILES:
        found: dict[str, list[float]] = {}
        for _ in range(TURNS):
            found.setdefault("ours", []).append(ours(profile, max_steps=STEPS["ours"])[0]["tokens_per_second"])
            for name in ("nanoGPT as shipped", "nanoGPT at its best"):
                found.setdefault(name, []).append(
                    nanogpt(checkout, profile, STEPS[name], best=name.endswith("best"))[0]
                )
            found.setdefault("the matrix products alone", []).append(limit(profile))
        best = {name: max(each) for name, each in found.items()}
        print(profile)
        table(
            ["", "tokens/s", "ours is", "turns"],
            [
                [
                    name,
                    f"{rate:,.0f}",
                    f"{watch.ratio(best['ours'] / rate)} times",
                    ", ".join(f"{each:,.0f}" for each in found[name]),
                ]
                for name, rate in best.items()
            ],
        )


def quality(checkout: Path, steps: int, watch: Watch) -> None:
    """Their training time against all of ours, from the start of the process to the written model, compiling included."""
    profile = "robo-nano-5m"
    _, _, data, sidecar = configs(profile)
    begun = time.perf_counter()
    rate, nats = nanogpt(checkout, profile, QUALITY_STEPS, best=False, quality=True)
    seconds = (
        QUALITY_STEPS * data["batch_size"] * data["block_size"] / rate
    )  # of its steps alone: no start, no evaluation
    print(f"nanoGPT took {time.perf_counter() - begun:.0f} s with its start and evaluations")
    held_out = sidecar["val"]
    figures, took = ours(profile, max_steps=steps, eval_every=steps, checkpoint_every=10**6)
    bits = {"nanoGPT as shipped": nats, "ours": figures["val_loss"] * held_out["tokens"]}
    rows = [["nanoGPT as shipped", str(QUALITY_STEPS), seconds], ["ours", str(steps), took]]
    table(
        ["", "steps", "bits per byte", "seconds", "of nanoGPT's"],
        [
            [name, count, f"{bits[name] / math.log(2) / held_out['bytes']:.4f}", f"{s:.0f}", watch.ratio(s / seconds)]
            for name, count, s in rows
        ],
    )


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keeps so many processes busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--quality", action="store_true", help="time to quality instead of tokens/s")
    parser.add_argument("--steps", type=int, default=80, help="ours, for --quality")
    parser.add_argument(
        "--beside", type=int, default=0, metavar="N", help="keep so many other processes busy meanwhile"
    )
    arguments = parser.parse_args()
    if not (arguments.checkout / "train.py").exists():
        sys.exit(f"error: {arguments.checkout}: no train.py there; give a checkout of nanoGPT")
    if not (ROOT / "data/processed/train.bin").exists():
        sys.exit("error: nothing is packed here; run `dvc repro pack` first")
    checkout = arguments.checkout.resolve()
    with watched() as watch, busy_processes(arguments.beside):
        if arguments.quality:
            quality(checkout, arguments.steps, watch)
        else:
            speed(checkout, watch)


if __name__ == "__main__":
    main()
