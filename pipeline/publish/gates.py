"""Is a candidate good enough to serve? Figures and limits in, a verdict with a reason for each gate out, and the text that a person reads.

Pure: judge.py fetches the figures and writes the outcome down. A gate without a figure fails, since nothing was shown; one that is switched
off still tells its figure. Two versions are compared on one text, the champion's held-out one: their own need not be the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, le, lt
from typing import final

from pipeline.core.config import FOLDERS
from pipeline.core.errors import shortened
from pipeline.core.schema import Gates
from pipeline.publish.lineage import SOURCES_TAG

VERDICT = "verdict"
MOST_PACKAGES = 8  # that a description lists as come, or as gone
MOST_CHANGES = 5  # that a tag names
MOST_GROWN = 8  # licences, dialects and languages whose growth is told
DATA = {
    "dvc.raw": "sources as they were read",
    "dvc.corpus": "training text",
    "dvc.tokenizer": "tokenizer",
    "dvc.weights": "weights",
    "held_out_sha256": "held-out text",
}


# Of the corpus: figures that are always told, and the kinds of which the largest changes are.
CORPUS = {
    "prepare.train.bytes": "training text, bytes",
    "prepare.train.documents": "training text, files",
    "prepare.val.bytes": "validation text, bytes",
    "prepare.test.bytes": "test text, bytes",
    "corpus.sources": "sources",
    "rejected": "files left out",
}
KINDS = {
    "corpus.licenses.": "text under {}, bytes",
    "corpus.dialects.": "text in {}, bytes",
    "corpus.languages.": "text with comments in {}, bytes",
}


@final
@dataclass(frozen=True)
class Figures:
    """What is known of a version; None where it was not measured."""

    version: int
    quant: str  # the served type
    val_loss: float | None  # nats per token of its own held-out text
    bits_per_byte: float | None  # of the same
    quant_loss: float | None  # percent of float16's bits per byte
    syntax_rate: float | None  # share of completions that compile, of the served type
    people_rate: float | None  # share of the people's requests that its programs fulfil
    api_rate: float | None  # share of the names of the board's modules in those programs that exist
    contaminated: float | None  # tasks of the exam that stand in its training text
    parameters: float | None
    served_bytes: float | None


@dataclass(frozen=True)
class Verdict:
    """What one gate says."""

    gate: str
    state: str  # "pass", "fail" or "off"
    why: str  # figure and limit

    def __str__(self) -> str:
        return f"{self.state}: {self.why}"


def percent(value: float) -> float:
    """As it is shown, so that nobody reads a limit that is kept and a gate that fails; and without the sign of -0.0."""
    return round(value, 2) + 0.0


def verdict(
    gate: str, figure: float | None, limit: float | None, passes: Callable[[float, float], bool], shows: str, asks: str
) -> Verdict:
    """`shows` and `asks` are formats of the figure and the limit."""
    if figure is None:
        return Verdict(gate, "off" if limit is None else "fail", "not measured")
    if limit is None:
        return Verdict(gate, "off", shows.format(figure))
    return Verdict(gate, "pass" if passes(figure, limit) else "fail", f"{shows.format(figure)}, {asks.format(limit)}")


def judge(gates: Gates, candidate: Figures, champion: Figures | None, there: float | None) -> list[Verdict]:
    """One verdict for each gate; `there` is the candidate's bits per byte on the champion's held-out text."""
    if champion is None:
        compared = Verdict(
            "bits_per_byte", "off" if gates.max_bits_per_byte_rise is None else "pass", "no champion to compare with"
        )
    else:
        rise = (
            percent(100 * (there / champion.bits_per_byte - 1))
            if there is not None and champion.bits_per_byte
            else None
        )
        compared = verdict(
            "bits_per_byte",
            rise,
            gates.max_bits_per_byte_rise,
            le,
            f"{there or 0:.4f} on the held-out text of version {champion.version}, {{:+.2f}}%",
            "may be {:+g}%",
        )
    return [
        verdict("val_loss", candidate.val_loss, gates.max_val_loss, lt, "{:.4f} nats per token", "must be below {:g}"),
        compared,
        verdict(
            "quant_loss",
            candidate.quant_loss,
            gates.max_quant_loss,
            le,
            f"{candidate.quant} loses {{:.2f}}%",
            "may lose {:g}%",
        ),
        verdict(
            "syntax_rate",
            candidate.syntax_rate,
            gates.min_syntax_rate,
            ge,
            "{:.0%} of completions compile",
            "must be {:.0%}",
        ),
        remembered(candidate, gates)
        or verdict(
            "people_rate",
            candidate.people_rate,
            gates.min_people_rate,
            ge,
            "{:.1%} of people's requests answered",
            "must be {:.1%}",
        ),
        verdict(
            "api_rate", candidate.api_rate, gates.min_api_rate, ge, "{:.1%} of the names used exist", "must be {:.1%}"
        ),
    ]


def remembered(candidate: Figures, gates: Gates) -> Verdict | None:
    """Fails the gate on the exam for a model that has read it, whatever it came to."""
    if candidate.contaminated and gates.min_people_rate is not None:
        return Verdict(
            "people_rate",
            "fail",
            f"{candidate.contaminated:.0f} of the exam's tasks stand in the training text, see reports/exam.md",
        )
    return None


def passed(verdicts: list[Verdict]) -> bool:
    return all(each.state != "fail" for each in verdicts)


# --- what a person reads ----------------------------------------------------------------------------------------------


def chosen_by(good: bool, of: Figures) -> dict[str, str]:
    """The few tags of a version that a person chooses by, short, since MLflow's table is narrow: a model that answers no request of the
    exam is told from others like it by how much of what it writes compiles. bpb: bits per byte."""
    rate = {"exam": f"{of.people_rate:.0%}"} if of.people_rate else {"syntax": cell(of.syntax_rate, "{:.0%}")}
    size = f", {of.served_bytes / 1e6:.1f} MB" if of.served_bytes else ""
    return {
        VERDICT: "pass" if good else "fail",
        **rate,
        "bpb": cell(of.bits_per_byte, "{:.4f}"),
        "served": f"{of.quant}{size}",
    }


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def side_by_side(
    verdicts: list[Verdict], candidate: Figures, champion: Figures | None, there: float | None
) -> list[str]:
    """Markdown: each figure of both, and what the gate on it says."""
    says = {each.gate: str(each) for each in verdicts}
    c, h = candidate, champion
    rows = [
        ("loss on held-out packages", c.val_loss, h and h.val_loss, "{:.4f}", says["val_loss"]),
        ("bits per byte there", c.bits_per_byte, h and h.bits_per_byte, "{:.4f}", ""),
        (
            "bits per byte on the champion's held-out text",
            there,
            h and h.bits_per_byte,
            "{:.4f}",
            says["bits_per_byte"],
        ),
        (
            "percent of float16's bits per byte that the served type loses",
            c.quant_loss,
            h and h.quant_loss,
            "{:.2f}",
            says["quant_loss"],
        ),
        ("completions that compile", c.syntax_rate, h and h.syntax_rate, "{:.0%}", says["syntax_rate"]),
        ("people's requests answered", c.people_rate, h and h.people_rate, "{:.1%}", says["people_rate"]),
        ("names that exist", c.api_rate, h and h.api_rate, "{:.1%}", says["api_rate"]),
        ("parameters", c.parameters, h and h.parameters, "{:,.0f}", ""),
        ("served file, bytes", c.served_bytes, h and h.served_bytes, "{:,.0f}", ""),
    ]
    heading = f"champion, version {h.version}" if h else "no champion yet"
    lines = [f"| | this version | {heading} | gate |", "|---|---:|---:|---|"]
    return lines + [
        f"| {name} | {cell(mine, form)} | {cell(other, form)} | {gate} |" for name, mine, other, form, gate in rows
    ]


def changed_text(candidate: dict[str, str], champion: dict[str, str]) -> list[str]:
    """Markdown: what of the data is another, from the tags of both versions."""
    same, other = (
        [word for key, word in DATA.items() if (candidate.get(key) == champion.get(key)) is equal]
        for equal in (True, False)
    )
    mine, theirs = ([each for each in tags.get(SOURCES_TAG, "").split("; ") if each] for tags in (candidate, champion))
    lines = [f"- other: {', '.join(other) or 'nothing'}; the same: {', '.join(same) or 'nothing'}"]
    for what, packages in (
        ("came:", [p for p in mine if p not in theirs]),
        ("went:", [p for p in theirs if p not in mine]),
    ):
        lines += [f"- {what} {shortened(packages, MOST_PACKAGES)}"] if packages else []
    return lines


def growth(run: dict[str, float], champions: dict[str, float] | None) -> list[str]:
    """Markdown: what the corpus holds and how it grew since the champion, from the metrics of their runs. A licence, a dialect or a language that
    only one of them has is new there, or gone; a champion from before there were such figures tells none."""

    def read(metrics: dict[str, float]) -> dict[str, float]:
        left_out = [value for name, value in metrics.items() if name.startswith("prepare.rejected.")]
        return metrics | ({"rejected": sum(left_out)} if "prepare.train.bytes" in metrics else {})

    mine, theirs = read(run), read(champions or {})
    told = {name: said for name, said in CORPUS.items() if name in mine}
    if "corpus.sources" in theirs:
        changes = {
            name: abs(mine.setdefault(name, 0) - theirs.setdefault(name, 0))
            for name in sorted({*mine, *theirs})
            if name.startswith((*KINDS,))
        }
        for name in sorted(filter(changes.get, changes), key=lambda name: -changes[name])[:MOST_GROWN]:
            kind = next(kind for kind in KINDS if name.startswith(kind))
            told[name] = KINDS[kind].format(name.removeprefix(kind))
    if champions is None:
        return ["| | this version |", "|---|---:|", *(f"| {said} | {mine[name]:,.0f} |" for name, said in told.items())]
    lines = ["| | this version | champion | growth |", "|---|---:|---:|---:|"]
    for name, said in told.items():
        now, before = mine[name], theirs.get(name)
        grown = "-" if before is None else f"{now - before:+,.0f}" + (f" ({now / before - 1:+.1%})" if before else "")
        lines.append(f"| {said} | {now:,.0f} | {cell(before, '{:,.0f}')} | {grown} |")
    return lines


def other_keys(candidate: dict[str, str], champion: dict[str, str]) -> list[str]:
    """The keys of params.yaml and configs/ that differ, a corpus' last, which may be hundreds. Operations' say nothing about a model,
    and changed_text tells which sources came and went."""
    sections = {"params", *FOLDERS} - {"operations"}  # MLflow adds parameters of its own
    both = candidate.keys() & champion.keys()
    return sorted(
        (
            key
            for key in {*candidate, *champion}
            if candidate.get(key) != champion.get(key)
            and key.partition(".")[0] in sections
            and (key in both or not key.startswith("corpus.sources."))
        ),
        key=lambda key: (key.startswith("corpus."), key),
    )


def changed(
    tags: dict[str, str], champions: dict[str, str], params: dict[str, str], champions_params: dict[str, str]
) -> str:
    """In a few words: what of the data and the parameters is another. Weights that alone are, are another outcome of the same."""
    data = [word for key, word in DATA.items() if key != "dvc.weights" and tags.get(key) != champions.get(key)]
    found = [key.rpartition(".")[2] for key in other_keys(params, champions_params)] + data
    found = found or ["weights alone" if tags.get("dvc.weights") != champions.get("dvc.weights") else "nothing"]
    return shortened(found, MOST_CHANGES)


def changed_parameters(candidate: dict[str, str], champion: dict[str, str], room: int) -> list[str]:
    """Markdown: the parameters that differ, as many as `room` characters hold."""
    keys = other_keys(candidate, champion)
    if not keys:
        return ["- no parameter"]
    lines = ["| parameter | this version | champion |", "|---|---|---|"]
    for number, key in enumerate(keys):
        row, more = (
            f"| {key} | {code(candidate.get(key))} | {code(champion.get(key))} |",
            f"| and {len(keys) - number} more | | |",
        )
        if len("\n".join([*lines, row, more])) > room:
            return [*lines, more]
        lines.append(row)
    return lines


def code(value: str | None) -> str:
    """As code in a Markdown table, cut where it is long."""
    if value is None:
        return "-"
    text = value.replace("\n", "\\n").replace("|", "\\|").replace("`", "'")
    return f"`{text if len(text) <= 60 else f'{text[:57]}...'}`"
