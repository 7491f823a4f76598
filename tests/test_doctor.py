"""`robo doctor` on a small DVC project: what it finds and what it says mends it. With servers running: test_serve.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dvc.repo  # noqa: F401 (its log keeps the stdout of its first import, which must not be that of one test)
import pytest
from project import REPOSITORY
from real import free_port

from flows.doctor import examine, files, locked_versions, packages, show
from flows.graph import UNREADABLE, mend

STAGES = """
stages:
  prepare:
    cmd: cp text data/processed/train_corpus.jsonl
    deps: [text]
    outs: [data/processed/train_corpus.jsonl]
  tokenizer:
    cmd: cp data/processed/train_corpus.jsonl data/tokenizer
    deps: [data/processed/train_corpus.jsonl]
    outs: [data/tokenizer]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A git and DVC project of two stages, built, with the real configs."""
    root = tmp_path_factory.mktemp("doctor")
    for name in ("configs", "params.yaml", "requirements.lock"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "dvc.yaml").write_text(STAGES)
    (root / "text").write_text("led")
    (root / "data/processed").mkdir(parents=True)
    (root / ".gitignore").write_text(".state\n")
    commands = ["git init -q", f"{sys.executable} -m dvc init -q", f"{sys.executable} -m dvc repro -q", "git add -A",
                "git -c user.name=t -c user.email=t@example.org commit -qm built"]
    for command in commands:
        subprocess.run(command.split(), check=True, cwd=root)
    return root


@pytest.fixture
def small(made, tmp_path, monkeypatch):
    """A copy of it; nobody answers anywhere."""
    for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port()}")
    root = Path(shutil.copytree(made, tmp_path / "project", symlinks=True))
    monkeypatch.chdir(root)
    return root


def found(what):
    return next(finding for finding in examine() if finding.what == what)


def test_all_is_well(small, capsys):
    assert show(examine()) and "nothing to mend" in capsys.readouterr().out
    assert found("files").how == found("git").how == found("packages").how == "good"


def test_a_stage_that_is_stale(small, capsys):
    (small / "text").write_text("motor")
    stale = next(files())
    assert (stale.how, stale.said, stale.mend) == ("bad", "prepare (text changed)", "robo run")
    assert not show(examine()) and "1 to mend" in capsys.readouterr().out
    assert found("git").how == "note" and "text not committed" in found("git").said


def test_a_missing_file_may_come_from_a_remote(small, tmp_path):
    os.remove("data/tokenizer")
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-d", "store", str(tmp_path / "store")], check=True, stdout=subprocess.DEVNULL)
    assert next(files()).mend == "robo run, or dvc pull (from store)"


def test_what_a_full_disk_cut_short(small):
    lock = small / "dvc.lock"
    whole = lock.read_text()
    assert mend() == []
    for length in range(1, len(whole), 29):
        lock.write_text(whole[:length])
        mend()
        assert next(files()).how in ("bad", "good")      # DVC reads what is left, and says what it misses
    lock.write_text("schema: [\n")
    assert next(files()).how == "bad" and "robo run" in next(files()).mend
    assert len(mend()) == 1 and (small / UNREADABLE).read_text() == "schema: [\n"
    lock.write_text(f"<<<<<<< HEAD\n{whole}")
    assert mend() == [] and next(files()).how == "bad"
    lock.write_text(whole)
    (small / ".dvc/tmp/rwlock").write_text("")
    assert next(files()).how == "bad"
    assert len(mend()) == 1 and next(files()).how == "good"


def test_other_packages_than_locked(tmp_path):
    (tmp_path / "requirements.lock").write_text("mlflow==1.0 \\\n    --hash=sha256:00\nnosuch==2 \\\n    --hash=sha256:00\n"
                                                "pywin32==311 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n")
    assert locked_versions(tmp_path / "requirements.lock") == {"mlflow": "1.0", "nosuch": "2"}
    *_, told = packages(tmp_path)
    assert told.how == "bad" and "mlflow 3" in told.said and "nosuch missing instead of 2" in told.said and "make setup" in told.mend


def test_a_server_that_died(small):
    (small / ".state").mkdir()
    (small / ".state/prefect.url").write_text(f"http://127.0.0.1:{free_port()}")
    assert found("prefect").how == "bad" and found("prefect").mend == "robo serve"
    assert found("mlflow").how == found("worker").how == found("ollama").how == "note"


def test_a_mistake_in_a_config(small):
    os.remove("params.yaml")
    (small / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text().replace("model: robo-nano-qwen3", "model: robo-nano-qwne3"))
    assert found("configs").how == "bad" and "robo-nano-qwne3" in found("configs").said


def test_an_alias_that_was_meant_to_be_champion(small, tmp_path, ollama, monkeypatch):
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    client.create_registered_model("robo-micropython")
    client.create_model_version("robo-micropython", str(tmp_path))
    client.set_registered_model_alias("robo-micropython", "Champion", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("OLLAMA_HOST", ollama)
    assert "did you mean 'champion'" in found("aliases").said and found("champion").how == "note"
