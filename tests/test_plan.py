"""What `robo plan` says is what comes out."""

import itertools
import re
from collections import Counter

import pytest
import torch
from chain import REPOSITORY, edit, make_chain, robo, without_bfloat16
from tiny import make_model

import flows.plan
from pipeline import plan
from pipeline.advice import check_machine
from pipeline.core.config import Config, read_yaml
from pipeline.core.files import write_json
from pipeline.core.paths import METRICS, SIDECAR
from pipeline.export.gguf import write_gguf
from pipeline.export.quantize import quantize
from pipeline.export.tokenization import load_vocabulary
from pipeline.training import precision
from pipeline.training.optimizer import make_optimizer


def shaped(**model):
    config = Config(REPOSITORY)
    config.model = type(config.model)(**{**read_yaml(REPOSITORY / "configs/models/robo-nano-5m.yaml"), **model})
    return config


def part(tensor: str) -> str:
    """The part of the model that a tensor belongs to, by its name in the checkpoint."""
    layer = tensor.split(".")[-2]
    whole = {"token_embd": "token embeddings", "position_embd": "positions", "output": "head"}
    if ".shortconv." in tensor:
        return "convolutions"
    return whole.get(layer) or (
        "norms" if layer.endswith("norm") else "attention" if layer.startswith("attn") else "feed-forward"
    )


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"tie_embeddings": False},
        {"bias": False},
        {"architecture": "llama", "n_kv_heads": 2},
        {"architecture": "qwen3", "n_kv_heads": 2, "d_ff": 1024, "tie_embeddings": False},
        {"architecture": "lfm2", "n_kv_heads": 2, "d_ff": 1024, "conv_layers": [0], "conv_size": 4},
        {"architecture": "lfm2", "n_kv_heads": 2, "d_ff": 1024, "conv_layers": [1]},
    ],
)
def test_every_parameter_has_its_part(model):
    config, found = shaped(**model), Counter()
    with torch.device("meta"):
        for name, tensor in plan.build(config).named_parameters():
            found[part(name)] += tensor.numel()
    assert plan.parameters(config) == found


@pytest.mark.slow
def test_the_memory_is_what_a_step_takes():
    """Of tensors: what the libraries and the allocator take on top differs from one processor to the next."""
    config = Config(REPOSITORY)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        model = plan.build(config)
        optimizer = make_optimizer(model, config.training.model_dump(), torch.bfloat16)
        ids = torch.zeros(8, config.data.block_size, dtype=torch.int64)
        for _ in range(2):
            model.loss(ids, ids).backward()
            optimizer.step()
            optimizer.zero_grad()
    events = sorted(
        (e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"),
        key=lambda event: event.start_ns(),
    )
    measured = max(itertools.accumulate(event.nbytes() for event in events))
    assert measured == pytest.approx(
        plan.training_memory(config, "32-true", 8), rel=0.03
    )  # some kernels take a buffer of their own


def test_memory_follows_the_dials():
    config = Config(REPOSITORY)
    base = plan.training_memory(config, "32-true", 4)
    assert plan.training_memory(config, "bf16-mixed", 4) < base < plan.training_memory(config, "32-true", 8) < 2 * base
    config.training = config.training.model_copy(update={"optimizer": "adamw", "muon_learning_rate": None})
    assert plan.training_memory(config, "32-true", 4) > base, "AdamW holds two numbers a weight, Muon one"


@pytest.mark.parametrize("precision", plan.PRECISIONS)
def test_memory_between_two_simulations_is_a_straight_line(precision):
    config = shaped(vocab_size=512, context_length=64, d_model=64, n_layers=1, n_heads=2, d_ff=256)
    config.data = config.data.model_copy(update={"block_size": 64})
    assert plan.memory_of(config, precision, [4, 8, 32])[8] == pytest.approx(
        plan.training_memory(config, precision, 8), rel=1e-3
    )


def test_file_sizes_are_the_quantizers(tmp_path, tiny_tokenizer, tiny_validation):
    config = shaped(vocab_size=512, context_length=256, d_model=384, n_layers=2, n_heads=4, d_ff=1536)
    sizes = plan.file_sizes(config, ["Q8_0", "Q4_K_M"])
    write_gguf(make_model("gpt2", d_model=384), load_vocabulary(tiny_tokenizer), tmp_path / "f16.gguf", "f16")
    for quant, figures in sizes.items():
        real = quantize(quant, tmp_path / "f16.gguf", tmp_path, tiny_tokenizer, tiny_validation)
        assert {key: figures[key] for key in ("tensors", "bits_per_weight", "fell_back")} == {
            key: real[key] for key in ("tensors", "bits_per_weight", "fell_back")
        }
        assert figures["bytes"] == pytest.approx(real["bytes"], rel=0.01)


def test_speed_is_measured(tiny_tokenizer):
    config = shaped(vocab_size=512, context_length=64, d_model=64, n_layers=1, n_heads=2, d_ff=256)
    config.data = config.data.model_copy(update={"block_size": 64, "batch_size": 2})
    config.training = config.training.model_copy(update={"compile": False, "precision": "32-true"})
    first, rate, numbers = plan.measure(config, 0.2)
    assert first > 0 and rate > 0 and numbers == "32-true, as configured"


def test_the_time_of_a_training_is_told_by_a_row_of_it(monkeypatch):
    """Four steps of two rows: eight times a row and four times the optimizer, on the cores there are."""
    config = shaped(vocab_size=512, context_length=64, d_model=64, n_layers=1, n_heads=2, d_ff=256)
    config.data = config.data.model_copy(update={"block_size": 64, "batch_size": 2})
    config.training = config.training.model_copy(update={"max_steps": 4})
    measured, threads = iter([0.5, 0.25]), torch.get_num_threads()
    monkeypatch.setattr(plan, "least", lambda work: (work() and None) or next(measured))
    try:
        torch.set_num_threads(2)
        assert plan.eager_seconds(config) == (None if torch.cuda.is_available() else (8 * 0.5 + 4 * 0.25) / 2)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.undo()
    assert 0.02 < plan.least(lambda: sum(range(2_000_000))) < 2


@pytest.mark.parametrize(
    "tokens, profile, dropout, steps",
    [
        (1e6, "robo-nano-5m", "0.2", "500"),
        (10e6, "robo-tiny-25m", "0.1", "1000"),
        (30e6, "robo-small-50m", "0", "2000"),
        (60e6, "robo-medium-80m", "0", "3000"),
    ],
)
def test_the_reference_is_quoted_where_it_differs(tokens, profile, dropout, steps):
    said = {advice.key.split(": ")[1]: advice.reference for advice in plan.reference(Config(REPOSITORY), int(tokens))}
    config = Config(REPOSITORY)
    assert (
        said.get("model", config.params.model) == profile
        and said.get("max_steps", str(config.training.max_steps)) == steps
    )
    assert said.get("dropout", f"{config.model.dropout:g}") == dropout


def test_the_plan_of_a_fresh_project(tmp_path):
    root = make_chain(tmp_path / "chain")
    said = robo(root, "plan", "--no-measure", PYTHONPROFILEIMPORTTIME="1")
    assert not re.findall(r"^import time.*\| +(torch|prefect|mlflow|llama_cpp|transformers)$", said, re.MULTILINE), (
        "each takes longer than the plan"
    )
    for words in (
        "99,264 parameters",
        "6 steps of 2 x 256 x 2",
        "1,024 tokens: 6,144 tokens",
        "epochs are known when data/processed/pack.json is there",
        "Nothing was built here yet",
        "data/raw not there yet",
        "quantize@Q4_K_M",
    ):
        assert words in said, words
    edit(root, "configs/models/small.yaml", d_ff=100)
    edit(root, "configs/training/small.yaml", min_lr=1.0)
    said = robo(root, "plan", ok=False)
    assert "d_ff: 100" in said and "min_lr: 1.0" in said and "Traceback" not in said


OLD_TEXT, OLD_TRAINING = (
    {"prepare": "min_bytes changed", "pack": "after prepare", "train": "after pack"},
    {"train": "learning_rate changed"},
)


@pytest.mark.parametrize(
    "stages, epochs, gate",
    [
        ({}, "3.00 epochs of 1,000", "The trained model's val loss 2.50 is below the gate max_val_loss 3"),
        (
            OLD_TRAINING,
            "3.00 epochs of 1,000",
            "not known yet: 2.50 in metrics/train.json is of the training before (train: learning_rate changed)",
        ),
        (
            OLD_TEXT,
            "epochs are not known yet: data/processed/pack.json counts 1,000 tokens of the text before (pack: after prepare)",
            "not known yet: 2.50 in metrics/train.json is of the training before (train: after pack)",
        ),
    ],
)
def test_no_figure_of_an_earlier_run_stands_for_the_next(tmp_path, monkeypatch, stages, epochs, gate):
    monkeypatch.chdir(tmp_path)
    assert flows.plan.against_gate(3, stages) == "" and flows.plan.reading(3000, 0.0, stages)[0] is None, (
        "nothing is there yet"
    )
    write_json(SIDECAR, {"train": {"tokens": 1000}})
    write_json(METRICS / "train.json", {"val_loss": 2.5})
    packed, said = flows.plan.reading(3000, 0.0, stages)
    assert epochs in said and packed == (None if "pack" in stages else 1000)
    assert gate in flows.plan.against_gate(3, stages) and flows.plan.against_gate(None, stages) == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="about CPUs")
def test_a_precision_that_this_cpu_crawls_in_is_forced_or_has_no_plan(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    config = shaped(vocab_size=512, context_length=64, d_model=64, n_layers=1, n_heads=2, d_ff=256)
    config.data = config.data.model_copy(update={"block_size": 64, "batch_size": 2})
    config.training = config.training.model_copy(
        update={"compile": False, "precision": "bf16-mixed", "force_precision": True}
    )
    check_machine(config)
    assert plan.measure(config, 0)[2].startswith("bf16-mixed, forced")
    root = make_chain(tmp_path / "chain")
    edit(root, "configs/training/small.yaml", precision="bf16-mixed")
    said = without_bfloat16(root, "plan", ok=False)
    assert said.startswith(
        "error: configs/training/small.yaml: precision: bf16-mixed: this CPU has no bfloat16 units"
    ), "before anything else"
    assert "60 times slower" in said and "Traceback" not in said
