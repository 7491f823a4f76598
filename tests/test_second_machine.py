"""Work for another machine: what is sent and what is refused, and slow, with two machines, that a training comes back over a cut link."""

import base64
import json
import subprocess
import sys
import time
import zlib
from pathlib import Path

import dvc.repo  # noqa: F401 (its log keeps the stdout of its first import, which must not be that of one test)
import pytest
import two_machines
from chain import call, environment
from project import REPOSITORY
from real import wait_until
from two_machines import SEND, SERVERS, machines

from flows import elsewhere, sent, services, versions
from pipeline.core.errors import UserError
from pipeline.publish import lineage

STAGES = """
stages:
  text:
    cmd: mkdir -p data && echo led > data/a && echo pin > data/b
    outs: [data]
  train:
    cmd: cat data/a code ${file} > model
    deps: [data/a, code, given]
    params: [learning_rate]
    outs: [model]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A committed DVC project of two stages, the first built, and a clone of it that shares nothing but git."""
    root = tmp_path / "here"
    root.mkdir()
    monkeypatch.chdir(root)
    for name, value in environment(root, PYTHONPATH=str(REPOSITORY)).items():
        monkeypatch.setenv(name, value)
    Path("params.yaml").write_text("learning_rate: 1\nfile: given\n")
    Path("dvc.yaml").write_text(STAGES)
    Path("code").write_text("train\n")
    Path("given").write_text("by hand\n")
    Path(".gitignore").write_text("/data\n/model\n/given\n.state\n")
    for command in ("git init -q", "dvc init -q", "dvc repro -q text", "git add -A", "git commit -qm start"):
        subprocess.run(command.split(), check=True)
    subprocess.run(["git", "clone", "-q", ".", tmp_path / "there"], check=True)
    return root


def test_what_is_not_committed_travels(here):
    """New files, changed ones, and none of git's own state; what lands there is the same, again and again."""
    Path("params.yaml").write_text("learning_rate: 2\nfile: given\n")
    Path("new.bin").write_bytes(bytes(range(256)))
    Path("odd").write_bytes(b"a\r\n\xff no utf-8 and no end")
    before = subprocess.check_output(["git", "status", "--porcelain"])
    said = elsewhere.snapshot("a test")
    assert subprocess.check_output(["git", "status", "--porcelain"]) == before
    for _ in range(2):
        there = sent.checked_out(here.parent / "there", **json.loads(json.dumps(said)))
        for name in ("params.yaml", "new.bin", "odd", "code", "dvc.lock"):
            assert (there / name).read_bytes() == Path(name).read_bytes(), name
        (there / "left over").write_text("by a run that was killed")
        (there / ".git/index.lock").touch()
    assert not (there / "data").exists()
    Path("new.bin").unlink()
    assert not (sent.checked_out(here.parent / "there", **elsewhere.snapshot("a test")) / "new.bin").exists()


def test_a_commit_that_is_not_there_is_named(here):
    Path("code").write_text("other\n")
    subprocess.run(["git", "commit", "-qam", "not pushed"], check=True)
    subprocess.run(["git", "-C", here.parent / "there", "remote", "remove", "origin"], check=True)
    with pytest.raises(UserError, match=r"there has no commit [0-9a-f]{12}: push it"):
        sent.checked_out(here.parent / "there", **elsewhere.snapshot("a test"))


def test_too_much_is_refused(here, monkeypatch):
    monkeypatch.setattr(elsewhere, "SENT_BYTES", 100)
    Path("new").write_bytes(zlib.compress(base64.b85encode(bytes(range(256)))))
    with pytest.raises(UserError, match=r"--on gpu: what is not committed here is .* bytes, too much"):
        elsewhere.snapshot("--on gpu")


def test_inputs_name_what_other_stages_make(here, monkeypatch):
    """And an input that neither git nor DVC carries is told before the work."""
    wanted, needs = elsewhere.inputs("train")
    assert needs == ["data"] and [dep["path"] for dep in wanted["deps"]] == ["code", "data/a", "given"]
    assert wanted["params"] == {"params.yaml": {"learning_rate": 1}} and "outs" not in wanted
    there = sent.checked_out(here.parent / "there", **elsewhere.snapshot("a test"))
    (there / "data").mkdir()
    (there / "data/a").write_text("led\n")
    (there / "given").write_text("by another hand\n")
    monkeypatch.chdir(there)
    with pytest.raises(UserError, match=r"other inputs than the machine that asks \(deps: given\)"):
        sent.agree(wanted, there, "train")
    (there / "given").write_text("by hand\n")
    sent.agree(wanted, there, "train")


def test_no_remote(here):
    with pytest.raises(UserError, match=r"pools: DVC has no remote .* dvc remote add -d store"):
        elsewhere.check("gpu", "operations.yaml: pools")


def test_other_packages_are_named():
    here = versions.shown()
    assert versions.differing(here, here) == []
    assert versions.differing({**here, "torch": "1.0"}, here) == [f"torch 1.0 there, {here['torch']} here"]


def test_doctor_holds_a_worker_against_this_machine(here):
    said = {"checkout": "/srv/robo", "commit": lineage.commit(here), "versions": versions.shown()}
    for change, how, words in (
        ({}, "good", "vm-1 in /srv/robo: same commit and packages"),
        ({"commit": "0" * 40}, "note", f"began at commit 000000000, here is {said['commit'][:9]}"),
        (
            {"versions": {**said["versions"], "torch": "1.0"}},
            "bad",
            f"torch 1.0 there, {said['versions']['torch']} here",
        ),
    ):
        finding = services.other_machine("vm-1", said | change, here)
        assert finding.how == how and words in finding.said


@pytest.mark.slow
def test_a_training_elsewhere_over_a_cut_link(tmp_path):
    """dvc.lock and files here are those of a training here; the link is cut as soon as it trains, and mended when it has long ended."""
    if why := two_machines.missing():
        pytest.skip(why)
    with machines(tmp_path) as two:
        dvc = (sys.executable, "-m", "dvc")
        call(two.first, *dvc, "repro", "-q", "pack")
        wait_until(lambda: "Ctrl-C" in two.said("serve"), lambda: two.said("serve"))
        two.worker()
        wait_until(lambda: "waits for what is sent" in two.said("worker"), lambda: two.said("worker"))
        sender = two.start("first", sys.executable, "-c", SEND, log="sender", **SERVERS)
        wait_until(
            lambda: "parameters on CPU" in two.said("worker"), lambda: two.said("sender") + two.said("worker"), 300
        )
        two.link(False)
        wait_until(lambda: "train: loss" in two.said("worker"), lambda: two.said("worker"))
        time.sleep(5)
        two.link(True)
        assert sender.wait(300) == 0, two.said("sender") + two.said("worker")
        assert two.said("sender").splitlines()[-1] == "Executed"
        said = two.robo("first", "doctor", ok=False)  # the stages after it were never run
        assert "✓ pool       gpu: 1 worker, takes train" in said and ": same commit and packages" in said
        lock = (two.first / "dvc.lock").read_bytes()
        call(two.first, *dvc, "repro", "-q", "--force", "--single-item", "train")
        assert (two.first / "dvc.lock").read_bytes() == lock
