"""The one reader of params.yaml and configs/: types, ranges, and every rule that crosses two files.

Each file is a pydantic model, so its keys stand in one place with their bounds. Every key must stand in its file: a
default hidden in code could change without DVC noticing. Keys that may be left out mean "none" and nothing else.

A stage does not get these models but a `StageConfig`, which hands out just the keys that dvc.yaml lists for it. So a key that
changes a stage's result cannot be missing from the graph: reading it fails at once.
"""

import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.core.errors import UserError, suggestion
from pipeline.core.paths import PROCESSED

# llama.cpp knows pre-tokenizers by name and has their patterns built in, so ours must be one of those (llama-vocab.cpp).
# Where llama.cpp applies several patterns in turn (starcoder splits digits first) one pattern cannot say the same.
SPLIT_PATTERNS = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen35": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
QUANTS = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL",
          "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K")
UINT16_VOCAB = 65_535
QUOTED = re.compile(r"'([^']+)'")

NAME = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"
SHA256 = r"^[0-9a-f]{64}$"
CORPUS_FOLDER = r"^corpora/[^/.][^/]*(/[^/.][^/]*)*$"
BLOCK = r"^[a-z0-9-]+/[a-z0-9-]+$"
CHECKPOINT = r"^(checkpoints/[^/.][^/]*|(models:/)?[a-zA-Z0-9][a-zA-Z0-9._-]*/[0-9]+)$"
CLOCK = r"^[0-9]{2,}:[0-5][0-9]:[0-5][0-9]$"
IN_WORDS = {NAME: "must be a name of letters, digits, '.', '_' and '-'", SHA256: "must be 64 hexadecimal digits in lower case",
            CORPUS_FOLDER: "must be a folder under corpora/, the only one that dvc.yaml watches",
            CHECKPOINT: "must be a folder like models/trained directly under checkpoints/, the only one that dvc.yaml watches, "
                        "or a registered version such as robo-micropython/3",
            BLOCK: "must be a Prefect block as TYPE/NAME, such as slack-webhook/team; a URL is a secret and goes into ROBO_NOTIFY_URL",
            CLOCK: 'must be hours, minutes and seconds such as "00:05:00"'}

Name = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


# --- params.yaml ------------------------------------------------------------------------------------------------------

class Prepare(File):
    min_bytes: Annotated[int, Field(ge=1)]              # shorter files are rejected
    max_bytes: Annotated[int, Field(ge=1)]              # longer files are rejected
    max_line_length: Annotated[int, Field(ge=80)]       # in characters; longer lines are data, not code
    max_data_share: Annotated[float, Field(gt=0, le=1)] # of the code in numbers and bytes literals; more is a font or an image


class Evaluate(File):
    prompts: Annotated[list[str], Field(min_length=1)]
    max_new_tokens: Annotated[int, Field(ge=1)]


class Export(File):
    outtypes: Annotated[list[Literal["f32", "f16", "q8_0"]], Field(min_length=1)]


class Quantize(File):
    imatrix: bool                                       # let the training text guide types of 5 bits and below, where it helps


class Assess(File):
    tokens: Annotated[int, Field(ge=256)]               # validation tokens that each GGUF file is measured on
    max_loss: Annotated[float, Field(ge=0)]             # percent of F16's bits per byte that the recommended type may lose


class Params(File):
    corpus: Name
    tokenizer: Name
    data: Name
    model: Name
    training: Name
    serving: Name
    operations: Name
    prepare: Prepare
    evaluate: Evaluate
    export: Export
    quants: Annotated[list[Literal[QUANTS]], Field(min_length=1)]
    quantize: Quantize
    assess: Assess


# --- configs/ ---------------------------------------------------------------------------------------------------------

class Source(File):
    name: Name
    license: Text                                       # SPDX identifier
    split: Literal["train", "val", "test"]              # whole packages only, so that none stands on both sides
    include: Annotated[list[str], Field(min_length=1)]  # shell patterns over the path inside the source; * crosses folders
    exclude: list[str] = []


class SdistSource(Source):
    kind: Literal["sdist"]
    version: Text
    sha256: Annotated[str, Field(pattern=SHA256)]


class FolderSource(Source):
    kind: Literal["folder"]
    path: Annotated[str, Field(pattern=CORPUS_FOLDER)]


class Corpus(File):
    sources: Annotated[list[Annotated[SdistSource | FolderSource, Field(discriminator="kind")]], Field(min_length=1)]


class SpecialTokens(File):
    pad: Text
    eos: Text
    bos: Text
    unk: Text
    fim_prefix: Text | None = None                      # of fill-in-the-middle: all three or none
    fim_suffix: Text | None = None
    fim_middle: Text | None = None


class Tokenizer(File):
    algorithm: Literal["bpe"]
    vocab_size: Annotated[int, Field(ge=300)]           # 256 bytes and the special tokens must fit
    training_files: Annotated[list[str], Field(min_length=1)]
    special_tokens: SpecialTokens
    split_pattern: str


class Data(File):
    train_path: str
    val_path: str
    block_size: Annotated[int, Field(ge=8)]             # tokens in a sample = context_length
    stride: Annotated[int, Field(ge=1)]                 # tokens between the starts of two samples
    dtype: Literal["uint16", "uint32"]
    batch_size: Annotated[int, Field(ge=1)]             # samples in a micro-batch
    num_workers: Annotated[int, Field(ge=0)]


class Model(File):
    architecture: Literal["gpt2", "llama", "qwen3"]
    vocab_size: Annotated[int, Field(ge=300)]
    context_length: Annotated[int, Field(ge=8)]
    d_model: Annotated[int, Field(ge=8)]
    n_layers: Annotated[int, Field(ge=1)]
    n_heads: Annotated[int, Field(ge=1)]
    n_kv_heads: Annotated[int, Field(ge=1)] | None = None   # grouped-query heads; gpt2 has none
    d_ff: Annotated[int, Field(ge=8)]
    tie_embeddings: bool
    bias: bool | None = None                            # of gpt2's linear layers and norms; left out: as GPT-2 has them
    dropout: Fraction                                   # inside the feed-forward layer, and the default of the other three
    emb_dropout: Fraction | None = None
    attn_dropout: Fraction | None = None
    resid_dropout: Fraction | None = None


class Training(File):
    optimizer: Literal["adamw", "muon"]
    learning_rate: Annotated[float, Field(gt=0)]
    muon_learning_rate: Annotated[float, Field(gt=0)] | None = None     # for the matrices, where the optimizer is muon
    init_from: Annotated[str, Field(pattern=CHECKPOINT)] | None     # weights to start from instead of random ones
    warmup_ratio: Fraction                              # share of the steps, or of the time where max_time is nearer
    min_lr: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)]
    grad_clip_norm: Annotated[float, Field(gt=0)] | None
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"]
    force_precision: bool                               # take bf16-mixed even on a CPU that is slow at it
    accumulate_grad_batches: Annotated[int, Field(ge=1)]
    max_steps: Annotated[int, Field(ge=1)]              # optimizer steps; the smallest of the three limits wins
    max_tokens: Annotated[int, Field(ge=1)] | None      # no step is begun that would exceed them
    max_time: Annotated[str, Field(pattern=CLOCK)] | None       # HH:MM:SS in training, over all resumed runs
    eval_every: Annotated[int, Field(ge=1)]             # optimizer steps
    patience: Annotated[int, Field(ge=1)] | None        # evaluations without a better val loss, after which training stops
    keep: Literal["best", "last"]                       # which weights become models/trained; best is by val loss
    sample_prompts: list[Text]                          # the model goes on with each at every evaluation
    checkpoint_every: Annotated[int, Field(ge=1)]       # optimizer steps
    compile: bool
    seed: Annotated[int, Field(ge=0)]
    devices: Annotated[int, Field(ge=1)]
    strategy: Literal["auto", "ddp", "fsdp"]
    num_nodes: Annotated[int, Field(ge=1)]


class Parameters(File):
    """Ollama's generation parameters; ranges as in its documentation."""
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(ge=0, le=1)]
    top_k: Annotated[int, Field(ge=1, le=100)]
    repeat_penalty: Annotated[float, Field(ge=1, le=2)]
    num_predict: Annotated[int, Field(ge=1, le=4096)]
    num_ctx: Annotated[int, Field(ge=8)]
    stop: Annotated[list[str], Field(min_length=1)]


class Serving(File):
    name: Name                                          # in Ollama, and of the registered model in MLflow
    quant: Literal[("auto", *QUANTS)]                   # auto: the one that metrics/assess.json recommends
    template: str
    parameters: Parameters
    smoke_prompt: Text


class Gates(File):
    """What a version must prove before it may serve; null switches a gate off."""
    max_val_loss: Annotated[float, Field(gt=0)] | None              # nats per token on held-out packages; below it passes
    max_bits_per_byte_rise: Annotated[float, Field(ge=0)] | None    # percent above the champion's, on the champion's held-out text
    max_quant_loss: Annotated[float, Field(ge=0)] | None            # percent of float16's bits per byte that the served type loses
    min_syntax_rate: Annotated[float, Field(ge=0, le=1)] | None     # share of the served type's completions that mpy-cross compiles


class Operations(File):
    promotion: Literal["manual", "auto"]
    gates: Gates
    reconcile_every: Annotated[float, Field(gt=0)]      # seconds
    drift_after: Annotated[float, Field(ge=0)]          # seconds
    keep: Annotated[int, Field(ge=1)]                   # versions in Ollama, the serving one among them
    notify_block: Annotated[str, Field(pattern=BLOCK)] | None       # of Prefect


FOLDERS = {"corpus": ("corpora", Corpus), "tokenizer": ("tokenizers", Tokenizer), "data": ("data", Data),
           "model": ("models", Model), "training": ("training", Training), "serving": ("serving", Serving),
           "operations": ("operations", Operations)}


# --- reading ----------------------------------------------------------------------------------------------------------

def read_yaml(path: Path):
    """Raises UserError for a missing file or broken YAML, with the line."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: {error}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise UserError(f"{path}:{where} not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:    # odd characters, impossible dates, endless brackets
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None


def schemas_in(annotation) -> list[type[File]]:
    """The schemas that a field's type holds, be it in a list, a choice or alone."""
    if isinstance(annotation, type) and issubclass(annotation, File):
        return [annotation]
    return [schema for inner in get_args(annotation) for schema in schemas_in(inner)]


def locate(schema: type[File], location: tuple) -> tuple[str, list[str]]:
    """(a fault's key as the file has it, the keys that may stand in its place).

    pydantic's location of `license` in the third source is (sources, 2, sdist, license): between index and key stands
    the `kind` by which it chose the schema, and the file has no such key.
    """
    path, known, schemas = [], {}, [schema]
    for step in location:
        if chosen := [s for s in schemas if "kind" in s.model_fields and step in get_args(s.model_fields["kind"].annotation)]:
            schemas = chosen
            continue
        path.append(str(step))
        if not isinstance(step, int):
            known = {key: field for s in schemas for key, field in s.model_fields.items()}
            schemas = schemas_in(known[step].annotation) if step in known else []
    return ".".join(path), list(known)


def explain(schema: type[File], fault: dict) -> str:
    """One of pydantic's faults, as `key: what is wrong and what would be right`."""
    (key, known), kind, given = locate(schema, fault["loc"]), fault["type"], fault["input"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key{suggestion(fault['loc'][-1], known)}"
    if kind == "missing":
        return f"{key}: missing"
    if kind == "union_tag_not_found":
        return f"{key}.kind: missing"
    if kind == "union_tag_invalid":
        tag, tags = fault["ctx"]["tag"], re.findall(QUOTED, fault["ctx"]["expected_tags"])
        return f"{key}.kind: {tag!r} is not known{suggestion(tag, tags)}"
    given = given if len(repr(given)) <= 100 else f"{repr(given)[:100]}..."
    if kind == "literal_error":
        return f"{key}: {given!r} is not known{suggestion(given, re.findall(QUOTED, fault['ctx']['expected']))}"
    if kind == "string_pattern_mismatch":
        pattern = fault["ctx"]["pattern"]
        return f"{key}: {IN_WORDS[pattern]}" + ("" if pattern == BLOCK else f", not {given!r}")     # it may be the URL that must not be shown
    if kind in ("model_type", "model_attributes_type"):
        return f"{key}: must hold keys and values, not {given!r}"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {given!r}"


def parse(path: Path, schema: type[File]) -> File:
    """Reads one file as its schema. Raises UserError naming file, key and what would be right, all faults at once."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold keys and values, not {'nothing' if content is None else type(content).__name__}")
    try:
        # ints are fine where floats are asked for, as YAML users expect; pydantic's strict mode allows that
        return schema.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {explain(schema, fault)}" for fault in error.errors())) from None


class Config:
    """Every file that params.yaml names, checked together.

    Attributes: params, corpus, tokenizer, data, model, training, serving, operations; `paths` maps those names to their files.
    """

    def __init__(self, root: Path):
        self.root = root
        self.paths = {"params": Path("params.yaml")}
        self.params = parse(root / "params.yaml", Params)
        faults = []
        for section, (folder, schema) in FOLDERS.items():
            chosen = getattr(self.params, section)
            self.paths[section] = path = Path("configs", folder, f"{chosen}.yaml")
            if not (root / path).is_file():
                there = sorted(p.stem for p in (root / path.parent).glob("*.yaml"))
                faults.append(f"params.yaml: {section}: {path}: no such file{suggestion(chosen, there)}")
                continue
            try:
                setattr(self, section, parse(root / path, schema))
            except UserError as error:
                faults.append(str(error))
        if faults:
            raise UserError("\n".join(faults))

    @cached_property
    def graph(self) -> dict:
        return read_yaml(self.root / "dvc.yaml")["stages"]

    def outputs(self, stage: str) -> list[str]:
        return [o if isinstance(o, str) else next(iter(o)) for o in self.graph[stage].get("outs", [])]


def split_name(pattern: str) -> str | None:
    """llama.cpp's name of a split pattern, given as that name or as the pattern itself."""
    return next((name for name, known in SPLIT_PATTERNS.items() if pattern in (name, known)), None)


def package(source: Source) -> str:
    """The name that the package index knows a source by: it takes `My.Package` and `my-package` for one."""
    return re.sub(r"[-_.]+", "-", source.name).lower()


def overlaps(sources: list[Source]) -> list[str]:
    """Pairs of folders, one inside the other or the same, that stand in different splits."""
    folders = [s for s in sources if isinstance(s, FolderSource)]
    return [f"{a.path} ({a.split}) and {b.path} ({b.split})" for a in folders for b in folders
            if a is not b and a.split != b.split and Path(b.path).is_relative_to(a.path)]


def rules(c: Config) -> list[str]:
    """Every rule that one key alone cannot show; a list of faults, empty when all is well."""
    at, m, t, d, tok = c.paths, c.model, c.training, c.data, c.tokenizer
    serving = c.serving
    specials = list(tok.special_tokens.model_dump(exclude_none=True).values())
    names = [package(source) for source in c.corpus.sources]
    readable = set(c.outputs("prepare")) & set(c.graph["tokenizer"]["deps"])
    checks = [
        (d.block_size == m.context_length,
         f"{at['data']}: block_size: {d.block_size}, but {at['model']}: context_length is {m.context_length}; make them equal, "
         "or choose another data config in params.yaml"),
        (tok.vocab_size == m.vocab_size,
         f"{at['model']}: vocab_size: {m.vocab_size}, but {at['tokenizer']}: vocab_size is {tok.vocab_size}; make them equal"),
        (d.dtype != "uint16" or tok.vocab_size <= UINT16_VOCAB,
         f"{at['tokenizer']}: vocab_size: {tok.vocab_size} ids do not fit {at['data']}: dtype uint16 (at most {UINT16_VOCAB}); "
         "use dtype: uint32 or a smaller vocabulary"),
        (m.d_model % m.n_heads == 0,
         f"{at['model']}: n_heads: {m.n_heads} does not divide d_model {m.d_model}"),
        (m.d_model % m.n_heads != 0 or (m.d_model // m.n_heads >= 32 and m.d_model // m.n_heads % 2 == 0),
         f"{at['model']}: n_heads: {m.n_heads} heads over d_model {m.d_model} leave {m.d_model // m.n_heads} per head; "
         "64 or 128 is usual, an even number of at least 32 is needed"),
        (m.architecture == "gpt2" or m.n_kv_heads is not None,
         f"{at['model']}: n_kv_heads: missing; architecture {m.architecture} needs it (= n_heads for no grouping)"),
        (m.architecture != "gpt2" or m.n_kv_heads in (None, m.n_heads),
         f"{at['model']}: n_kv_heads: {m.n_kv_heads}; gpt2 has no grouped heads, use architecture: llama or leave it out"),
        (m.n_kv_heads is None or m.n_heads % m.n_kv_heads == 0,
         f"{at['model']}: n_kv_heads: {m.n_kv_heads} does not divide n_heads {m.n_heads}"),
        (m.architecture != "gpt2" or m.d_ff == 4 * m.d_model,
         f"{at['model']}: d_ff: {m.d_ff}; llama.cpp's gpt2 needs 4 x d_model = {4 * m.d_model}"),
        (split_name(tok.split_pattern) is not None,
         f"{at['tokenizer']}: split_pattern: llama.cpp has no such pattern, so the served model would tokenize differently; "
         f"use one of the names {', '.join(SPLIT_PATTERNS)} or its regular expression"),
        (len(specials) in (4, 7),
         f"{at['tokenizer']}: special_tokens: fim_prefix, fim_suffix and fim_middle only make sense together; give all three or none"),
        (m.architecture == "gpt2" or not m.bias,
         f"{at['model']}: bias: {m.architecture} has no biases; leave it out, or use architecture: gpt2"),
        (len(set(specials)) == len(specials),
         f"{at['tokenizer']}: special_tokens: two tokens have the same text"),
        (set(tok.training_files) <= readable,
         f"{at['tokenizer']}: training_files: {tok.training_files} must be outputs of the stage prepare that dvc.yaml lists for the stage "
         f"tokenizer: {sorted(readable)}"),
        *((path == str(PROCESSED / f"{split}.bin"),
           f"{at['data']}: {split}_path: {path}, but the stage pack writes {PROCESSED / split}.bin and dvc.yaml lists no other file")
          for split, path in (("train", d.train_path), ("val", d.val_path))),
        (d.stride <= d.block_size, f"{at['data']}: stride: {d.stride} is larger than block_size {d.block_size}, so text would be left out"),
        (t.min_lr <= t.learning_rate,
         f"{at['training']}: min_lr: {t.min_lr} is larger than learning_rate {t.learning_rate}; learning_rate / 5 is usual"),
        ((t.optimizer == "muon") == (t.muon_learning_rate is not None),
         f"{at['training']}: muon_learning_rate: " + ("missing; optimizer muon needs it (0.005 is a start)" if t.optimizer == "muon"
                                                      else "only optimizer: muon reads it; remove it")),
        (t.strategy != "fsdp" or (t.optimizer, t.keep, t.sample_prompts) == ("adamw", "last", []),
         f"{at['training']}: strategy: fsdp splits every matrix over the devices, so it needs optimizer: adamw (Muon works on whole matrices), "
         "keep: last and sample_prompts: []; models of this size train as well with strategy: ddp"),
        (len(names) == len(set(names)),
         f"{at['corpus']}: sources: two are the same package: {', '.join(sorted(n for n in set(names) if names.count(n) > 1))}"),
        (not overlaps(c.corpus.sources),
         f"{at['corpus']}: sources: one folder in two splits makes held-out figures too good: {'; '.join(overlaps(c.corpus.sources))}"),
        ({s.split for s in c.corpus.sources} == {"train", "val", "test"},
         f"{at['corpus']}: sources: each of the splits train, val and test needs one source at least"),
        (c.params.prepare.min_bytes < c.params.prepare.max_bytes,
         f"params.yaml: prepare.min_bytes: {c.params.prepare.min_bytes} is not below max_bytes {c.params.prepare.max_bytes}"),
        ("f16" in c.params.export.outtypes and "f32" in c.params.export.outtypes,
         "params.yaml: export.outtypes: must hold f16, which the quantizer reads, and f32, which parity is proven on"),
        (len(set(c.params.quants)) == len(c.params.quants),
         f"params.yaml: quants: {', '.join(sorted({q for q in c.params.quants if c.params.quants.count(q) > 1}))} stands twice"),
        (serving.quant in ("auto", *c.params.quants),
         f"{at['serving']}: quant: {serving.quant} is not among params.yaml: quants {c.params.quants}"),
        (serving.parameters.num_ctx <= m.context_length,
         f"{at['serving']}: parameters.num_ctx: {serving.parameters.num_ctx} is more than {at['model']}: context_length {m.context_length}"),
        (tok.special_tokens.eos in serving.parameters.stop,
         f"{at['serving']}: parameters.stop: must hold the tokenizer's eos {tok.special_tokens.eos!r}, or the model never stops"),
        (re.search(r"\{\{-?\s*\.Prompt\s*-?\}\}", serving.template),
         f"{at['serving']}: template: must hold {{{{ .Prompt }}}}, or the model never sees what it is asked"),
    ]
    return [fault for good, fault in checks if not good]


def load(root: Path = Path(".")) -> Config:
    """Reads and checks everything under `root`. Raises UserError with every fault found."""
    config = Config(Path(root))
    if faults := rules(config):
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
        raise AssertionError(f"stage {self._stage} reads {self._file}: {path}, which its params in dvc.yaml do not list")

    def as_dict(self) -> dict:
        """The whole file, which dvc.yaml must list as a whole."""
        return {key: getattr(self, key) for key in type(self._values).model_fields}


class StageConfig:
    """The Config as the stage `name` may read it."""

    def __init__(self, config: Config, name: str):
        declared: dict[str, list[str] | None] = {}
        for entry in config.graph[name].get("params", []):
            for file, keys in ({"params.yaml": [entry]} if isinstance(entry, str) else entry).items():
                file = re.sub(r"\$\{(\w+)\}", lambda match: getattr(config.params, match[1]), file)
                declared[file] = None if keys is None else (declared.get(file) or []) + keys
        for section, path in config.paths.items():
            setattr(self, section, Section(getattr(config, section), str(path), declared, name))
