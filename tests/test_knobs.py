"""Every knob of a model, training and data config, by its name: what turning it changes, and that it changes nothing else."""

import csv
import json
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import MODEL, TRAINING
from safetensors.torch import load_file
from test_training import model

from pipeline.core.errors import UserError
from pipeline.training import clock, precision
from pipeline.training.clock import Clock
from pipeline.training.stop import Stop
from pipeline.training.train import number_of_steps, train

SIDECAR = {"train": {"tokens": 6000}, "tokenizer_sha256": "none", "eos": 1}
DATA = dict(
    train_path="train.bin",
    val_path="val.bin",
    block_size=16,
    stride=16,
    dtype="uint16",
    batch_size=4,
    num_workers=0,
    tasks_share=0.0,
    request_weight=0,
    program_weight=1,
)
SHAPE = {**MODEL, "context_length": 16, "d_model": 32, "n_heads": 1, "d_ff": 128}
PLAIN = {
    **TRAINING,
    "optimizer": "adamw",
    "muon_learning_rate": None,
    "warmup_ratio": 0.0,
    "accumulate_grad_batches": 1,
    "max_steps": 3,
    "eval_every": 100,
    "checkpoint_every": 100,
    "sample_prompts": [],
}


class Run:
    """One training in this process. Attributes: figures, rows (of train.csv), weights."""

    def __init__(
        self,
        shape: dict | None = None,
        data: dict | None = None,
        sidecar: dict | None = None,
        tokenizer=None,
        **training,
    ):
        if not Path("train.bin").exists():
            # text with something to learn: each token follows from the one before
            tokens = (np.cumsum(np.random.default_rng(3).integers(1, 4, 6000)) % 512).astype("<u2")
            tokens.tofile("train.bin")
            tokens[:500].tofile("val.bin")
        with Stop() as stop:
            self.figures = train(
                {**SHAPE, **(shape or {})},
                {**PLAIN, **training},
                {**DATA, **(data or {})},
                {**SIDECAR, **(sidecar or {})},
                stop,
                tokenizer,
            )
        with open("metrics/train.csv") as file:
            self.rows = list(csv.DictReader(file))
        self.weights = load_file("models/trained/model.safetensors")

    def __getitem__(self, column: str) -> list[float]:
        return [float(row[column]) for row in self.rows if row[column]]

    def __eq__(self, other: "Run") -> bool:
        return all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)

    def distance(self, other: dict) -> float:
        return sum(float((self.weights[name] - other[name]).double().square().sum()) for name in self.weights) ** 0.5


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own; and one thread, since these models are too small for two and wait for the second on a busy machine."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def initial(shape: dict | None = None) -> dict:
    """The weights that a run of PLAIN's seed starts from."""
    from pipeline.model import ModelConfig, Transformer

    torch.manual_seed(PLAIN["seed"])
    return {
        name: p.detach().clone()
        for name, p in Transformer(ModelConfig.from_dict({**SHAPE, **(shape or {})})).state_dict().items()
    }


# --- the model --------------------------------------------------------------------------------------------------------


def test_knob_vocab_size():
    assert model(vocab_size=1024).count_parameters() - model(vocab_size=512).count_parameters() == 512 * 64


def test_knob_d_model():
    c = {**MODEL, "d_model": 128, "d_ff": 512}
    assert model(**c).count_parameters() == 512 * 128 + 256 * 128 + 12 * 128**2 + 13 * 128 + 2 * 128


def test_knob_n_layers():
    assert model(n_layers=3).count_parameters() - model(n_layers=1).count_parameters() == 2 * (12 * 64**2 + 13 * 64)


def test_knob_n_heads():
    one, two = model(n_heads=1), model(n_heads=2)
    ids = torch.randint(512, (1, 8))
    assert one.count_parameters() == two.count_parameters() and not torch.allclose(one.eval()(ids), two.eval()(ids))


def test_knob_n_kv_heads():
    shared, own = model(architecture="llama", n_kv_heads=1), model(architecture="llama", n_kv_heads=2)
    assert shared.blk[0].attn_k.weight.shape == (32, 64) and own.blk[0].attn_k.weight.shape == (64, 64)
    # two heads that share are two heads with the same keys and values
    for name in ("attn_k", "attn_v"):
        getattr(own.blk[0], name).weight.data = getattr(shared.blk[0], name).weight.data.repeat(2, 1)
    own.load_state_dict(
        {k: v for k, v in shared.state_dict().items() if "attn_k" not in k and "attn_v" not in k}, strict=False
    )
    ids = torch.randint(512, (1, 8))
    assert torch.allclose(shared.eval()(ids), own.eval()(ids), atol=1e-6)


def test_knob_d_ff():
    wide, narrow = (model(architecture="llama", n_kv_heads=2, d_ff=d_ff) for d_ff in (160, 128))
    assert wide.count_parameters() - narrow.count_parameters() == 3 * 64 * 32


def test_knob_context_length():
    assert (
        model(context_length=288).count_parameters() - model().count_parameters() == 32 * 64
    )  # gpt2's learned positions
    assert model(context_length=288)(torch.zeros(1, 288, dtype=torch.long)).shape == (1, 288, 512)
    with pytest.raises(ValueError, match="257 tokens do not fit a context of 256"):
        model()(torch.zeros(1, 257, dtype=torch.long))


@pytest.mark.parametrize("which", ["dropout", "emb_dropout", "attn_dropout", "resid_dropout"])
def test_knob_dropouts(which):
    """Each acts in training, and neither in evaluation nor in what is exported."""
    none = dict.fromkeys(("dropout", "emb_dropout", "attn_dropout", "resid_dropout"), 0.0)
    # at a rate of next to nothing the weights stay, so the evaluation is that of the same model
    plain, dropped = (
        Run(none, max_steps=1, learning_rate=1e-12, min_lr=0.0),
        Run({**none, which: 0.5}, max_steps=1, learning_rate=1e-12, min_lr=0.0),
    )
    assert plain["loss"] != dropped["loss"] and plain["val_loss"] == dropped["val_loss"]
    from pipeline.model.checkpoint import load_model

    Path("tokenizer.json").write_text("{}")
    config = json.loads(Path("models/trained/config.json").read_text())
    assert config["model"][which] == 0.5  # kept, for whoever trains on; a loaded model is in evaluation mode
    from pipeline.core.files import sha256

    Path("models/trained/config.json").write_text(
        json.dumps({**config, "tokenizer_sha256": sha256(Path("tokenizer.json"))})
    )
    loaded, ids = load_model(Path("tokenizer.json"), Path("models/trained")), torch.arange(16)[None]
    assert torch.equal(loaded(ids), loaded(ids))


# --- training ---------------------------------------------------------------------------------------------------------


def test_knob_learning_rate():
    """AdamW's first step is the rate times the gradient's sign, so twice the rate goes twice as far."""
    once, twice = (
        Run(max_steps=1, learning_rate=rate, min_lr=0.0, weight_decay=0.0).distance(initial()) for rate in (1e-3, 2e-3)
    )
    assert twice == pytest.approx(2 * once, rel=1e-3)


def test_knob_muon_learning_rate():
    slow, fast = (
        Run(max_steps=1, optimizer="muon", muon_learning_rate=rate, weight_decay=0.0, warmup_ratio=0.0)
        for rate in (1e-3, 2e-3)
    )
    start = initial()
    moved = [{name: float((run.weights[name] - start[name]).norm()) for name in run.weights} for run in (slow, fast)]
    for name in start:
        if name != "output.weight":
            inner = name.startswith("blk.") and start[name].ndim == 2
            assert moved[1][name] == pytest.approx((2 if inner else 1) * moved[0][name], rel=1e-3)


def test_knob_optimizer():
    assert Run(optimizer="muon", muon_learning_rate=5e-3) != Run()


def test_knob_warmup_ratio():
    rates = Run(max_steps=10, warmup_ratio=0.4, learning_rate=1e-3, min_lr=1e-4)["learning_rate"]
    assert rates[:5] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3], rel=1e-5) and rates == sorted(rates[:4]) + sorted(
        rates[4:], reverse=True
    )
    assert Run(max_steps=3, warmup_ratio=0.0, learning_rate=1e-3)["learning_rate"][0] == 1e-3


@pytest.mark.parametrize("floor", [0.0, 1e-4])
def test_knob_min_lr(floor):
    rates = Run(max_steps=8, learning_rate=1e-3, min_lr=floor)["learning_rate"]
    assert rates[0] == 1e-3 and rates[-1] == floor
    middle = floor + (1e-3 - floor) * 0.5 * (1 + np.cos(np.pi * 3 / 7))
    assert rates[3] == pytest.approx(middle, rel=1e-5)  # a cosine between them


def test_knob_weight_decay():
    """A matrix loses rate x decay of itself at a step; biases and norms lose nothing."""
    with_decay, without = (Run(max_steps=1, learning_rate=1e-3, weight_decay=decay) for decay in (0.5, 0.0))
    for name, before in initial().items():
        if name != "output.weight":
            lost = before * 1e-3 * 0.5 if before.ndim == 2 else torch.zeros_like(before)
            assert torch.allclose(without.weights[name] - with_decay.weights[name], lost, atol=2e-8), name


def test_knob_betas():
    """The first step does not depend on them, later ones do."""
    runs = {
        (steps, betas): Run(max_steps=steps, min_lr=3e-3, betas=list(betas))
        for steps in (1, 2)
        for betas in ((0.9, 0.95), (0.5, 0.999))
    }
    assert runs[1, (0.9, 0.95)].distance(runs[1, (0.5, 0.999)].weights) < 1e-3 * runs[2, (0.9, 0.95)].distance(
        runs[2, (0.5, 0.999)].weights
    )


def test_knob_grad_clip_norm():
    """null is a bound that is never met. Gradients clipped far below AdamW's epsilon hardly move anything; the norm shown is that before clipping."""
    none, loose, tight = (Run(grad_clip_norm=norm, weight_decay=0.0) for norm in (None, 1e9, 1e-9))
    assert none == loose and tight.distance(initial()) < 0.1 * none.distance(initial())
    assert none["gradient_norm"][0] == tight["gradient_norm"][0] > 0.1


def test_knob_precision():
    full, half = Run(precision="32-true"), Run(precision="bf16-mixed", force_precision=True)
    assert json.loads(Path("metrics/speed.json").read_text())["precision"] == "bf16-mixed"
    assert full != half and full["loss"] == pytest.approx(half["loss"], abs=0.05)
    assert all(weights.dtype == torch.float32 for weights in half.weights.values())
    chosen = precision.choose("auto")[0]
    Run(precision="auto")
    assert json.loads(Path("metrics/speed.json").read_text())["precision"] == chosen


@pytest.mark.skipif(torch.cuda.is_available(), reason="about CPUs")
def test_knob_force_precision(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)  # one machine cannot be both kinds
    with pytest.raises(UserError, match=r"about 60 times slower than in float32.*force_precision: true"):
        precision.choose("bf16-mixed")
    assert precision.choose("bf16-mixed", force=True)[0] == "bf16-mixed"
    with pytest.raises(UserError, match="16-mixed needs a GPU"):
        precision.choose("16-mixed", force=True)


def test_knob_accumulate_grad_batches():
    """Two micro-batches of 4 are one batch of 8, but for rounding, and count as such."""
    two, one = Run(accumulate_grad_batches=2), Run(data={"batch_size": 8})
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-4) and two["tokens"] == one["tokens"] == [128, 256, 384]
    assert two.figures["tokens_per_step"] == 4 * 16 * 2
    assert two.distance(one.weights) < 1e-2 * two.distance(initial())


def test_knob_max_steps():
    run = Run(max_steps=5)
    assert run["step"] == [1, 2, 3, 4, 5] and (run.figures["steps"], run.figures["ended"]) == (5, "max_steps")


def test_knob_max_tokens():
    """It stops before it would exceed them, and the rate has come down by then."""
    run = Run(max_steps=100, max_tokens=4 * 64 + 63, learning_rate=1e-3, min_lr=1e-4)
    assert (
        run["tokens"] == [64, 128, 192, 256]
        and run["learning_rate"][-1] == 1e-4
        and run.figures["ended"] == "max_tokens"
    )
    assert number_of_steps({"max_steps": 3, "max_tokens": 10_000}, 64) == 3
    with pytest.raises(UserError, match="max_tokens: 63 is less than one step of 64 tokens"):
        number_of_steps({"max_steps": 3, "max_tokens": 63}, 64)


def test_knob_max_time(monkeypatch):
    run = Run(max_steps=10**6, max_time="00:00:01")
    assert run.figures["steps"] < 10**6 and run.figures["ended"] == "max_time" and run.rows[-1]["val_loss"]
    # a machine on which everything takes its time: the clock brings the rate down, over a warm-up and a peak
    ticks = count()
    monkeypatch.setattr(clock, "Clock", lambda max_time: Clock(max_time, lambda: next(ticks) / 10))
    rates = Run(max_steps=10**6, max_time="00:00:20", learning_rate=1e-3, min_lr=1e-4, warmup_ratio=0.1)[
        "learning_rate"
    ]
    assert 20 < len(rates) < 200 and max(rates) > 9.5e-4 and rates[-1] < 1.2e-4 and rates[0] < 1e-4
    still = Run(max_steps=3, max_time="01:00:00", learning_rate=1e-3, min_lr=1e-4)
    assert (
        still["learning_rate"] == Run(max_steps=3, learning_rate=1e-3, min_lr=1e-4)["learning_rate"]
        and still.figures["ended"] == "max_steps"
    )


def test_the_clock_spreads_what_is_left_of_the_schedule():
    now = [0.0]

    def at(clock, second):
        now[0] = second
        clock.tick()
        return clock.share

    first = Clock("00:01:40", lambda: now[0])
    first.start()
    assert [at(first, s) for s in (20, 60, 84)] == [
        0.0,
        0.5,
        0.8,
    ] and not first.is_over  # 20 s of compiling take no part of the schedule
    second = Clock("00:01:40", lambda: now[0])
    second.load_state_dict(first.state_dict())
    now[0] = 1000.0
    second.start()
    assert (
        at(second, 1006) == 0.8 and at(second, 1011) == pytest.approx(0.9) and not second.is_over
    )  # 90 s used, 10 left at its first step
    assert at(second, 1016) == 1.0 and second.is_over


def test_knob_seed():
    dropout = {"dropout": 0.2}
    assert Run(dropout, seed=1) == Run(dropout, seed=1) and Run(dropout, seed=1) != Run(dropout, seed=2)


def test_knob_eval_every():
    assert [row["step"] for row in Run(max_steps=7, eval_every=3).rows if row["val_loss"]] == ["3", "6", "7"]


def overfit(**dials) -> Run:
    """A run whose val loss rises from its first evaluation on: the training text is three tokens, the held-out text is anything."""
    (np.arange(6000) % 3).astype("<u2").tofile("train.bin")
    np.random.default_rng(5).integers(0, 512, 500).astype("<u2").tofile("val.bin")
    return Run(learning_rate=1e-2, min_lr=1e-2, eval_every=2, **dials)


def test_knob_patience(capsys):
    run = overfit(max_steps=40, patience=3)
    assert (run.figures["steps"], run.figures["ended"], run.figures["overfitting_since"]) == (8, "patience", 2)
    assert (
        run["val_loss"] == sorted(run["val_loss"])
        and "val loss has risen 3 times in a row since step 2" in capsys.readouterr().out
    )
    assert overfit(max_steps=9, patience=None).figures["steps"] == 9


def test_knob_keep():
    best, last = overfit(max_steps=6, keep="best"), overfit(max_steps=6, keep="last")
    assert (best.figures["kept_step"], last.figures["kept_step"]) == (2, 6) and best["loss"] == last["loss"]
    assert best.figures["val_loss"] == best["val_loss"][0] and last.figures["val_loss"] == best["val_loss"][-1]
    # what was kept is what it was then: here at the end of a run of two steps with the same rates
    assert best == overfit(max_steps=2, keep="last")


def test_knob_sample_prompts(tiny_tokenizer):
    from pipeline.data.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(tiny_tokenizer / "tokenizer.json")
    with_samples = Run(
        {"dropout": 0.2}, tokenizer=tokenizer, sample_prompts=["import ", "led = "], max_steps=4, eval_every=2
    )
    text = Path("reports/training_samples.md").read_text()
    assert text.count("## Step") == 2 and text.count("import ▸") == text.count("led = ▸") == 2
    assert with_samples == Run(
        {"dropout": 0.2}, sample_prompts=[], max_steps=4, eval_every=2
    )  # writing disturbs nothing
    assert "## Step" not in Path("reports/training_samples.md").read_text()


def test_knob_init_from():
    first = Run(max_steps=4, learning_rate=1e-2)
    shutil.copytree("models/trained", "checkpoints/mine")
    tuned = Run(max_steps=1, learning_rate=1e-4, init_from="checkpoints/mine")
    assert tuned["learning_rate"] == [1e-4] and tuned.distance(first.weights) < 0.1 * first.distance(initial())
    assert tuned["val_loss"][0] == pytest.approx(first["val_loss"][-1], abs=0.05)
    Run({"dropout": 0.3}, max_steps=1, init_from="checkpoints/mine")  # dropout may differ
    with pytest.raises(
        UserError,
        match=r"checkpoints/mine does not fit this run: n_layers 1 there, 2 here; tokenizer none there, other here",
    ):
        Run({"n_layers": 2}, sidecar={"tokenizer_sha256": "other"}, init_from="checkpoints/mine")
    with pytest.raises(UserError, match=r"checkpoints/other/config.json: no such file"):
        Run(init_from="checkpoints/other")


# --- data -------------------------------------------------------------------------------------------------------------


def test_knob_block_size_and_batch_size():
    run = Run({"context_length": 32}, {"block_size": 32, "batch_size": 2})
    assert run["tokens"] == [64, 128, 192]


def test_knob_stride():
    """Half the stride shows other blocks; every block begins where the stride says."""
    assert Run(data={"stride": 8}) != Run()


def test_knob_num_workers():
    assert Run(data={"num_workers": 2}) == Run()


def test_knob_dtype():
    same = Run()
    np.fromfile("train.bin", "<u2").astype("<u4").tofile("train32.bin")
    np.fromfile("val.bin", "<u2").astype("<u4").tofile("val32.bin")
    assert Run(data={"dtype": "uint32", "train_path": "train32.bin", "val_path": "val32.bin"}) == same
