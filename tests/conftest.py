"""What several test files need: a small tokenizer, a checkpoint and its GGUF files, made once a session (see tiny.py); a whole
built project (project.py); a real Ollama."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from chain import call, make_chain
from package_index import Index
from project import make_project
from real import find_ollama, free_port, start_ollama
from ruamel.yaml import YAML
from tiny import DOCUMENTS, make_checkpoint, make_tokenizer


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory):
    """A folder with tokenizer.json and special_tokens.json; 512 tokens."""
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tiny_validation(tmp_path_factory):
    """A val_corpus.jsonl of a few documents; it does for a train_corpus.jsonl too."""
    path = tmp_path_factory.mktemp("processed") / "val_corpus.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {"source": f"package-{n % 2}", "version": "1.0", "license": ("MIT", "Apache-2.0")[n % 2], "text": text}
            )
            + "\n"
            for n, text in enumerate(DOCUMENTS)
        )
    )
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, tiny_tokenizer):
    """A folder with a gpt2 of width 256 as the train stage leaves it: config.json and model.safetensors."""
    return make_checkpoint(tmp_path_factory.mktemp("trained"), tiny_tokenizer, architecture="gpt2", d_model=256)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory, tiny_tokenizer, tiny_checkpoint):
    """A folder with model-f32.gguf, model-f16.gguf and model-q8_0.gguf of tiny_checkpoint."""
    from pipeline.export.gguf import write_gguf
    from pipeline.export.tokenization import load_vocabulary
    from pipeline.model.checkpoint import load_model

    folder = tmp_path_factory.mktemp("gguf")
    model, vocabulary = load_model(tiny_tokenizer / "tokenizer.json", tiny_checkpoint), load_vocabulary(tiny_tokenizer)
    for outtype in ("f32", "f16", "q8_0"):
        write_gguf(model, vocabulary, folder / f"model-{outtype}.gguf", outtype)
    return folder


@pytest.fixture(scope="session")
def built_project(tmp_path_factory, tiny_tokenizer, tiny_checkpoint, tiny_gguf):
    """A built project (see project.py). Read it; to change something take a copy."""
    return make_project(tmp_path_factory.mktemp("project"), tiny_tokenizer, tiny_checkpoint, tiny_gguf)


@pytest.fixture
def project(built_project, tmp_path):
    """A built project of the test's own."""
    return Path(shutil.copytree(built_project, tmp_path / "project"))


@pytest.fixture
def uri(tmp_path):
    """An MLflow store that no Python process but the test's own has been at."""
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def mlflow(uri):
    """MLflow's client for it."""
    import mlflow

    return mlflow.MlflowClient(uri, registry_uri=uri)


@pytest.fixture(scope="session")
def record(tmp_path_factory):
    return tmp_path_factory.mktemp("record")


@pytest.fixture(scope="session")
def built(tmp_path_factory, record):
    """A project that `dvc repro` built, alone and with no server; a record for each stage of what it read."""
    root = make_chain(
        tmp_path_factory.mktemp("chain") / "mein Spielzeug für Züge"
    )  # people's folders have blanks and umlauts
    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    # one stage at a time, so that each has a record of its own
    for stage in stages:
        call(
            root,
            "dvc",
            "repro",
            "--single-item",
            stage,
            PYTHONPATH=f"{root}{os.pathsep}{Path(__file__).parent / 'recorder'}",
            ROBO_RECORD=str(record / stage),
        )
    return root


@pytest.fixture(scope="session")
def ollama(tmp_path_factory):
    """The address of a real Ollama: the one that OLLAMA_HOST names, else a server of our own with folders of its own."""
    from pipeline.publish.serving import is_reachable

    if os.environ.get("OLLAMA_HOST") and is_reachable():
        yield os.environ["OLLAMA_HOST"]
        return
    program = find_ollama()
    if program is None:
        missing = "no Ollama server: install Ollama, or run `make ollama` to build one from packages (10 minutes, once)"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    folder, host = tmp_path_factory.mktemp("ollama"), f"127.0.0.1:{free_port()}"
    with start_ollama(program, host, folder):
        yield host


@pytest.fixture
def index(monkeypatch):
    """A package index on this machine, which the code under test asks."""
    server = Index()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    yield server
    server.shutdown()
    server.server_close()
