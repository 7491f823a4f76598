"""What is handed to others says only what was measured, and is whole in itself."""

import json
import subprocess

import pytest
from real import find_ollama
from tiny import make_checkpoint, make_model

from pipeline.core.config import parse
from pipeline.core.errors import UserError
from pipeline.core.files import sha256
from pipeline.core.schema import Params, Serving
from pipeline.export.card import card
from pipeline.export.gguf import export
from pipeline.export.origin import corpus_sources

MODEL = dict(
    architecture="llama",
    vocab_size=512,
    context_length=256,
    d_model=128,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    d_ff=256,
    tie_embeddings=True,
)
TYPE = {
    "bytes": 1000,
    "bits_per_weight": 8.5,
    "bits_per_byte": 1.25,
    "change_percent": 0.5,
    "kl_mean": 1e-3,
    "same_top_token": 0.97,
    "compiles": 0.25,
    "tensors": {"F32": 5, "Q8_0": 14},
}

EXAMINED = {
    "served": "Q8_0",
    "contaminated": 0,
    "sets": {
        "people": {
            "tasks": 240,
            "passed": 6,
            "rate": 0.025,
            "low": 0.0115,
            "high": 0.0535,
            "parse_rate": 0.5,
            "api_rate": 0.875,
            "names": 80,
        },
        "completions": {"tasks": 64, "parse_rate": 0.25, "api_rate": None, "names": 0},
    },
}


@pytest.fixture
def facts(tiny_validation):
    sources = corpus_sources(tiny_validation)
    return dict(
        name="robo",
        quant="Q8_0",
        model=MODEL,
        tokenizer={"vocab_size": 512, "split_pattern": "qwen2"},
        splits={"train": sources, "val": sources[:1]},
        trained={"steps": 200, "tokens": 819200, "parameters": 1806592, "loss": 2.5, "val_loss": 2.75},
        evaluated={"val": {"loss": 2.75, "bits_per_byte": 1.2345}},
        exported={"parity": {"tokens_compared": 837758}, "kl_f32": 1e-8, "kl_f16": 1e-7},
        assessed={"types": {"Q8_0": TYPE}, "tokens": 8192, "prompts": 12, "recommended": "Q8_0"},
        examined=EXAMINED,
        copied={"generated_tokens": 192, "longest_copy_tokens": 8, "longest_copy_characters": 46},
        context=256,
    )


def test_every_figure_of_the_card_was_measured(facts):
    said = card(**facts)
    for fact in (
        "1,806,592 parameters",
        "package-0 1.0 | MIT | 2",
        "license_name: Apache-2.0 AND MIT",
        "512 tokens, split as llama.cpp's `qwen2`",
        "4 heads (2 for keys and values)",
        "200 steps, 819,200 tokens",
        "| val | 1.2345 | 2.7500 |",
        "| Q8_0 (served) | 1,000 | 8.50 | 1.2500 | +0.50%",
        "25% of 12 greedy completions",
        "In 192 tokens that it wrote",
        "is 8 tokens (46 characters)",
        "837,758 tokens",
        "Recommended: Q8_0",
        "| people | 6 of 240 | 2.5% (1.1% to 5.3%) | 50.0% | 87.5% of 80 |",
        "| completions | - of 64 | - | 25.0% | - |",
    ):
        assert fact in said, fact
    facts["trained"]["loss"], facts["assessed"]["types"]["Q8_0"] = 1.5, {**TYPE, "compiles": None}
    facts["examined"] = {**EXAMINED, "contaminated": 2}
    other = card(**facts)
    assert "**2 of the tasks stand in its training text" in other and "of the tasks stand in" not in said
    assert "final loss 1.5000" in other and "How many of its completions compile was not measured" in other


@pytest.mark.parametrize(
    "held, said",
    [
        ([], "Whole packages stand on one side of the split. Licences"),
        (["mine"], "Whole packages stand on one side of the split, but for mine: there it is whole groups of files"),
        (["mine", "a"], "but for a, mine: there it is"),
    ],
)
def test_what_stands_on_one_side_of_the_split(facts, held, said):
    """Packages; of a folder with `split: auto`, which is on several sides, groups of its files."""
    package = facts["splits"]["train"][0]
    facts["splits"] = {
        "train": [{**package, "source": name} for name in ("a", "b", "mine")],
        **{split: [{**package, "source": name} for name in (split, *held)] for split in ("val", "test")},
    }
    assert said in card(**facts)


def test_shares_are_of_the_text(tiny_validation):
    sources = corpus_sources(tiny_validation)
    assert sum(source["share"] for source in sources) == pytest.approx(1) and [s["documents"] for s in sources] == [
        2,
        2,
    ]
    rows = [json.loads(line) for line in tiny_validation.read_text().splitlines()]
    assert {s["source"]: s["bytes"] for s in sources} == {
        name: sum(len(row["text"].encode()) for row in rows if row["source"] == name)
        for name in ("package-0", "package-1")
    }


@pytest.mark.slow
def test_the_release_is_whole(tmp_path, ollama):
    """Built by DVC; the folder of the GGUF file alone is enough for `ollama create`, the other for transformers."""
    import transformers
    from chain import call, make_chain

    root = make_chain(tmp_path / "chain")
    (root / "corpora/train/LICENSE").write_text('Take it "as is".\n\n   Indented.\n')
    call(root, "dvc", "repro")
    release = root / "models/release"
    best = json.loads((root / "metrics/assess.json").read_text())["recommended"]
    gguf = release / f"gguf/robo-micropython-{best}.gguf"
    assert sha256(gguf) == sha256(root / f"models/quantized/{best}.gguf")
    assert sorted(p.name for p in (release / "gguf").iterdir()) == ["LICENSES.txt", "Modelfile", "README.md", gguf.name]
    for file in ("gguf/LICENSES.txt", "huggingface/LICENSES.txt", "gguf/Modelfile"):
        assert '---- stdlib-train (LICENSE)\n\nTake it "as is".' in (release / file).read_text()
    assert (release / "huggingface/README.md").read_text() == (root / "reports/model_card.md").read_text()
    assert (
        transformers.AutoModelForCausalLM.from_pretrained(
            release / "huggingface", local_files_only=True
        ).num_parameters()
        == 99_264
    )
    assert (root / "reports/quantization.svg").read_text().startswith("<?xml")
    if program := find_ollama():
        name = "robo-release-test"
        environment = {"OLLAMA_HOST": ollama, "HOME": str(tmp_path)}
        subprocess.run(
            [program, "create", name, "-f", "Modelfile"],
            cwd=release / "gguf",
            env=environment,
            check=True,
            capture_output=True,
        )
        subprocess.run([program, "rm", name], env=environment, check=True, capture_output=True)
    before = (root / "dvc.lock").read_text()
    call(root, "git", "commit", "-q", "--allow-empty", "-m", "another commit")
    call(root, "dvc", "repro", "--force", "--single-item", "export")
    assert (root / "dvc.lock").read_text() == before, "a commit changes no file"


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_a_gpt2_whose_feed_forward_width_llama_cpp_cannot_run(tmp_path, tiny_tokenizer, tiny_validation):
    from dataclasses import replace

    from pipeline.model import Transformer
    from pipeline.model.checkpoint import save_model

    trained = make_checkpoint(tmp_path / "trained", tiny_tokenizer)
    save_model(Transformer(replace(make_model().config, d_ff=256)), sha256(tiny_tokenizer / "tokenizer.json"), trained)
    with pytest.raises(UserError, match=r"d_ff: 256; llama.cpp's gpt2 needs 4 x d_model = 512"):
        export(
            ["f32", "f16"],
            trained,
            tiny_tokenizer,
            tiny_validation,
            tiny_validation,
            "robo",
            {},
            tmp_path / "gguf",
            tmp_path / "hf",
        )
    assert not (tmp_path / "gguf").exists() and not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    "file, schema, old, new, said",
    [
        ("params.yaml", Params, "Q4_0]", "Q40]", r"quants.3: 'Q40' is not known; did you mean 'Q4_"),
        (
            "configs/serving/robo-micropython.yaml",
            Serving,
            "quant: auto",
            "quant: Q4KM",
            r"quant: 'Q4KM' is not known; did you mean 'Q4_K_",
        ),
        (
            "configs/serving/robo-micropython.yaml",
            Serving,
            "quant: auto",
            "quant: auot",
            r"quant: 'auot' is not known; did you mean 'auto'",
        ),
        ("params.yaml", Params, "imatrix: true", "imatrix: maybe", r"quantize.imatrix: .*not 'maybe'"),
    ],
)
def test_a_typo_in_the_config(tmp_path, file, schema, old, new, said):
    from project import REPOSITORY

    (tmp_path / "c.yaml").write_text((REPOSITORY / file).read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        parse(tmp_path / "c.yaml", schema)
