"""The one reader of params.yaml and configs/: finds the files, tells every fault with its place and what would be right, and holds the files
against each other. What each file may hold is said in schema.py.

A stage does not get these models but a `StageConfig`, which hands out just the keys that dvc.yaml lists for it. So a key that
changes a stage's result cannot be missing from the graph: reading it fails at once.
"""

import contextlib
import json
import os
import re
import stat
import sys
from functools import cached_property
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.core import licenses
from pipeline.core.errors import UserError, shortened, suggestion
from pipeline.core.paths import PROCESSED, REMOVED
from pipeline.core.prompt import as_served
from pipeline.core.schema import (
    BLOCK,
    IN_WORDS,
    MOST,
    OWN_POOL,
    REPOSITORY,
    Corpus,
    Data,
    Defaults,
    File,
    Lock,
    Model,
    Operations,
    Params,
    Removed,
    Serving,
    Tokenizer,
    Training,
    pieces,
    split_name,
)

UINT16_VOCAB = 65_535
LONG_FILE = 32_000  # bytes, which take half a second
QUOTED = re.compile(r"'([^']+)'")

SomeFile = TypeVar("SomeFile", bound=File)

FOLDERS: dict[str, tuple[str, type[File]]] = {
    "corpus": ("corpora", Corpus),
    "tokenizer": ("tokenizers", Tokenizer),
    "data": ("data", Data),
    "model": ("models", Model),
    "training": ("training", Training),
    "serving": ("serving", Serving),
    "operations": ("operations", Operations),
}


# --- reading ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> str:
    """A text file. Raises UserError for whatever cannot be read as one; what never ends, such as a FIFO, is not opened."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise UserError(
                f"{path}: is {'a folder' if stat.S_ISDIR(mode) else 'a FIFO, a socket or a device'}; a file is needed"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: {'a link to nowhere' if path.is_symlink() else 'no such file'}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: {error}") from None
    except OSError as error:  # no permission, a link to itself, a name too long, a broken disk
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def halves(content, key: str = "") -> list[str]:
    """Keys of the texts that no file takes: with half of a character in them, as the escape "\\uD83D" gives."""
    if isinstance(content, str):
        return [key] if re.search("[\ud800-\udfff]", content) else []
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [found for step, value in inner for found in halves(value, f"{key}.{step}" if key else str(step))]


def read_yaml(path: Path):
    """Raises UserError for a file that cannot be read or broken YAML, with the line."""
    text = read(path)
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise UserError(f"{path}:{where} not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:  # odd characters, impossible dates, endless brackets
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if found := halves(content):
        raise UserError(
            f"{path}: {', '.join(found)}: holds half of a character; write the character itself, or its whole number such as \\U0001F600"
        )
    return content


def schemas_in(annotation) -> list[type[File]]:
    """The schemas that a field's type holds, be it in a list, a choice or alone."""
    if isinstance(annotation, type) and issubclass(annotation, File):
        return [annotation]
    return [schema for inner in get_args(annotation) for schema in schemas_in(inner)]


def locate(schema: type[File], location: tuple) -> tuple[str, dict[str, list[FieldInfo]]]:
    """(a fault's key as the file has it, the keys that may stand in its place with what each may hold: one or more, by the `kind`).

    pydantic's location of `license` in the third source is (sources, 2, sdist, license): between index and key stands
    the `kind` by which it chose the schema, and the file has no such key.
    """
    path, known, schemas = [], {}, [schema]
    for step in location:
        if chosen := [
            s for s in schemas if "kind" in s.model_fields and step in get_args(s.model_fields["kind"].annotation)
        ]:
            schemas = chosen
            continue
        path.append(str(step))
        if not isinstance(step, int):
            known = {}
            for key, field in (item for s in schemas for item in s.model_fields.items()):
                known.setdefault(field.alias or key, []).append(field)
            schemas = [inner for field in known.get(step, []) for inner in schemas_in(field.annotation)] or [
                s.under_names for s in schemas if s.under_names
            ]
    return ".".join(path), known


def in_words(shape: dict) -> str:
    """What a JSON schema asks for: `a whole number of at least 1 or null`."""
    if "anyOf" in shape or "oneOf" in shape:
        return " or ".join(in_words(each) for each in shape.get("anyOf") or shape["oneOf"])
    if choices := shape.get("enum") or ([shape["const"]] if "const" in shape else []):
        return f"{'one of ' if len(choices) > 1 else ''}{', '.join(map(str, choices))}"
    if "pattern" in shape:
        return IN_WORDS.get(shape["pattern"], f"must match {shape['pattern']}").removeprefix("must be ")
    if shape.get("type") == "array":
        return f"a list, each of it {in_words(shape.get('items', {}))}"
    named = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "a text",
        "null": "null",
    }
    bounds = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = " and ".join(
        f"{words} {shape[bound]}" for bound, words in bounds.items() if shape.get(bound, MOST) != MOST
    )
    return f"{named.get(shape.get('type'), 'keys and values')}{limits and f' {limits}'}"


def wanted(schema: type[File], key: str, fields: list[FieldInfo]) -> str:
    """What a missing key must hold, in words."""
    if schema is Params and key in FOLDERS:
        return f"; must be the name of a file of configs/{FOLDERS[key][0]}/, without .yaml"
    try:
        said = [in_words(TypeAdapter(field.rebuild_annotation()).json_schema()) for field in fields]
    except PydanticInvalidForJsonSchema:  # only its own check knows
        return ""
    return f"; must be {' or '.join(dict.fromkeys(said))}"


def neighbours(path: Path) -> dict[Path, dict]:
    """What the other configs of the same folder hold, but for those that take longer to read than an example is worth."""
    found = {}
    for other in sorted(path.parent.glob("*.yaml") if path.parent.parent.name == "configs" else []):
        with contextlib.suppress(UserError, OSError):
            if other != path and other.stat().st_size <= LONG_FILE:
                found[other] = read_yaml(other)
    return found


def example(others: dict[Path, dict], key: str) -> str:
    """What stands for a missing key in another config, where that is short; else nothing."""
    for other, value in others.items():
        for step in key.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None and len(said := json.dumps(value)) <= 60:
            return f", such as {said} in {other}"
    return ""


def explain(schema: type[File], fault: ErrorDetails) -> str:
    """One of pydantic's faults, as `key: what is wrong and what would be right`."""
    (key, known), kind, given = locate(schema, fault["loc"]), fault["type"], fault["input"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key{suggestion(str(fault['loc'][-1]), known)}"
    if kind == "missing":
        default = schema is Corpus and fault["loc"][-1] in Defaults.model_fields
        return f"{key}: missing{wanted(schema, key, known.get(fault['loc'][-1], []))}{', here or under `defaults:`' * default}"
    if kind == "union_tag_not_found":
        return f"{key}.kind: missing{wanted(schema, key, locate(schema, (*fault['loc'], 'kind'))[1]['kind'])}"
    if kind == "union_tag_invalid":
        tag, tags = fault["ctx"]["tag"], re.findall(QUOTED, fault["ctx"]["expected_tags"])
        return f"{key}.kind: {tag!r} is not known{suggestion(tag, tags)}"
    given = given if len(repr(given)) <= 100 else f"{repr(given)[:100]}..."
    if kind == "literal_error":
        return f"{key}: {given!r} is not known{suggestion(given, re.findall(QUOTED, fault['ctx']['expected']))}"
    if kind == "string_pattern_mismatch":
        pattern = fault["ctx"]["pattern"]
        words = IN_WORDS.get(pattern, f"must match {pattern}")
        return f"{key}: {words}" + (
            "" if pattern in (BLOCK, REPOSITORY) else f", not {given!r}"
        )  # a URL may hold a password
    if kind == "value_error":  # a validator of ours, which says it all
        return f"{key}: {fault['ctx']['error']}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{key}: must hold keys and values, not {given!r}"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {given!r}"


def parse(path: Path, schema: type[SomeFile]) -> SomeFile:
    """Reads one file as its schema. Raises UserError naming file, key and what would be right, all faults at once."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: must hold keys and values, not {'nothing' if content is None else type(content).__name__}"
        )
    try:
        # ints are fine where floats are asked for, as YAML users expect; pydantic's strict mode allows that
        return schema.model_validate(content)
    except ValidationError as error:
        others = neighbours(path) if any(fault["type"] == "missing" for fault in error.errors()) else {}
        said = [
            explain(schema, fault)
            + (example(others, locate(schema, fault["loc"])[0]) if fault["type"] == "missing" else "")
            for fault in error.errors()
        ]
        raise UserError("\n".join(f"{path}: {fault}" for fault in said)) from None


def lock_of(path: Path) -> Path:
    """Where the pins of a corpus config stand."""
    return path.with_suffix(".lock")


def parse_corpus(path: Path) -> tuple[Corpus, Lock]:
    """A corpus config, each source with its pin, as far as the lock beside it has one; and that lock. Raises UserError as parse does."""
    lock = lock_of(path)
    corpus, pins = parse(path, Corpus), parse(lock, Lock) if os.path.lexists(lock) else Lock()
    return corpus.with_pins(pins.pins()), pins


class Config:
    """Every file that params.yaml names, checked together; `paths` maps the attributes' names to their files, `lock` is the file of the
    corpus' pins, which its sources hold."""

    params: Params
    corpus: Corpus
    pins: Lock
    tokenizer: Tokenizer
    data: Data
    model: Model
    training: Training
    serving: Serving
    operations: Operations

    def __init__(self, root: Path):
        self.root = root
        self.paths = {"params": Path("params.yaml")}
        self.params = parse(root / "params.yaml", Params)
        faults = []
        for section, (folder, schema) in FOLDERS.items():
            chosen = getattr(self.params, section)
            self.paths[section] = path = Path("configs", folder, f"{chosen}.yaml")
            if not os.path.lexists(root / path):
                there = sorted(p.stem for p in (root / path.parent).glob("[!.]*.yaml"))
                faults.append(f"params.yaml: {section}: {path}: no such file{suggestion(chosen, there)}")
                continue
            try:
                if section == "corpus":
                    self.lock = lock_of(path)
                    self.corpus, self.pins = parse_corpus(root / path)
                else:
                    setattr(self, section, parse(root / path, schema))
            except UserError as error:
                faults.append(str(error))
        if faults:
            raise UserError("\n".join(faults))

    @cached_property
    def graph(self) -> dict:
        content = read_yaml(self.root / "dvc.yaml")
        if not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
            raise UserError(
                f"{self.root / 'dvc.yaml'}: must hold the key stages; `git checkout dvc.yaml` brings the project's back"
            )
        return content["stages"]

    def outputs(self, stage: str) -> list[str]:
        return [o if isinstance(o, str) else next(iter(o)) for o in self.graph[stage].get("outs", [])]


def rules(c: Config) -> list[str]:
    """The rules of each file and those over two files; a list of the faults, empty when all is well."""
    within = [
        (good, f"{path}: {fault}") for section, path in c.paths.items() for good, fault in getattr(c, section).rules()
    ]
    at, m, d, tok, serving = c.paths, c.model, c.data, c.tokenizer, c.serving
    texts = {f"params.yaml: evaluate.prompts.{i}": text for i, text in enumerate(c.params.evaluate.prompts)}
    texts |= {f"{at['training']}: sample_prompts.{i}": text for i, text in enumerate(c.training.sample_prompts)}

    def least(text: str) -> int:
        """Tokens that a text has at least, whatever the tokenizer will learn."""
        return len(pieces(text, tok.split_pattern)) if split_name(tok.split_pattern) else 0

    readable = {*c.outputs("prepare"), *c.outputs("curriculum")} & set(c.graph["tokenizer"]["deps"])
    across = [
        (
            d.block_size == m.context_length,
            f"{at['data']}: block_size: {d.block_size}, but {at['model']}: context_length is {m.context_length}; make them equal, "
            "or choose another data config in params.yaml",
        ),
        *(
            (
                licenses.passes(license, c.params.prepare.licenses),
                f"{at['corpus']}: {key}: {license} is {licenses.of_category(license)}, and "
                f"params.yaml: prepare.licenses lets pass only {', '.join(c.params.prepare.licenses)}; leave this source out",
            )
            for key, license in c.corpus.claims().items()
            if not licenses.fault(license)
        ),
        (
            tok.vocab_size == m.vocab_size,
            f"{at['model']}: vocab_size: {m.vocab_size}, but {at['tokenizer']}: vocab_size is {tok.vocab_size}; make them equal",
        ),
        (
            d.dtype != "uint16" or tok.vocab_size <= UINT16_VOCAB,
            f"{at['tokenizer']}: vocab_size: {tok.vocab_size} ids do not fit {at['data']}: dtype uint16 (at most {UINT16_VOCAB}); "
            "use dtype: uint32 or a smaller vocabulary",
        ),
        (
            set(tok.training_files) <= readable,
            f"{at['tokenizer']}: training_files: {tok.training_files} must be outputs of the stages prepare and curriculum that "
            f"dvc.yaml lists for the stage tokenizer: {sorted(readable)}",
        ),
        *(
            (
                path == str(PROCESSED / f"{split}.bin"),
                f"{at['data']}: {split}_path: {path}, but the stage pack writes {PROCESSED / split}.bin and dvc.yaml lists no other file",
            )
            for split, path in (("train", d.train_path), ("val", d.val_path))
        ),
        (
            c.params.exam.max_new_tokens + least(c.params.exam.prompt.replace("{request}", "")) < m.context_length,
            f"params.yaml: exam.max_new_tokens: {c.params.exam.max_new_tokens} and exam.prompt leave no room for a request in {at['model']}: "
            f"context_length {m.context_length}",
        ),
        *(
            (
                least(text) < m.context_length,
                f"{key}: is {least(text)} tokens at least, and the model sees {m.context_length} ({at['model']}: context_length)",
            )
            for key, text in texts.items()
        ),
        (
            least(serving.smoke_prompt) < serving.parameters.num_ctx,
            f"{at['serving']}: smoke_prompt: is {least(serving.smoke_prompt)} tokens at least, and the model is served with parameters.num_ctx "
            f"{serving.parameters.num_ctx}",
        ),
        (
            serving.quant in ("auto", *c.params.quants),
            f"{at['serving']}: quant: {serving.quant} is not among params.yaml: quants {c.params.quants}",
        ),
        (
            not d.tasks_share or as_served(serving.template, "{request}") == c.params.exam.prompt,
            f"{at['serving']}: template: {serving.template!r}, but requests are taught as params.yaml: exam.prompt {c.params.exam.prompt!r}; make them "
            "equal, with {{ .Prompt }} in the place of {request}",
        ),
        (
            serving.parameters.num_ctx <= m.context_length,
            f"{at['serving']}: parameters.num_ctx: {serving.parameters.num_ctx} is more than {at['model']}: context_length {m.context_length}",
        ),
        *(
            (
                stage in c.graph,
                f"{at['operations']}: pools: {stage!r} is no stage of dvc.yaml{suggestion(stage, c.graph)}",
            )
            for stage in c.operations.pools
        ),
        *(
            (
                pool != OWN_POOL,
                f"{at['operations']}: pools: {stage}: {pool} is the pool of the machine itself; choose another name, such as gpu",
            )
            for stage, pool in c.operations.pools.items()
        ),
        (
            not (c.operations.slurm and "train" in c.operations.pools),
            f"{at['operations']}: slurm and pools: train both say where the training runs; set slurm: null, or take train out of pools",
        ),
        (
            tok.special_tokens.eos in serving.parameters.stop,
            f"{at['serving']}: parameters.stop: must hold the tokenizer's eos {tok.special_tokens.eos!r}, or the model never stops",
        ),
    ]
    return [fault for good, fault in within + across if not good]


def pin_faults(c: Config) -> list[str]:
    """Whether the lock is there, which DVC wants of every corpus, and pins what has to be pinned."""
    mend = f"`robo corpus lock` pins what has no pin yet of {c.paths['corpus']}"
    if not os.path.lexists(c.root / c.lock):
        return [f"{c.lock}: no such file; {mend}"]
    unpinned = [
        f"{source.name}.{next(key for key in source.pin_keys if getattr(source, key) is None)}"
        for source in c.corpus.sources
        if source.pin is None
    ]
    return [f"{c.lock}: {shortened(unpinned)}: missing; {mend}"] if unpinned else []


def read_removed(root: Path = Path(".")) -> Removed:
    """configs/removed.yaml, which is read apart: it changes one stage alone. Raises UserError with all that is wrong in it."""
    removed = parse(root / REMOVED, Removed)
    if faults := [f"{REMOVED}: {fault}" for good, fault in removed.rules() if not good]:
        raise UserError("\n".join(faults))
    return removed


def load(root: Path = Path("."), pinned: bool = True) -> Config:
    """Reads and checks everything under `root`; not `pinned`, sources may be without their pins. Raises UserError with every fault found."""
    config = Config(Path(root))
    if faults := rules(config) + (pin_faults(config) if pinned else []):
        raise UserError("\n".join(faults))
    return config


# --- what one stage may see -------------------------------------------------------------------------------------------


class Section:
    """One config file as a stage sees it: attributes are its keys; one that dvc.yaml does not list cannot be read.

    Each reading raises the audit event `robo.read` with file and key, so that a test can hold dvc.yaml against it.
    """

    def __init__(self, values: File, file: str, declared: dict[str, list[str] | None], stage: str, prefix: str = ""):
        self._values, self._file, self._declared, self._stage, self._prefix = values, file, declared, stage, prefix

    def __str__(self) -> str:
        """The file's path, for messages."""
        return self._file

    def __getattr__(self, key: str):
        value, path = getattr(self._values, key), f"{self._prefix}{key}"
        keys = self._declared.get(self._file, [])
        listed = next((k for k in keys or [] if path == k or path.startswith(f"{k}.")), None)
        if keys is None or listed:
            sys.audit("robo.read", self._file, listed or path)
            return value
        if isinstance(value, File):
            return Section(value, self._file, self._declared, self._stage, f"{path}.")
        raise AssertionError(
            f"stage {self._stage} reads {self._file}: {path}, which its params in dvc.yaml do not list"
        )

    def as_dict(self) -> dict:
        """The whole file, which dvc.yaml must list as a whole."""
        return {key: getattr(self, key) for key in type(self._values).model_fields}


class CorpusSection(Section):
    """A corpus config: its sources hold what stands under defaults and in the lock, so who reads them reads those too."""

    def __init__(self, values: Corpus, file: str, declared: dict[str, list[str] | None], stage: str, lock: Section):
        super().__init__(values, file, declared, stage)
        self._to_pin = [(source.name, key) for source in values.sources for key in source.pin_keys]
        self._lock = lock

    def __getattr__(self, key: str):
        if key == "sources":
            super().__getattr__("defaults")
            for name, pinned in self._to_pin:
                getattr(getattr(self._lock, name), pinned)
        return super().__getattr__(key)


class StageConfig:
    """The Config as the stage `name` may read it, and `slurm`, where it may run."""

    def __init__(self, config: Config, name: str):
        declared: dict[str, list[str] | None] = {}
        for entry in config.graph[name].get("params", []):
            for file, keys in ({"params.yaml": [entry]} if isinstance(entry, str) else entry).items():
                file = re.sub(r"\$\{(\w+)\}", lambda match: getattr(config.params, match[1]), file)
                declared[file] = None if keys is None else (declared.get(file) or []) + keys
        for section, path in config.paths.items():
            setattr(self, section, Section(getattr(config, section), str(path), declared, name))
        lock = Section(config.pins, str(config.lock), declared, name)
        self.corpus = CorpusSection(config.corpus, str(config.paths["corpus"]), declared, name, lock)
        self.slurm = config.operations.slurm  # where a stage runs, which changes nothing in what it writes
