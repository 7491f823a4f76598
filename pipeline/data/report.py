"""The report stage: what the corpus holds and what was left out of it. For people reports/corpus.md, which MLflow shows as a page; for
machines croissant.json beside the text (croissant.py), and the counts as metrics, by which two corpora are compared.

It is read back from the files that prepare wrote, in one pass, so it says what is there. Of a rejected file only its path and the reason are
told, never its text. Growth since the champion stands on a candidate's page (publish/judge.py): which one that is, only a server knows.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core import licenses, reasons
from pipeline.core.errors import shortened
from pipeline.core.files import read_json, read_jsonl, write_json, write_text
from pipeline.core.markdown import code, table
from pipeline.core.paths import CORPUS_REPORT, METRICS, PROCESSED, REJECTED, SPLITS
from pipeline.data import croissant
from pipeline.data.languages import NAMES, UNTOLD, language

EXAMPLES = 3  # rejected files that are named for each reason, of different sources
MOST_COPIED = 20  # files that are named with their copies

COPY = re.compile(r"(near )?duplicate of (.+?)(?:: .*)?", re.DOTALL)
Table = tuple[str, list[str], list[list[str]]]  # title, headings, rows


def counters() -> defaultdict[str, Counter]:
    return defaultdict(Counter)


@dataclass
class Holdings:
    """Of the text that is kept and of the files that are not: files and bytes, by what one asks for."""

    splits: defaultdict[str, Counter] = field(default_factory=counters)
    licenses: defaultdict[str, Counter] = field(default_factory=counters)
    dialects: defaultdict[str, Counter] = field(default_factory=counters)  # empty where documents carry no tag
    languages: defaultdict[str, Counter] = field(default_factory=counters)
    sources: defaultdict[tuple[str, str, str], Counter] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # name, version, split
    said: defaultdict[tuple[str, str, str], set] = field(default_factory=lambda: defaultdict(set))  # their licences
    left_out: Counter = field(default_factory=Counter)  # files by the name of their source
    reasons: defaultdict[str, Counter] = field(default_factory=counters)
    examples: defaultdict[str, dict[str, tuple[str, str]]] = field(default_factory=lambda: defaultdict(dict))
    copies: defaultdict[str, Counter] = field(
        default_factory=counters
    )  # what stays -> equal, near and bytes of what does not
    copied_in: defaultdict[str, set] = field(default_factory=lambda: defaultdict(set))

    @property
    def bytes(self) -> int:
        return sum(count["bytes"] for count in self.splits.values())


def kind(row: dict) -> str:
    """Of a rejected file: its reason without what is this file's own. What collect left out was never read, so nobody hashed it."""
    return reasons.kind(row["reason"]) if "sha256" in row else "left out by collect"


def holdings(folder: Path = PROCESSED) -> Holdings:
    """Counts what prepare left in a folder."""
    found = Holdings()
    for split in SPLITS:
        for row in read_jsonl(folder / f"{split}_corpus.jsonl"):
            source, size = (row["source"], row["version"] or "(local)", split), len(row["text"].encode())
            found.said[source].add(row["license"])
            kept = [
                found.splits[split],
                found.sources[source],
                found.licenses[row["license"]],
                found.languages[language(row["text"])],
            ]
            if row.get("dialect"):
                kept.append(found.dialects[row["dialect"]])
            for count in kept:
                count.update(files=1, bytes=size)
    for row in read_jsonl(folder / REJECTED.name):
        why, source, path = kind(row), row["source"], f"{row['source']}/{row['path']}"
        size = row.get("bytes", 0)
        found.left_out[source] += 1
        found.reasons[why].update(files=1, bytes=size)
        if len(found.examples[why]) < EXAMPLES:
            found.examples[why].setdefault(source, (path, row["reason"].removeprefix(why).removeprefix(":").strip()))
        if copy := COPY.fullmatch(row["reason"]):
            found.copies[copy[2]].update({"near" if copy[1] else "equal": 1, "bytes": size})
            found.copied_in[copy[2]].add(source)
    return found


# --- as tables --------------------------------------------------------------------------------------------------------


def largest_first(counts: dict) -> list[tuple]:
    return sorted(counts.items(), key=lambda item: (-item[1]["bytes"], item[0]))


def shared(found: Holdings, title: str, what: str, counts: dict) -> Table:
    """A row for each, with its share of all text that is kept."""
    rows = [
        [name, f"{count['files']:,}", f"{count['bytes']:,}", f"{count['bytes'] / found.bytes:.1%}"]
        for name, count in largest_first(counts)
    ]
    return title, [what, "files", "bytes", "share"], rows


def by_source(found: Holdings) -> Table:
    rows = [
        [
            source[0],
            source[1][:12],
            source[2],
            licenses.joined(sorted(found.said[source])),
            f"{count['files']:,}",
            f"{count['bytes']:,}",
            f"{count['bytes'] / found.bytes:.1%}",
            str(found.left_out[source[0]]),
        ]
        for source, count in largest_first(found.sources)
    ]
    return "By source", ["source", "version", "split", "licence", "files", "bytes", "share", "left out"], rows


def kept(found: Holdings) -> list[Table]:
    """The text that is kept, as a person asks of it."""
    tables = [shared(found, "By licence", "licence", found.licenses)]
    if found.dialects:
        tables.append(shared(found, "By dialect", "dialect", found.dialects))
    return [*tables, shared(found, "By language of comments and docstrings", "language", found.languages)]


def rejected(found: Holdings) -> Table:
    rows = [
        [
            why,
            f"{count['files']:,}",
            f"{count['bytes']:,}",
            shortened([path for path, _ in found.examples[why].values()], 2),
        ]
        for why, count in sorted(found.reasons.items(), key=lambda item: (-item[1]["files"], item[0]))
    ]
    return "Left out", ["why", "files", "bytes", "such as"], rows


def copied(found: Holdings) -> Table:
    most = sorted(found.copies.items(), key=lambda item: (-item[1]["equal"] - item[1]["near"], item[0]))
    rows = [
        [path, str(count["equal"]), str(count["near"]), f"{count['bytes']:,}", shortened(sorted(found.copied_in[path]))]
        for path, count in most[:MOST_COPIED]
    ]
    return "Duplicates", ["what stays", "equal", "near", "bytes left out", "of"], rows


# --- as files ---------------------------------------------------------------------------------------------------------


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def markdown(found: Holdings, name: str, replaced: dict[str, int]) -> str:
    """The report on the corpus `name`; `replaced` are secrets by kind."""
    splits = [
        f"- {split}: {counted(found.splits[split]['files'], 'file')}, {found.splits[split]['bytes']:,} bytes of text "
        f"from {counted(sum(held == split for *_, held in found.sources), 'source')}"
        for split in SPLITS
    ]
    files, size = (sum(count[what] for count in found.reasons.values()) for what in ("files", "bytes"))
    equal, near = (sum(count[which] for count in found.copies.values()) for which in ("equal", "near"))
    parts = [
        f"# The corpus {name}",
        "\n".join(
            [
                *splits,
                f"- left out: {counted(files, 'file')}, {size:,} bytes as they were collected",
                "- replaced by placeholders: "
                + (", ".join(f"{kind} ({number:,})" for kind, number in replaced.items()) or "nothing"),
            ]
        ),
    ]
    for title, headings, rows in kept(found):
        parts += [f"## {title}", table(headings, rows)]
    title, headings, rows = rejected(found)
    parts += [
        f"## {title}",
        *(
            [
                f"Each of these files stands in `{REJECTED}` with its reason.",
                table(headings[:3], [row[:3] for row in rows]),
            ]
            if rows
            else ["Nothing."]
        ),
    ]
    for why, *_ in rows:
        named = [f"- {code(path)}" + (f": {code(said)}" if said else "") for path, said in found.examples[why].values()]
        more = found.reasons[why]["files"] - len(named)
        parts += [f"### {why}", "\n".join([*named, *([f"- and {more:,} more"] if more else [])])]
    title, headings, rows = copied(found)
    parts += [
        f"## {title}",
        f"{counted(equal, 'file')} equal to another and {near:,} near to one are left out; {counted(len(found.copies), 'file')} stay in their place."
        + (f" The {MOST_COPIED} with the most copies:" if len(found.copies) > MOST_COPIED else ""),
        *([table(headings, [[code(row[0]), *row[1:]] for row in rows])] if rows else []),
    ]
    title, headings, rows = by_source(found)
    parts += [f"## {title}", table(headings, rows, words=4)]
    return "\n\n".join(parts) + "\n"


def figures(found: Holdings) -> dict:
    """The counts by which two corpora are compared: bytes of all text that is kept."""
    return {
        "sources": len({name for name, _, _ in found.sources}),
        **{
            what: {name: count["bytes"] for name, count in largest_first(counts)}
            for what, counts in (
                ("licenses", found.licenses),
                ("dialects", found.dialects),
                ("languages", found.languages),
            )
            if counts
        },
    }


def main(config) -> None:
    found, replaced = holdings(), read_json(METRICS / "prepare.json")["replaced"]
    write_text(CORPUS_REPORT, markdown(found, config.params.corpus, replaced))
    write_json(METRICS / "corpus.json", figures(found))
    sources, languages = (
        {name for name, *_ in found.sources},
        [c for c, language in NAMES.items() if language in found.languages],
    )
    croissant.write(
        PROCESSED, config.params.corpus, found.licenses, languages, replaced, len(sources), bool(found.dialects)
    )
    print(
        f"report: {counted(len(found.licenses), 'licence')}, {counted(len(found.languages.keys() - {UNTOLD}), 'language')} of comments, "
        f"{sum(count['files'] for count in found.reasons.values())} files left out; see {CORPUS_REPORT}"
    )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("report", main)
