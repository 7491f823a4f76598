"""benchmarks/costs.py measures the trainer itself: here its parts in this process, on a small model; and benchmarks/machine.py the machine."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from chain import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import costs
import machine


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own, and one thread, as in test_knobs.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(costs, "TOKENS_PER_STEP", 128)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def small(**training):
    return costs.configured(
        training={"compile": False, "precision": "32-true", **training},
        vocab_size=512,
        context_length=32,
        d_model=64,
        n_heads=2,
        d_ff=256,
    )


def test_a_bin_grows_to_the_tokens_asked_for(tmp_path):
    costs.make_bin(tmp_path / "x.bin", 1000, 512)
    costs.make_bin(tmp_path / "x.bin", 9000, 512)
    tokens = np.fromfile(tmp_path / "x.bin", "<u2")
    assert len(tokens) == 10_000 and tokens.max() == 511


def test_a_profile_trains_until_its_time_is_up():
    found = costs.trained(
        "robo-nano-5m",
        {"max_time": "00:00:01", "compile": False},
        vocab_size=512,
        context_length=32,
        d_model=64,
        n_heads=2,
        d_ff=256,
    )
    assert found["parameters"] == 512 * 64 + 32 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64
    assert found["tokens_per_second"] > 0 and found["memory"] > 10**8
    assert found["batch"] == "4 x 32 x 1" or torch.cuda.is_available()


def test_checkpoints_are_those_of_a_training():
    config = small(max_steps=6, checkpoint_every=2, eval_every=2)
    found = costs.checkpoints(config)
    parameters = 512 * 64 + 32 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64
    assert found["bytes"] > 8 * parameters, "weights and momentum"
    assert min(found.values()) > 0


def test_the_loader_is_the_trainers(tmp_path):
    config = small()
    costs.make_bin(tmp_path / "x.bin", 5000, 512)
    found = costs.delivered(config, tmp_path / "x.bin", 0.05)
    assert found["rate"] > 0 and found["start"] > 0


def test_a_profile_counts_no_time_twice_and_knows_its_kinds(monkeypatch):
    monkeypatch.setattr(costs, "BEFORE", 2)
    found, seconds = costs.profile(small(max_steps=5, checkpoint_every=100, eval_every=100), 2)
    assert 0 < sum(own for _, own in found.values()) < 1.01 * seconds, "no time twice"
    kinds = {kind for _, kind in found}
    assert kinds >= {
        "cross-entropy",
        "attention",
        "matrix products of the blocks",
        "matrix products of the head",
        "Muon's products",
        "Muon's other arithmetic",
        "AdamW",
        "gradient norm and clipping",
        "copies",
        costs.REST,
    }
    assert found["aten::mm", "matrix products of the head"][0] == 3 * 2, (
        "forward, and two backward, in each of two steps"
    )


@pytest.mark.parametrize(
    "name, kind",
    [
        ("cpp_fused__log_softmax__to_copy__unsafe_view_nll_loss_forward_scalar_tensor_view_3", "cross-entropy"),
        ("cpp_fused__safe_softmax_add_native_dropout_ones_scalar_tensor_tril_view_where_7", "attention"),
        ("cpp_fused__to_copy_add_native_dropout_native_layer_norm_2", "norms, activations, dropout, sums"),
        ("cpp_fused__to_copy__unsafe_view_clone_mul_split_transpose_view_1", "copies"),
        ("mkl::_mkl_linear", "matrix products of the blocks"),
        ("## Call CompiledFxGraph faddmulsum ##", costs.REST),
        ("Optimizer.step#MuonAdamW.step", costs.REST),
    ],
)
def test_kinds_of_compiled_kernels(name, kind):
    assert costs.kind(name, set(), [], 512) == kind


def test_a_row_has_a_process_and_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "ROOT", tmp_path)
    there = costs.fresh(Path.cwd)
    assert there.parent == tmp_path / ".state" and not there.exists()
    with pytest.raises(FileNotFoundError):
        costs.fresh(Path.stat, Path("missing"))


def test_other_work_on_the_machine_is_seen_and_no_ratio_beside_it_is_a_result(monkeypatch):
    monkeypatch.setattr(machine, "QUIET", 0.1 / psutil.cpu_count())  # of one core, on any number of them
    watch = machine.Watch()
    command = [sys.executable, "-c", "import time\nend = time.time() + 3\nwhile time.time() < end: pass"]
    subprocess.run(["setsid", "--fork", *command], check=True)  # nobody's child, as other people's work is
    time.sleep(1.5)
    assert watch.others() > 0.1 and not watch.quiet and watch.ratio(1.234) == "no result (1.23)"
