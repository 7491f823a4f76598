"""What a run came to, read from the metrics that the stages wrote: as Markdown for Prefect's page, as tables for a terminal."""

from dataclasses import dataclass

from flows.console import Table, show_tables
from pipeline.core.files import read_json
from pipeline.core.paths import METRICS, REPORTS
from pipeline.core.timings import INFERENCE, read_timings
from pipeline.evaluation.marks import HEADINGS, cells

UP_TO_DATE = "up to date"


@dataclass(frozen=True)
class Outcome:
    """How one stage or act ended: its name, state (Executed, Cached, Skipped), seconds and reason."""

    name: str
    state: str
    seconds: float
    why: str


def stages(outcomes: list[Outcome]) -> Table:
    return (
        "Stages and acts",
        ["", "state", "seconds", "because"],
        [[o.name, o.state, f"{o.seconds:.1f}", o.why] for o in outcomes],
    )


def held_out() -> Table:
    figures = read_json(METRICS / "evaluate.json")
    return (
        "Text that was held out",
        ["split", "bits per byte", "loss"],
        [[split, f"{f['bits_per_byte']:.4f}", f"{f['loss']:.4f}"] for split, f in figures.items()],
    )


def files() -> Table:
    assessed = read_json(METRICS / "assess.json")
    rows = []
    for quant, figures in assessed["types"].items():
        written = read_json(METRICS / "quantize" / f"{quant}.json")
        tensors = ", ".join(f"{count} {kind}" for kind, count in written["tensors"].items())
        note = " (recommended)" if quant == assessed["recommended"] else ""
        rows.append(
            [
                quant + note,
                f"{written['bytes']:,}",
                f"{written['bits_per_weight']:.2f}",
                f"{figures['bits_per_byte']:.4f}",
                tensors,
            ]
        )
    title = f"GGUF files, measured on the first {assessed['tokens']:,} validation tokens"
    return title, ["type", "bytes", "bits per weight", "bits per byte", "tensors really in it"], rows


def exam() -> Table:
    examined = read_json(METRICS / "exam.json")
    return (
        f"RoboBench, asked of {examined['served']}; the failures that may be looked at stand in {REPORTS / 'exam.md'}",
        HEADINGS,
        [cells(name, f) for name, f in examined["sets"].items()],
    )


def report(outcomes: list[Outcome]) -> str:
    """Markdown with all tables and the completions."""
    parts = []
    for title, headings, rows in (stages(outcomes), held_out(), files(), exam()):
        lines = [f"## {title}", "| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
        parts.append("\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]))
    speeds = [f"{INFERENCE}.md"] if read_timings(INFERENCE) else []
    return "\n\n".join(
        [*parts, *((REPORTS / name).read_text(encoding="utf-8") for name in ("quantization.md", *speeds, "samples.md"))]
    )


def show(outcomes: list[Outcome]) -> None:
    """The same tables on the terminal."""
    show_tables([stages(outcomes), held_out(), files(), exam()])
