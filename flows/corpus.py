"""`robo corpus`: a source is added by one command that pins it, reads its licence and says what it would bring. Others pin what a person wrote
into a config, move pins, and report."""

from flows.console import say, show_tables
from pipeline.core.config import Config, load
from pipeline.core.errors import UserError, shortened, suggestion
from pipeline.core.paths import PROCESSED, REJECTED, SPLITS
from pipeline.data import entries, propose, report

GIVEN = ("name", "license", "split", "include", "exclude")


def corpus(arguments) -> None:
    config = load(pinned=False)
    {"add": add, "lock": lock, "update": update, "audit": audit}[arguments.action](config, arguments)


def add(config: Config, arguments) -> None:
    decided = {key: value for key in GIVEN if (value := getattr(arguments, key)) is not None}
    try:
        said, found = propose.propose(
            config, arguments.what, decided, arguments.subfolder, arguments.text, keep=not arguments.dry_run
        )
    except UserError as error:
        raise UserError(fault(arguments.what.partition("==")[0], error)) from error
    say(f"{said['name']}: {said['license']}, split {said['split']}")
    for line in propose.in_words(found, config.params.prepare.max_overlap):
        say(f"  {line}")
    if arguments.dry_run:
        said = entries.shortest(said, config.corpus.defaults)
        say(f"would be written to {config.paths['corpus']}:\n  {entries.scalar(said)}")
        return
    line = entries.append(config.root / config.paths["corpus"], config.corpus, said)
    say(f"written to {config.paths['corpus']} and its lock:\n{line}\n`robo run` takes it up")


def chosen(config: Config, what: list[str]) -> dict[str, str | None]:
    """Names of sources, all where none is named, with the version that is asked for by NAME==VERSION."""
    names = [source.name for source in config.corpus.sources]
    asked = {name: version or None for name, _, version in (given.partition("==") for given in what)}
    for name in asked:
        if name not in names:
            raise UserError(f"{config.paths['corpus']}: has no source {name!r}{suggestion(name, names)}")
    return asked or dict.fromkeys(names)


def fault(name: str, error: UserError) -> str:
    return str(error) if str(error).startswith((name, "--")) else f"{name}: {error}"


def lock(config: Config, arguments) -> None:
    """Pins what has no pin yet, and nothing else moves."""
    asked, sources, faults = chosen(config, arguments.what), [], []
    for source in config.corpus.sources:
        if source.pin is None and source.name in asked:
            try:
                source = propose.at_newest(source, asked[source.name])
                say(f"{source.name}: {source.pinned}")
            except UserError as error:
                faults.append(fault(source.name, error))
        sources.append(source)
    gone = sorted(config.pins.pins().keys() - {source.name for source in sources if source.pin})
    if gone:
        say(f"no source of {config.paths['corpus']} any more: {shortened(gone, 10)}")
    if arguments.dry_run:
        say("nothing was written")
    else:
        entries.write_lock(config.root / config.paths["corpus"], sources)
    if faults:
        raise UserError("these have no pin yet:\n  " + "\n  ".join(faults))


def update(config: Config, arguments) -> None:
    asked, sources, faults, news = chosen(config, arguments.what), list(config.corpus.sources), [], 0
    for number, source in enumerate(sources):
        if source.name not in asked:
            continue
        try:
            if change := propose.moved(source, config.params.prepare.model_dump(), asked[source.name]):
                sources[number], said = change
                news += 1
                say(f"{source.name}: {said}")
                if not arguments.dry_run:  # each at once: the next may take long
                    entries.write_lock(config.root / config.paths["corpus"], sources)
        except UserError as error:
            faults.append(fault(source.name, error))
    say(
        f"{news} of {len(asked)} sources have something newer"
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
