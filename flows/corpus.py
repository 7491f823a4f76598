"""`robo corpus`: a source is added by one command that pins it, reads its licence and says what it would bring; pins are moved by another."""

from collections import Counter, defaultdict
from pathlib import Path

from flows.console import say, show_tables
from pipeline.core.config import Config, load, parse
from pipeline.core.errors import UserError, shortened, suggestion
from pipeline.core.files import read_jsonl
from pipeline.core.paths import PROCESSED, REJECTED, SPLITS
from pipeline.core.schema import Corpus
from pipeline.data import entries, propose

GIVEN = ("name", "license", "split", "include", "exclude")


def corpus(arguments) -> None:
    config = load()
    {"add": add, "update": update, "audit": audit}[arguments.action](config, arguments)


def add(config: Config, arguments) -> None:
    if len(arguments.what) != 1:
        raise UserError("robo corpus add: name one source: a package, a git repository, a folder or a data file")
    decided = {key: value for key in GIVEN if (value := getattr(arguments, key)) is not None}
    said, found = propose.propose(
        config, arguments.what[0], decided, arguments.subfolder, arguments.text, keep=not arguments.dry_run
    )
    say(f"{said['name']}: {said['license']}, split {said['split']}")
    for line in propose.in_words(found, config.params.prepare.max_overlap):
        say(f"  {line}")
    if arguments.dry_run:
        say(f"would be written to {config.paths['corpus']}:\n  {entries.scalar(said)}")
        return
    line = entries.append(config.root / config.paths["corpus"], config.corpus, said)
    say(f"written to {config.paths['corpus']}:\n{line}\n`robo run` takes it up")


def update(config: Config, arguments) -> None:
    names = [source.name for source in config.corpus.sources]
    for name in arguments.what:
        if name not in names:
            raise UserError(f"{config.paths['corpus']}: has no source {name!r}{suggestion(name, names)}")
    chosen, path, faults, news = set(arguments.what or names), config.root / config.paths["corpus"], [], 0
    for source in [source for source in config.corpus.sources if source.name in chosen]:
        try:
            if change := propose.moved(source, config.params.prepare.model_dump()):
                pins, said = change
                news += 1
                say(f"{source.name}: {said}")
                if not arguments.dry_run:
                    entries.repin(path, parse(path, Corpus), source, pins)
        except UserError as error:
            faults.append(f"{source.name}: {error}")
    say(
        f"{news} of {len(chosen)} sources have something newer"
        + (", nothing was written" if arguments.dry_run and news else "")
    )
    if faults:
        raise UserError("these stay as they are:\n  " + "\n  ".join(faults))


def audit(config: Config, arguments) -> None:
    files = {split: PROCESSED / f"{split}_corpus.jsonl" for split in SPLITS}
    if missing := [path for path in (*files.values(), REJECTED) if not Path(path).exists()]:
        raise UserError(f"{missing[0]}: no such file; `dvc repro prepare` builds the text that is reported on")
    kept, by_license, dialects, total = defaultdict(Counter), defaultdict(Counter), Counter(), 0
    for split, path in files.items():
        for document in read_jsonl(path):
            size = len(document["text"].encode())
            kept[document["source"], split].update(files=1, bytes=size)
            by_license[document["license"]].update(files=1, bytes=size)
            dialects[document.get("dialect", "not told yet: built before")] += 1
            total += size
    rejected, reasons, examples = Counter(), Counter(), {}
    for row in read_jsonl(REJECTED):
        reason = row["reason"].split(":")[0].split(" of ")[0]
        rejected[row["source"]] += 1
        reasons[reason] += 1
        examples.setdefault(reason, []).append(f"{row['source']}/{row['path']}")
    silent = sorted({source.name for source in config.corpus.sources} - {source for source, _ in kept})

    def shares(counts: dict) -> list[list[str]]:
        return [
            [
                *([key] if isinstance(key, str) else key),
                str(count["files"]),
                f"{count['bytes']:,}",
                f"{count['bytes'] / total:.1%}",
            ]
            for key, count in sorted(counts.items(), key=lambda item: -item[1]["bytes"])
        ]

    tables = [
        (
            "By source",
            ["source", "split", "files", "bytes", "share", "rejected"],
            [[*row, str(rejected[row[0]])] for row in shares(kept)],
        ),
        ("By licence", ["licence", "files", "bytes", "share"], shares(by_license)),
        (
            "By dialect",
            ["dialect", "files"],
            [[name, str(count)] for name, count in dialects.most_common()],
        ),
    ]
    if reasons:
        tables.append(
            (
                "Rejected",
                ["why", "files", "such as"],
                [[reason, str(count), shortened(examples[reason], 2)] for reason, count in reasons.most_common()],
            )
        )
    show_tables(tables)
    if silent:
        say(f"sources that give nothing: {shortened(silent, 10)}")
