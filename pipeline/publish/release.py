"""The release stage: what is handed to others, each folder whole in itself.

models/release/gguf holds the served file with a Modelfile for `ollama create NAME -f Modelfile`, models/release/huggingface what
transformers loads, and both a model card and the sources' licence texts. They are copies: the stages that made the files could not
know yet what evaluating them would say, and a file must not change after the stage that owns it.
"""

import shutil
from pathlib import Path

from pipeline.core.files import read_json, write_text
from pipeline.core.paths import HUGGINGFACE, METRICS, PROCESSED, QUANTIZED, RELEASE, REPORTS, SPLITS, TRAINED
from pipeline.core.schema import Serving
from pipeline.export.card import card
from pipeline.export.origin import corpus_sources
from pipeline.publish import lineage, serving

CARD = REPORTS / "model_card.md"


def main(config) -> None:
    metrics = {
        name: read_json(METRICS / f"{name}.json")
        for name in ("train", "evaluate", "export", "assess", "exam", "memorisation")
    }
    served = lineage.settled(
        Serving(**config.serving.as_dict()), config.tokenizer.special_tokens, metrics["assess"]["recommended"]
    )
    splits = {split: corpus_sources(PROCESSED / f"{split}_corpus.jsonl") for split in SPLITS}
    tokenizer = {"vocab_size": config.tokenizer.vocab_size, "split_pattern": config.tokenizer.split_pattern}
    text = card(
        served.name,
        served.quant,
        read_json(TRAINED / "config.json")["model"],
        tokenizer,
        splits,
        metrics["train"],
        metrics["evaluate"],
        metrics["export"],
        metrics["assess"],
        metrics["exam"],
        metrics["memorisation"],
        served.parameters.num_ctx,
    )
    gguf = f"{served.name}-{served.quant}.gguf"
    unfinished = RELEASE.with_name(f".{RELEASE.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(HUGGINGFACE, unfinished / "huggingface")
        (unfinished / "gguf").mkdir()
        shutil.copyfile(QUANTIZED / f"{served.quant}.gguf", unfinished / "gguf" / gguf)
        licenses = lineage.license_text(Path(), config.corpus.sources)
        write_text(unfinished / "gguf" / "Modelfile", serving.modelfile(served, gguf, licenses))
        for folder in ("gguf", "huggingface"):
            write_text(unfinished / folder / "README.md", text)
            write_text(unfinished / folder / "LICENSES.txt", licenses)
        shutil.rmtree(RELEASE, ignore_errors=True)
        unfinished.rename(RELEASE)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    write_text(CARD, text)
    print(f"release: {RELEASE / 'gguf' / gguf} with Modelfile, {RELEASE / 'huggingface'}, and {CARD}")


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("release", main)
