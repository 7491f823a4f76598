"""Each type is written, proven and described by what it really holds; what cannot be quantized says why and leaves nothing."""

import errno
import shutil
import subprocess
import sys
from collections import namedtuple

import gguf
import numpy as np
import pytest
import torch
from tiny import DOCUMENTS, make_model, make_tokenizer

from pipeline.core.errors import UserError
from pipeline.core.schema import QUANTS
from pipeline.export import quantize as stage
from pipeline.export.gguf import write_gguf
from pipeline.export.importance import importance, read_importance, write_importance
from pipeline.export.llama import LlamaFile
from pipeline.export.quantize import contents, quantize
from pipeline.export.tokenization import load_vocabulary

K_QUANTS = [name for name in QUANTS if "_K" in name]


@pytest.fixture(scope="module")
def sources(tmp_path_factory, tiny_tokenizer):
    """A float16 file for each width: 256 fits the k-quants, 384 and 128 do not."""
    folder = tmp_path_factory.mktemp("sources")
    for architecture, width in (("llama", 256), ("gpt2", 384), ("qwen3", 128)):
        write_gguf(
            make_model(architecture, d_model=width), load_vocabulary(tiny_tokenizer), folder / f"{width}.gguf", "f16"
        )
    return folder


@pytest.mark.parametrize("width", [256, 384, 128])
def test_every_type_of_the_config_is_written_and_runs(tmp_path, sources, tiny_tokenizer, tiny_validation, width):
    sizes = {}
    for quant in QUANTS:
        figures = quantize(quant, sources / f"{width}.gguf", tmp_path, tiny_tokenizer, tiny_validation)
        assert figures["bytes"] == (tmp_path / f"{quant}.gguf").stat().st_size
        assert isinstance(figures["completion"], str)
        sizes[quant] = figures["bits_per_weight"]
        if quant in K_QUANTS:
            assert (figures["fell_back"]["count"] > 0) is (width % 256 != 0)
    assert sizes["F32"] > sizes["F16"] == sizes["BF16"] > sizes["Q8_0"] > sizes["Q6_K"] > sizes["Q5_K_M"]
    assert sizes["Q5_K_M"] > sizes["Q4_K_M"] > sizes["Q3_K_S"] >= sizes["Q2_K"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{quant}.gguf" for quant in QUANTS)


def test_effective_bits_are_those_of_the_tensors(tmp_path, sources, tiny_tokenizer, tiny_validation):
    figures = quantize("Q4_K_M", sources / "384.gguf", tmp_path, tiny_tokenizer, tiny_validation)
    model = make_model("gpt2", d_model=384)
    assert figures["parameters"] == model.count_parameters()
    bits = {"F32": 32, "Q4_K": 4.5, "Q5_0": 5.5, "Q6_K": 6.5625, "Q8_0": 8.5}
    total = sum(bits[t.tensor_type.name] * int(t.n_elements) for t in gguf.GGUFReader(tmp_path / "Q4_K_M.gguf").tensors)
    assert figures["bits_per_weight"] == pytest.approx(total / figures["parameters"], abs=1e-4)
    assert figures["tensors"] == {"F32": 19, "Q4_K": 1, "Q5_0": 5, "Q6_K": 1, "Q8_0": 2}


def test_fallbacks_are_counted_with_their_reason(tmp_path, sources, tiny_tokenizer, tiny_validation):
    fell = quantize("Q4_K_M", sources / "384.gguf", tmp_path, tiny_tokenizer, tiny_validation)["fell_back"]
    # 3 matrices of rows of 384 in each of 2 layers, and the tied embeddings; ffn_down's rows of 1536 do fit
    assert fell["count"] == 7 == sum(fell["why"].values())
    assert fell["why"]["rows of 384 are no multiple of 256: Q4_K -> Q5_0"] == 5
    reader = gguf.GGUFReader(tmp_path / "Q4_K_M.gguf")
    assert sum(len(t.shape) == 2 and t.shape[0] % 256 != 0 and t.tensor_type.name != "F32" for t in reader.tensors) == 7


def test_the_same_source_gives_the_same_bytes(tmp_path, sources, tiny_tokenizer, tiny_validation):
    for name in ("a", "b"):
        quantize("Q5_K_M", sources / "256.gguf", tmp_path / name, tiny_tokenizer, tiny_validation)
    assert (tmp_path / "a" / "Q5_K_M.gguf").read_bytes() == (tmp_path / "b" / "Q5_K_M.gguf").read_bytes()


def test_types_are_written_side_by_side(tmp_path, sources, tiny_tokenizer, tiny_validation):
    """Processes, as `dvc repro` of two stages at once would start them."""
    code = (
        "import sys; from pathlib import Path; from pipeline.export.quantize import quantize; "
        "quantize(sys.argv[1], *map(Path, sys.argv[2:]))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, quant, sources / "256.gguf", tmp_path, tiny_tokenizer, tiny_validation]
        )
        for quant in ("Q4_K_M", "Q8_0", "Q2_K")
    ]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 3


# --- the importance matrix --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matrix(tiny_tokenizer):
    """Of the model of width 256, over the validation documents."""
    vocabulary = load_vocabulary(tiny_tokenizer)
    return importance(
        make_model("llama", d_model=256), [i for text in DOCUMENTS for i in vocabulary.tokenizer.encode(text).ids]
    )


def test_importance_is_the_mean_square_of_each_column(tmp_path, tiny_tokenizer):
    """Computed again by hand for the first layer's queries and, over two windows, for the tied head."""
    model = make_model("llama", context_length=64)
    ids = list(range(20, 148))
    found = importance(model, ids)
    with torch.inference_mode():
        states = model.token_embd(torch.tensor(ids))
        first = model.blk[0].attn_norm(states).square().mean(0)
        last = torch.cat([model.hidden(torch.tensor([ids[i : i + 64]]))[0] for i in (0, 64)]).square().mean(0)
    np.testing.assert_allclose(found["blk.0.attn_q.weight"], first, rtol=1e-5)
    np.testing.assert_allclose(found["token_embd.weight"], last, rtol=1e-5)
    assert set(found) == {name for name, p in model.named_parameters() if p.ndim == 2}
    write_importance(found, tmp_path / "i.gguf", len(ids))
    again = read_importance(tmp_path / "i.gguf")
    assert set(again) == set(found) and all((again[name] == found[name]).all() for name in found)
    written = (tmp_path / "i.gguf").read_bytes()
    write_importance(importance(model, ids), tmp_path / "i.gguf", len(ids))
    assert (tmp_path / "i.gguf").read_bytes() == written


def test_low_types_are_guided_where_it_helps(tmp_path, sources, tiny_tokenizer, tiny_validation, matrix):
    kept = {}
    for quant in ("Q8_0", "Q6_K", "Q4_K_M", "Q3_K_S", "Q2_K"):
        plain = quantize(quant, sources / "256.gguf", tmp_path / "plain", tiny_tokenizer, tiny_validation)
        guided = quantize(quant, sources / "256.gguf", tmp_path / "guided", tiny_tokenizer, tiny_validation, matrix)
        same = (tmp_path / "plain" / f"{quant}.gguf").read_bytes() == (
            tmp_path / "guided" / f"{quant}.gguf"
        ).read_bytes()
        kept[quant] = guided["imatrix"]
        if quant in ("Q8_0", "Q6_K"):
            assert guided["imatrix"] is plain["imatrix"] is None and same
        else:
            assert (
                guided["imatrix"]["used"]
                is (guided["imatrix"]["kl_with"] < guided["imatrix"]["kl_without"])
                is not same
            )
    assert any(k and k["used"] for k in kept.values())
    assert not list((tmp_path / "guided").glob(".*"))


def test_a_matrix_that_misleads_is_left_out(tmp_path, sources, tiny_tokenizer, tiny_validation, matrix):
    """It says that all but every eighth column do not matter."""
    wrong = {name: np.where(np.arange(mean.size) % 8, 1e-6, 1).astype(np.float32) for name, mean in matrix.items()}
    compared = quantize("Q3_K_S", sources / "256.gguf", tmp_path, tiny_tokenizer, tiny_validation, wrong)["imatrix"]
    assert not compared["used"] and compared["kl_with"] > compared["kl_without"]


# --- what cannot be quantized -----------------------------------------------------------------------------------------


def refused(source, tmp_path, tokenizer, validation, quant="Q4_K_M") -> str:
    with pytest.raises(UserError) as error:
        quantize(quant, source, tmp_path / "out", tokenizer, validation)
    assert not list((tmp_path / "out").glob("*")) and not list((tmp_path / "out").glob(".*"))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("typo", ["q4_k_m", "Q4KM", "Q4_K_N"])
def test_a_typo_gets_a_suggestion(tmp_path, sources, tiny_tokenizer, tiny_validation, typo):
    assert "did you mean 'Q4_K_" in refused(sources / "256.gguf", tmp_path, tiny_tokenizer, tiny_validation, typo)


@pytest.mark.parametrize("kept", [0, 3, 4, 20, 3_000, 1_000_000, 2_000_000, -40])
def test_a_truncated_file(tmp_path, sources, tiny_tokenizer, tiny_validation, kept):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((sources / "256.gguf").read_bytes()[:kept])
    message = refused(broken, tmp_path, tiny_tokenizer, tiny_validation)
    assert str(broken) in message and "it gave no reason" not in message


def test_a_file_that_is_no_gguf(tmp_path, tiny_tokenizer, tiny_validation):
    (tmp_path / "m.gguf").write_text("a letter to a friend")
    assert "no GGUF file: it begins with b'a le'" in refused(
        tmp_path / "m.gguf", tmp_path, tiny_tokenizer, tiny_validation
    )


def test_no_file(tmp_path, tiny_tokenizer, tiny_validation):
    assert "no such file" in refused(tmp_path / "m.gguf", tmp_path, tiny_tokenizer, tiny_validation)


def test_an_architecture_that_llama_cpp_does_not_have(tmp_path, tiny_tokenizer, tiny_validation):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "abacus")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "unknown model architecture: 'abacus'" in refused(
        tmp_path / "m.gguf", tmp_path, tiny_tokenizer, tiny_validation
    )


def test_a_model_with_another_tokenizer(tmp_path, tiny_tokenizer, tiny_validation):
    other = load_vocabulary(make_tokenizer(tmp_path / "other", split="gpt-2"))
    write_gguf(make_model("llama"), other, tmp_path / "m.gguf", "f16")
    assert "llama.cpp cuts the text otherwise" in refused(
        tmp_path / "m.gguf", tmp_path, tiny_tokenizer, tiny_validation
    )


def test_a_file_that_is_quantized_already(tmp_path, sources, tiny_tokenizer, tiny_validation):
    quantize("Q4_0", sources / "256.gguf", tmp_path, tiny_tokenizer, tiny_validation)
    assert "requantizing from type q4_0" in refused(tmp_path / "Q4_0.gguf", tmp_path, tiny_tokenizer, tiny_validation)


def test_no_tokenizer(tmp_path, sources, tiny_validation):
    assert "`dvc repro tokenizer` makes it" in refused(
        sources / "256.gguf", tmp_path, tmp_path / "none", tiny_validation
    )


def test_a_full_disk_is_said_to_be_full(tmp_path, sources, tiny_tokenizer, tiny_validation, monkeypatch):
    """llama.cpp says "iostream error"; /dev/full is a disk that is always full."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "total used free")(1, 1, 0))
    with pytest.raises(OSError) as error:
        stage.run_llama_cpp(sources / "256.gguf", type(tmp_path)("/dev/full"), "Q8_0")
    assert error.value.errno == errno.ENOSPC


def test_a_refusal_does_not_stick(tmp_path, sources, tiny_tokenizer, tiny_validation):
    """The reasons of one failure do not show up in the next, nor hinder a success."""
    (tmp_path / "m.gguf").write_bytes((sources / "256.gguf").read_bytes()[:3000])
    refused(tmp_path / "m.gguf", tmp_path, tiny_tokenizer, tiny_validation)
    assert contents(sources / "256.gguf")["tensors"] == {"F16": 15, "F32": 5}
    with LlamaFile(sources / "256.gguf") as file:
        assert file.complete()


def test_an_answer_is_drawn_as_asked(sources):
    prompt, plain = "import machine\n", {"top_p": 1, "top_k": 100, "repeat_penalty": 1}
    with LlamaFile(sources / "256.gguf") as file:
        greedy = file.complete(prompt, 20)
        assert file.answer(prompt, 20, temperature=0, seed=1, **plain) == greedy
        assert file.answer(prompt, 20, temperature=2, seed=1, **plain | {"top_k": 1}) == greedy
        drawn = [file.answer(prompt, 20, temperature=2, seed=seed, **plain) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        ids = file.encode(file.answer(prompt, 20, temperature=0, seed=1, **plain | {"repeat_penalty": 100}))
        assert len(set(ids)) > len(set(file.encode(greedy)))


def test_llama_cpp_keeps_silent(tmp_path, sources, tiny_tokenizer, tiny_validation, capfd):
    quantize("Q4_K_M", sources / "384.gguf", tmp_path, tiny_tokenizer, tiny_validation)
    assert capfd.readouterr() == ("", "")
