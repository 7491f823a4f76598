"""From a file, a name in Ollama or a registered version back to git, DVC and the packages."""

import shutil
import subprocess

import pytest
from project import as_older_code, change_config, commit

from pipeline.core.config import Config
from pipeline.core.errors import UserError
from pipeline.core.files import sha256
from pipeline.export.gguf import write_gguf
from pipeline.export.origin import origin
from pipeline.export.quantize import run_llama_cpp
from pipeline.export.tokenization import load_vocabulary
from pipeline.model.checkpoint import load_model
from pipeline.publish import lineage
from pipeline.publish.registry import facts, register
from pipeline.publish.trace import trace

FIGURES = {"val": {"bits_per_byte": 1.25}}


@pytest.fixture
def told(project, monkeypatch):
    """A built project whose files carry their origin, in git."""
    monkeypatch.chdir(project)
    from pathlib import Path

    about = origin(
        "robo-micropython",
        Path("models/trained"),
        Path("data/tokenizer"),
        Path("data/processed/train_corpus.jsonl"),
        FIGURES,
    )
    model = load_model(Path("data/tokenizer/tokenizer.json"), Path("models/trained"))
    write_gguf(model, load_vocabulary(Path("data/tokenizer")), Path("models/gguf/model-f16.gguf"), "f16", about)
    for quant in ("Q8_0", "Q4_K_M"):
        run_llama_cpp(Path("models/gguf/model-f16.gguf"), Path(f"models/quantized/{quant}.gguf"), quant)
    commit(project)
    for command in (
        ["init", "-q"],
        ["add", "params.yaml"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)
    return project


@pytest.mark.parametrize("older", [False, True])
def test_every_way_leads_back_to_the_packages(told, tmp_path, ollama, older):
    import ollama as package

    from pipeline.publish.serving import import_model

    config, uri = Config(told), f"sqlite:///{tmp_path}/mlflow.db"
    served = lineage.served_gguf(config)
    before = trace("models/quantized/Q8_0.gguf", config, uri)
    assert "periph 1.2.1 (MIT)" in before and "none with these weights" in before  # the file alone knows its text
    version = register(config, uri)
    if older:
        as_older_code(uri, 1)
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=told, capture_output=True, text=True).stdout.strip()
    import_model(config.serving, served, "robo-trace-test", "text", ollama)
    try:
        ways = [
            "models/quantized/Q8_0.gguf",
            str(served),
            "robo-micropython/1",
            "models:/robo-micropython@candidate",
            "1",
            "candidate",
            "robo-trace-test:latest",
            "robo-trace-test",
        ]
        for way in ways:
            said = trace(way, config, uri, ollama)
            for fact in (
                f"robo-micropython/1 (candidate), run {version.run_id}",
                git,
                "trained on",
                "periph 1.2.1 (MIT)",
                f"{lineage.locked(config)['train']['models/trained']} models/trained",
                f"{lineage.locked(config)['prepare']['data/processed/train_corpus.jsonl']} data/processed/train_corpus.jsonl",
            ):
                assert fact in said, way
        assert sha256(served) in trace("robo-trace-test", config, uri, ollama)
        assert "bits per byte (val)" in trace("robo-trace-test", config, uri, ollama)
    finally:
        package.Client(ollama).delete("robo-trace-test")


def test_the_registered_copy_says_commit_and_run(told, tmp_path):
    """And is the same model: the tensors are the same bytes."""
    import gguf

    from pipeline.publish.promotion import served_file
    from pipeline.tracking import connected

    config, uri = Config(told), f"sqlite:///{tmp_path}/mlflow.db"
    run = register(config, uri).run_id
    with connected(uri) as client:
        version = client.get_model_version("robo-micropython", "1")
        copy = served_file(version, facts(client, version), tmp_path / "served")
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=told, capture_output=True, text=True).stdout.strip()
    said, before = (
        {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items() if not name.startswith("GGUF.")}
        for path in (copy, lineage.served_gguf(config))
    )
    assert said == {**before, "robo.mlflow_run": run, "robo.git_commit": git}
    one, other = (
        [(t.name, t.tensor_type, t.data.tobytes()) for t in gguf.GGUFReader(path).tensors]
        for path in (copy, lineage.served_gguf(config))
    )
    assert one == other
    assert run in trace(str(copy), config, f"sqlite:///{tmp_path}/another.db", "127.0.0.1:9"), (
        "without the registry that made it"
    )


def test_what_leads_nowhere_says_so(told, tmp_path, tiny_gguf):
    config, uri, nowhere = Config(told), f"sqlite:///{tmp_path}/mlflow.db", "127.0.0.1:9"
    with pytest.raises(
        UserError,
        match=r"no GGUF file, no model in Ollama and no registered version.*did you mean 'robo-micropython:candidate'",
    ):
        trace("robo-micropyton:candidate", config, uri, nowhere)
    with pytest.raises(UserError, match=r"99: no GGUF file"):
        trace("99", config, uri, nowhere)
    with pytest.raises(UserError, match=r"nothing.gguf: no such file"):
        trace("nothing.gguf", config, uri, nowhere)
    shutil.copy(tiny_gguf / "model-f16.gguf", "foreign.gguf")
    with pytest.raises(UserError, match=r"foreign.gguf: says nothing of where it comes from"):
        trace("foreign.gguf", config, uri, nowhere)
    whole = (told / "models/quantized/Q8_0.gguf").read_bytes()
    (told / "half.gguf").write_bytes(whole[:2000])
    with pytest.raises(UserError, match=r"half.gguf: a damaged GGUF file"):
        trace("half.gguf", config, uri, nowhere)
    change_config(told, "params.yaml", quants=["Q8_0", "Q4_K_M"])
