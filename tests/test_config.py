"""Every YAML file of the repository loads, every choice that fits composes, and every mistake is named with its file and key."""

import itertools
import re
import subprocess

import pytest
from chain import edit
from pydantic import ValidationError
from ruamel.yaml import YAML
from stages import REPOSITORY, copy_configs

from pipeline.board.boards import BoardSpec
from pipeline.core.config import FOLDERS, StageConfig, load, parse, read_yaml
from pipeline.core.errors import UserError
from pipeline.core.schema import Params

YAML_FILES = subprocess.run(["git", "ls-files", "*.yaml", "*.yml"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
SCHEMAS = {"params.yaml": Params} | {f"configs/{folder}/{file.name}": schema for folder, schema in FOLDERS.values()
                                     for file in (REPOSITORY / "configs" / folder).glob("*.yaml")}
SCHEMAS |= {f"configs/boards/{file.name}": BoardSpec for file in (REPOSITORY / "configs/boards").glob("*.yaml")}
CONFIGS = {section: sorted(p.stem for p in (REPOSITORY / "configs" / folder).glob("*.yaml")) for section, (folder, _) in FOLDERS.items()}


@pytest.fixture
def root(tmp_path):
    return copy_configs(tmp_path)


# --- what the repository holds ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("file", YAML_FILES)
def test_every_yaml_file_loads(file):
    if file in SCHEMAS:
        parse(REPOSITORY / file, SCHEMAS[file])
    else:
        assert not file.startswith("configs/"), f"{file}: no schema reads it"
        assert isinstance(read_yaml(REPOSITORY / file), list | dict)        # tasks and checks are lists: see test_robobench.py


def test_the_named_profiles_are_there():
    assert {"robo-nano-5m", "robo-tiny-25m", "robo-small-50m", "robo-medium-80m", "robo-nano-llama", "robo-nano-qwen3"} <= set(CONFIGS["model"])


@pytest.mark.parametrize("model", CONFIGS["model"])
def test_every_model_composes_with_every_config_of_its_size(root, model):
    shape = read_yaml(root / f"configs/models/{model}.yaml")
    data = [d for d in CONFIGS["data"] if read_yaml(root / f"configs/data/{d}.yaml")["block_size"] == shape["context_length"]]
    tokenizers = [t for t in CONFIGS["tokenizer"] if read_yaml(root / f"configs/tokenizers/{t}.yaml")["vocab_size"] == shape["vocab_size"]]
    assert data and tokenizers, f"{model}: no data or tokenizer config fits"
    for d, t, training, serving in itertools.product(data, tokenizers, CONFIGS["training"], CONFIGS["serving"]):
        edit(root, "params.yaml", model=model, data=d, tokenizer=t, training=training, serving=serving)
        assert load(root).model.d_model == shape["d_model"]


def test_a_url_in_place_of_a_block_is_not_repeated(root):
    set_keys(root / OPERATIONS, {"notify_block": "https://hooks.example.org/T0KEN"})
    with pytest.raises(UserError, match=r"notify_block: must be a Prefect block as TYPE/NAME.*ROBO_NOTIFY_URL") as raised:
        load(root)
    assert "T0KEN" not in str(raised.value)


# --- wrong input ------------------------------------------------------------------------------------------------------

PARAMS, MODEL, LLAMA = "params.yaml", "configs/models/robo-nano-5m.yaml", "configs/models/robo-nano-llama.yaml"
DATA, TOKENIZER = "configs/data/robo-code-8k-256.yaml", "configs/tokenizers/robo-code-8k.yaml"
TRAINING, SERVING = "configs/training/cpu-minutes.yaml", "configs/serving/robo-micropython.yaml"
CORPUS, OPERATIONS = "configs/corpora/micropython-permissive.yaml", "configs/operations/robo-micropython.yaml"
DROP = object()


def replaced(old: str, new: str):
    def change(root, file):
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))
    return change


def appended(text: str):
    def change(root, file):
        with open(root / file, "a") as lines:
            lines.write(text)
    return change


def keys(**values):
    """Sets keys, or drops them; a dotted key reaches inside (`__` stands for the dot)."""
    return lambda root, file: set_keys(root / file, {key.replace("__", "."): value for key, value in values.items()})


def set_keys(path, values):
    yaml = YAML()
    content = yaml.load(path)
    for key, value in values.items():
        *way, last = [int(step) if step.isdigit() else step for step in key.split(".")]
        inner = content
        for step in way:
            inner = inner[step]
        if value is DROP:
            del inner[last]
        else:
            inner[last] = value
    yaml.dump(content, path)


def only_source(**values):
    """A corpus of one good source a split, and these keys in the second."""
    def change(root, file):
        good = dict(kind="folder", license="MIT", include=["*.py"])
        sources = [{**good, "name": split, "path": f"corpora/{split}", "split": split} for split in ("train", "val", "test")]
        sources[1] = {key: value for key, value in {**sources[1], **values}.items() if value is not DROP}
        YAML().dump({"sources": sources}, root / file)
    return change


def with_llama(**values):
    def change(root, file):
        edit(root, PARAMS, model="robo-nano-llama")
        keys(**values)(root, file)
    return change


WRONG = {
    "syntax error": (MODEL, replaced("d_model: 384", "d_model: [384"), ["line", "not valid YAML"]),
    "tab": (MODEL, appended("\tn: 1\n"), ["line 16", "not valid YAML"]),
    "control character": (MODEL, appended("# \x01\n"), ["not valid YAML"]),
    "impossible date": (MODEL, appended("day: 2024-99-99\n"), ["not valid YAML", "month"]),
    "python object": (MODEL, appended("x: !!python/object/apply:os.system ['false']\n"), ["not valid YAML"]),
    "endless brackets": (MODEL, appended("x: " + "[" * 1200 + "\n"), ["not valid YAML"]),
    "two documents": (MODEL, appended("---\na: 1\n"), ["not valid YAML"]),
    "not UTF-8": (MODEL, lambda root, file: (root / file).write_bytes(b"a: \xff\n"), ["UTF-8"]),
    "empty": (MODEL, lambda root, file: (root / file).write_text("# nothing\n"), ["must hold keys and values, not nothing"]),
    "a list": (MODEL, lambda root, file: (root / file).write_text("- 1\n"), ["must hold keys and values"]),
    "duplicate key": (MODEL, appended("d_model: 512\n"), ["line 16", "duplicate key", "d_model"]),
    "unknown key": (MODEL, keys(n_layer=2), ["n_layer: unknown key", "did you mean 'n_layers'"]),
    "unknown number": (MODEL, appended("1: 2\n"), ["1: ", "strings"]),
    "wrong type": (MODEL, keys(n_layers="two"), ["n_layers", "integer", "'two'"]),
    "float for int": (MODEL, keys(n_layers=2.0), ["n_layers", "integer", "2.0"]),
    "text for yes": (MODEL, keys(tie_embeddings="yes"), ["tie_embeddings", "boolean", "'yes'"]),
    "missing key": (MODEL, keys(d_ff=DROP), ["d_ff: missing"]),
    "too small": (MODEL, keys(n_layers=0), ["n_layers", "greater than or equal to 1", "0"]),
    "missing file": (PARAMS, keys(model="robo-nan-5m"), ["model: configs/models/robo-nan-5m.yaml: no such file", "did you mean 'robo-nano-5m'"]),
    "no params.yaml": (PARAMS, lambda root, file: (root / file).unlink(), ["no such file"]),
    "a path for a name": (PARAMS, keys(model="../models/robo-nano-5m"), ["model", "a name of letters, digits"]),
    "unknown key inside": (PARAMS, keys(prepare__min_byte=3), ["prepare.min_byte: unknown key", "did you mean 'min_bytes'"]),
    "section is a number": (PARAMS, keys(prepare=3), ["prepare: must hold keys and values, not 3"]),
    "gate": (OPERATIONS, keys(gates__max_loss=3), ["gates.max_loss: unknown key", "max_val_loss"]),
    "promotion": (OPERATIONS, keys(promotion="automatic"), ["promotion: 'automatic' is not known", "auto"]),
    "keep": (OPERATIONS, keys(keep=0), ["keep: ", "greater than or equal to 1"]),
    "key inside serving.parameters": (SERVING, keys(parameters__num_predicts=3), [
        "parameters.num_predicts: unknown key", "did you mean 'num_predict'"]),
    "key inside a source": (CORPUS, only_source(lisense="MIT"), ["sources.1.lisense: unknown key", "did you mean 'license'"]),
    "key of the other kind": (CORPUS, only_source(sha256="0" * 64), ["sources.1.sha256: unknown key", "path"]),
    "key missing in a source": (CORPUS, only_source(path=DROP), ["sources.1.path: missing"]),
    "kind unknown": (CORPUS, only_source(kind="foldr"), ["sources.1.kind: 'foldr' is not known", "did you mean 'folder'"]),
    "kind missing": (CORPUS, only_source(kind=DROP), ["sources.1.kind: missing"]),
    "source is a text": (CORPUS, keys(sources__0="periph"), ["sources.0: must hold keys and values, not 'periph'"]),
    "no source": (CORPUS, keys(sources=[]), ["sources", "at least 1"]),
    "split missing a source": (CORPUS, only_source(split="train"), ["sources", "train, val and test"]),
    "a package divided": (CORPUS, only_source(kind="sdist", version="1.0", sha256="0" * 64, path=DROP, split="auto"),
                          ["sources.1.split: 'auto' is not known", "train"]),
    "split unknown": (CORPUS, only_source(split="valid"), ["sources.1.split: 'valid' is not known", "did you mean 'val'"]),
    "sha256 too short": (CORPUS, keys(sources__0__sha256="abc"), ["sources.0.sha256", "64 hexadecimal digits", "'abc'"]),
    "sha256 in capitals": (CORPUS, keys(sources__0__sha256="A" * 64), ["sources.0.sha256", "64 hexadecimal digits"]),
    "folder elsewhere": (CORPUS, only_source(path="/etc"), ["sources.1.path", "under corpora/", "'/etc'"]),
    "folder climbs out": (CORPUS, only_source(path="corpora/../etc"), ["sources.1.path", "under corpora/"]),
    "all of corpora": (CORPUS, only_source(path="corpora/"), ["sources.1.path", "under corpora/"]),
    "same name": (CORPUS, only_source(name="train"), ["sources", "same package", "train"]),
    "same name to the index": (CORPUS, only_source(name="TRAIN"), ["sources", "same package", "train"]),
    "one folder in two splits": (CORPUS, only_source(path="corpora/train/inner"), ["sources", "two splits", "corpora/train/inner (val)"]),
    "name climbs out": (CORPUS, only_source(name=".."), ["sources.1.name", "a name of letters"]),
    "block_size": (DATA, keys(block_size=128, stride=128), ["block_size: 128", MODEL, "context_length is 256"]),
    "vocab sizes": (MODEL, keys(vocab_size=8000), ["vocab_size: 8000", TOKENIZER, "vocab_size is 8192"]),
    "vocab over uint16": (TOKENIZER, keys(vocab_size=65_536), ["65536", DATA, "dtype uint16", "uint32"]),
    "heads": (MODEL, keys(n_heads=7), ["n_heads: 7", "does not divide d_model 384"]),
    "head_dim small": (MODEL, keys(n_heads=24), ["n_heads: 24", "16 per head", "at least 32"]),
    "head_dim odd": (MODEL, keys(d_model=385, n_heads=11, d_ff=1540), ["n_heads: 11", "35 per head", "even"]),
    "k/v heads": (LLAMA, with_llama(n_kv_heads=3), ["n_kv_heads: 3", "does not divide n_heads 4"]),
    "k/v heads missing": (LLAMA, with_llama(n_kv_heads=DROP), ["n_kv_heads: missing", "llama"]),
    "k/v heads of gpt2": (MODEL, keys(n_kv_heads=2), ["n_kv_heads: 2", "gpt2 has no grouped heads"]),
    "d_ff of gpt2": (MODEL, keys(d_ff=1024), ["d_ff: 1024", "4 x d_model = 1536"]),
    "architecture": (MODEL, keys(architecture="gpt3"), ["architecture: 'gpt3' is not known", "did you mean 'gpt2'"]),
    "dropout": (MODEL, keys(dropout=1.0), ["dropout", "less than 1"]),
    "split pattern": (TOKENIZER, keys(split_pattern="starcoder"), ["split_pattern", "llama.cpp has no such pattern", "qwen2"]),
    "special twice": (TOKENIZER, keys(special_tokens__pad="<eos>"), ["special_tokens", "same text"]),
    "special empty": (TOKENIZER, keys(special_tokens__pad=""), ["special_tokens.pad", "at least 1 character"]),
    "trained on what is no input": (TOKENIZER, keys(training_files=["data/processed/val_corpus.jsonl"]), ["training_files", "train_corpus.jsonl"]),
    "vocab tiny": (TOKENIZER, keys(vocab_size=256), ["vocab_size", "greater than or equal to 300"]),
    "betas range": (TRAINING, keys(betas=[0.9, 1.0]), ["betas.1", "less than 1", "1.0"]),
    "betas length": (TRAINING, keys(betas=[0.9]), ["betas", "at least 2"]),
    "warmup": (TRAINING, keys(warmup_ratio=1.5), ["warmup_ratio", "less than 1", "1.5"]),
    "rates": (TRAINING, keys(min_lr=0.5), ["min_lr: 0.5", "larger than learning_rate"]),
    "infinite rate": (TRAINING, replaced("learning_rate: 6.0e-3", "learning_rate: .inf"), ["learning_rate", "finite"]),
    "rate as text": (TRAINING, replaced("learning_rate: 6.0e-3", "learning_rate: 3e"), ["learning_rate", "number", "'3e'"]),
    "precision": (TRAINING, keys(precision="bf16"), ["precision: 'bf16' is not known", "32-true, 16-mixed, bf16-mixed"]),
    "muon without its rate": (TRAINING, keys(muon_learning_rate=DROP), ["muon_learning_rate: missing", "muon needs it"]),
    "rate without muon": (TRAINING, keys(optimizer="adamw"), ["muon_learning_rate", "only optimizer: muon reads it"]),
    "time": (TRAINING, keys(max_time="5 minutes"), ["max_time", 'such as "00:05:00"', "'5 minutes'"]),
    "start anywhere": (TRAINING, keys(init_from="models/trained"), ["init_from", "under checkpoints/", "robo-micropython/3", "'models/trained'"]),
    "muon under fsdp": (TRAINING, keys(strategy="fsdp"), ["strategy: fsdp", "optimizer: adamw"]),
    "best under fsdp": (TRAINING, keys(strategy="fsdp", optimizer="adamw", muon_learning_rate=DROP), ["strategy: fsdp", "keep: last"]),
    "patience of none": (TRAINING, keys(patience=0), ["patience", "greater than or equal to 1"]),
    "stride": (DATA, keys(stride=257), ["stride: 257", "larger than block_size 256"]),
    "train_path": (DATA, keys(train_path="data/train.bin"), ["train_path: data/train.bin", "data/processed/train.bin"]),
    "val_path is train's": (DATA, keys(val_path="data/processed/train.bin"), ["val_path: data/processed/train.bin", "data/processed/val.bin"]),
    "dtype": (DATA, keys(dtype="uint8"), ["dtype: 'uint8' is not known", "uint"]),
    "quant typo": (PARAMS, keys(quants=["Q8_0", "Q4_KM"]), ["quants.1: 'Q4_KM' is not known", "did you mean 'Q4_K_M'"]),
    "quant twice": (PARAMS, keys(quants=["F16", "Q4_K_M", "F16"]), ["quants: F16 stands twice"]),
    "quant served": (SERVING, keys(quant="Q3_K_M"), ["quant: Q3_K_M", "params.yaml: quants"]),
    "num_ctx": (SERVING, keys(parameters__num_ctx=512), ["parameters.num_ctx: 512", MODEL, "context_length 256"]),
    "stop": (SERVING, keys(parameters__stop=["</s>"]), ["parameters.stop", "'<eos>'"]),
    "template": (SERVING, keys(template="{{ .System }}"), ["template", "{{ .Prompt }}"]),
    "exam prompt": (PARAMS, keys(exam__prompt="# {requst}\n"), ["exam.prompt", "{request}"]),
    "exam set": (PARAMS, keys(exam__sets=["peopel"]), ["exam.sets.0: 'peopel' is not known", "did you mean 'people'"]),
    "exam set twice": (PARAMS, keys(exam__sets=["people", "people"]), ["exam.sets: a set stands twice"]),
    "no exam set": (PARAMS, keys(exam__sets=[]), ["exam.sets", "at least 1"]),
    "exam answer": (PARAMS, keys(exam__max_new_tokens=256), ["exam.max_new_tokens: 256", MODEL, "context_length 256"]),
    "lost tasks": (PARAMS, keys(assess__max_lost_tasks=5), ["assess.max_lost_tasks", "less than or equal to 1"]),
    "people's gate": (OPERATIONS, keys(gates__min_people_rate=50), ["gates.min_people_rate", "less than or equal to 1"]),
    "outtypes": (PARAMS, keys(export__outtypes=["f16"]), ["export.outtypes", "f32"]),
    "bytes": (PARAMS, keys(prepare__min_bytes=300_000), ["prepare.min_bytes: 300000", "max_bytes 200000"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named(root, case):
    file, change, words = WRONG[case]
    change(root, file)
    with pytest.raises(UserError) as error:
        load(root)
    message = str(error.value).replace(f"{root}/", "")
    assert file in message
    for word in words:
        assert word in message, message
    assert "Traceback" not in message and len(message) < 1000, "a message is to be read"


@pytest.mark.parametrize("change", [keys(template="{{- .Prompt -}}"), keys(template="{{if .Suffix}}<s>{{end}}{{.Prompt}}")])
def test_a_template_may_be_written_in_any_way_that_go_reads(root, change):
    change(root, SERVING)
    load(root)


def test_a_split_pattern_may_be_written_out(root):
    from pipeline.core.schema import SPLIT_PATTERNS
    keys(split_pattern=SPLIT_PATTERNS["gpt-2"])(root, TOKENIZER)
    load(root)


def test_all_faults_are_shown_at_once(root):
    """Within a file, across files, and of rules that cross files."""
    keys(n_layers=0, d_modle=4)(root, MODEL)
    keys(precision="half")(root, TRAINING)
    keys(data="robo-code-8k-265")(root, PARAMS)
    with pytest.raises(UserError) as error:
        load(root)
    assert len(str(error.value).splitlines()) == 4
    for words in ("n_layers", "d_modle", "precision", "robo-code-8k-265"):
        assert words in str(error.value)


def test_all_broken_rules_are_shown_at_once(root):
    keys(block_size=128, stride=200)(root, DATA)
    keys(n_heads=7)(root, MODEL)
    with pytest.raises(UserError) as error:
        load(root)
    assert len(str(error.value).splitlines()) == 3, "one fault, one line"


# --- what a stage may see ---------------------------------------------------------------------------------------------

def test_a_stage_sees_the_keys_that_dvc_lists_for_it(root):
    pack = StageConfig(load(root), "pack")
    assert pack.data.dtype == "uint16" and str(pack.data) == DATA
    assert StageConfig(load(root), "prepare").params.prepare.min_bytes == 64
    assert StageConfig(load(root), "train").model.as_dict() == load(root).model.model_dump()


@pytest.mark.parametrize("read", [lambda c: c.data.block_size, lambda c: c.params.prepare.min_bytes, lambda c: c.params.model,
                                  lambda c: c.tokenizer.vocab_size, lambda c: c.data.as_dict()])
def test_reading_any_other_key_fails_at_once(root, read):
    with pytest.raises(AssertionError, match=r"stage pack reads .* which its params in dvc.yaml do not list"):
        read(StageConfig(load(root), "pack"))


def test_reading_leaves_an_audit_event(root):
    import sys
    seen = []
    sys.addaudithook(lambda event, arguments: seen.append(arguments) if event == "robo.read" else None)
    config = StageConfig(load(root), "prepare")
    assert not seen
    config.params.prepare.max_bytes  # noqa: B018
    assert seen == [("params.yaml", "prepare")]


def test_configs_cannot_be_changed_once_read(root):
    with pytest.raises(ValidationError):
        load(root).model.d_model = 3


def test_no_message_shows_pydantics_inner_steps():
    """The path of a key in a message is its path in the file."""
    from pipeline.core.config import locate
    from pipeline.core.schema import Corpus
    assert locate(Corpus, ("sources", 2, "sdist", "license"))[0] == "sources.2.license"
    assert locate(Corpus, ("sources", 2, "folder", "include", 0))[0] == "sources.2.include.0"
    assert "sha256" in locate(Corpus, ("sources", 2, "sdist", "x"))[1] and "sha256" not in locate(Corpus, ("sources", 2, "folder", "x"))[1]
    assert re.search("path", " ".join(locate(Corpus, ("sources", 2, "folder", "x"))[1]))


