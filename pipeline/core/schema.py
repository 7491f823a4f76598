"""What may stand in params.yaml and configs/: one pydantic model for each file, its keys with their bounds and the rules among them.

Every key must stand in its file, so that what a training depends on can be read there. Keys that may be left out mean "none", but for two
of a model that the reference's profiles do not have; these mean what the reference means, and DVC notices where that changes, since every
stage depends on pipeline/core. What a source of a corpus leaves out stands under `defaults` of the same file, and its pin in the lock beside
it. What a key alone cannot show is a rule of its model, which is asked once every file could be read, so that all faults are told at once;
rules over two files stand in config.py. Here is refused what cannot work or cannot be meant; what is only unusual is a note of
pipeline/advice.py.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from pipeline.core import licenses
from pipeline.core.go_template import faults
from pipeline.core.licenses import Category
from pipeline.core.prompt import OLLAMAS

# llama.cpp knows pre-tokenizers by name and has their patterns built in, so ours must be one of those (llama-vocab.cpp).
# Where llama.cpp applies several patterns in turn (starcoder splits digits first) one pattern cannot say the same.
SPLIT_PATTERNS = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen35": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
Quant = Literal[
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_1",
    "Q5_0",
    "Q4_K_M",
    "Q4_K_S",
    "Q4_1",
    "Q4_0",
    "IQ4_NL",
    "Q3_K_L",
    "Q3_K_M",
    "Q3_K_S",
    "Q2_K",
]
QUANTS: tuple[str, ...] = get_args(Quant)
REFERENCE = "F16"  # the type that the others are held against
ExamSet = Literal["people", "values", "wordings", "compositions", "dev"]  # folders of exam/
EXAM_SETS: tuple[str, ...] = get_args(ExamSet)

OWN_POOL = "robo"  # Prefect's work pool of the schedule, which `robo serve` works off itself
LONGEST_NAME = 128  # characters; a file's may have 255 bytes
MOST = 10**12  # of whatever is counted; the libraries' own numbers end at 9 * 10**18
LONGEST_CONTEXT = 131_072  # tokens; no model of a size that fits this chain reads more
NAME = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"
# MLflow wants none of / : . % " ' and Docker no capitals; Ollama takes 80 characters, with `-unfinished` while a model is tried.
MODEL_NAME = r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$"
WORDS = r"\S"
SHA256 = r"^[0-9a-f]{64}$"
CORPUS_FOLDER = r"^corpora/[^/.][^/]*(/[^/.][^/]*)*$"
REPOSITORY = r"^(https?://[^\s/@]+/[^\s@]+|[~./\w][^:@]*)$"
COMMIT = r"^([0-9a-f]{40}|[0-9a-f]{64})$"
HUB = r"^[\w.-]+/[\w.-]+$"
SUBFOLDER = r"^(\.|[^/.][^/]*(/[^/.][^/]*)*)$"
BLOCK = r"^[a-z0-9-]+/[a-z0-9-]+$"
CHECKPOINT = r"^(checkpoints/[^/.][^/]*|(models:/)?[a-zA-Z0-9][a-zA-Z0-9._-]*/[0-9]+)$"
INSIDE = r"^[^/]+/[^/].*$"
PERSON = r"^\s*(\S+@\S+\.\S+|\S+(\s+\S+)+)\s*$"
OPTION = r"^--[a-z][a-z-]*(=\S+)?$"
CLOCK = r"^[0-9]{2,6}:[0-5][0-9]:[0-5][0-9]$"
IN_WORDS = {
    NAME: "must be a name of letters, digits, '.', '_' and '-'",
    MODEL_NAME: "must be a name of at most 64 small letters, digits, '_' and '-', such as robo-v1-5: Ollama, MLflow and Docker take it",
    WORDS: "must be a text of more than blanks",
    SHA256: "must be 64 hexadecimal digits in lower case",
    REPOSITORY: "must be an address such as https://host/owner/name, without a password, or the path of a repository on this machine; "
    "clone what is reached by ssh, and give that path",
    COMMIT: "must be the whole hash of a commit, 40 or 64 hexadecimal digits in lower case: names of branches move",
    HUB: "must be a data set of the Hugging Face hub as OWNER/NAME",
    SUBFOLDER: "must be a folder inside the repository such as micropython/drivers",
    CORPUS_FOLDER: "must be a folder under corpora/, the only one that dvc.yaml watches",
    CHECKPOINT: "must be a folder like models/trained directly under checkpoints/, the only one that dvc.yaml watches, "
    "or a registered version such as robo-micropython/3",
    BLOCK: "must be a Prefect block as TYPE/NAME, such as slack-webhook/team; a URL is a secret and goes into ROBO_NOTIFY_URL",
    INSIDE: "must be a file as SOURCE/PATH, such as upyutils/upyutils/wifi.py; rejected.jsonl and provenance.jsonl name them so",
    PERSON: "must be a name of at least two words, as licences have it, or an e-mail address: one word stands in everybody's code",
    OPTION: "must be an option of srun in its long form, such as --mem=64G",
    CLOCK: 'must be hours, minutes and seconds such as "00:05:00"',
}

Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
Text = Annotated[str, Field(pattern=WORDS)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1)]  # of learning; a step of 1 is larger than any weight
Count = Annotated[int, Field(ge=1, le=MOST)]
Sha256 = Annotated[str, Field(pattern=SHA256)]
Commit = Annotated[str, Field(pattern=COMMIT)]


def minutes(clock: str) -> int:
    hours, past, _ = map(int, clock.split(":"))
    return 60 * hours + past


def twice(values: list) -> list:
    """Those that stand there more than once."""
    return sorted({value for value in values if values.count(value) > 1})


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())
    under_names: ClassVar[type["File"] | None] = None  # what stands under each key, where the keys are names

    def rules(self) -> list[tuple[bool, str]]:
        """(whether it holds, else `key: what is wrong and what would be right`) for each rule that bounds of one key cannot say."""
        return []


# --- params.yaml ------------------------------------------------------------------------------------------------------


class Prepare(File):
    licenses: Annotated[list[Category], Field(min_length=1)]  # categories of licences that a file may stand under
    min_bytes: Count  # shorter files are rejected
    max_bytes: Count  # longer files are rejected
    max_long_share: Annotated[
        float, Field(gt=0, le=1)
    ]  # of the characters in lines of more than 400; more is a table or a bundle
    max_data_share: Annotated[
        float, Field(gt=0, le=1)
    ]  # of the code in numbers and bytes literals; more is a font or an image
    max_overlap: Annotated[
        float, Field(gt=0, le=1)
    ]  # of a held-out file's lines in one training package; more is a near duplicate
    max_alike: Annotated[
        float, Field(ge=0.7, le=1)
    ]  # of two files' lines or code in common; from there on one of them is a copy. MinHash misses what is below 0.7
    exact_bytes: Annotated[int, Field(ge=0, le=MOST)]  # of text up to which all that could be copies is compared
    dialect_line: bool  # begin each document with its dialect as a comment


class Removed(File):
    """configs/removed.yaml: what must be in no text from now on. Not a part of Config, whose keys go to MLflow, since it names people."""

    packages: list[Name]  # sources
    authors: list[Annotated[str, Field(pattern=PERSON)]]
    files: list[Annotated[str, Field(pattern=INSIDE)]]
    hashes: list[Sha256]  # of files as they were collected

    def rules(self) -> list[tuple[bool, str]]:
        return [
            (not (both := twice(listed)), f"{key}: {', '.join(both)}: stands there twice")
            for key, listed in self.model_dump().items()
        ]


class Evaluate(File):
    prompts: Annotated[list[Text], Field(min_length=1)]
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)]


class Export(File):
    outtypes: Annotated[list[Literal["f32", "f16", "q8_0"]], Field(min_length=1)]


class Curriculum(File):
    draws: Count  # how often a pair is drawn
    longest: Annotated[int, Field(ge=150, le=MOST)]  # characters of a request and its program together
    several: Fraction  # of what is drawn to be met, that is made of rules: several wishes side by side
    seed: Annotated[int, Field(ge=0, le=MOST)]


class Quantize(File):
    imatrix: bool  # let the training text guide types of 5 bits and below, where it helps


class Assess(File):
    tokens: Annotated[int, Field(ge=256, le=MOST)]  # validation tokens that each GGUF file is measured on
    max_loss: Annotated[float, Field(ge=0)]  # percent of F16's bits per byte that the recommended type may lose
    max_lost_tasks: Annotated[
        float, Field(ge=0, le=1)
    ]  # share of the exam's tasks passed by F16 that it may pass fewer


class Exam(File):
    prompt: str  # in which a request is asked: {request}, and {board} where that is wanted
    max_new_tokens: Count  # of an answer
    sets: Annotated[list[ExamSet], Field(min_length=1)]
    completions: Annotated[int, Field(ge=0, le=MOST)]  # beginnings of held-out programs that are gone on with


class Params(File):
    corpus: Name
    tokenizer: Name
    data: Name
    model: Name
    training: Name
    serving: Name
    operations: Name
    prepare: Prepare
    curriculum: Curriculum
    evaluate: Evaluate
    export: Export
    quants: Annotated[list[Quant], Field(min_length=1)]
    quantize: Quantize
    exam: Exam
    assess: Assess

    def rules(self) -> list[tuple[bool, str]]:
        outtypes, quants = twice(self.export.outtypes), twice(self.quants)
        return [
            (
                self.prepare.min_bytes < self.prepare.max_bytes,
                f"prepare.min_bytes: {self.prepare.min_bytes} is not below max_bytes {self.prepare.max_bytes}",
            ),
            (
                "f16" in self.export.outtypes and "f32" in self.export.outtypes,
                "export.outtypes: must hold f16, which the quantizer reads, and f32, which parity is proven on",
            ),
            (not outtypes, f"export.outtypes: {', '.join(outtypes)} stands twice"),
            (
                "{request}" in self.exam.prompt,
                "exam.prompt: must hold {request}, or the model never sees what it is asked",
            ),
            (not twice(self.exam.sets), f"exam.sets: a set stands twice in {self.exam.sets}"),
            (not quants, f"quants: {', '.join(quants)} stands twice"),
        ]


# --- configs/ ---------------------------------------------------------------------------------------------------------


Split = Literal["train", "val", "test"]  # whole packages only, so that none stands on both sides
# shell patterns over the path inside the source; * crosses folders
Include = Annotated[list[str], Field(min_length=1)]


class Defaults(File):
    """What holds for each source of a corpus that says nothing else. A source that names `include` says all of what it takes, so `exclude`
    is not for it."""

    license: Text | None = None
    split: Split | None = None
    include: Include | None = None
    exclude: list[str] | None = None


class Pin(File):
    """What a source is, to the byte: of a package version and hash, of a repository the commit, of a data set of the hub the revision."""

    version: Text | None = None
    sha256: Sha256 | None = None
    commit: Commit | None = None
    revision: Commit | None = None


PIN_KEYS = tuple(Pin.model_fields)


class Lock(File):
    """The pins of a corpus by the names of its sources, in a file beside it that `robo corpus` writes."""

    model_config = ConfigDict(extra="allow")
    under_names = Pin
    __pydantic_extra__: dict[str, Pin] = Field(init=False)  # ty: ignore[incompatible-mutable-override]

    def pins(self) -> dict[str, Pin]:
        return self.__pydantic_extra__ or {}


class Source(File):
    name: Name
    license: Text  # SPDX expression: what the source is said to stand under
    split: Split
    include: Include
    exclude: list[str] = []

    @property
    def pin_keys(self) -> tuple[str, ...]:
        """Its keys that come from the lock; none for what lies under corpora/, which DVC watches."""
        return ()

    @property
    def pin(self) -> dict[str, str] | None:
        """Its pin; None where it has none yet."""
        found = {key: getattr(self, key) for key in self.pin_keys}
        return None if None in found.values() else found

    @property
    def pinned(self) -> str | None:
        """What of it is read, as provenance has it: a version, a commit or a revision; None where there is nothing to pin."""
        return getattr(self, self.pin_keys[0]) if self.pin_keys else None


class PackageSource(Source):
    kind: Literal["sdist", "wheel"]
    version: Text | None = None
    sha256: Sha256 | None = None

    @property
    def pin_keys(self) -> tuple[str, ...]:
        return ("version", "sha256")


class GitSource(Source):
    kind: Literal["git"]
    url: Annotated[str, Field(pattern=REPOSITORY)]
    commit: Commit | None = None
    subfolder: Annotated[str, Field(pattern=SUBFOLDER)] = (
        "."  # whose files are the source's; licences of the folders above are read too
    )

    @property
    def pin_keys(self) -> tuple[str, ...]:
        return ("commit",)


class FolderSource(Source):
    kind: Literal["folder"]
    path: Annotated[str, Field(pattern=CORPUS_FOLDER, max_length=LONGEST_NAME)]
    # auto: prepare divides its files among all three, by groups that belong together
    split: Literal["train", "val", "test", "auto"]  # ty: ignore[incompatible-attribute-override]    wider than any other source's


class Columns(File):
    text: Text
    license: Text | None = None  # a row's own licence, or a list of them
    path: Text | None = None  # what the row's file was called


class DatasetSource(Source):
    kind: Literal["dataset"]
    columns: Columns
    path: Annotated[str, Field(pattern=CORPUS_FOLDER, max_length=LONGEST_NAME)] | None = (
        None  # .parquet, .jsonl, .arrow, or a folder of one
    )
    hub: Annotated[str, Field(pattern=HUB)] | None = None
    revision: Commit | None = None
    subset: Text | None = None  # which the hub calls a configuration
    part: Text = "train"  # of those that the data set was divided into by others

    @property
    def pin_keys(self) -> tuple[str, ...]:
        return ("revision",) if self.hub else ()


def package(source: Source) -> str:
    """The name that the package index knows a source by: it takes `My.Package` and `my-package` for one."""
    return re.sub(r"[-_.]+", "-", source.name).lower()


def overlaps(sources: Sequence[Source]) -> list[str]:
    """Pairs of folders, one inside the other or the same, that stand in different splits."""
    folders = [s for s in sources if isinstance(s, FolderSource)]
    return [
        f"{a.path} ({a.split}) and {b.path} ({b.split})"
        for a in folders
        for b in folders
        if a is not b and a.split != b.split and Path(b.path).is_relative_to(a.path)
    ]


NOT_SDISTS = {"path", "url", "hub"}  # keys of the other kinds


def filled(source, info: ValidationInfo):
    """An entry of the list with what it leaves to the defaults; a name alone is a package. Raises ValueError for a pin."""
    if isinstance(source, str):
        source = {"name": source}
    if not isinstance(source, dict):
        return source
    if pins := [key for key in PIN_KEYS if key in source]:
        raise ValueError(
            f"{', '.join(pins)}: pins stand in the .lock beside this file, by the name of the source; take them out here. "
            f"`robo corpus lock` pins the newest, `robo corpus lock {source.get('name', 'NAME')}==VERSION` another"
        )
    # faults of the defaults are told once, not at each source
    defaults = info.data.get("defaults", Defaults(license="MIT", split="train", include=["*"]))
    left_out = {"exclude"} if "include" in source else set()
    kind = {} if source.keys() & NOT_SDISTS else {"kind": "sdist"}
    return kind | defaults.model_dump(exclude_none=True, exclude=left_out) | source


class Corpus(File):
    defaults: Defaults = Defaults()
    sources: Annotated[
        list[
            Annotated[
                PackageSource | GitSource | DatasetSource | FolderSource,
                Field(discriminator="kind"),
                BeforeValidator(filled),
            ]
        ],
        Field(min_length=1),
    ]

    def claims(self) -> dict[str, str]:
        """Licences by the key that they stand under; a default's stands once."""
        default = self.defaults.license
        return ({"defaults.license": default} if default else {}) | {
            f"sources.{i}.license": source.license for i, source in enumerate(self.sources) if source.license != default
        }

    def with_pins(self, pins: dict[str, Pin]) -> "Corpus":
        """The same, each source with its pin, as far as there is one for it."""

        def pinned(source):
            pin = pins.get(source.name, Pin())
            return source.model_copy(update={key: getattr(pin, key) for key in source.pin_keys})

        return self.model_copy(update={"sources": [pinned(source) for source in self.sources]})

    def rules(self) -> list[tuple[bool, str]]:
        same, crossing = twice([package(source) for source in self.sources]), overlaps(self.sources)
        return [
            (not same, f"sources: two are the same package: {', '.join(same)}"),
            *(
                (
                    (source.path is None) != (source.hub is None),
                    f"sources.{i}: a data set has either `path` or `hub`",
                )
                for i, source in enumerate(self.sources)
                if isinstance(source, DatasetSource)
            ),
            *(
                (not fault, f"{key}: {fault}")
                for key, fault in ((key, licenses.fault(license)) for key, license in self.claims().items())
            ),
            (not crossing, f"sources: one folder in two splits makes held-out figures too good: {'; '.join(crossing)}"),
            (
                {s.split for s in self.sources} >= {"train", "val", "test"}
                or "auto" in {s.split for s in self.sources},
                "sources: each of the splits train, val and test needs one source at least; a folder with `split: auto` is divided among all three",
            ),
        ]


class SpecialTokens(File):
    pad: Text
    eos: Text
    bos: Text
    unk: Text
    fim_prefix: Text | None = None  # of fill-in-the-middle: all three or none
    fim_suffix: Text | None = None
    fim_middle: Text | None = None


def split_name(pattern: str) -> str | None:
    """llama.cpp's name of a split pattern, given as that name or as the pattern itself."""
    return next((name for name, known in SPLIT_PATTERNS.items() if pattern in (name, known)), None)


def pieces(text: str, pattern: str) -> list[str]:
    """What a split pattern, given as split_name() takes it, makes of a text. A token never reaches over two pieces."""
    from tokenizers import Regex, pre_tokenizers

    return [
        piece
        for piece, _ in pre_tokenizers.Split(
            Regex(SPLIT_PATTERNS[split_name(pattern) or pattern]), "isolated"
        ).pre_tokenize_str(text)
    ]


def of_text(special: str, pattern: str) -> bool:
    """Whether ordinary text may hold a special token: as one piece, which BPE may learn as a word, or as words with blanks among them."""
    return len(special.split()) != 1 or special != special.strip() or len(pieces(special, pattern)) < 2


class Tokenizer(File):
    algorithm: Literal["bpe"]
    vocab_size: Annotated[int, Field(ge=300, le=MOST)]  # 256 bytes and the special tokens must fit
    training_files: Annotated[list[str], Field(min_length=1)]
    special_tokens: SpecialTokens
    split_pattern: str
    # of the vocabulary, for frequent words with the space before them; all others are the same tokens after a space and after a quotation mark, as
    # a model must see that copies one into a program. 0 leaves spaces to BPE, which takes fewer tokens
    spaced_words: Annotated[int, Field(ge=0, le=MOST)] = 0

    def rules(self) -> list[tuple[bool, str]]:
        parts = self.special_tokens.model_dump(exclude_none=True)
        specials, known = list(parts.values()), split_name(self.split_pattern)
        return [
            *(
                (
                    not known or not of_text(token, self.split_pattern),
                    f"special_tokens.{part}: {token!r} is a word that ordinary text may hold; something like '<{part}>' is not",
                )
                for part, token in parts.items()
            ),
            *(
                (
                    not re.search(r'\{\{|\}\}|"', token),
                    f"special_tokens.{part}: {token!r}: Ollama's template and Modelfile can hold neither braces in pairs nor quotation marks",
                )
                for part, token in parts.items()
            ),
            (
                self.spaced_words <= self.vocab_size - 300,
                f"spaced_words: {self.spaced_words}: leaves fewer than 300 tokens of vocab_size {self.vocab_size} for all else",
            ),
            (
                known is not None,
                "split_pattern: llama.cpp has no such pattern, so the served model would tokenize differently; "
                f"use one of the names {', '.join(SPLIT_PATTERNS)} or its regular expression",
            ),
            (
                len(specials) in (4, 7),
                "special_tokens: fim_prefix, fim_suffix and fim_middle only make sense together; give all three or none",
            ),
            (not twice(specials), "special_tokens: two tokens have the same text"),
            (
                not twice(self.training_files),
                f"training_files: {', '.join(twice(self.training_files))} stands twice, so its text would count twice",
            ),
        ]


class Data(File):
    train_path: str
    val_path: str
    block_size: Annotated[int, Field(ge=8, le=LONGEST_CONTEXT)]  # tokens in a sample = context_length
    stride: Count  # tokens between the starts of two samples
    dtype: Literal["uint16", "uint32"]
    batch_size: Count  # samples in a micro-batch
    num_workers: Annotated[int, Field(ge=0, le=64)]  # processes that read
    tasks_share: Annotated[float, Field(ge=0, le=1)]  # of the samples; the others are raw text
    request_weight: Annotated[float, Field(ge=0, le=100)]  # in the loss, of a token of a request; raw text has 1
    program_weight: Annotated[float, Field(gt=0, le=100)]  # and of one of its program

    def rules(self) -> list[tuple[bool, str]]:
        return [
            (
                self.stride <= self.block_size,
                f"stride: {self.stride} is larger than block_size {self.block_size}, so text would be left out",
            )
        ]


class Model(File):
    architecture: Literal["gpt2", "llama", "qwen3", "lfm2"] = (
        "gpt2"  # what the reference's profiles mean, which have neither this key
    )
    vocab_size: Annotated[int, Field(ge=300, le=MOST)]
    context_length: Annotated[int, Field(ge=8, le=LONGEST_CONTEXT)]
    d_model: Annotated[int, Field(ge=8, le=MOST)]
    n_layers: Count
    n_heads: Count
    n_kv_heads: Count | None = None  # grouped-query heads; gpt2 has none
    d_ff: Annotated[int, Field(ge=8, le=MOST)]
    tie_embeddings: bool = True  # nor this one
    bias: bool | None = None  # of gpt2's linear layers and norms; left out: as GPT-2 has them
    conv_layers: list[Annotated[int, Field(ge=0, le=MOST)]] | None = (
        None  # lfm2's blocks, from 0, with a short convolution for attention
    )
    conv_size: Annotated[int, Field(ge=2, le=16)] | None = (
        None  # tokens that it sees; left out: 3, as Liquid AI's models have it
    )
    dropout: Fraction  # inside the feed-forward layer, and the default of the other three
    emb_dropout: Fraction | None = None
    attn_dropout: Fraction | None = None
    resid_dropout: Fraction | None = None

    def rules(self) -> list[tuple[bool, str]]:
        width, gpt2, lfm2 = self.d_model // self.n_heads, self.architecture == "gpt2", self.architecture == "lfm2"
        convolutions = self.conv_layers or []
        return [
            (self.d_model % self.n_heads == 0, f"n_heads: {self.n_heads} does not divide d_model {self.d_model}"),
            (
                self.d_model % self.n_heads != 0 or (width >= 32 and width % 2 == 0),
                f"n_heads: {self.n_heads} heads over d_model {self.d_model} leave {width} per head; "
                "64 or 128 is usual, an even number of at least 32 is needed",
            ),
            (
                gpt2 or self.n_kv_heads is not None,
                f"n_kv_heads: missing; architecture {self.architecture} needs it (= n_heads for no grouping)",
            ),
            (
                not gpt2 or self.n_kv_heads in (None, self.n_heads),
                f"n_kv_heads: {self.n_kv_heads}; gpt2 has no grouped heads, use architecture: llama or leave it out",
            ),
            (
                self.n_kv_heads is None or self.n_heads % self.n_kv_heads == 0,
                f"n_kv_heads: {self.n_kv_heads} does not divide n_heads {self.n_heads}",
            ),
            (
                not gpt2 or self.d_ff == 4 * self.d_model,
                f"d_ff: {self.d_ff}; llama.cpp's gpt2 needs 4 x d_model = {4 * self.d_model}",
            ),
            (
                lfm2 == bool(convolutions),
                "conv_layers: missing; architecture lfm2 needs it, such as [0, 2]"
                if lfm2
                else f"conv_layers: {self.architecture} has no convolutions; leave it out, or use architecture: lfm2",
            ),
            (
                lfm2 or self.conv_size is None,
                f"conv_size: {self.architecture} has no convolutions; leave it out, or use architecture: lfm2",
            ),
            *(
                (
                    layer < self.n_layers and convolutions.count(layer) == 1,
                    f"conv_layers: {convolutions}: {layer} is no block of its own; they are 0 to {self.n_layers - 1}",
                )
                for layer in convolutions
            ),
            (
                len(set(convolutions)) < self.n_layers,
                f"conv_layers: {convolutions} leaves no block with attention, and nothing could be looked up in the request",
            ),
            (
                gpt2 or not self.bias,
                f"bias: {self.architecture} has no biases; leave it out, or use architecture: gpt2",
            ),
        ]


class Training(File):
    optimizer: Literal["adamw", "muon"]
    learning_rate: Rate
    muon_learning_rate: Rate | None = None  # for the matrices, where the optimizer is muon
    init_from: (
        Annotated[str, Field(pattern=CHECKPOINT, max_length=2 * LONGEST_NAME)] | None
    )  # weights to start from instead of random ones
    warmup_ratio: Fraction  # share of the steps, or of the time where max_time is nearer
    min_lr: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)]
    grad_clip_norm: Annotated[float, Field(gt=0)] | None
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"]
    force_precision: bool  # take bf16-mixed even on a CPU that is slow at it
    accumulate_grad_batches: Count
    max_steps: Count  # optimizer steps; the smallest of the three limits wins
    max_tokens: Count | None  # no step is begun that would exceed them
    max_time: Annotated[str, Field(pattern=CLOCK)] | None  # HH:MM:SS in training, over all resumed runs
    eval_every: Count  # optimizer steps
    patience: Count | None  # evaluations without a better val loss, after which training stops
    keep: Literal["best", "last"]  # which weights become models/trained; best is by val loss
    sample_prompts: list[Text]  # the model goes on with each at every evaluation
    checkpoint_every: Count  # optimizer steps
    compile: bool
    seed: Annotated[
        int, Field(ge=0, le=2**32 - 2)
    ]  # as llama.cpp takes it too, for which one more means another seed each time
    devices: Count
    strategy: Literal["auto", "ddp", "fsdp"]
    num_nodes: Count

    def rules(self) -> list[tuple[bool, str]]:
        muon = self.optimizer == "muon"
        rates = {"learning_rate": self.learning_rate, "muon_learning_rate": self.muon_learning_rate}
        rates = {key: rate for key, rate in rates.items() if rate is not None}
        return [
            *(
                (self.min_lr <= rate, f"min_lr: {self.min_lr} is larger than {key} {rate}; {key} / 5 is usual")
                for key, rate in rates.items()
            ),
            *(
                (
                    rate * self.weight_decay < 1,
                    f"weight_decay: {self.weight_decay} at {key} {rate} would take a step's whole weights and more; 0.1 to 1 is usual",
                )
                for key, rate in rates.items()
            ),
            (
                self.betas[1] > 0,
                f"betas: {self.betas}: the second must be above 0, or each gradient is divided by itself; [0.9, 0.95] is usual",
            ),
            (
                self.max_time is None or re.search("[1-9]", self.max_time) is not None,
                f'max_time: "{self.max_time}" leaves no time to train; null sets no limit',
            ),
            (
                muon == (self.muon_learning_rate is not None),
                f"muon_learning_rate: {'missing; optimizer muon needs it (0.005 is a start)' if muon else 'only optimizer: muon reads it; remove it'}",
            ),
            (
                self.strategy != "fsdp" or (self.optimizer, self.keep, self.sample_prompts) == ("adamw", "last", []),
                "strategy: fsdp splits every matrix over the devices, so it needs optimizer: adamw (Muon works on whole matrices), "
                "keep: last and sample_prompts: []; models of this size train as well with strategy: ddp",
            ),
        ]


class Parameters(File):
    """Ollama's generation parameters; ranges as in its documentation."""

    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(ge=0, le=1)]
    top_k: Annotated[int, Field(ge=1, le=100)]
    repeat_penalty: Annotated[float, Field(ge=1, le=2)]
    num_predict: Annotated[int, Field(ge=1, le=4096)]
    num_ctx: Annotated[int, Field(ge=8, le=MOST)]
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class Serving(File):
    name: Annotated[str, Field(pattern=MODEL_NAME)]  # in Ollama, and of the registered model in MLflow
    quant: Literal["auto", Quant]  # auto: the one that metrics/assess.json recommends
    template: str
    parameters: Parameters
    smoke_prompt: Text

    def rules(self) -> list[tuple[bool, str]]:
        return [
            (
                bool(OLLAMAS.search(self.template)),
                "template: must hold {{ .Prompt }}, or the model never sees what it is asked",
            ),
            *((False, f"template: {fault}") for fault in faults(self.template)),
            *(
                (
                    '"""' not in text,
                    f"{key}: a Modelfile can hold three quotation marks in a row only as the end of a text",
                )
                for key, text in (
                    ("template", self.template),
                    *(("parameters.stop", stop) for stop in self.parameters.stop),
                )
            ),
        ]


class Gates(File):
    """What a version must prove before it may serve; null switches a gate off."""

    max_val_loss: Annotated[float, Field(gt=0)] | None  # nats per token on held-out packages; below it passes
    max_bits_per_byte_rise: (
        Annotated[float, Field(ge=0)] | None
    )  # percent above the champion's, on the champion's held-out text
    max_quant_loss: (
        Annotated[float, Field(ge=0)] | None
    )  # percent of float16's bits per byte that the served type loses
    min_syntax_rate: (
        Annotated[float, Field(ge=0, le=1)] | None
    )  # share of the served type's completions that MicroPython compiles
    min_people_rate: (
        Annotated[float, Field(ge=0, le=1)] | None
    )  # share of the people's requests that the served type's programs fulfil
    min_api_rate: (
        Annotated[float, Field(ge=0, le=1)] | None
    )  # share of the board's names in those programs that exist there


class Slurm(File):
    """The cluster that trains: what `srun` is asked for, beside the nodes and devices of the training config."""

    partition: Name | None = None  # left out: Slurm's default, as for the account and the time
    account: Name | None = None
    time: Annotated[str, Field(pattern=CLOCK)] | None = (
        None  # of one job; a training that takes longer goes on in the next
    )
    cpus: Count  # of each device
    gpus: bool  # whether devices are GPUs, of which each job gets as many per node
    options: list[Annotated[str, Field(pattern=OPTION)]] = []  # more of srun's


class Operations(File):
    promotion: Literal["manual", "auto"]  # auto: a version that passes every gate becomes the champion by itself
    gates: Gates
    reconcile_every: Annotated[float, Field(ge=0.1, le=86_400)]  # seconds
    drift_after: Annotated[float, Field(ge=0)]  # seconds
    keep: Count  # versions in Ollama, the serving one among them
    notify_block: Annotated[str, Field(pattern=BLOCK)] | None  # of Prefect
    slurm: Slurm | None = None  # the training runs where the run was started
    pools: dict[Name, Name] = {}  # stage of dvc.yaml -> Prefect's work pool whose workers run it, on another machine

    def rules(self) -> list[tuple[bool, str]]:
        time = self.slurm.time if self.slurm else None
        return [
            (
                self.promotion == "manual" or any(limit is not None for limit in self.gates.model_dump().values()),
                "promotion: auto with every gate null would serve whatever was built; set a gate, or promotion: manual",
            ),
            (
                time is None or minutes(time) >= 5,
                f'slurm.time: "{time}" leaves no time to train before Slurm\'s warning, two minutes before the end; "04:00:00" is usual',
            ),
        ]
