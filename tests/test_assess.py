"""The report's figures are those of an independent computation, and its advice follows from them."""

import contextlib
import csv
import io
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CODE, DOCUMENTS, make_model

from pipeline.core import timings
from pipeline.core.errors import UserError
from pipeline.core.files import write_json
from pipeline.evaluation import assess as stage
from pipeline.evaluation.assess import assess, lost, recommend
from pipeline.evaluation.plot import quality_against_size
from pipeline.evaluation.speed import measure, peak_bytes
from pipeline.export.gguf import write_gguf
from pipeline.export.importance import importance
from pipeline.export.quantize import quantize
from pipeline.export.tokenization import load_vocabulary

QUANTS = ["F16", "Q8_0", "Q4_K_M", "Q3_K_S", "Q2_K"]
TOKENS = 400
SIDECAR = {"dtype": "uint16", "eos": 1}
ANSWERED = {
    "tasks": 40,
    "completions": 4,
    "types": {
        quant: {
            "passed": {"people": 18 - 2 * number, "values": 2},
            "parsed": 32 - number,
            "changed": 5 * number,
            "compiles": 0.75,
        }
        for number, quant in enumerate(QUANTS)
    },
}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_tokenizer, tiny_validation):
    """A gpt2 of width 384 in five types and a packed validation file, as assess() wants them."""
    folder = tmp_path_factory.mktemp("assess")
    vocabulary = load_vocabulary(tiny_tokenizer)
    write_gguf(make_model("gpt2", d_model=384), vocabulary, folder / "f16.gguf", "f16")
    np.array([i for text in DOCUMENTS for i in [*vocabulary.tokenizer.encode(text).ids, 1]], "<u2").tofile(
        folder / "val.bin"
    )
    matrix = importance(make_model("gpt2", d_model=384), vocabulary.tokenizer.encode(CODE).ids)
    for quant in QUANTS:
        figures = quantize(quant, folder / "f16.gguf", folder / "quantized", tiny_tokenizer, tiny_validation, matrix)
        write_json(folder / "facts" / f"{quant}.json", figures)
    return dict(
        quants=QUANTS,
        tokens=TOKENS,
        max_loss=1.0,
        max_lost_tasks=0.05,
        packed=folder / "val.bin",
        sidecar=SIDECAR,
        answered=ANSWERED,
        quantized=folder / "quantized",
        source=folder / "f16.gguf",
        facts=folder / "facts",
    )


@pytest.fixture(scope="module")
def result(arguments):
    return assess(**arguments)


def test_bits_per_byte_are_pytorchs(result, arguments, tiny_tokenizer):
    """float16 rounds the weights, no more: within 0.1% of the float32 model's, windows and bytes counted as training counts them."""
    targets = torch.from_numpy(np.fromfile(arguments["packed"], "<u2", count=TOKENS).astype(np.int64))
    inputs = torch.cat((torch.tensor([1]), targets[:-1]))
    model = make_model("gpt2", d_model=384)
    with torch.inference_mode():
        nats = sum(
            float(model.loss(inputs[None, i : i + 256], targets[None, i : i + 256], reduction="sum"))
            for i in range(0, TOKENS, 256)
        )
    raw = len(load_vocabulary(tiny_tokenizer).tokenizer.decode(targets.tolist(), skip_special_tokens=True).encode())
    assert result["tokens"] == TOKENS and result["bytes"] == raw
    assert result["f16_bits_per_byte"] == pytest.approx(nats / math.log(2) / raw, rel=1e-3)
    assert result["types"]["F16"]["bits_per_byte"] == result["f16_bits_per_byte"]


def test_float16_against_itself_loses_nothing(result):
    f16 = result["types"]["F16"]
    assert (f16["change_percent"], f16["kl_mean"], f16["kl_p99"], f16["same_top_token"]) == (0, 0, 0, 1)


def test_fewer_bits_lose_more(result):
    types = result["types"]
    kls = [types[name]["kl_mean"] for name in ("F16", "Q8_0", "Q4_K_M", "Q3_K_S")]
    assert kls == sorted(kls) and len(set(kls)) == 4
    assert all(t["kl_p99"] >= t["kl_mean"] for t in types.values())
    agreement = [types[name]["same_top_token"] for name in ("F16", "Q8_0", "Q3_K_S")]
    assert agreement == sorted(agreement, reverse=True)


def test_types_that_come_out_the_same_are_said_to(result):
    """At width 384 nothing of Q2_K is left: it is Q3_K_S under another name."""
    assert {name: t["same_as"] for name, t in result["types"].items()} == {
        "F16": None,
        "Q8_0": None,
        "Q4_K_M": None,
        "Q3_K_S": None,
        "Q2_K": "Q3_K_S",
    }


def test_what_the_exam_said_of_each_type_stands_beside_its_bits(result):
    """20 tasks of float16's in two sets, and two fewer with each smaller type; 32 answers that parse, and one fewer."""
    types = result["types"]
    assert [(t["tasks_passed"], t["lost_tasks"], t["lost_parsed"], t["answers_changed"]) for t in types.values()] == [
        (20, 0, 0, 0),
        (18, 0.1, 0.03125, 5),
        (16, 0.2, 0.0625, 10),
        (14, 0.3, 0.09375, 15),
        (12, 0.4, 0.125, 20),
    ]
    report = stage.table(result, 1.0, 0.05)
    assert "| 75" not in report and all(
        f" 3 of 4 | {t['tasks_passed']} of 40 | {t['answers_parsed']} of 40 | {t['answers_changed']} of 44 |" in report
        for t in types.values()
    )


def test_the_metrics_are_the_same_on_each_run(result, arguments):
    again = assess(**arguments)
    assert again == result
    assert "seconds" not in str(again)


def test_a_short_validation_text_is_used_whole(arguments):
    metrics = assess(**{**arguments, "quants": ["F16"], "tokens": 10**6})
    assert metrics["tokens"] == arguments["packed"].stat().st_size // 2


def test_the_report_and_the_plot_show_each_type(result):
    metrics, report = result, stage.table(result, 1.0, 0.05)
    for name, t in metrics["types"].items():
        assert f"| {name} | {t['bytes']:,} |" in report
    assert "The same tensors as Q3_K_S" in report and "rows of 384 are no multiple of 256: Q4_K -> Q5_0" in report
    assert f"**Recommended: {metrics['recommended']}**" in report
    for name in ("Q4_K_M", "Q3_K_S"):
        guided = metrics["types"][name]["imatrix"]
        assert f"| {name} | {guided['kl_without']:.4g} | {guided['kl_with']:.4g} |" in report
    assert (
        "| Q8_0 | " not in report[report.index("## The importance matrix") : report.index("## What was really written")]
    )
    picture = quality_against_size(metrics, 1.0)
    assert picture == quality_against_size(metrics, 1.0) and all(
        f">{name}" in picture for name in ("F16", "Q8_0", "Q4_K_M")
    )
    rows = list(csv.DictReader(io.StringIO(stage.plot_rows(metrics["types"]))))
    assert {row["type"] for row in rows} == set(QUANTS)
    assert [float(row["bytes"]) for row in rows] == sorted(float(row["bytes"]) for row in rows)


def test_speeds_count_only_beside_the_files_that_they_are_of(arguments, tmp_path):
    (tmp_path / "models").mkdir()
    path, root = Path("models/Q8_0.gguf"), tmp_path
    shutil.copy(arguments["quantized"] / "Q8_0.gguf", root / path)
    with contextlib.chdir(root):
        speed = measure(path)
        assert timings.read_timings(timings.INFERENCE) is None
        timings.write_timings(timings.INFERENCE, {"Q8_0": speed}, [path])
    assert (
        all(speed[what][threads] > 0 for what in ("prompt", "generation") for threads in "12") and speed["memory"] > 0
    )
    assert timings.read_timings(timings.INFERENCE, root) == {"Q8_0": speed}
    assert (
        f"| Q8_0 | {speed['prompt']['1']:,} | {speed['prompt']['2']:,} | {speed['generation']['1']:,} |"
        in stage.speed_table({"Q8_0": speed})
    )
    with open(root / path, "ab") as file:
        file.write(b"\0")
    assert timings.read_timings(timings.INFERENCE, root) is None, "another file of that name"
    (root / path).unlink()
    assert timings.read_timings(timings.INFERENCE, root) is None


def test_memory_is_measured_where_linux_tells_less(tmp_path):
    there = Path("/proc/self/status").read_text()
    (tmp_path / "status").write_text(re.sub("VmHWM:.*\n", "", there))
    assert 0.9 < peak_bytes(tmp_path / "status") / peak_bytes() < 100  # bytes both; what started us may have held more


def test_a_missing_type_is_named(arguments, tmp_path):
    with pytest.raises(UserError, match=r"Q8_0.gguf: no such file"):
        assess(**{**arguments, "quants": ["Q8_0"], "quantized": tmp_path})


# --- advice -----------------------------------------------------------------------------------------------------------

TYPES = {
    "F16": {"bytes": 100, "change_percent": 0.0, "lost_tasks": 0.0, "lost_parsed": 0.0},
    "Q8_0": {"bytes": 50, "change_percent": 0.4, "lost_tasks": 0.04, "lost_parsed": 0.0},
    "Q4_K_M": {"bytes": 30, "change_percent": 1.0, "lost_tasks": 0.05, "lost_parsed": 0.03},
    "Q2_K": {"bytes": 20, "change_percent": 7.0, "lost_tasks": 0.25, "lost_parsed": 0.1},
}


def test_the_smallest_within_the_loss_is_recommended():
    assert [recommend(TYPES, loss, 1) for loss in (0, 0.5, 1, 10)] == ["F16", "Q8_0", "Q4_K_M", "Q2_K"]
    assert recommend({name: TYPES[name] for name in ("Q4_K_M", "Q2_K")}, 0.5, 1) == "Q4_K_M"


@pytest.mark.parametrize(
    "max_lost_tasks, best", [(0, "F16"), (0.04, "Q8_0"), (0.05, "Q4_K_M"), (0.2, "Q4_K_M"), (0.25, "Q2_K")]
)
def test_a_type_that_loses_tasks_is_not_recommended_for_its_bits(max_lost_tasks, best):
    assert recommend(TYPES, 10, max_lost_tasks) == best


def test_a_type_whose_answers_parse_less_often_is_not_recommended_either():
    types = {**TYPES, "Q4_K_M": {**TYPES["Q4_K_M"], "lost_parsed": 0.06}}
    assert recommend(types, 10, 0.05) == "Q8_0"


def test_where_every_type_loses_too_much_tasks_count_before_bits():
    two = {name: TYPES[name] for name in ("Q4_K_M", "Q2_K")}
    assert recommend({**two, "Q2_K": {**TYPES["Q2_K"], "lost_tasks": 0, "lost_parsed": 0}}, 0.5, 0.01) == "Q2_K"
    assert recommend(two, 0.5, 0.01) == "Q4_K_M"


@pytest.mark.parametrize("passed, reference, share", [(19, 20, 0.05), (20, 20, 0), (25, 20, 0), (0, 20, 1), (0, 0, 0)])
def test_lost_is_a_share_of_what_float16_passes(passed, reference, share):
    assert lost(passed, reference) == pytest.approx(share)


def test_no_type_within_the_loss_is_said(result):
    metrics = {
        **result,
        "recommended": "Q8_0",
        "types": {name: {**t, "change_percent": 5.0} for name, t in result["types"].items()},
    }
    assert "**No type loses at most 1%" in stage.table(metrics, 1.0, 0.05)
    metrics["types"]["Q8_0"] |= {"change_percent": 0.0, "lost_tasks": 0.1}
    assert "**No type loses at most 1%" in stage.table(metrics, 1.0, 0.05)
    assert "**Recommended: Q8_0**" in stage.table(metrics, 1.0, 0.1)
