"""The assess stage: what each quantized file costs in bytes and loses in quality, on this model and this held-out text.

A type's name says little about a small model: some types come out as others (see quantize.py), and what a bit is worth depends on
the model. So every file reads the same validation tokens beside the float16 file, window by window with all files open, and its
next-token distributions are compared with float16's. Bits do not say everything: what each file answers to the exam was asked before
(answer.py). The smallest file that loses neither more bits nor more tasks than params.yaml's assess allows is recommended.

Figures of time and memory depend on the machine's mood: they stand in the report only, so that metrics/assess.json is the same on each run.
"""

import csv
import hashlib
import io
import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import read_json, write_json, write_text
from pipeline.core.paths import METRICS, QUANTIZED, REPORTS, SIDECAR
from pipeline.core.progress import bar
from pipeline.core.schema import REFERENCE
from pipeline.core.timings import INFERENCE, write_timings
from pipeline.evaluation.plot import quality_against_size
from pipeline.evaluation.speed import THREADS, measure
from pipeline.export.llama import LlamaFile
from pipeline.export.parity import divergence, log_softmax
from pipeline.export.quantize import FIGURES, SOURCE

REPORT, PLOT, PICTURE = (REPORTS / f"quantization.{kind}" for kind in ("md", "csv", "svg"))
SPEEDS = REPORTS / f"{INFERENCE}.md"
COLUMNS = (
    "type",
    "bytes",
    "bits per weight",
    "bits per byte",
    "change",
    "mean KL",
    "99% KL",
    "same top token",
    "compiles",
    "tasks passed",
    "answers that parse",
    f"answers not {REFERENCE}'s",
)
SPEED_COLUMNS = (
    "type",
    *(f"{what} tokens/s, {threads} thread{'s' * (threads > 1)}" for what in ("prompt", "new") for threads in THREADS),
    "memory",
)


@dataclass
class Reading:
    """What one file said about the scored tokens."""

    nats: float = 0.0
    kl: list[np.ndarray] = field(default_factory=list)  # to float16, (T,) a window
    agreed: int = 0  # tokens on whose likeliest successor it agrees with float16


# --- held-out text ----------------------------------------------------------------------------------------------------


def read_tokens(path: Path, dtype: str, eos: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, (N,) each, of the first `count` tokens of a packed file; the text starts as a document does, after eos."""
    targets = np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")[:count].astype(
        np.int64
    )  # fromfile makes room for them all
    return np.concatenate(([eos], targets[:-1])), targets


def read_windows(
    files: dict[str, LlamaFile], reference: LlamaFile, inputs: np.ndarray, targets: np.ndarray
) -> tuple[float, dict[str, Reading]]:
    """Summed nats of float16, and a Reading of each file, over windows of the model's context that do not overlap."""
    readings, nats = {name: Reading() for name in files}, 0.0
    with bar(len(targets) * len(files), "assess", " tokens") as progress:
        for start in range(0, len(targets), reference.context):
            window, right = (
                inputs[start : start + reference.context].tolist(),
                targets[start : start + reference.context],
            )
            rows = np.arange(len(right))
            truth = log_softmax(reference.logits(window))
            nats -= float(truth[rows, right].sum())
            for name, file in files.items():
                progress.set_postfix_str(name, refresh=False)
                reading, guess = readings[name], log_softmax(file.logits(window))
                reading.nats -= float(guess[rows, right].sum())
                reading.kl.append(divergence(truth, guess))
                reading.agreed += int((guess.argmax(-1) == truth.argmax(-1)).sum())
                progress.update(len(right))
    return nats, readings


# --- what comes of it -------------------------------------------------------------------------------------------------


def fingerprint(path: Path) -> str:
    """A hash of the tensors alone: two types whose tensors are the same differ in the label of their metadata."""
    import gguf

    digest = hashlib.sha256()
    for tensor in gguf.GGUFReader(path).tensors:
        digest.update(f"{tensor.name} {tensor.tensor_type.name} {tensor.shape}".encode())
        digest.update(tensor.data.tobytes())
    return digest.hexdigest()


def rounded(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def lost(passed: int, reference: int) -> float:
    """The share of the tasks passed by float16, or of its answers that parse, by which a type has fewer. Fewer in all, not those very ones:
    rounding wins some too."""
    return max(0, reference - passed) / reference if reference else 0.0


def recommend(types: dict[str, dict], max_loss: float, max_lost_tasks: float) -> str:
    """The smallest type whose bits per byte are at most max_loss percent above float16's and that loses no more than that share of the tasks,
    nor of the answers that parse: these are many more, so rounding shows there first. Where there is none, the one that loses the fewest bits,
    of those that keep the tasks where there are such."""
    keeps = {name: figures for name, figures in types.items() if most_lost(figures) <= max_lost_tasks}
    good = {name: figures for name, figures in keeps.items() if figures["change_percent"] <= max_loss}
    return (
        min(good, key=lambda name: good[name]["bytes"])
        if good
        else min(keeps or types, key=lambda name: types[name]["change_percent"])
    )


def most_lost(figures: dict) -> float:
    """The larger share of the two."""
    return max(figures["lost_tasks"], figures["lost_parsed"])


def assess(
    quants: list[str],
    tokens: int,
    max_loss: float,
    max_lost_tasks: float,
    packed: Path,
    sidecar: dict,
    answered: dict,
    quantized: Path = QUANTIZED,
    source: Path = SOURCE,
    facts: Path = FIGURES,
) -> dict:
    """The metrics. `answered` is metrics/answer.json; `facts` holds what the quantize stage found, TYPE.json each."""
    inputs, targets = read_tokens(packed, sidecar["dtype"], sidecar["eos"], tokens)
    paths = {name: quantized / f"{name}.gguf" for name in quants}
    with ExitStack() as stack:
        reference = stack.enter_context(LlamaFile(source))
        files = {name: stack.enter_context(LlamaFile(path)) for name, path in paths.items()}
        raw_bytes = len(reference.decode(targets.tolist()))
        nats, readings = read_windows(files, reference, inputs, targets)

    f16 = nats / math.log(2) / raw_bytes
    if not math.isfinite(f16):
        raise UserError(
            f"{source}: the model gives no finite probabilities on {packed}, so nothing can be compared with it"
        )
    types, prints = {}, {}
    for name, reading in readings.items():
        bits_per_byte, kl = reading.nats / math.log(2) / raw_bytes, np.concatenate(reading.kl)
        first = prints.setdefault(fingerprint(paths[name]), name)
        written, exam = read_json(facts / f"{name}.json"), answered["types"][name]
        float16 = answered["types"][REFERENCE]
        passed, by_reference = (sum(those["passed"].values()) for those in (exam, float16))
        types[name] = {
            **{key: written[key] for key in ("bytes", "bits_per_weight", "tensors", "fell_back", "imatrix")},
            "bits_per_byte": round(bits_per_byte, 6),
            "change_percent": round(100 * (bits_per_byte / f16 - 1), 4),
            "kl_mean": rounded(float(kl.mean())),
            "kl_p99": rounded(float(np.quantile(kl, 0.99))),
            "same_top_token": round(reading.agreed / len(targets), 4),
            "compiles": exam["compiles"],
            "tasks_passed": passed,
            "lost_tasks": rounded(lost(passed, by_reference)),
            "answers_parsed": exam["parsed"],
            "lost_parsed": rounded(lost(exam["parsed"], float16["parsed"])),
            "answers_changed": exam["changed"],
            "same_as": None if first == name else first,
        }
    return {
        "recommended": recommend(types, max_loss, max_lost_tasks),
        "tokens": len(targets),
        "bytes": raw_bytes,
        "prompts": answered["completions"],
        "tasks": answered["tasks"],
        "f16_bits_per_byte": round(f16, 6),
        "types": types,
    }


def won(guided: dict) -> str:
    """How much nearer to float16 the importance matrix brought a type; nothing where every tensor fell back to float16 itself."""
    return f"{1 - guided['kl_with'] / guided['kl_without']:.1%}" if guided["kl_without"] else "-"


def table(metrics: dict, max_loss: float, max_lost_tasks: float) -> str:
    """The report, in Markdown."""
    types, best = metrics["types"], metrics["recommended"]
    allowed = (
        f"{max_loss:g}% of float16's bits per byte (`assess.max_loss` in params.yaml) and {max_lost_tasks:.0%} of the tasks that it passes, "
        "or of its answers that parse (`assess.max_lost_tasks`)"
    )
    good = types[best]["change_percent"] <= max_loss and most_lost(types[best]) <= max_lost_tasks
    lines = [
        "# What each quantized file costs",
        "",
        (
            f"Measured on {metrics['tokens']:,} held-out tokens ({metrics['bytes']:,} bytes of text), where the float16 file needs "
            f"{metrics['f16_bits_per_byte']:.4f} bits per byte. KL is from float16's next-token distributions, in nats. "
            f"{metrics['prompts']} completions each were given to MicroPython's compiler. The tasks are the exam's, all its sets together, which "
            "says something of types beside each other and nothing of the model: see reports/exam.md. "
            f"How fast each runs where it was built: {SPEEDS}."
        ),
        "",
        (
            f"**Recommended: {best}**, the smallest that loses at most {allowed}."
            if good
            else f"**No type loses at most {allowed}**; {best} is the nearest to that."
        ),
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" + "|--:" * (len(COLUMNS) - 1) + "|",
    ]
    for name, t in types.items():
        share = "-" if t["compiles"] is None else f"{round(t['compiles'] * metrics['prompts'])} of {metrics['prompts']}"
        cells = [
            name,
            f"{t['bytes']:,}",
            f"{t['bits_per_weight']:.2f}",
            f"{t['bits_per_byte']:.4f}",
            f"{t['change_percent']:+.2f}%",
            f"{t['kl_mean']:.2g}",
            f"{t['kl_p99']:.2g}",
            f"{t['same_top_token']:.1%}",
            share,
            f"{t['tasks_passed']} of {metrics['tasks']}",
            f"{t['answers_parsed']} of {metrics['tasks']}",
            f"{t['answers_changed']} of {metrics['tasks'] + metrics['prompts']}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if guided := {name: t["imatrix"] for name, t in types.items() if t["imatrix"]}:
        lines += [
            "",
            "## The importance matrix",
            "",
            (
                f"Types of 5 bits and below were written with and without it, and the one whose next-token distributions are nearer to float16's "
                f"on the last {next(iter(guided.values()))['tokens']:,} validation tokens was kept. KL in nats."
            ),
            "",
            "| type | KL without | KL with | won | bits per weight without | with | used |",
            "|---|--:|--:|--:|--:|--:|---|",
        ]
        lines += [
            f"| {name} | {g['kl_without']:.4g} | {g['kl_with']:.4g} | {won(g)} | {g['bits_without']:.2f} | {g['bits_with']:.2f} | "
            f"{'yes' if g['used'] else 'no'} |"
            for name, g in guided.items()
        ]
    lines += [
        "",
        "## What was really written",
        "",
        "The k-quants hold rows in blocks of 256. Where a row's width is no multiple of that, llama.cpp takes a larger type. "
        "Widths of 256, 512 and 768 lose nothing.",
        "",
        "| type | tensors | fell back | bytes lost |",
        "|---|---|---|--:|",
    ]
    for name, t in types.items():
        why = "; ".join(f"{count}: {reason}" for reason, count in t["fell_back"]["why"].items()) or "none"
        same = f" **The same tensors as {t['same_as']}.**" if t["same_as"] else ""
        lines.append(
            f"| {name} | {', '.join(f'{count} {kind}' for kind, count in t['tensors'].items())}.{same} | {why} | "
            f"{t['fell_back']['bytes']:,} |"
        )
    return "\n".join(lines) + "\n"


def speed_table(speeds: dict[str, dict]) -> str:
    """What speed.py measured of each type, in Markdown."""
    lines = [
        "# How fast each file runs",
        "",
        "As servers run it, on the machine that measured it. Memory is what it takes beyond Python itself.",
        "",
        "| " + " | ".join(SPEED_COLUMNS) + " |",
        "|---" + "|--:" * (len(SPEED_COLUMNS) - 1) + "|",
    ]
    for name, speed in speeds.items():
        rates = [f"{speed[what][str(threads)]:,}" for what in ("prompt", "generation") for threads in THREADS]
        lines.append("| " + " | ".join([name, *rates, f"{speed['memory'] / 1e6:.0f} MB"]) + " |")
    return "\n".join(lines) + "\n"


def plot_rows(types: dict[str, dict]) -> str:
    """CSV of quality against size, smallest first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [
        "type",
        "bytes",
        "bits_per_weight",
        "bits_per_byte",
        "change_percent",
        "kl_mean",
        "kl_p99",
        "same_top_token",
        "compiles",
        "tasks_passed",
        "answers_parsed",
        "answers_changed",
    ]
    writer.writerow(columns)
    for name, t in sorted(types.items(), key=lambda item: item[1]["bytes"]):
        writer.writerow([name, *(t[column] for column in columns[1:])])
    return text.getvalue()


def main(config) -> None:
    a = config.params.assess
    metrics = assess(
        list(config.params.quants),
        a.tokens,
        a.max_loss,
        a.max_lost_tasks,
        Path(config.data.val_path),
        read_json(SIDECAR),
        read_json(METRICS / "answer.json"),
    )
    files = {name: QUANTIZED / f"{name}.gguf" for name in metrics["types"]}
    speeds = {name: measure(path) for name, path in files.items()}
    write_timings(INFERENCE, speeds, files.values())
    write_text(SPEEDS, speed_table(speeds))
    write_text(REPORT, table(metrics, a.max_loss, a.max_lost_tasks))
    write_text(PLOT, plot_rows(metrics["types"]))
    write_text(PICTURE, quality_against_size(metrics, a.max_loss))
    write_json(METRICS / "assess.json", metrics)
    best = metrics["types"][metrics["recommended"]]
    print(
        f"assess: {metrics['recommended']} recommended: {best['bytes']:,} bytes, {best['change_percent']:+.2f}% bits per byte "
        f"against F16; see {REPORT}"
    )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("assess", main)
