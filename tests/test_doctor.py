"""`robo doctor` on a small DVC project: what it finds and what it says mends it. With servers running: test_serve.py."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import dvc.repo  # noqa: F401 (its log keeps the stdout of its first import, which must not be that of one test)
import pytest
from chain import edit, write_yaml
from project import REPOSITORY
from real import free_port
from stages import copy_configs, stage_environment

from flows.changes import changes
from flows.doctor import examine, show
from flows.findings import files, git, packages, sweeps
from flows.graph import UNREADABLE, mend
from flows.tracked import missed
from flows.versions import locked_versions
from pipeline.core.config import load
from pipeline.publish import lineage

STAGES = """
stages:
  prepare:
    cmd: cp text data/processed/train_corpus.jsonl
    deps: [text, corpora]
    outs: [data/processed/train_corpus.jsonl]
  curriculum:
    cmd: mkdir -p data/curriculum && cp wishes data/curriculum/train.jsonl
    deps: [wishes]
    outs: [data/curriculum/train.jsonl]
  tokenizer:
    cmd: cp data/processed/train_corpus.jsonl data/tokenizer
    deps: [data/processed/train_corpus.jsonl, data/curriculum/train.jsonl]
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
    (root / "wishes").write_text("blink")
    (root / "corpora").mkdir()
    (root / "corpora/blink.py").write_text("led.on()")
    (root / ".dvcignore").symlink_to(REPOSITORY / ".dvcignore")
    (root / "data/processed").mkdir(parents=True)
    (root / ".gitignore").write_text(".state\n")
    commands = [
        "git init -q",
        f"{sys.executable} -m dvc init -q",
        f"{sys.executable} -m dvc repro -q",
        "git add -A",
        "git -c user.name=t -c user.email=t@example.org commit -qm built",
    ]
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
    subprocess.run(
        [sys.executable, "-m", "dvc", "remote", "add", "-d", "store", str(tmp_path / "store")],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert next(files()).mend == "robo run, or dvc pull (from store)"


def listen(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


UNREADABLE_FILES = {
    ".#blink.py": lambda path: path.symlink_to("user@host.123"),
    "gone.py": lambda path: path.symlink_to("nowhere"),
    "loop.py": lambda path: path.symlink_to("loop.py"),
    "around": lambda path: path.symlink_to("."),
    "pipe.py": os.mkfifo,
    "socket.py": listen,
    os.fsdecode(b"\xff.py"): lambda path: path.write_text("led"),
}


@pytest.mark.parametrize("name", UNREADABLE_FILES, ids=ascii)
def test_what_cannot_be_read_in_a_folder_is_no_change_and_no_end(small, name):
    """DVC would end in an error, or wait for ever at a pipe."""
    UNREADABLE_FILES[name](small / "corpora" / name)
    assert changes("prepare") == ""
    (small / "corpora/more.py").write_text("led.off()")
    assert changes("prepare") == "corpora changed"


@pytest.mark.parametrize("module, names", [("flows.dvc_child", list(UNREADABLE_FILES)), ("dvc", [".#blink.py"])])
def test_neither_for_dvc_as_a_command(small, module, names):
    """As a run starts it; as a person types it, with what an editor leaves."""
    for name in names:
        UNREADABLE_FILES[name](small / "corpora" / name)
    done = subprocess.run(
        [sys.executable, "-m", module, "status"], env=stage_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "up to date" in done.stdout, done.stderr


def test_what_a_full_disk_cut_short(small):
    lock = small / "dvc.lock"
    whole = lock.read_text()
    assert mend() == []
    for length in range(1, len(whole), 29):
        lock.write_text(whole[:length])
        mend()
        assert next(files()).how in ("bad", "good")  # DVC reads what is left, and says what it misses
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
    (tmp_path / "requirements.lock").write_text(
        "mlflow==1.0 \\\n    --hash=sha256:00\nnosuch==2 \\\n    --hash=sha256:00\n"
        "pywin32==311 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )
    assert locked_versions(tmp_path / "requirements.lock") == {"mlflow": "1.0", "nosuch": "2"}
    *_, told = packages(tmp_path)
    assert (
        told.how == "bad"
        and "mlflow 3" in told.said
        and "nosuch missing instead of 2" in told.said
        and "make setup" in told.mend
    )


def test_code_of_another_folder(small):
    """As in a copy whose .venv came along."""
    assert not [finding for finding in examine() if finding.what == "code"]
    (small / "flows").mkdir()
    assert found("code").how == "bad" and str(REPOSITORY) in found("code").said and found("code").mend == "make setup"


@pytest.mark.parametrize("made_in, anew", [("", False), ("{here}", False), ("/elsewhere/my project/.venv", True)])
def test_an_environment_that_was_moved_is_made_anew(tmp_path, made_in, anew):
    root = tmp_path / "my project"
    for name in ("Makefile", "requirements.lock", "boards.lock", "scripts/setup.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    (root / ".venv").mkdir()
    (root / ".venv/.complete").write_text(made_in.format(here=root / ".venv"))
    said = subprocess.run(["make", "-n", "setup"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert ("setup.py" in said) is anew, said


def test_a_server_that_died(small):
    (small / ".state").mkdir()
    (small / ".state/prefect.url").write_text(f"http://127.0.0.1:{free_port()}")
    assert found("prefect").how == "bad" and found("prefect").mend == "robo serve"
    assert found("mlflow").how == found("worker").how == found("ollama").how == "note"


def test_a_mistake_in_a_config(small):
    os.remove("params.yaml")
    text = (REPOSITORY / "params.yaml").read_text()
    (small / "params.yaml").write_text(re.sub("^model: .*", "model: robo-nano-lfm3", text, flags=re.M))
    assert found("configs").how == "bad" and "robo-nano-lfm3" in found("configs").said


@pytest.mark.parametrize(
    "make, variables, says, mend",
    [
        ([], {}, "not a git repository", "git init && git add -A && git commit -m start"),
        (["git init -q"], {}, "does not have any commits", "git add -A && git commit -m start"),
        (
            ["git init -q"],
            {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"},
            "dubious ownership",
            "git config --global --add safe.directory '{root}'",
        ),
        ([], {"PATH": "/nowhere"}, "No such file or directory", "install git"),
    ],
    ids=["no repository", "no commit", "another owner", "no git"],
)
def test_a_commit_that_cannot_be_told(tmp_path, monkeypatch, make, variables, says, mend):
    root = tmp_path / "my project"
    root.mkdir()
    for command in make:
        subprocess.run(command.split(), cwd=root, check=True)
    for name, value in {"LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8", **variables}.items():
        monkeypatch.setenv(name, value)
    told = next(git(root))
    assert told.how == "bad" and says in told.said and told.mend == mend.format(root=root)
    assert lineage.git_tags(root) == {}


def test_a_database_of_a_newer_version(small):
    (small / ".state").mkdir()
    with sqlite3.connect(small / ".state/mlflow.db") as connection:
        connection.execute("create table alembic_version as select 'ffff00001111' as version_num")
    told = found("mlflow")
    assert told.how == "bad" and "written by a newer mlflow" in told.said
    subprocess.run(told.mend, shell=True, check=True)
    assert os.listdir(small / ".state/kept") == ["mlflow.db"] and found("mlflow").how == "note"


@pytest.fixture
def swept(tmp_path):
    """The real configs and graph in a git repository of their own, with a folder of one's own that git knows nothing of."""
    root = copy_configs(tmp_path)
    (root / "corpora/mine").mkdir(parents=True)
    for name in ("a.py", "b.py"):
        (root / "corpora/mine" / name).write_text("led.on()")
    (root / "notes.txt").write_text("no input of a stage")
    (root / ".gitignore").write_text("/checkpoints/\n")
    write_yaml(
        root / "configs/corpora/mine.yaml",
        {
            "sources": [
                dict(kind="folder", name="mine", path="corpora/mine", license="MIT", split="auto", include=["*.py"])
            ]
        },
    )
    write_yaml(root / "configs/corpora/mine.lock", {})
    subprocess.run(["git", "init", "-q"], check=True, cwd=root)
    (root / "corpora/kept.py").write_text("led.on()")
    subprocess.run(
        ["git", "add", "params.yaml", "dvc.yaml", "configs", ".gitignore", "corpora/kept.py"], check=True, cwd=root
    )
    edit(root, "params.yaml", corpus="mine")
    return root


NEW, IGNORED = (
    "sees only what git knows, so {} would be left out: git add {}",
    "so {} would be left out: git is told to ignore it",
)


@pytest.mark.parametrize(
    "known, change, said",
    [
        (["corpora"], None, []),
        ([], None, [NEW.format("corpora/mine", "corpora/mine")]),
        (["corpora/mine/a.py"], None, [NEW.format("corpora/mine/b.py", "corpora/mine/b.py")]),
        (
            ["corpora"],
            lambda root: (root / "configs/models/my own.yaml").write_text(""),
            [NEW.format(*["configs/models/my own.yaml"] * 2)[:-27]],
        ),
        (
            ["corpora"],
            lambda root: edit(root, "configs/training/cpu-minutes.yaml", init_from="checkpoints/base"),
            [IGNORED.format("checkpoints/base")],
        ),
        ([], lambda root: (root / ".gitignore").write_text("mine\n"), [IGNORED.format("corpora/mine")]),
        ([], lambda root: shutil.rmtree(root / ".git"), []),
    ],
)
def test_what_a_sweep_would_leave_out_is_said_before(swept, known, change, said):
    subprocess.run(["git", "add", "params.yaml", *known], check=True, cwd=swept)
    if change:
        change(swept)
    found = missed(load(swept))
    assert len(found) == len(said) and all(part in line for part, line in zip(said, found, strict=True)), found


def test_doctor_names_it_with_the_command(swept, monkeypatch):
    monkeypatch.chdir(swept)
    (finding,) = sweeps(load(swept))
    assert finding.mend == "git add corpora/mine" and finding.said.endswith("corpora/mine would be left out")


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
