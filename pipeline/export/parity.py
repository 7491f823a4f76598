"""Is the exported model the trained one? Asked on every export, of every file, and answered in numbers.

Two things go wrong on the way to llama.cpp, both without a word: text is cut into other tokens than in training, and the
numbers come out a little different. So the ids of the whole validation text and of a list of hostile texts must be the very
same, and the next-token distributions must be as close as the file's precision allows.

What the limits can see: a forgotten permutation, swapped heads, a lost bias, a shifted position or ReLU in GELU's place show as
1e-3 nats and more. The exact GELU in place of the tanh form is as small as the error of ggml's float16 table for it, so a GGUF
cannot show it; the Hugging Face folder can, and its limit is therefore a thousand times tighter.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import read_jsonl
from pipeline.core.paths import VALIDATION
from pipeline.export.llama import LlamaFile
from pipeline.export.tokenization import Vocabulary

TOKENS = 512  # of the validation text whose logits are compared, or one context where that is more
LIMITS = {"huggingface": 1e-9, "f32": 1e-6, "f16": 1e-4}  # mean KL in nats


# --- texts ------------------------------------------------------------------------------------------------------------


def validation_texts(path: Path = VALIDATION) -> list[tuple[str, str]]:
    """(name, text) of each document. Raises UserError where the file is missing or holds no document."""
    try:
        texts = [(f"{path} line {n}", row["text"]) for n, row in enumerate(read_jsonl(path), 1)]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `dvc repro prepare` makes it") from None
    if not texts:
        raise UserError(f"{path}: no documents, so nothing can be proven; give the corpus a source with split: val")
    return texts


def stress_texts(vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """(name, text) of what tokenizers are known to disagree on."""
    specials = [vocabulary.tokens[i] for i in vocabulary.special.values()]
    # Each byte that UTF-8 may hold stands in one of these; surrogates are no text.
    points = [*range(0x800), *range(0x800, 0xD800, 61), *range(0xE000, 0x10000, 61), *range(0x10000, 0x110000, 4099)]
    texts = {
        "empty": "",
        "blank": " ",
        "CRLF": "a = 1\r\nb = 2\r\n\r\n\r\rc\n\r",
        "tabs": "\tif x:\n\t\ty\t=\t1\t\t\n",
        "blanks": "".join(" " * n + "x" + " " * n + "\n" * (n % 4) for n in range(70)),
        "trailing blanks": "x = 1   \n   \n    \n  ",
        "punctuation": "it's . , ! ? ' n't don't WE'LL We'Ll ''s ' s can''t \u2019s 's'S 'd'D",
        "digits": "0 1 12 123 1234 12345 0x1F 3.14159e-10 1_000_000 \u0661\u0662\u0663 \u00b2\u00b3 \u2167",
        "characters": " ".join(map(chr, points)),
        "characters in words": "".join(f"a{chr(point)}b" for point in points),
        "emoji": "\U0001f600\U0001f680\U0001f1ee\U0001f1f3 \u2764\ufe0f \U0001f44d\U0001f3fd",
        "joined emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308",
        "Hindi": "नमस्ते दुनिया, यह क्षत्रिय श्री १२३",
        "Tamil": "வணக்கம் உலகம், கொடுக்கிறது",
        "Bengali": "ওহে বিশ্ব, ক্ষুদ্র যন্ত্র",
        "Chinese": "你好，世界。打开灯，读取温度传感器。",
        "combining marks": "e\u0301 n\u0303 a\u0308\u0323 \u0301x Z\u0351\u036b\u0343 \u0bcd \u0301\u0301",
        "special tokens": "".join(f"{s}a {s} {s}\n" for s in specials)
        + " print('"
        + "".join(specials)
        + "')"
        + specials[0][:-1],
        "control": "\x00\x01\x7f\x80\x85\xa0\u2028\u2029\u200b\u3000\ufeff\ufffd \x0b\x0c",
        "a megabyte on one line": "x = foo(1, 'a b') # " * 50_000,
        "one letter": "a" * 2**16,
        "one blank": " " * 2**16,
        "one line end": "\n" * 2**16,
    }
    # llama.cpp takes a word that is a token as it is for some split patterns, and merges for others.
    from tokenizers.decoders import ByteLevel

    decoder = ByteLevel()
    texts["every token"] = "\n".join(decoder.decode([token]) for token in vocabulary.tokens)
    return list(texts.items())


# --- tokens -----------------------------------------------------------------------------------------------------------


def first_difference(one: Sequence, other: Sequence) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class Expected:
    """Texts with the ids that tokenizer.json gives for them, which every file is held against.

    Raises UserError where a text does not come back from its ids.
    """

    def __init__(self, tokenizer, texts: list[tuple[str, str]]):
        self.tokenizer, self.texts = tokenizer, texts
        self.ids = [
            encoding.ids for encoding in tokenizer.encode_batch([text for _, text in texts], add_special_tokens=False)
        ]
        self.count = sum(map(len, self.ids))
        for (name, text), ids in zip(texts, self.ids, strict=True):
            if (back := tokenizer.decode(ids, skip_special_tokens=False)) != text:
                at = first_difference(back, text)
                raise UserError(
                    f"tokenizer.json: {name}: decode(encode(text)) is not the text, from character {at} on: "
                    f"{back[at : at + 20]!r} instead of {text[at : at + 20]!r}"
                )

    def check(self, file: LlamaFile) -> None:
        """Raises UserError with the first token that llama.cpp cuts otherwise, or the first text that it does not give back."""
        for (name, text), ours in zip(self.texts, self.ids, strict=True):
            theirs = file.encode(text)
            if theirs != ours:
                at = first_difference(ours, theirs)
                offset = len(file.decode(ours[:at]))
                raise UserError(
                    f"{file.name}: {name}: llama.cpp cuts the text otherwise than tokenizer.json, first at byte {offset}, token {at}: "
                    f"tokenizer.json gives {self.shown(ours[at : at + 1])}, llama.cpp {self.shown(theirs[at : at + 1])}, of "
                    f"{text.encode()[offset : offset + 20].decode(errors='replace')!r}"
                )
            if file.decode(theirs) != text.encode():
                raise UserError(
                    f"{file.name}: {name}: llama.cpp does not give the text back from its {len(theirs)} tokens"
                )

    def shown(self, ids: list[int]) -> str:
        return f"{ids[0]} {self.tokenizer.decode(ids, skip_special_tokens=False)!r}" if ids else "no more token"


# --- numbers ----------------------------------------------------------------------------------------------------------


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in float64."""
    logits = logits.astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def divergence(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """KL(reference || other) in nats, (T,), of two arrays of log-probabilities (T, vocab)."""
    return (np.exp(reference) * (reference - other)).sum(-1)


def windows(ids: list[int], context: int) -> Iterator[list[int]]:
    """`ids` in pieces of `context` tokens, so that each position of the model is used."""
    return (ids[start : start + context] for start in range(0, len(ids), context))


def joined(documents: Iterable[list[int]], eos: int, count: int) -> list[int]:
    """The first `count` tokens of the documents joined by eos, as in training."""
    ids: list[int] = []
    for document in documents:
        ids += [*document, eos]
        if len(ids) >= count:
            break
    return ids[:count]


def torch_logits(model, ids: list[int], context: int) -> np.ndarray:
    """Logits (T, vocab) of a Transformer, or of a transformers model, window by window."""
    import torch

    with torch.inference_mode():
        outputs = [model(torch.tensor([window])) for window in windows(ids, context)]
    return np.concatenate([getattr(output, "logits", output)[0].float().numpy() for output in outputs])


def llama_logits(file: LlamaFile, ids: list[int], context: int) -> np.ndarray:
    return np.concatenate([file.logits(window).copy() for window in windows(ids, context)])


def check_divergence(name: str, kind: str, reference: np.ndarray, logits: np.ndarray) -> float:
    """The mean KL in nats to PyTorch's distributions, (T, vocab) both. Raises UserError where it is above the limit of this kind."""
    each = divergence(reference, log_softmax(logits))
    mean, limit = float(each.mean()), LIMITS.get(kind)
    if limit is not None and not mean < limit:  # NaN is not below anything
        raise UserError(
            f"{name}: this is not the trained model: its next-token distributions differ from PyTorch's by a mean KL of "
            f"{mean:.3g} nats over {len(each)} validation tokens, where less than {limit:g} is right, and first at token "
            f"{int((~(each < limit)).argmax())}. The exporter does not know this model's form"
        )
    return mean


def huggingface_logits(folder: Path, ids: list[int], context: int) -> np.ndarray:
    """Logits (T, vocab) of the folder as AutoModelForCausalLM loads it, in float32."""
    import transformers

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="float32").eval()
    return torch_logits(model, ids, context)


def huggingface_tokenizer(folder: Path):
    """text -> ids of the folder as AutoTokenizer loads it, with special-token text taken as ordinary text."""
    import transformers

    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert tokenizer is not None
    return lambda text: tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


# --- the whole chain --------------------------------------------------------------------------------------------------


def prove(
    model, vocabulary: Vocabulary, files: dict[str, Path], huggingface: Path, validation: Path = VALIDATION
) -> dict:
    """Holds every exported file against `model` and tokenizer.json, and returns the figures for metrics/export.json.

    `files` are the GGUF files by type (f32, f16, q8_0). Raises UserError with the first difference.
    """
    documents = validation_texts(validation)
    expected = Expected(vocabulary.tokenizer, documents + stress_texts(vocabulary))
    context = model.config.context_length
    ids = joined(expected.ids[: len(documents)], vocabulary.special["eos"], max(TOKENS, context))
    reference = torch_logits(model, ids, context)
    if not np.isfinite(reference).all():
        raise UserError(
            "models/trained: the model's logits are not finite: training diverged. A lower learning_rate, then `dvc repro`"
        )
    reference = log_softmax(reference)

    figures = {
        "parity": {
            "documents": len(documents),
            "stress_texts": len(expected.texts) - len(documents),
            "tokens_compared": expected.count,
            "logits_compared": len(ids),
        }
    }
    encode = huggingface_tokenizer(huggingface)
    for (name, text), ours in zip(expected.texts, expected.ids, strict=True):
        if encode(text) != ours:
            raise UserError(f"{huggingface.name}: {name}: AutoTokenizer cuts the text otherwise than tokenizer.json")
    figures["kl_huggingface"] = check_divergence(
        "huggingface", "huggingface", reference, huggingface_logits(huggingface, ids, context)
    )
    for kind, path in files.items():
        with LlamaFile(path, name=path.name) as file:
            expected.check(file)
            figures[f"kl_{kind}"] = check_divergence(path.name, kind, reference, llama_logits(file, ids, context))
            file.complete()
    # Enough digits to see a change, and no more than are the same on each run.
    return {key: float(f"{value:.3g}") if key.startswith("kl_") else value for key, value in figures.items()}
