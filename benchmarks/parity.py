"""Is the served model the trained one? Shown in numbers, for every form at every width, and in words, for the model that stands here.

    python benchmarks/parity.py                 mean KL in nats to PyTorch float32 of each form's Hugging Face folder and GGUF files
    python benchmarks/parity.py --completions   what PyTorch, transformers, each GGUF file and Ollama write after the same prompt

The table's models have random weights scaled like trained ones (tests/tiny.py). Ollama's lines need a running server (OLLAMA_HOST).
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

WIDTHS = (128, 256, 384, 512, 640)
FORMS = {
    "gpt2": {},
    "gpt2, no biases": {"bias": False},
    "llama, grouped heads": {"architecture": "llama"},
    "qwen3, grouped heads": {"architecture": "qwen3"},
}
NEW_TOKENS = 24


def forms() -> None:
    from tiny import CODE, make_model, make_tokenizer

    from pipeline.export import huggingface, parity
    from pipeline.export.gguf import write_gguf
    from pipeline.export.llama import LlamaFile
    from pipeline.export.tokenization import load_vocabulary

    print(f"{'':<22}{'head':<8}{'width':>5}{'Hugging Face':>16}{'F32':>10}{'F16':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        vocabulary = load_vocabulary(make_tokenizer(folder / "tokenizer"))
        ids = (vocabulary.tokenizer.encode(CODE).ids * 2)[:256]
        for name, form in FORMS.items():
            for tied in (True, False):
                for width in WIDTHS:
                    model = make_model(
                        **{"architecture": "gpt2", **form}, d_model=width, n_heads=width // 32, tie_embeddings=tied
                    )
                    reference = parity.log_softmax(parity.torch_logits(model, ids, 256))
                    huggingface.to_huggingface(model, folder / "tokenizer", folder / "hf")
                    found = [
                        parity.check_divergence(
                            "hf", "huggingface", reference, parity.huggingface_logits(folder / "hf", ids, 256)
                        )
                    ]
                    for kind in ("f32", "f16"):
                        write_gguf(model, vocabulary, folder / "m.gguf", kind)
                        with LlamaFile(folder / "m.gguf") as file:
                            found.append(
                                parity.check_divergence(kind, kind, reference, parity.llama_logits(file, ids, 256))
                            )
                    print(
                        f"{name:<22}{'tied' if tied else 'untied':<8}{width:>5}{found[0]:>16.1e}{found[1]:>10.1e}{found[2]:>10.1e}",
                        flush=True,
                    )


def completions() -> None:
    import torch
    import transformers

    from pipeline.core.config import load
    from pipeline.core.paths import GGUF, HUGGINGFACE, QUANTIZED, TOKENIZER
    from pipeline.data.tokenizer import load_tokenizer
    from pipeline.export.llama import LlamaFile
    from pipeline.model.checkpoint import load_model
    from pipeline.publish.serving import connected, is_reachable

    prompt, tokenizer, model = (
        load(ROOT).serving.smoke_prompt,
        load_tokenizer(ROOT / TOKENIZER),
        load_model(ROOT / TOKENIZER),
    )
    ids, eos = tokenizer.encode(prompt).ids, tokenizer.token_to_id("<eos>")
    print(f"{'after':<24}{prompt!r}")
    print(f"{'PyTorch':<24}{tokenizer.decode(model.generate(ids, NEW_TOKENS, eos))!r}")
    transformers.logging.set_verbosity_error()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        ROOT / HUGGINGFACE, dtype="float32", local_files_only=True
    ).eval()
    new = theirs.generate(torch.tensor([ids]), max_new_tokens=NEW_TOKENS, do_sample=False)[0, len(ids) :]
    print(f"{'transformers':<24}{tokenizer.decode(new.tolist())!r}")
    version, trial = is_reachable(), "robo-parity-trial"
    greedy = {
        "temperature": 0,
        "repeat_penalty": 1.0,
        "num_predict": NEW_TOKENS,
        "stop": [],
        "num_ctx": model.config.context_length,
    }
    for path in (
        ROOT / GGUF / "model-f32.gguf",
        *sorted((ROOT / QUANTIZED).glob("*.gguf"), key=lambda path: -path.stat().st_size),
    ):
        with LlamaFile(path, as_served=True) as file:
            text = file.decode(file.generate(ids, NEW_TOKENS)).decode("utf-8", "replace")
        print(f"{path.stem:<24}{text!r}")
        if version:
            with connected(None, path) as client:
                client.create(trial, files={path.name: client.create_blob(path)}, template="{{ .Prompt }}")
                said = client.generate(trial, prompt, raw=True, options=greedy).response
                client.delete(trial)
            print(f"{'  in Ollama ' + version:<24}{'the same' if said == text else repr(said)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--completions", action="store_true", help="what each of them writes, instead of the table")
    arguments = parser.parse_args()
    if not arguments.completions:
        forms()
    elif (ROOT / "models/quantized").exists():
        completions()
    else:
        sys.exit("error: nothing is built here; run `dvc repro` first")


if __name__ == "__main__":
    main()
