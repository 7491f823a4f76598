"""What the schema allows, every stage does: the ends of its ranges, alone and through the whole chain.

The chain's sample is another one each day, so that in time all of them are tried; the message of a failure holds all that it needs to be
tried again. ROBO_SEED=19000 draws that day's.
"""

import contextlib
import importlib
import json
import os
import random
import re
import time
from pathlib import Path

import pytest
import torch
from chain import REPOSITORY, TASKS, edit, write_yaml
from stages import copy_configs, module_of
from tiny import CODE, DOCUMENTS, make_model

from pipeline.core.config import FOLDERS, StageConfig, load, schemas_in
from pipeline.core.schema import QUANTS, File, Params
from pipeline.evaluation import speed
from pipeline.evaluation.assess import read_tokens, won
from pipeline.export.gguf import write_gguf
from pipeline.export.llama import LlamaFile
from pipeline.export.parity import check_divergence, log_softmax
from pipeline.export.tokenization import load_vocabulary
from pipeline.model import ModelConfig, Transformer
from pipeline.training.data import Order
from pipeline.training.stop import Stop

STAGES = ["tokenizer", "pack", "train", "evaluate", "export", "quantize", "answer", "assess", "exam", "release"]


def fields(schema: type[File]):
    """(name, field) of a schema and of those inside it."""
    for name, field in schema.model_fields.items():
        yield f"{schema.__name__}.{name}", field
        for inner in schemas_in(field.annotation):
            yield from fields(inner)


def test_every_whole_number_has_an_end():
    """Beyond it NumPy and Python's len() end in an OverflowError, hours into a run."""
    whole = {
        name: field
        for schema in (Params, *(schema for _, schema in FOLDERS.values()))
        for name, field in fields(schema)
        if re.search(r"\bint\b", str(field.annotation))
    }
    assert len(whole) > 30
    assert not [name for name, field in whole.items() if "Le(le=" not in f"{field.annotation}{field.metadata}"]


def test_the_longest_training_has_a_length():
    assert len(Order(samples=10**24, batch_size=1)) > 10**18


def test_tokens_are_read_as_far_as_there_are_any(tmp_path):
    (tmp_path / "val.bin").write_bytes(bytes([5, 0, 6, 0, 7, 0]))
    assert [list(each) for each in read_tokens(tmp_path / "val.bin", "uint16", 1, 10**12)] == [[1, 5, 6], [5, 6, 7]]
    assert [list(each) for each in read_tokens(tmp_path / "val.bin", "uint16", 1, 2)] == [[1, 5], [5, 6]]


@pytest.mark.parametrize("context", [8, 9, 33, 64])
def test_speed_is_measured_in_the_shortest_context(tmp_path, tiny_tokenizer, context):
    write_gguf(
        Transformer(ModelConfig("gpt2", 512, context, 32, 1, 1, 1, 128, True)),
        load_vocabulary(tiny_tokenizer),
        tmp_path / "f16.gguf",
        "f16",
    )
    found = speed.run(tmp_path / "f16.gguf")
    assert all(rate > 0 for what in ("prompt", "generation") for rate in found[what].values())


@pytest.mark.parametrize("architecture", ["gpt2", "qwen3"])
def test_the_longest_context_fits_into_memory(tmp_path, tiny_tokenizer, architecture):
    """All of it at once would take 200 GB for its attention alone. In parts, the numbers are PyTorch's all the same."""
    model, vocabulary = (
        make_model(architecture, context_length=131_072, d_model=64, n_layers=1, n_heads=2),
        load_vocabulary(tiny_tokenizer),
    )
    write_gguf(model, vocabulary, tmp_path / "f32.gguf", "f32")
    ids = (vocabulary.tokenizer.encode(CODE).ids * 3)[:700]
    with LlamaFile(tmp_path / "f32.gguf") as file, torch.inference_mode():
        assert file.context == 131_072 and len(ids) == 700
        check_divergence("f32", "f32", log_softmax(model(torch.tensor([ids]))[0].numpy()), file.logits(ids))


def test_a_type_that_fell_back_to_float16_has_nothing_to_win():
    assert (won({"kl_with": 0.0, "kl_without": 0.0}), won({"kl_with": 0.5, "kl_without": 2.0})) == ("-", "75.0%")


# --- the whole chain --------------------------------------------------------------------------------------------------


def draw(rng: random.Random) -> dict[str, dict]:
    """Settings of each file, most of them at an end of what may stand there."""

    def one(*values):
        return rng.choice(values)

    architecture, heads, width, context = (
        one("gpt2", "llama", "qwen3", "lfm2"),
        one(1, 2, 3),
        one(32, 34, 64),
        one(8, 9, 33, 64),
    )
    vocabulary, gpt2, optimizer, clock = (
        one(300, 301, 512),
        architecture == "gpt2",
        one("adamw", "muon"),
        one(None, "00:00:01"),
    )
    return {
        "models/robo-nano-5m": dict(
            architecture=architecture,
            vocab_size=vocabulary,
            context_length=context,
            d_model=heads * width,
            n_layers=2 if architecture == "lfm2" else one(1, 2),
            conv_layers=one([0], [1]) if architecture == "lfm2" else None,
            conv_size=one(None, 2, 16) if architecture == "lfm2" else None,
            n_heads=heads,
            n_kv_heads=one(None, heads) if gpt2 else one(1, heads),
            d_ff=4 * heads * width if gpt2 else one(8, 9, 256),
            tie_embeddings=one(True, False),
            bias=one(None, False, True) if gpt2 else None,
            dropout=one(0.0, 0.99),
        ),
        "tokenizers/robo-code-8k": dict(
            vocab_size=vocabulary, split_pattern=one("gpt-2", "llama-bpe", "qwen2", "qwen35")
        ),
        "data/robo-code-8k-256": dict(
            block_size=context,
            stride=one(1, context),
            dtype=one("uint16", "uint32"),
            batch_size=one(1, 7, 300),
            tasks_share=0.0,
        ),
        "training/cpu-minutes": dict(
            optimizer=optimizer,
            muon_learning_rate=5e-3 if optimizer == "muon" else None,
            warmup_ratio=one(0.0, 0.99),
            min_lr=one(0.0, 1e-4),
            weight_decay=one(0.0, 0.1),
            betas=one([0.9, 0.95], [0.0, 0.001]),
            grad_clip_norm=one(None, 1e-30, 1.0),
            precision="32-true",
            compile=False,
            accumulate_grad_batches=one(1, 3),
            max_steps=10**12 if clock else one(1, 3),
            max_time=clock,
            max_tokens=None,
            eval_every=one(1, 10**12),
            checkpoint_every=one(1, 10**12),
            patience=one(None, 1),
            keep=one("best", "last"),
            sample_prompts=one([], ["a"]),
            seed=one(0, 2**32 - 2),
        ),
        "serving/robo-micropython-256": {
            "parameters.num_ctx": one(8, context),
            "parameters.num_predict": one(1, 4096),
            "smoke_prompt": "a",
            "template": "{{ .Prompt }}",
        },
        "../params": {
            "model": "robo-nano-5m",
            "quants": rng.sample(QUANTS, 2),
            "quantize.imatrix": one(True, False),
            "export.outtypes": ["f16", "f32"],
            "evaluate.prompts": ["a"],
            "evaluate.max_new_tokens": one(1, 100),
            "assess.tokens": one(256, 10**12),
            "assess.max_loss": one(0, 1.0),
            "exam.sets": ["people"],
            "exam.prompt": one("{request}", "{request}{board}"),
            "exam.max_new_tokens": one(1, context - 3),
            "exam.completions": one(0, 1, 10**12),
        },
    }


def prepared(root: Path) -> Path:
    """A project as the stages before the tokenizer leave it, with an exam of a few tasks."""
    copy_configs(root)
    (root / "exam/people").mkdir(parents=True)
    write_yaml(root / "exam/people/blink.yaml", TASKS)
    (root / "boards.lock").symlink_to(REPOSITORY / "boards.lock")
    for split in ("train", "val", "test"):
        rows = [
            {"source": "mine", "version": "1", "license": "MIT", "path": f"{n}.py", "text": text}
            for n, text in enumerate(DOCUMENTS)
        ]
        path = root / f"data/processed/{split}_corpus.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "data/curriculum").mkdir()
    pair = {"request": "Blink", "program": "led.on()\n", "board": "pico", "intents": ["blink"], "made_of": "blink"}
    (root / "data/curriculum/train.jsonl").write_text(json.dumps(pair) + "\n")
    (root / "data/raw").mkdir()
    (root / "data/raw/licenses.jsonl").write_text("")
    return root


@pytest.mark.slow
def test_the_chain_does_what_the_schema_allows(tmp_path):
    seed = int(os.environ.get("ROBO_SEED") or time.time() // 86400)
    drawn, root = draw(random.Random(seed)), prepared(tmp_path / "project")
    for file, values in drawn.items():
        edit(root, f"configs/{file}.yaml", **values)
    with contextlib.chdir(root):
        config, stage = load(), ""
        try:
            for stage in STAGES:
                main, given = importlib.import_module(module_of(stage)).main, StageConfig(config, stage)
                if stage == "train":
                    with Stop() as stop:
                        main(given, stop=stop)
                elif stage == "quantize":
                    for quant in config.params.quants:
                        main(given, quant=quant)
                else:
                    main(given)
        except Exception as error:
            pytest.fail(f"{stage} with ROBO_SEED={seed}: {drawn}: {type(error).__name__}: {error}")
    assert list(json.loads((root / "metrics/assess.json").read_text())["types"]) == drawn["../params"]["quants"]
    assert json.loads((root / "metrics/exam.json").read_text())["sets"]["people"]["tasks"] == len(TASKS)
    assert (root / "models/release/huggingface/config.json").exists()
