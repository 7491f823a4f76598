"""Training: every part against a reference or a formula, and a run that is killed against one that is not."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import MODEL, REPOSITORY, TRAINING
from safetensors.torch import load_file

from pipeline.core.errors import UserError
from pipeline.model import ModelConfig, Transformer
from pipeline.training import compiler, precision, resume
from pipeline.training.callbacks import diverged, overfitting
from pipeline.training.data import AHEAD, Blocks, Mixture, Order, Pairs, windows
from pipeline.training.optimizer import make_optimizer, orthogonalise, rate_at
from pipeline.training.resume import run_key
from pipeline.training.train import check_packed, code_hashes, smaller
from pipeline.training.utilisation import flops_per_token, peak


def model(**changes) -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig.from_dict({**MODEL, **changes}))


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        dict(),
        dict(tie_embeddings=False),
        dict(architecture="llama", n_kv_heads=1, d_ff=128),
        dict(architecture="qwen3", n_kv_heads=2, d_ff=128),
        dict(architecture="lfm2", n_kv_heads=2, d_ff=128, n_layers=3, conv_layers=[0, 2], conv_size=4),
    ],
    ids=["gpt2", "untied", "llama", "qwen3", "lfm2"],
)
def test_parameters_are_what_the_shape_says(shape):
    c = {**MODEL, **shape}
    d, v, kv = c["d_model"], c["vocab_size"], c.get("n_kv_heads", c["n_heads"]) * (c["d_model"] // c["n_heads"])
    if c["architecture"] == "gpt2":
        expected = (
            v * d + c["context_length"] * d + c["n_layers"] * (12 * d * d + 13 * d) + 2 * d
        )  # the reference's formula
    else:
        convolutions = len(c.get("conv_layers", []))
        head_norms = 2 * d // c["n_heads"] if c["architecture"] in ("qwen3", "lfm2") else 0
        attention = (c["n_layers"] - convolutions) * (2 * d * d + 2 * d * kv + head_norms)
        expected = (
            v * d + attention + convolutions * (4 * d * d + 4 * d) + c["n_layers"] * (3 * d * c["d_ff"] + 2 * d) + d
        )
    assert model(**shape).count_parameters() == expected + (0 if c["tie_embeddings"] else v * d)


@pytest.mark.parametrize("which", ["dropout", "emb_dropout", "attn_dropout", "resid_dropout"])
def test_each_dropout_acts_in_training_and_only_there(which):
    none = {"dropout": 0.0, "emb_dropout": 0.0, "attn_dropout": 0.0, "resid_dropout": 0.0}
    plain, dropped = model(**none), model(**{**none, which: 0.5})
    ids = torch.randint(512, (2, 16))
    assert torch.equal(plain.eval()(ids), dropped.eval()(ids))
    assert not torch.allclose(plain.train()(ids), dropped.train()(ids))
    assert torch.equal(dropped.eval()(ids), dropped.eval()(ids))


def test_left_out_dropouts_are_the_general_one():
    c = ModelConfig.from_dict({**MODEL, "dropout": 0.25, "attn_dropout": 0.0})
    assert (c.emb_dropout, c.attn_dropout, c.resid_dropout) == (0.25, 0.0, 0.25)


@pytest.mark.parametrize("shape", [dict(architecture="qwen3"), dict(architecture="lfm2", conv_layers=[0])])
def test_no_token_sees_what_follows_it(shape):
    network = model(**shape, n_kv_heads=1).eval()
    ids = torch.randint(512, (1, 32))
    changed = ids.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 512
    assert torch.allclose(network(ids)[0, :20], network(changed)[0, :20], atol=1e-6)
    assert not torch.allclose(network(ids)[0, 20:], network(changed)[0, 20:], atol=1e-3)


# --- order of the data ------------------------------------------------------------------------------------------------


def order(**changes):
    return list(Order(**{**dict(samples=40, batch_size=4), **changes}))


class Numbered:
    """Samples of one token, their number and `offset`; with a weight where they are pairs."""

    def __init__(self, length, offset=0, mean_weight=None):
        self.length, self.offset, self.mean_weight = length, offset, mean_weight

    def __getitem__(self, k):
        token = torch.tensor([self.offset + k])
        return (token, token) if self.mean_weight is None else (token, token, torch.full((1,), self.mean_weight))

    def __len__(self):
        return self.length


def taken(mixture, count):
    return [int(ids) for ids, *_ in (mixture[i] for i in range(count))]


def test_each_epoch_has_every_block_once_in_another_order():
    ids = taken(Mixture(Numbered(13), None, 0, seed=5), 39)
    assert sorted(ids[:13]) == sorted(ids[13:26]) == sorted(ids[26:]) == list(range(13))
    assert ids[:13] != ids[13:26] and ids != taken(Mixture(Numbered(13), None, 0, seed=6), 39)


def test_order_goes_on_from_anywhere():
    assert all(order(start=start) == order()[start:] for start in range(40))


LENGTHS = [(3, 9), (2, 14), (5, 8), (4, 16), (2, 5), (3, 30), (2, 3), (6, 12)]  # tokens of the request, and in all


def pairs(tmp_path, block_size=16, weights=(0, 1), seed=5):
    """Pair n has the tokens 100 n, 100 n + 1, ..., its last is the end of a document, 0."""
    rows, tokens = [], []
    for number, (request, length) in enumerate(LENGTHS, 1):
        rows.append((len(tokens), request, length))
        tokens += [100 * number + place for place in range(length - 1)] + [0]
    np.array(tokens, dtype="<u2").tofile(tmp_path / "tasks.bin")
    np.array(rows, dtype="<i8").tofile(tmp_path / "tasks.idx")
    return Pairs(tmp_path / "tasks.bin", tmp_path / "tasks.idx", "uint16", block_size, 0, weights, seed)


def test_each_epoch_has_every_pair_whole_and_once(tmp_path):
    windows = pairs(tmp_path)
    order, starts = windows.epoch(0)
    seen = [set((ids // 100).tolist()) - {0} for ids, *_ in (windows[k] for k in range(len(starts) - 1))]
    assert sorted(number for each in seen for number in each) == [1, 2, 3, 4, 5, 7, 8]  # the sixth fits no window
    whole = torch.cat([ids for ids, *_ in (windows[k] for k in range(len(starts) - 1))]).tolist()
    assert all(100 * n + place in whole for n in (1, 2, 3, 4, 5, 7, 8) for place in range(LENGTHS[n - 1][1] - 1))
    assert (windows.epoch(1)[0] != order).any()


def test_windows_are_full_and_no_pair_waits_long():
    lengths = np.random.default_rng(1).integers(40, 200, 5000).tolist()
    order, starts = windows(list(range(5000)), lengths, 513)
    assert sorted(order) == list(range(5000))
    sums = [sum(lengths[pair] for pair in order[a:b]) for a, b in pairwise(starts)]
    assert max(sums) <= 513 and sum(sums) > 0.96 * 513 * len(sums)
    begins = order[starts[:-1]]
    assert (np.diff(begins) > 0).all(), "a window begins with the one that has waited longest"
    assert max(sum(order[:place] > pair) for place, pair in enumerate(order.tolist())) < 10 * AHEAD


def test_requests_and_programs_weigh_what_they_should(tmp_path):
    for weights in ((0, 1), (1, 4), (1, 1)):
        windows = pairs(tmp_path, weights=weights)
        for k in range(12):
            ids, targets, weighed = windows[k]
            assert (targets[:-1] == ids[1:]).all()  # each target is the token that follows
            for target, weight in zip(targets.tolist(), weighed.tolist(), strict=True):
                if target:
                    assert weight == weights[target % 100 >= LENGTHS[target // 100 - 1][0]]
            ends = weighed[targets == 0]
            numbers = {int(i) // 100 for i in ids} - {0}
            assert ends.count_nonzero() == len(numbers), "every program's end is learned, and no filling"


def test_weights_are_one_in_the_mean(tmp_path):
    """Of all that a run reads but the filling, so that the loss does not grow with them; of raw text and pairs as the config says."""
    windows = pairs(tmp_path, weights=(1, 4))
    mixture = Mixture(Numbered(7), windows, 0.75, 1)
    fits = [(request, length) for request, length in LENGTHS if length <= 17]
    of_pairs = sum(r + 4 * (n - r) for r, n in fits) / sum(n for _, n in fits)
    assert windows.mean_weight == pytest.approx(of_pairs)
    mean = 0.25 + 0.75 * of_pairs
    found = [set(weights.tolist()) for _, _, weights in (mixture[i] for i in range(40))]
    assert {len(each) for each in found} >= {1, 3} and max(map(max, found)) == pytest.approx(4 / mean)
    assert next(min(each) for each in found if len(each) == 1) == pytest.approx(1 / mean)
    assert set(Mixture(Numbered(7), None, 0.75, 1)[3][2].tolist()) == {1.0}


def test_windows_are_a_function_of_their_number(tmp_path):
    ahead, later = pairs(tmp_path), pairs(tmp_path)
    far = later[40]  # a run that goes on
    assert all(torch.equal(a, b) for a, b in zip([*(ahead[k] for k in range(41))][40], far, strict=True))


def test_a_share_of_the_samples_is_taught():
    ids = taken(Mixture(Numbered(7), Numbered(7, 1000, 2.0), 0.6, 1), 100)
    taught = [each - 1000 for each in ids if each >= 1000]
    assert taught == list(range(60)) and all(
        sum(each >= 1000 for each in ids[i : i + 5]) == 3 for i in range(0, 100, 5)
    )
    assert sorted(each for each in ids if each < 1000)[:6] == [0] * 6


def test_no_pair_that_fits_is_told(tmp_path):
    with pytest.raises(UserError, match="no pair fits a block_size of 1"):
        pairs(tmp_path, block_size=1)


def test_two_devices_see_what_one_sees_with_twice_the_accumulation():
    one = [order(samples=80)[i : i + 4] for i in range(0, 80, 4)]
    first, second = ([order(rank=rank, world=2)[i : i + 4] for i in range(0, 40, 4)] for rank in (0, 1))
    assert one == [batch for pair in zip(first, second, strict=True) for batch in pair]


def test_blocks_shift_targets_by_one_and_waste_only_the_tail(tmp_path):
    np.arange(103, dtype="<u2").tofile(tmp_path / "x.bin")
    blocks = Blocks(tmp_path / "x.bin", "uint16", block_size=10, stride=10)
    assert len(blocks) == 10
    ids, targets = blocks[9]
    assert ids.tolist() == list(range(90, 100)) and targets.tolist() == list(range(91, 101))
    assert len(Blocks(tmp_path / "x.bin", "uint16", block_size=10, stride=5)) == 19  # overlapping
    with pytest.raises(UserError, match="not one block of block_size 103"):
        Blocks(tmp_path / "x.bin", "uint16", block_size=103, stride=103)


# --- optimizer --------------------------------------------------------------------------------------------------------


def test_muon_takes_the_step_of_torch():
    """Against torch.optim.Muon, which works in bfloat16, over several steps with momentum, Nesterov and weight decay."""
    for shape in ((32, 96), (96, 32), (48, 48)):
        torch.manual_seed(1)
        start = torch.randn(shape)
        theirs, ours = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
        reference = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        holder = torch.nn.Module()
        holder.blk = torch.nn.ParameterList([ours])
        holder.output_norm = torch.nn.LayerNorm(4)
        optimizer = make_optimizer(holder, {**TRAINING, "muon_learning_rate": 0.01}, torch.bfloat16)
        for _ in range(4):
            gradient = torch.randn(shape)
            theirs.grad, ours.grad = gradient.clone(), gradient.clone()
            reference.step()
            optimizer.step()
        moved = (theirs - start).norm()
        assert (theirs - ours).norm() / moved < 0.04  # bfloat16; without Nesterov or decay it is 0.3 or more


def test_orthogonalise_makes_singular_values_near_one():
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 64, 200), torch.float32))
    assert values.min() > 0.5 and values.max() < 1.3


@pytest.mark.parametrize("shape", [(3, 64, 200), (1, 200, 64), (2, 128, 384), (1, 64, 128)])
def test_wide_matrices_take_the_same_steps(shape):
    """Those of float32, by their Gram matrices, against the iteration itself, which float64 goes through; with singular values down to 1e-6."""
    torch.manual_seed(1)
    gradient = torch.randn(shape, dtype=torch.float64) * torch.logspace(0, -6, shape[-1], dtype=torch.float64)
    exact = orthogonalise(gradient, torch.float64)
    assert (orthogonalise(gradient.float(), torch.float32) - exact).norm() < 1e-3 * exact.norm()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_is_for_matrices_only(optimizer):
    network = model()
    groups = make_optimizer(
        network, {**TRAINING, "optimizer": optimizer, "weight_decay": 0.25}, torch.float32
    ).param_groups
    for group in groups:
        assert all((p.ndim >= 2) == (group["weight_decay"] == 0.25) for p in group["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_adamw_takes_the_step_of_torch_with_these_betas():
    ours, theirs = model(), model()
    t = {**TRAINING, "optimizer": "adamw", "betas": [0.8, 0.9], "learning_rate": 0.01}
    mine = make_optimizer(ours, t, torch.float32)
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.9), fused=True)
    ids = torch.randint(512, (2, 17))
    for network, optimizer in ((ours, mine), (theirs, reference)):
        for _ in range(3):
            optimizer.zero_grad()
            network.loss(ids[:, :-1], ids[:, 1:]).backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_rate_warms_up_and_ends_exactly_at_the_floor():
    rates = [rate_at(step, 200, 0.05, 0.2) for step in range(200)]
    assert rates[0] == pytest.approx(1 / 11) and rates[10] == 1.0 and rates[199] == pytest.approx(0.2, abs=1e-12)
    assert all(a < b for a, b in pairwise(rates[:11])) and all(a > b for a, b in pairwise(rates[10:]))
    assert rate_at(0, 200, 0.0, 0.2) == 1.0


# --- precision and mix-ups --------------------------------------------------------------------------------------------


def test_auto_precision_asks_the_processor(monkeypatch):
    """Both kinds of CPU cannot stand in one machine, so here the one question put to it is answered twice."""
    if torch.cuda.is_available():
        pytest.skip("about CPUs")
    for fast, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda fast=fast: fast)
        assert precision.choose("auto")[0] == expected
    with pytest.raises(UserError, match="60 times slower"):
        precision.choose("bf16-mixed")
    with pytest.raises(UserError, match="needs a GPU"):
        precision.choose("16-mixed")
    assert precision.choose("32-true")[0] == "32-true"


def test_a_changed_config_has_another_checkpoint_folder():
    assert run_key(MODEL, TRAINING) != run_key({**MODEL, "d_model": 128}, TRAINING)
    assert run_key(MODEL, TRAINING) == run_key(dict(MODEL), dict(TRAINING))


@pytest.mark.parametrize(
    "key, value, same",
    [
        ("num_workers", 7, True),
        ("sample_prompts", ["led"], True),
        ("checkpoint_every", 9, True),
        ("precision", "32-true", True),
        ("learning_rate", 0.5, False),
        ("patience", 3, False),
        ("seed", 9, False),
    ],
)
def test_keys_that_change_no_result_go_on(key, value, same):
    assert (run_key(resume.deciding({**TRAINING, key: value})) == run_key(resume.deciding(TRAINING))) is same


def flipped(content: bytes) -> bytes:
    return content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:3000],
        flipped,
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "a byte less", "cut short", "a bit", "zeros"],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    for step in (4, 8, 12):
        torch.save({"weights": torch.arange(1000.0), "step": step}, tmp_path / f"step-{step:08d}.ckpt")
    newest = tmp_path / "step-00000012.ckpt"
    assert resume.last(tmp_path) == ((newest, 12), [])
    newest.write_bytes(damage(newest.read_bytes()))
    assert resume.last(tmp_path) == ((tmp_path / "step-00000008.ckpt", 8), [newest])
    assert resume.last(tmp_path) == ((tmp_path / "step-00000008.ckpt", 8), []) and not newest.exists()
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    assert resume.last(tmp_path)[0] is None and len(list(tmp_path.iterdir())) == 0


def test_what_a_changed_setting_gives_up(tmp_path):
    """It is named, and the newest few stay for settings that come back."""
    before = None
    for number in range(1, 7):
        parts = ({**MODEL, "d_model": 32 * number}, {"training/train.py": f"{number:064}"})
        folder = tmp_path / run_key(*parts)
        assert resume.why_anew(folder, parts) == (
            before
            and (
                f"begins anew, since d_model ({32 * (number - 1)} -> {32 * number}), training/train.py changed; {before} stands at step 8, and goes on "
                "when that is as it was"
            )
        )
        resume.begin(folder, parts)
        told = resume.tidy(folder)
        (folder / "step-00000008.ckpt").write_bytes(b"x")
        os.truncate(folder / "step-00000008.ckpt", 500_000_000 if number == 3 else 1)
        os.utime(folder / "step-00000008.ckpt", (number, number))
        before = folder
    assert (
        told
        == f"note: {tmp_path} keeps 0.5 GB of 3 other trainings that did not end, for settings that come back; 1 older removed"
    )
    assert len(list(tmp_path.iterdir())) == resume.KEPT + 1


def test_the_code_that_trains_is_part_of_the_key():
    assert {"training/train.py", "training/module.py", "model/transformer.py"} <= code_hashes().keys()


def test_bins_of_another_config_are_refused():
    with pytest.raises(UserError, match="vocab_size: 512, but the configs say 1024"):
        check_packed({"vocab_size": 1024}, {"dtype": "uint16"}, {"vocab_size": 512, "dtype": "uint16"})


# --- whole runs -------------------------------------------------------------------------------------------------------

RUN = """
import json, sys
from pathlib import Path
from pipeline.training.train import Stop, train
model, t, data, sidecar = json.loads(Path("run.json").read_text())
with Stop() as stop:
    train(model, t, data, sidecar, stop, resume_from=Path("checkpoints"), out=Path("trained"))
"""


def prepare_run(folder: Path, **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    # text with something to learn: each token follows from the one before
    tokens = np.cumsum(rng.integers(1, 4, 20_000)) % 512
    tokens.astype("<u2").tofile(folder / "train.bin")
    tokens[:3000].astype("<u2").tofile(folder / "val.bin")
    data = dict(
        train_path="train.bin",
        val_path="val.bin",
        block_size=64,
        stride=64,
        dtype="uint16",
        batch_size=4,
        num_workers=2,
        tasks_share=0.0,
        request_weight=0,
        program_weight=1,
    )
    sidecar = {"train": {"tokens": 20_000}, "tokenizer_sha256": "none", "eos": 1}
    t = {**TRAINING, "max_steps": 24, "eval_every": 8, "checkpoint_every": 1, "sample_prompts": [], **changes}
    (folder / "run.json").write_text(json.dumps([{**MODEL, "dropout": 0.1}, t, data, sidecar]))
    return folder


def start(folder: Path, program: str = RUN, **more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, program: str = RUN, **more: str) -> subprocess.CompletedProcess:
    process = start(folder, program, **more)
    output = process.communicate(timeout=300)[0]
    return subprocess.CompletedProcess(program, process.returncode, output)


def finish(folder: Path, **more: str) -> str:
    done = run(folder, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


def curve(folder: Path) -> list[dict]:
    with open(folder / "metrics/train.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened():
    """SIGKILL at three of the places of benchmarks/resume.py: the same weights to the bit, the same metrics."""
    done = subprocess.run(
        [sys.executable, "benchmarks/resume.py", "--kills", "3"],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=500,
    )
    assert done.returncode == 0 and "3 of 3 killed runs ended as the runs that were not killed" in done.stdout, (
        done.stdout
    )


# A signal at an exact place, before the call of that name for the n-th time; to the loaders too, as Ctrl-C and a job's end send it.
AT = """
import importlib, os, signal
def signal_before(where, n, signals):
    *path, name = where.split(".")
    for length in range(len(path), 0, -1):
        try:
            holder = importlib.import_module(".".join(path[:length]))
            break
        except ModuleNotFoundError:
            continue
    for part in path[length:]:
        holder = getattr(holder, part)
    original, calls = getattr(holder, name), []
    def call(*arguments, **options):
        calls.append(1)
        if len(calls) == n:
            for one in signals:
                os.killpg(0, one)
        return original(*arguments, **options)
    setattr(holder, name, call)
"""
TERM, INT = int(signal.SIGTERM), int(signal.SIGINT)
MOMENTS = {  # place, how often it was passed before, signals, dials, step of the checkpoint that is left (0: none)
    "before fit": ("lightning.Trainer.__init__", 1, [TERM], {}, 0),
    "starting fit": ("pipeline.training.data.BinData.train_dataloader", 1, [INT], {}, 0),
    "compiling": ("torch._inductor.compile_fx.compile_fx", 2, [TERM], {"compile": True}, 0),
    "in a step": ("pipeline.training.module.Trainee.training_step", 7, [TERM], {"accumulate_grad_batches": 2}, 4),
    "twice": ("pipeline.training.optimizer.MuonAdamW.step", 5, [TERM, INT, TERM], {}, 5),
    "evaluating": ("pipeline.model.Transformer.loss", 8 + 5, [INT], {}, 8),
    "writing a checkpoint": ("torch.save", 1, [TERM], {"checkpoint_every": 6}, 6),
    "saving the model": ("pipeline.model.checkpoint.save", 1, [TERM, TERM], {}, 12),
    "writing metrics": ("pipeline.training.callbacks.Metrics.write", 1, [INT], {}, 12),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_it_with_a_checkpoint_and_no_output(tmp_path, moment):
    place, n, signals, dials, step = MOMENTS[moment]
    folder = prepare_run(
        tmp_path, **{"max_steps": 12, "eval_every": 8, "checkpoint_every": 100, "accumulate_grad_batches": 1, **dials}
    )
    done = run(folder, AT + RUN.replace("with Stop", f"signal_before({place!r}, {n}, {signals})\nwith Stop"))
    assert done.returncode == 1, done.stdout
    name = "Ctrl-C" if signals[0] == signal.SIGINT else "SIGTERM"
    where = (
        f"at step {step}; run again to go on from there"
        if step
        else "before its first checkpoint; run again to start anew"
    )
    assert done.stdout.splitlines()[-1] == f"error: training was stopped by {name} {where}"
    assert done.stdout.count("error") == 1 and "Traceback" not in done.stdout
    assert [p.name for p in folder.rglob("*.ckpt*")] == ([f"step-{step:08d}.ckpt"] if step else [])
    assert not (folder / "trained").exists() and (moment == "saving the model" or not (folder / "metrics").exists()), (
        "an output after the signal"
    )
    if moment in ("evaluating", "saving the model"):  # nothing is left out and nothing is done twice
        assert f"going on from step {step}" in finish(folder)
        assert [row["step"] for row in curve(folder) if row["val_loss"]] == ["8", "12"]
        whole = prepare_run(
            tmp_path / "whole", max_steps=12, eval_every=8, checkpoint_every=100, accumulate_grad_batches=1
        )
        finish(whole)
        assert curve(whole) == curve(folder)
        assert (whole / "trained/model.safetensors").read_bytes() == (folder / "trained/model.safetensors").read_bytes()


# --- compilers ----------------------------------------------------------------------------------------------------------


def program(path: Path, script: str = "") -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    "there, variable, expected",
    [
        (["g++"], None, "g++"),
        (["clang++"], None, "clang++"),
        (["g++", "clang++"], "clang++", "clang++"),
        (["g++", "ccache"], "ccache g++", "g++"),
        (["g++", "clang++", "ccache"], "/usr/bin/ccache clang++ -m64", "clang++"),
        (["g++"], "nosuch", "g++"),
        ([], "g++", None),
        ([], None, None),
    ],
)
def test_which_compiler(tmp_path, monkeypatch, there, variable, expected):
    for name in there:
        program(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", variable) if variable else monkeypatch.delenv("CXX", raising=False)
    assert compiler.find() == expected
    assert expected or compiler.trouble() == "there is no C++ compiler (Debian: apt-get install g++)"


@pytest.mark.slow
def test_compiling_beside_a_blank_and_an_umlaut(tmp_path):
    """torch lies under .venv, so a blank in the project's folder gets into what it tells the compiler; and CXX may name two programs."""
    packages = tmp_path / "mein Spielzeug für Züge"
    packages.mkdir()
    (packages / "torch").symlink_to(Path(torch.__file__).parent)
    asked = "from pipeline.training import compiler\nimport torch\nprint(torch.__file__, repr(compiler.trouble()))"
    done = run(
        tmp_path,
        asked,
        PYTHONPATH=f"{packages}{os.pathsep}{REPOSITORY}",
        CXX="ccache g++",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert done.stdout.splitlines()[-1] == f"{packages}/torch/__init__.py ''"


@pytest.mark.slow
def test_a_compiler_that_fails_costs_time_and_no_run(tmp_path):
    broken = "case $* in *--version*) echo 'g++ 12';; *) echo 'fatal error: omp.h: No such file or directory' >&2; exit 1;; esac"
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin/g++", broken)
    said = finish(
        prepare_run(tmp_path / "run", max_steps=2, compile=True),
        PATH=f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}",
        CXX="g++",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert (
        "train: note: torch cannot compile here: fatal error: omp.h: No such file or directory. Each step takes several times as long"
        in said
    )
    assert len(curve(tmp_path / "run")) == 2


@pytest.mark.slow
def test_a_stopped_training_with_a_damaged_checkpoint_and_other_settings(tmp_path):
    folder = prepare_run(tmp_path, max_steps=12, checkpoint_every=4, accumulate_grad_batches=1)
    stopped = AT + RUN.replace(
        "with Stop", f"signal_before('pipeline.training.module.Trainee.training_step', 6, [{TERM}])\nwith Stop"
    )
    assert "stopped by SIGTERM at step 6" in run(folder, stopped).stdout
    (newest,) = folder.rglob("step-00000006.ckpt")
    newest.write_bytes(newest.read_bytes()[:-1])

    def change(part: int, **values):
        spec = json.loads((folder / "run.json").read_text())
        spec[part] |= values
        (folder / "run.json").write_text(json.dumps(spec))

    change(2, num_workers=0)
    said = run(folder, stopped).stdout
    assert (
        f"{newest.relative_to(folder)} is damaged" in said
        and "going on from step 4" in said
        and "stopped by SIGTERM at step 10" in said
    ), said
    change(1, learning_rate=0.5 * TRAINING["learning_rate"])
    said = finish(folder)
    assert (
        "begins anew, since learning_rate (" in said
        and "stands at step 10" in said
        and "of 1 other trainings that did not end" in said
    ), said
    change(1, learning_rate=TRAINING["learning_rate"])
    assert "going on from step 10" in finish(folder) and not list(folder.rglob("*.ckpt"))


def test_a_signal_while_it_imports_ends_it_with_one_message(tmp_path):
    done = run(
        prepare_run(tmp_path),
        "import os, signal\n" + RUN.replace("    train(", "    os.kill(os.getpid(), signal.SIGTERM)\n    train("),
    )
    assert (done.returncode, done.stdout) == (
        1,
        "error: training was stopped by SIGTERM before its first checkpoint; run again to start anew\n",
    )


@pytest.mark.slow
def test_training_learns_and_says_what_it_did(tmp_path):
    """The loss falls from that of a guess, and every row is there."""
    folder = prepare_run(tmp_path / "run", max_steps=60, eval_every=20, learning_rate=1e-2, accumulate_grad_batches=2)
    finish(folder)
    rows = curve(folder)
    assert float(rows[0]["loss"]) == pytest.approx(math.log(512), abs=0.15)
    assert float(rows[-1]["loss"]) < 3.5
    assert [row["step"] for row in rows if row["val_loss"]] == ["20", "40", "60"]
    assert int(rows[-1]["tokens"]) == 60 * 2 * 4 * 64


@pytest.mark.slow
def test_a_diverging_run_stops_with_advice(tmp_path):
    folder = prepare_run(
        tmp_path, learning_rate=1e30, min_lr=0.0, grad_clip_norm=None, optimizer="adamw", muon_learning_rate=None
    )
    process = start(folder)
    output = process.communicate(timeout=120)[0]
    assert process.returncode != 0 and "halve learning_rate" in output and not (folder / "trained").exists()


@pytest.mark.slow
def test_little_memory_says_which_dials_to_turn(tmp_path):
    """A real limit on the address space, set as the first step begins, when all that is loaded is loaded; the widest activation alone is twice
    what it leaves."""
    folder = prepare_run(tmp_path)
    spec = json.loads((folder / "run.json").read_text())
    spec[0]["d_ff"], spec[2]["batch_size"] = 16_384, 250
    (folder / "run.json").write_text(json.dumps(spec))
    limit = textwrap.dedent("""
        import resource
        from pipeline.training.module import Trainee
        step = Trainee.training_step
        def limited(*arguments):
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000,) * 2)
            return step(*arguments)
        Trainee.training_step = limited
        """)
    done = run(folder, limit + RUN)
    assert done.returncode == 1 and not (folder / "trained").exists()
    assert (
        "memory ran out: set batch_size: 125 in the data config and accumulate_grad_batches: 4 in the training config, which keeps"
        in done.stdout
    )


def test_smaller_keeps_the_effective_batch():
    assert (
        "batch_size: 16 in" in smaller(32, 4)
        and "accumulate_grad_batches: 8 in" in smaller(32, 4)
        and "keeps" in smaller(32, 4)
    )
    assert (
        "batch_size: 1 in" in smaller(3, 1)
        and "accumulate_grad_batches: 3 in" in smaller(3, 1)
        and "about keeps" in smaller(3, 1)
    )
    assert "shorter block_size" in smaller(1, 4)


def test_divergence_is_a_loss_far_above_its_start_that_stays_there():
    assert (
        diverged(9.0, [14.0] * 10)
        and not diverged(9.0, [14.0] * 9)
        and not diverged(9.0, [9.0] * 9 + [40.0])
        and not diverged(9.0, [13.0] * 10)
    )
    assert diverged(1.5, [3.6] * 10) and not diverged(1.5, [3.4] * 10)  # a fine-tuning begins low


def test_overfitting_is_three_rises_in_a_row():
    def losses(*values):
        return list(enumerate(values, 1))

    assert overfitting(losses(5, 4, 4.1, 4.2, 4.3, 4.0)) == 2
    assert overfitting(losses(5, 4, 4.1, 4.2, 4.1, 4.2, 4.3)) is None and overfitting(
        losses(5, 4)
    ) is None is overfitting([])


def test_utilisation_counts_what_the_operators_do():
    """Against torch's own count of the operators' FLOPs in one forward and backward pass."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    for shape in (
        dict(tie_embeddings=False),
        dict(architecture="qwen3", n_kv_heads=1, d_ff=192),
        dict(architecture="lfm2", n_kv_heads=1, d_ff=192, n_layers=3, conv_layers=[0, 2]),
    ):
        network = model(**shape)
        ids = torch.zeros(2, network.config.context_length, dtype=torch.long)
        with (
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):  # whose matrix products it can see
            network.loss(ids, ids).backward()
        assert flops_per_token(network.config) * ids.numel() == pytest.approx(counter.get_total_flops(), rel=1e-6), (
            shape
        )
    assert peak("NVIDIA L4", "bf16-mixed") == 121e12 and peak("NVIDIA L4", "32-true") is None is peak(
        "AMD EPYC", "bf16-mixed"
    )


# --- several devices --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_devices_are_one_with_twice_the_accumulation(tmp_path, strategy):
    """Two processes over gloo: the same losses and weights but for rounding, written once; a signal to one ends both with one checkpoint."""
    dials = {"max_steps": 12, "eval_every": 5, "checkpoint_every": 100}
    if strategy == "fsdp":
        dials |= {"optimizer": "adamw", "muon_learning_rate": None, "keep": "last"}
    one = prepare_run(tmp_path / "one", **dials, accumulate_grad_batches=2)
    finish(one)
    two = prepare_run(tmp_path / "two", **dials, accumulate_grad_batches=1, devices=2, strategy=strategy)
    for signalled in (True, False):
        before = (
            AT.replace("signal_before", "_signal_before").replace("killpg(0", "kill(os.getpid()")
            + textwrap.dedent("""
            def signal_before(*arguments):
                if os.environ.get("LOCAL_RANK", "0") == "1":
                    _signal_before(*arguments)
            signal_before("pipeline.training.module.Trainee.training_step", 7, [signal.SIGTERM])
        """)
            if signalled
            else ""
        )
        (two / "run.py").write_text("if __name__ == '__main__':\n" + textwrap.indent(before + RUN, "    "))
        done = subprocess.run(
            [sys.executable, "run.py"],
            cwd=two,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if signalled:
            assert done.returncode != 0 and not (two / "trained").exists(), done.stdout
            assert [p.name for p in two.rglob("*.ckpt*")] == ["step-00000007.ckpt"], done.stdout
    assert done.returncode == 0, done.stdout
    assert "going on from step 7" in done.stdout and done.stdout.count("parameters on CPU x 2") == 1
    ours, theirs = curve(two), curve(one)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs] and [row["tokens"] for row in ours] == [
        row["tokens"] for row in theirs
    ]
    for column in ("loss", "val_loss", "learning_rate", "gradient_norm"):
        assert [float(r[column] or 0) for r in ours] == pytest.approx(
            [float(r[column] or 0) for r in theirs], abs=2e-4
        ), column
    a, b = load_file(one / "trained/model.safetensors"), load_file(two / "trained/model.safetensors")
    assert all(torch.allclose(a[name], b[name], atol=1e-3) for name in a)
