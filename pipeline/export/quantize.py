"""The quantize stage, once for each type of params.yaml's quants: model-f16.gguf as llama.cpp's Q4_K_M and so on.

A type's name is a wish. The k-quants hold rows in blocks of 256, and where a row does not divide, llama.cpp takes a larger type
of blocks of 32 without failing: at width 384 "Q4_K_M" has 6.8 bits per weight. So the metrics hold what was really written, from
the file itself, and which tensors fell back, in llama.cpp's own words.

Types of 5 bits and below are written twice where params.yaml's quantize.imatrix says so, with the importance matrix of the training
text and without, and the one that stays nearer to float16 on held-out text is kept. The text that decides is the end of the
validation text, and what assess measures is its beginning.

    python -m pipeline.export.quantize Q4_K_M
"""

import ctypes
import math
import re
import shutil
import sys
from collections import Counter
from errno import ENOSPC
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError, suggestion
from pipeline.core.files import atomic, write_json
from pipeline.core.paths import GGUF, IMPORTANCE, METRICS, QUANTIZED, TOKENIZER_FOLDER, VALIDATION
from pipeline.core.schema import QUANTS
from pipeline.export.tokenization import load_vocabulary

SOURCE = GGUF / "model-f16.gguf"
FIGURES = METRICS / "quantize"
HEADS = ("output.weight", "token_embd.weight")
CHOICE_TOKENS = (
    2048  # from the end of the validation text, by which a file with the importance matrix or one without is chosen
)
LOW_BITS = re.compile(r"Q[2-5]_|IQ4_")
FELL_BACK = re.compile(
    r"warning: (\S+) +- ncols +(\d+) not divisible by +(\d+) \(required for type +(\w+)\)"
    r"[^\n]*?-> falling back to +(\w+)"
)


def file_type(quant: str) -> int:
    """llama.cpp's number of the type. Raises UserError for a name that is none."""
    import llama_cpp

    if quant not in QUANTS:
        raise UserError(f"{quant!r} is no type that llama.cpp quantizes to{suggestion(quant.upper(), QUANTS)}")
    return getattr(llama_cpp, "LLAMA_FTYPE_ALL_F32" if quant == "F32" else f"LLAMA_FTYPE_MOSTLY_{quant}")


def run_llama_cpp(source: Path, target: Path, quant: str, matrix: dict[str, np.ndarray] | None = None) -> str:
    """Lets llama.cpp write `target`, guided by an importance matrix where one is given (importance.py), and returns its log.

    Raises UserError with its reason where it does not.
    """
    import llama_cpp

    from pipeline.export import llama

    llama.check_magic(source)
    llama.listen()
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = file_type(quant)
    if matrix:
        entry = llama_cpp.llama_model_imatrix_data
        entries = [
            entry(name.encode(), mean.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), mean.size)
            for name, mean in matrix.items()
        ]
        options.imatrix = (entry * (len(entries) + 1))(*entries, entry())  # an empty name ends the list
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), options):
        if shutil.disk_usage(target.parent).free < source.stat().st_size:
            raise OSError(ENOSPC, "disk full", str(target))
        raise UserError(
            f"{source}: llama.cpp cannot quantize this file to {quant}: {llama.reason()}; "
            "`dvc repro --force export` makes it anew"
        )
    return "".join(text for _, text in llama.said)


def contents(path: Path) -> dict:
    """What a GGUF file holds: bytes, parameters, bits_per_weight (of the tensors alone), and tensors, a count by type."""
    import gguf

    held = gguf.GGUFReader(path).tensors
    parameters = sum(int(t.n_elements) for t in held)
    return {
        "bytes": path.stat().st_size,
        "parameters": parameters,
        "bits_per_weight": round(sum(int(t.n_bytes) for t in held) * 8 / parameters, 4),
        "tensors": dict(sorted(Counter(t.tensor_type.name for t in held).items())),
    }


def fallbacks(log: str, path: Path, quant: str) -> dict:
    """How many of the file's tensors took another type than the mix `quant` wanted, the bytes that cost, and a count by reason:
    {"count", "bytes", "why"}."""
    import gguf

    # By name, since llama.cpp may say the same tensor's twice.
    fell = {
        name: (width, block, wanted.upper(), taken.upper())
        for name, width, block, wanted, taken in FELL_BACK.findall(log)
    }
    held = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    if "_K" in quant:  # the head, or the embeddings it is tied to, should be Q6_K and becomes Q8_0 without a word
        for tensor in held.values():
            width = int(tensor.shape[0])
            if tensor.name in HEADS and tensor.name not in fell and width % 256 and tensor.tensor_type.name == "Q8_0":
                fell[tensor.name] = (width, 256, "Q6_K", "Q8_0")
    why = Counter(
        f"rows of {width} are no multiple of {block}: {wanted} -> {taken}"
        for width, block, wanted, taken in fell.values()
    )

    def size(kind: str) -> float:  # bytes a weight
        weights, raw = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        return raw / weights

    more = sum(
        int(held[name].n_elements) * (size(taken) - size(wanted)) for name, (_, _, wanted, taken) in fell.items()
    )
    return {"count": len(fell), "bytes": round(more), "why": dict(sorted(why.items()))}


def distances(source: Path, files: list[Path], ids: list[int]) -> list[float]:
    """Mean KL in nats of each file's next-token distributions to the source's, over `ids`."""
    from pipeline.export.llama import LlamaFile
    from pipeline.export.parity import divergence, llama_logits, log_softmax

    with LlamaFile(source) as file:
        truth = log_softmax(llama_logits(file, ids, file.context))
    found = []
    for path in files:
        with LlamaFile(path) as file:
            found.append(float(divergence(truth, log_softmax(llama_logits(file, ids, file.context))).mean()))
    return found


def guided(
    source: Path, path: Path, quant: str, matrix: dict[str, np.ndarray], ids: list[int], log: str
) -> tuple[str, dict]:
    """Writes the type once more, with the importance matrix, and keeps at `path` the file nearer to the source.

    Returns its log and what was compared: `used`, `kl_with` and `kl_without` in nats, bits per weight of both, `tokens`.
    """
    other = path.with_name(f"{path.name}.imatrix")
    try:
        log_with = run_llama_cpp(source, other, quant, matrix)
        kl, kl_with = distances(source, [path, other], ids)
        figures = {
            "used": bool(kl_with < kl and math.isfinite(kl_with)),
            "kl_without": float(f"{kl:.4g}"),
            "kl_with": float(f"{kl_with:.4g}"),
            "bits_without": contents(path)["bits_per_weight"],
            "bits_with": contents(other)["bits_per_weight"],
            "tokens": len(ids),
        }
        if figures["used"]:
            other.replace(path)
        return (log_with if figures["used"] else log), figures
    finally:
        other.unlink(missing_ok=True)


def quantize(
    quant: str, source: Path, out: Path, tokenizer: Path, validation: Path, matrix: dict[str, np.ndarray] | None = None
) -> dict:
    """Writes out/QUANT.gguf, proven to load, to complete a prompt and to cut the validation text as tokenizer.json does.

    Returns contents() of it with `fell_back`, `completion` and `imatrix`: None, or what guided() compared. Raises UserError, and
    leaves nothing, for a type that llama.cpp does not have or a source that it refuses.
    """
    from pipeline.export.llama import LlamaFile
    from pipeline.export.parity import Expected, joined, validation_texts

    file_type(quant)
    vocabulary = load_vocabulary(tokenizer)
    expected, compared = Expected(vocabulary.tokenizer, validation_texts(validation)), None
    path = out / f"{quant}.gguf"
    with atomic(path) as unfinished:
        log = run_llama_cpp(source, unfinished, quant)
        if matrix and LOW_BITS.match(quant):
            ids = joined(expected.ids, vocabulary.special["eos"], expected.count + len(expected.ids))[-CHOICE_TOKENS:]
            log, compared = guided(source, unfinished, quant, matrix, ids, log)
        with LlamaFile(unfinished, name=str(path)) as file:
            expected.check(file)
            completion = file.complete()
    return {**contents(path), "fell_back": fallbacks(log, path, quant), "completion": completion, "imatrix": compared}


def main(config, quant: str) -> None:
    from pipeline.export.importance import read_importance

    matrix = read_importance(IMPORTANCE) if config.params.quantize.imatrix else None
    figures = quantize(quant, SOURCE, QUANTIZED, TOKENIZER_FOLDER, VALIDATION, matrix)
    write_json(FIGURES / f"{quant}.json", figures)
    print(
        f"quantize {quant}: {figures['bytes']:,} bytes, {figures['bits_per_weight']:.2f} bits per weight, "
        + ", ".join(f"{count} {kind}" for kind, count in figures["tensors"].items())
    )
    if compared := figures["imatrix"]:
        print(
            f"quantize {quant}: mean KL to float16 {compared['kl_without']:g} nats, {compared['kl_with']:g} with the importance matrix, "
            f"which is {'used' if compared['used'] else 'left out'}"
        )
    for why, count in figures["fell_back"]["why"].items():
        print(f"quantize {quant}: fell back, {count} of its tensors: {why}")


if __name__ == "__main__":
    from pipeline.core.stage import run

    if len(sys.argv) != 2:
        sys.exit("usage: python -m pipeline.export.quantize TYPE")
    run("quantize", main, quant=sys.argv[1])
