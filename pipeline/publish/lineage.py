"""What stands behind a built model, read from the files that DVC keeps: hashes, dials, figures, git.

Everything that tells a model's story (MLflow's version page, tags, later the model card) takes it from here, so that no two
places tell different ones. Only reads; knows no server.
"""

import csv
import hashlib
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.config import Config, read_yaml
from pipeline.core.errors import UserError
from pipeline.core.files import read_json, read_jsonl, sha256
from pipeline.core.paths import LICENSES, METRICS, TRAINING, VALIDATION
from pipeline.core.schema import Serving
from pipeline.core.timings import TIMINGS, read_timings
from pipeline.export.origin import corpus_sources, source_line

MEASUREMENTS = ("metrics", "reports")  # folders of outs that say how it went, not what came out
SOURCES_TAG = "corpus.sources"
CORPUS = "corpus"  # folder of a version's run with what machines read of its corpus
DOCUMENTS = f"{CORPUS}/documents.jsonl"  # see documents()
MAKES_MODEL = ("tokenizer", "train", "export")  # and quantize@TYPE


def insertion(template: str, special) -> str:
    """The template with Ollama's form for text before and after a gap, where the tokenizer has tokens for that."""
    if special.fim_prefix is None or ".Suffix" in template:
        return template
    fill = f"{special.fim_prefix}{{{{ .Prompt }}}}{special.fim_suffix}{{{{ .Suffix }}}}{special.fim_middle}"
    return f"{{{{ if .Suffix }}}}{fill}{{{{ else }}}}{template}{{{{ end }}}}"


def settled(serving: Serving, special_tokens, recommended: str | None) -> Serving:
    """The serving config with nothing left open: `auto` is the recommended type."""
    quant = recommended if serving.quant == "auto" else serving.quant
    return serving.model_copy(update={"quant": quant, "template": insertion(serving.template, special_tokens)})


def serving(config: Config) -> Serving:
    """The serving config with what other files decide: the type that `auto` stands for, and the template's insertion form.

    Raises UserError where `auto` is asked for and nothing was assessed.
    """
    found, recommended = config.root / METRICS / "assess.json", None
    if config.serving.quant == "auto":
        if not found.exists():
            raise UserError(
                f"{found}: no such file, so quant: auto means nothing yet; build the model first: dvc repro"
            )
        recommended = read_json(found)["recommended"]
    return settled(config.serving, config.tokenizer.special_tokens, recommended)


def served_gguf(config: Config) -> Path:
    return config.root / "models" / "quantized" / f"{serving(config).quant}.gguf"


def locked(config: Config) -> dict[str, dict[str, str]]:
    """Stage -> {path of an out: its md5}, from dvc.lock, for every stage of the present params.

    Raises UserError when a stage has not run or a file of it is gone.
    """
    path = config.root / "dvc.lock"
    if not path.exists():
        raise UserError(f"{path}: no such file; build the model first: dvc repro")
    stages = read_yaml(path)["stages"]
    wanted = [
        "collect",
        "prepare",
        "report",
        *MAKES_MODEL,
        "evaluate",
        "answer",
        "assess",
        "exam",
        *(f"quantize@{quant}" for quant in config.params.quants),
    ]
    if missing := [stage for stage in wanted if stage not in stages]:
        raise UserError(f"{path}: has no stage {', '.join(missing)}; build the model first: dvc repro")
    outs = {stage: {out["path"]: out["md5"] for out in stages[stage]["outs"]} for stage in wanted}
    if gone := [out for files in outs.values() for out in files if not (config.root / out).exists()]:
        raise UserError(
            f"{config.root}: {', '.join(gone)} stands in dvc.lock but is not there; bring it back: dvc checkout, or dvc repro"
        )
    return outs


def products(outs: dict[str, str]) -> dict[str, str]:
    """A stage's outs without its measurements: the same recipe run again gives the same weights with other timings."""
    return {path: md5 for path, md5 in outs.items() if Path(path).parts[0] not in MEASUREMENTS}


def content_hash(config: Config) -> str:
    """sha256 over path and md5 of everything that tokenizer, train, export and quantize made, and over which file is served and how."""
    outs = sorted(
        item
        for stage, outs in locked(config).items()
        if stage.partition("@")[0] in (*MAKES_MODEL, "quantize")
        for item in products(outs).items()
    )
    served = serving(config)
    return hashlib.sha256(
        json.dumps([served.quant, served.template, served.parameters.model_dump(), outs]).encode()
    ).hexdigest()


def handed_out(config: Config) -> str:
    """JSON of what must go with the served file to serve it as it was meant, whatever the configs say by then; see promotion.Package."""
    found = {
        "serving": serving(config).model_dump(),
        "license": license_text(config.root, config.corpus.sources),
        "prompts": config.params.evaluate.prompts,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def flat(value, prefix: str) -> Iterator[tuple[str, object]]:
    """Yields (dotted name, leaf). Entries of a list stand under their `name` where they have one; other lists are leaves."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        value = {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in value}
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}")
    else:
        yield prefix, value


def all_params(config: Config) -> dict[str, str]:
    """Every key of every config file as MLflow wants it: section.key -> text. Of the corpus, whose sources are hundreds, counts and one hash
    over all that is said of them in config and lock; which they are says the tag SOURCES_TAG."""
    sections = {section: getattr(config, section).model_dump() for section in config.paths}
    sources = sections["corpus"]["sources"]
    sections["corpus"] = {
        "sources": len(sources),
        "kinds": dict(Counter(source["kind"] for source in sources)),
        "splits": dict(Counter(source["split"] for source in sources)),
        "licenses": dict(Counter(re.sub(r"[^\w. -]", "_", source["license"]) for source in sources)),
        "sha256": hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest(),
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for section, held in sections.items()
        for name, value in flat(held, section)
    }


def numbers(value, prefix: str) -> dict[str, float]:
    """The numbers in it, by names MLflow allows."""
    return {
        re.sub(r"[^\w.:/ -]", "_", name): float(leaf)
        for name, leaf in flat(value, prefix)
        if isinstance(leaf, int | float) and not isinstance(leaf, bool)
    }


def measurements(config: Config) -> list[Path]:
    """Every file under metrics/ and reports/, but for timings of another model than the one that is here."""
    others = [name for name in TIMINGS if read_timings(name, config.root) is None]
    return [
        path
        for folder in MEASUREMENTS
        for path in sorted((config.root / folder).rglob("*"))
        if path.is_file() and path.stem not in others
    ]


def all_metrics(config: Config) -> dict[str, float]:
    """The numbers of every file under metrics/: metrics/quantize/Q8_0.json's bytes are quantize.Q8_0.bytes."""
    found, folder = {}, config.root / METRICS
    for path in (path for path in measurements(config) if path.suffix == ".json" and path.is_relative_to(folder)):
        if (
            path.parent.name != "quantize" or path.stem in config.params.quants
        ):  # DVC leaves the files of types no longer asked for
            found |= numbers(read_json(path), ".".join(path.relative_to(folder).with_suffix("").parts))
    return found


def history(path: Path) -> Iterator[tuple[str, float, int]]:
    """Yields (column, value, step) for each filled cell of a CSV with a `step` column."""
    with open(path, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            step = int(float(row.pop("step")))
            yield from ((column, float(cell), step) for column, cell in row.items() if cell)


def git(root: Path, *arguments: str, told: str = "") -> str:
    """What git prints, `told` something on its input. Raises UserError with git's own words, in English, where it refuses or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            input=told,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise UserError(f"git: {error.strerror}") from None
    if done.returncode:
        raise UserError((done.stderr.strip() or f"git ended with status {done.returncode}").splitlines()[0])
    return done.stdout.rstrip()


def commit(root: Path) -> str:
    """Raises UserError where git tells none."""
    return git(root, "rev-parse", "--verify", "HEAD")


def git_tags(root: Path) -> dict[str, str]:
    """The commit and whether code or configs differ from it; nothing outside a git repository."""
    try:
        # What a run itself writes is no difference of its recipe.
        return {
            "git_commit": commit(root),
            "git_dirty": str(
                bool(git(root, "status", "--porcelain", "--", ".", ":!dvc.lock", ":!metrics", ":!reports"))
            ).lower(),
        }
    except UserError:
        return {}


def tags(config: Config) -> dict[str, str]:
    """What finds a model again: the hash of its content, git, DVC's hashes, the served file, and what the quantizer really wrote."""
    stages = locked(config)

    def hashes(stage: str) -> str:
        return ", ".join(f"{md5} {path}" for path, md5 in products(stages[stage]).items())

    found = {
        "content_hash": content_hash(config),
        **git_tags(config.root),
        "dvc.raw": hashes("collect"),
        "dvc.corpus": f"{stages['prepare'][str(TRAINING)]} {TRAINING}",
        "dvc.tokenizer": hashes("tokenizer"),
        "dvc.weights": hashes("train"),
        SOURCES_TAG: "; ".join(source_line(source) for source in corpus_sources(config.root / TRAINING)),
        "served_quant": serving(config).quant,
        "serving_sha256": hashlib.sha256(handed_out(config).encode()).hexdigest(),
        "held_out_sha256": sha256(config.root / VALIDATION),
    }
    for quant in config.params.quants:
        written = read_json(config.root / "metrics" / "quantize" / f"{quant}.json")
        found |= {
            f"quant.{quant}.{key}": f"{written[key]:g}" if isinstance(written[key], float) else str(written[key])
            for key in ("bytes", "bits_per_weight")
        }
    return found


def documents(root: Path) -> Iterator[str]:
    """A line of JSON for each document that the version was trained on, or measured by and so keeps: what removed.py looks into."""
    for split, file in (("train", TRAINING), ("val", VALIDATION)):
        for row in read_jsonl(root / file):
            said = {key: row.get(key) for key in ("source", "version", "path", "sha256", "license")}
            yield json.dumps({"split": split, **said}, ensure_ascii=False) + "\n"


def description(config: Config) -> str:
    """Markdown for the version's page: the headline figures, then each quantized file with what is really in it."""
    metrics, p = config.root / "metrics", config.params
    held_out, parameters = read_json(metrics / "evaluate.json"), read_json(metrics / "train.json")["parameters"]
    # MLflow's table of versions shows the first words as plain text, so they are the ones to compare by.
    lines = [
        ", ".join(f"{figures['bits_per_byte']:.4f} bits per byte ({split})" for split, figures in held_out.items())
        + f": {p.model}, {parameters:,} parameters, trained on {p.corpus} with {p.tokenizer} by {p.training}",
        "",
        "| | loss | bits per byte |",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {split} | {figures['loss']:.4f} | {figures['bits_per_byte']:.4f} |" for split, figures in held_out.items()
    ]
    lines += [
        "",
        f"What each file really holds; {serving(config).quant} is served:",
        "",
        "| quant | bytes | bits per weight | tensors really written |",
        "|---|---:|---:|---|",
    ]
    for quant in p.quants:
        written = read_json(metrics / "quantize" / f"{quant}.json")
        tensors = ", ".join(f"{kind} {count}" for kind, count in written["tensors"].items())
        lines.append(f"| {quant} | {written['bytes']:,} | {written['bits_per_weight']:.2f} | {tensors} |")
    return "\n".join(lines)


def license_text(root: Path, sources: list) -> str:
    """Which sources the model read, each with its version and licence, then the licence texts that they ship, each once: what
    Ollama's `show --license` prints. `sources` are those of the corpus config."""
    read = {source.name: source for source in sources if source.split in ("train", "auto")}
    holders: dict[str, list[str]] = {}
    for row in read_jsonl(root / LICENSES):
        if row["source"] in read:
            holders.setdefault(row["text"].replace('"""', "'''"), []).append(
                f"{row['source']} ({row['path']})"
            )  # a Modelfile quotes by three
    with_text = {holder.split()[0] for those in holders.values() for holder in those}
    lines = [
        f"- {name} {source.pinned or '(local)'}: {source.license}{'' if name in with_text else ', ships no licence text'}"
        for name, source in read.items()
    ]
    texts = [f"---- {', '.join(those)}\n\n{text}\n" for text, those in holders.items()]
    return "\n".join(["Trained on code from these sources, under their licences:", *lines, "", *texts])
