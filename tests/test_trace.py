"""From a file, a name in Ollama or a registered version back to git, DVC and the packages."""

import json
import shutil
import subprocess

import pytest
from project import as_older_code, change_config, commit, retrain, write

from pipeline.core.config import Config
from pipeline.core.errors import UserError
from pipeline.core.files import sha256
from pipeline.export.gguf import write_gguf
from pipeline.export.origin import origin
from pipeline.export.quantize import run_llama_cpp
from pipeline.export.tokenization import load_vocabulary
from pipeline.model.checkpoint import load_model
from pipeline.publish import lineage
from pipeline.publish.promotion import served_file
from pipeline.publish.registry import facts, register
from pipeline.publish.removed import held
from pipeline.publish.trace import trace
from pipeline.tracking import connected

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
        match=r"no GGUF file, no answer from Ollama at http://127.0.0.1:9 and no registered version.*did you mean 'robo-micropython:candidate'",
    ):
        trace("robo-micropyton:candidate", config, uri, nowhere)
    with pytest.raises(UserError, match="no answer from Ollama") as error:
        trace("robo-micropython:candidate", config, uri, nowhere)
    assert "did you mean" not in str(error.value), "the name that was asked for"
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


# --- what was removed -------------------------------------------------------------------------------------------------

NOTHING = {"packages": [], "authors": [], "files": [], "hashes": []}


def corpus_of(project, *documents: tuple[str, str, str]) -> None:
    """Writes a training text of these documents: source, path, sha256."""
    write(
        project / "data/processed/train_corpus.jsonl",
        "".join(
            json.dumps({"source": s, "version": "1.0", "path": path, "sha256": digest, "license": "MIT", "text": "x"})
            + "\n"
            for s, path, digest in documents
        ),
    )


def test_which_versions_still_hold_what_was_removed(project, uri, tmp_path, ollama):
    import ollama as package

    from pipeline.publish.serving import import_model

    def said(**removed) -> str:
        write(project / "configs/removed.yaml", {**NOTHING, **removed})
        return held(Config(project), uri, ollama)

    corpus_of(project, ("periph", "a.py", "a" * 64), ("periph", "b.py", "b" * 64), ("upyutils", "wifi.py", "c" * 64))
    commit(project)
    assert register(Config(project), uri).version == 1
    corpus_of(project, ("periph", "b.py", "d" * 64))
    retrain(project)
    assert register(Config(project), uri).version == 2
    assert said(packages=["upyutils"]) == "robo-micropython/1\n  packages.0: upyutils/wifi.py"
    assert said(files=["periph/b.py"]).split("\n") == [
        "robo-micropython/1",
        "  files.0: periph/b.py",
        "robo-micropython/2 (alias candidate)",
        "  files.0: periph/b.py",
    ]
    assert said(hashes=["b" * 64, "e" * 64]) == "robo-micropython/1\n  hashes.0: periph/b.py"
    assert "lbutils-mp" in (project / "data/processed/val_corpus.jsonl").read_text()
    assert "  packages.0: lbutils-mp/None (held-out text)" in said(packages=["lbutils-mp"]), "a run keeps that too"
    assert said(packages=["periphery"]) == (
        "none of the 2 versions of robo-micropython holds anything that configs/removed.yaml lists"
    )
    with pytest.raises(UserError, match="lists nothing, so there is nothing to look for"):
        said()

    # whom an author's entry means, and what is a copy, prepare found out
    rows = [
        {
            "source": "periph",
            "path": "a.py",
            "sha256": "a" * 64,
            "reason": "removed: authors.0 of configs/removed.yaml",
        },
        {"source": "other", "path": "its.py", "sha256": "c" * 64, "reason": "removed: a copy of periph/a.py"},
        {"source": "periph", "path": "b.py", "sha256": "d" * 64, "reason": "near duplicate of periph/a.py"},
    ]
    write(project / "data/processed/rejected.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    author = "robo-micropython/1\n  a copy of periph/a.py: upyutils/wifi.py\n  authors.0: periph/a.py"
    assert said(authors=["Anna Beispiel"]) == author

    # a name in Ollama
    config = Config(project)
    with connected(uri) as client:
        version = client.get_model_version("robo-micropython", "2")
        import_model(
            config.serving,
            served_file(version, facts(client, version), tmp_path),
            "robo-micropython:v2",
            "text",
            ollama,
        )
    try:
        assert "robo-micropython/2 (alias candidate, served as robo-micropython:v2)" in said(files=["periph/b.py"])
    finally:
        package.Client(ollama).delete("robo-micropython:v2")


def test_of_older_versions_the_sources_alone_are_known(project, uri):
    register(Config(project), uri)
    shutil.rmtree(next((project / ".state/mlartifacts").rglob("documents.jsonl")).parent)
    write(project / "configs/removed.yaml", {**NOTHING, "packages": ["upyutils"], "files": ["periph/a.py"]})
    assert held(Config(project), uri, "127.0.0.1:9").split("\n") == [
        "robo-micropython/1 (alias candidate)",
        "  files.0: perhaps periph/a.py: it was registered before lists were kept",
    ]
