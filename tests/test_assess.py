"""The report's figures are those of an independent computation, and its advice follows from them."""

import csv
import io
import math

import numpy as np
import pytest
import torch
from tiny import CODE, DOCUMENTS, make_model

from pipeline.core.errors import UserError
from pipeline.core.files import write_json
from pipeline.evaluation import assess as stage
from pipeline.evaluation.assess import assess, choose_prompts, completion_compiles, recommend
from pipeline.evaluation.plot import quality_against_size
from pipeline.export.gguf import write_gguf
from pipeline.export.importance import importance
from pipeline.export.quantize import quantize
from pipeline.export.tokenization import load_vocabulary

QUANTS = ["F16", "Q8_0", "Q4_K_M", "Q3_K_S", "Q2_K"]
TOKENS = 400
SIDECAR = {"dtype": "uint16", "eos": 1}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_tokenizer, tiny_validation):
    """A gpt2 of width 384 in five types and a packed validation file, as assess() wants them."""
    folder = tmp_path_factory.mktemp("assess")
    vocabulary = load_vocabulary(tiny_tokenizer)
    write_gguf(make_model("gpt2", d_model=384), vocabulary, folder / "f16.gguf", "f16")
    np.array([i for text in DOCUMENTS for i in [*vocabulary.tokenizer.encode(text).ids, 1]], "<u2").tofile(folder / "val.bin")
    matrix = importance(make_model("gpt2", d_model=384), vocabulary.tokenizer.encode(CODE).ids)
    for quant in QUANTS:
        figures = quantize(quant, folder / "f16.gguf", folder / "quantized", tiny_tokenizer, tiny_validation, matrix)
        write_json(folder / "facts" / f"{quant}.json", figures)
    return dict(quants=QUANTS, tokens=TOKENS, max_loss=1.0, packed=folder / "val.bin", sidecar=SIDECAR, quantized=folder / "quantized",
                source=folder / "f16.gguf", facts=folder / "facts", validation=tiny_validation)


@pytest.fixture(scope="module")
def result(arguments):
    return assess(**arguments)


def test_bits_per_byte_are_pytorchs(result, arguments, tiny_tokenizer):
    """float16 rounds the weights, no more: within 0.1% of the float32 model's, windows and bytes counted as training counts them."""
    targets = torch.from_numpy(np.fromfile(arguments["packed"], "<u2", count=TOKENS).astype(np.int64))
    inputs = torch.cat((torch.tensor([1]), targets[:-1]))
    model = make_model("gpt2", d_model=384)
    with torch.inference_mode():
        nats = sum(float(model.loss(inputs[None, i:i + 256], targets[None, i:i + 256], reduction="sum")) for i in range(0, TOKENS, 256))
    raw = len(load_vocabulary(tiny_tokenizer).tokenizer.decode(targets.tolist(), skip_special_tokens=True).encode())
    metrics, _ = result
    assert metrics["tokens"] == TOKENS and metrics["bytes"] == raw
    assert metrics["f16_bits_per_byte"] == pytest.approx(nats / math.log(2) / raw, rel=1e-3)
    assert metrics["types"]["F16"]["bits_per_byte"] == metrics["f16_bits_per_byte"]


def test_float16_against_itself_loses_nothing(result):
    f16 = result[0]["types"]["F16"]
    assert (f16["change_percent"], f16["kl_mean"], f16["kl_p99"], f16["same_top_token"]) == (0, 0, 0, 1)


def test_fewer_bits_lose_more(result):
    types = result[0]["types"]
    kls = [types[name]["kl_mean"] for name in ("F16", "Q8_0", "Q4_K_M", "Q3_K_S")]
    assert kls == sorted(kls) and len(set(kls)) == 4
    assert all(t["kl_p99"] >= t["kl_mean"] for t in types.values())
    agreement = [types[name]["same_top_token"] for name in ("F16", "Q8_0", "Q3_K_S")]
    assert agreement == sorted(agreement, reverse=True)


def test_types_that_come_out_the_same_are_said_to(result):
    """At width 384 nothing of Q2_K is left: it is Q3_K_S under another name."""
    assert {name: t["same_as"] for name, t in result[0]["types"].items()} == {
        "F16": None, "Q8_0": None, "Q4_K_M": None, "Q3_K_S": None, "Q2_K": "Q3_K_S"}


def test_the_metrics_are_the_same_on_each_run(result, arguments):
    again, _ = assess(**arguments)
    assert again == result[0]
    assert "seconds" not in str(again)


def test_a_short_validation_text_is_used_whole(arguments):
    metrics, _ = assess(**{**arguments, "quants": ["F16"], "tokens": 10**6})
    assert metrics["tokens"] == arguments["packed"].stat().st_size // 2


def test_the_report_and_the_plot_show_each_type(result):
    metrics, speeds = result
    report = stage.table(metrics, speeds, 1.0)
    for name, t in metrics["types"].items():
        assert f"| {name} | {t['bytes']:,} |" in report
    assert "The same tensors as Q3_K_S" in report and "rows of 384 are no multiple of 256: Q4_K -> Q5_0" in report
    assert f"**Recommended: {metrics['recommended']}**" in report
    for name in ("Q4_K_M", "Q3_K_S"):
        guided, speed = metrics["types"][name]["imatrix"], speeds[name]
        assert f"| {name} | {guided['kl_without']:.4g} | {guided['kl_with']:.4g} |" in report
        assert all(speed[what][threads] > 0 for what in ("prompt", "generation") for threads in "12") and speed["memory"] > 0
    assert "| Q8_0 | " not in report[report.index("## The importance matrix"):report.index("## What was really written")]
    picture = quality_against_size(metrics, 1.0)
    assert picture == quality_against_size(metrics, 1.0) and all(f">{name}" in picture for name in ("F16", "Q8_0", "Q4_K_M"))
    rows = list(csv.DictReader(io.StringIO(stage.plot_rows(metrics["types"]))))
    assert {row["type"] for row in rows} == set(QUANTS)
    assert [float(row["bytes"]) for row in rows] == sorted(float(row["bytes"]) for row in rows)


def test_a_missing_type_is_named(arguments, tmp_path):
    with pytest.raises(UserError, match=r"Q8_0.gguf: no such file"):
        assess(**{**arguments, "quants": ["Q8_0"], "quantized": tmp_path})


# --- advice -----------------------------------------------------------------------------------------------------------

def test_the_smallest_within_the_loss_is_recommended():
    types = {"F16": {"bytes": 100, "change_percent": 0.0}, "Q8_0": {"bytes": 50, "change_percent": 0.4},
             "Q4_K_M": {"bytes": 30, "change_percent": 1.0}, "Q2_K": {"bytes": 20, "change_percent": 7.0}}
    assert [recommend(types, loss) for loss in (0, 0.5, 1, 10)] == ["F16", "Q8_0", "Q4_K_M", "Q2_K"]
    assert recommend({name: types[name] for name in ("Q4_K_M", "Q2_K")}, 0.5) == "Q4_K_M"


def test_no_type_within_the_loss_is_said(result):
    metrics, readings = result
    metrics = {**metrics, "recommended": "Q8_0", "types": {name: {**t, "change_percent": 5.0} for name, t in metrics["types"].items()}}
    assert "**No type loses at most 1%" in stage.table(metrics, readings, 1.0)


# --- completions ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("completion,good", [
    ("led.on()\n", True),
    ("led.on()\nled.off()\nled.bli", True),         # cut off in a line
    ("def f():\n    return 1\n\nclass", True),
    ("x = 1\ny = 2\ndef g(a,\n", True),             # cut off in a statement
    ("x = = 1\n", False),
    ("x = 1\ny = = 2\nz = 3\nw = 4\n", False),      # an error in its first half
    ("led.on(", False),                             # not a line of its own
    ("\n\n\n", False),                              # nothing said
    ("", False)])
def test_a_completion_compiles_or_not(completion, good):
    assert completion_compiles("from machine import Pin\nled = Pin(25)\n", completion) is good


def test_prompts_compile_by_themselves(tiny_tokenizer):
    encode = load_vocabulary(tiny_tokenizer).tokenizer.encode
    prompts = choose_prompts([CODE, "def f(\n", *DOCUMENTS], lambda text: encode(text).ids)
    assert len(prompts) == 4        # the unfinished one gives none, nor the one whose first line is too long
    for prompt in prompts:
        assert stage.compiles(prompt) and len(encode(prompt).ids) <= stage.PROMPT_TOKENS and prompt.endswith("\n")
