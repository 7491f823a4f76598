"""`robo corpus`: a source is added by one command that pins it, reads its licence and says what it would bring; pins are moved by another."""

from flows.console import say, show_tables
from pipeline.core.config import Config, load, parse
from pipeline.core.errors import UserError, shortened, suggestion
from pipeline.core.paths import PROCESSED, REJECTED, SPLITS
from pipeline.core.schema import Corpus
from pipeline.data import entries, propose, report

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
    read = [*(PROCESSED / f"{split}_corpus.jsonl" for split in SPLITS), REJECTED]
    if missing := [path for path in read if not path.exists()]:
        raise UserError(f"{missing[0]}: no such file; `dvc repro prepare` builds the text that is reported on")
    found = report.holdings()
    title, headings, rows = report.by_source(found)  # without what would make a terminal's table a list
    narrow = [n for n, heading in enumerate(headings) if heading not in ("version", "licence")]
    sources = title, [headings[n] for n in narrow], [[row[n] for n in narrow] for row in rows]
    tables = [sources, *report.kept(found), report.rejected(found), report.copied(found)]
    show_tables([table for table in tables if table[2]])
    silent = sorted({source.name for source in config.corpus.sources} - {source for source, *_ in found.sources})
    if silent:
        say(f"sources that give nothing: {shortened(silent, 10)}")
