"""Measures the trained model on text that was held out, lets it write, and asks how much of that it has by heart.

Bits per byte, not loss, is the figure to compare: it is per byte of raw text, so it means the same under any tokenizer.
"""

import math

import numpy as np
import torch

from pipeline.core.files import read_json, write_json, write_text
from pipeline.core.memory import keep_freed
from pipeline.core.paths import METRICS, PROCESSED, REPORTS, SIDECAR, TOKENIZER
from pipeline.core.progress import bar
from pipeline.data.tokenizer import load_tokenizer
from pipeline.model import Transformer
from pipeline.model.checkpoint import load_model

BATCH = 8


@torch.inference_mode()
def nats(model: Transformer, tokens: np.ndarray, eos: int, what: str) -> float:
    """Summed cross-entropy in nats of every token (N,), in windows of the model's context that do not overlap.

    The text starts as a document does, after <eos>, so the first token is scored like any other.
    """
    context = model.config.context_length
    inputs = np.concatenate(([eos], tokens[:-1])).astype(np.int64)
    targets = tokens.astype(np.int64)
    whole = len(targets) // context * context
    windows = (
        list(zip(np.split(inputs[:whole], whole // context), np.split(targets[:whole], whole // context), strict=True))
        if whole
        else []
    )
    batches = [windows[i : i + BATCH] for i in range(0, len(windows), BATCH)]
    if whole < len(targets):
        batches.append([(inputs[whole:], targets[whole:])])
    total = 0.0
    with bar(len(targets), what, " tokens") as progress:
        for batch in batches:
            x, y = (torch.from_numpy(np.stack(part)) for part in zip(*batch, strict=True))
            total += float(model.loss(x, y, reduction="sum").double())
            progress.update(y.numel())
    return total


def packed(split: str, sidecar: dict) -> np.ndarray:
    return np.fromfile(PROCESSED / f"{split}.bin", dtype=np.dtype(sidecar["dtype"]).newbyteorder("<"))


def held_out(model: Transformer, split: str, sidecar: dict) -> dict:
    """Loss (nats per token) and bits per byte of a packed split."""
    tokens = packed(split, sidecar)
    total = nats(model, tokens, sidecar["eos"], f"evaluate {split}")
    return {
        "loss": round(total / len(tokens), 6),
        "bits_per_byte": round(total / math.log(2) / sidecar[split]["bytes"], 6),
    }


def longest_copy(generated: list[int], text: np.ndarray) -> list[int]:
    """The longest run of `generated` that stands in `text` (N,) token for token: the longest common substring, a row of its table at a
    time, so that a million tokens of text take milliseconds for each token generated."""
    lengths, best = np.zeros(len(text) + 1, dtype=np.int32), (0, 0)  # lengths[i]: of the run that ends before text[i]
    for end, token in enumerate(generated, 1):
        lengths[1:] = np.where(text == token, lengths[:-1] + 1, 0)
        best = max(best, (int(lengths.max()), end))
    return generated[best[1] - best[0] : best[1]]


def main(config) -> None:
    keep_freed()
    model, tokenizer, sidecar = load_model(TOKENIZER), load_tokenizer(), read_json(SIDECAR)
    figures = {split: held_out(model, split, sidecar) for split in ("val", "test")}
    e = config.params.evaluate
    samples = [
        "# Completions\n\nGreedy, by the trained model in float32. The prompt comes first, the model goes on after `▸`.\n"
    ]
    training, copies, generated = packed("train", sidecar), [], 0
    for prompt in e.prompts:
        ids = model.generate(tokenizer.encode(prompt).ids, e.max_new_tokens, sidecar["eos"])
        samples.append(f"```python\n{prompt}▸{tokenizer.decode(ids)}\n```\n")
        copies.append(longest_copy(ids, training))
        generated += len(ids)
    longest = max(copies, key=len)
    memorised = {
        "longest_copy_tokens": len(longest),
        "longest_copy_characters": len(tokenizer.decode(longest)),
        "generated_tokens": generated,
    }
    samples.append(
        f"The longest passage above that stands word for word in the training text is {memorised['longest_copy_tokens']} tokens, "
        f"{memorised['longest_copy_characters']} characters.\n"
    )
    write_json(METRICS / "memorisation.json", memorised)
    write_text(REPORTS / "samples.md", "\n".join(samples))
    write_json(METRICS / "evaluate.json", figures)
    print(
        "evaluate: "
        + ", ".join(f"{s} {f['bits_per_byte']:.4f} bits per byte (loss {f['loss']:.4f})" for s, f in figures.items())
    )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("evaluate", main)
