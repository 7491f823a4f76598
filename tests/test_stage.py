"""The way into every stage: one message instead of a traceback, nothing written, and no process that outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chain import edit
from real import wait_until
from stages import REPOSITORY, copy_configs, files_under, module_of, run_stage, stage_environment

from pipeline.core.files import atomic, write_text

STAGES = ["collect", "prepare", "tokenizer", "pack"]
FIRST = {
    "prepare": "data/raw/provenance.jsonl",
    "tokenizer": "data/processed/train_corpus.jsonl",
    "pack": "data/tokenizer/tokenizer.json",
}


@pytest.mark.parametrize("name", STAGES)
def test_a_broken_config_stops_every_stage_before_it_writes(tmp_path, name):
    root = copy_configs(tmp_path)
    edit(root, "configs/models/robo-nano-5m.yaml", d_ff=100)
    edit(root, "configs/training/cpu-minutes.yaml", min_lr=1.0)
    before = files_under(root)
    done = run_stage(root, name)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("error: configs/models/robo-nano-5m.yaml: d_ff: 100")
    assert done.stderr.splitlines()[1].startswith("configs/training/cpu-minutes.yaml: min_lr: 1.0")
    assert len(done.stderr.splitlines()) == 3  # above the one rate and above the other
    assert files_under(root) == before


@pytest.mark.parametrize("name", FIRST)
def test_a_missing_input_says_what_makes_it(tmp_path, name):
    root = copy_configs(tmp_path)
    before = files_under(root)
    done = run_stage(root, name)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        f"error: {FIRST[name]}: no such file; the stages before {name} make it: run `dvc repro {name}`" in done.stderr
    )
    assert files_under(root) == before


# --- killing ----------------------------------------------------------------------------------------------------------

SLEEPER = """
import os, sys, time
from pathlib import Path
from pipeline.core import stage

def main(config):
    for n in range(2):                              # and children of its own, as datasets and torch make them
        if os.fork() == 0:
            Path(sys.argv[1], str(os.getpid())).touch()
            time.sleep(600)
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)

stage.run("pack", main)
"""
PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); time.sleep(600)"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ctrl_c_ends_a_stage_and_its_children_in_one_message(tmp_path):
    """As a terminal sends it: to every process of the group; and with the signal as a terminal has it, which a background job may not."""
    root, notes = copy_configs(tmp_path / "project"), tmp_path / "pids"
    notes.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(notes)],
        cwd=root,
        env=stage_environment(),
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: len(os.listdir(notes)) == 3, "the stage and its children have not begun", 30)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (
        130,
        "",
        "error: pack was stopped by Ctrl-C; run again to start it anew\n",
    )
    pids = [int(name) for name in os.listdir(notes)]
    wait_until(lambda: not any(map(alive, pids)), "a child goes on", 10)
    assert len(pids) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_stage_and_its_children_die_with_the_parent(tmp_path):
    root, notes = copy_configs(tmp_path / "project"), tmp_path / "pids"
    notes.mkdir()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, SLEEPER, str(notes)], cwd=root, env=stage_environment())
    pids = []
    try:
        until = time.monotonic() + 30
        while len(pids) < 3 and time.monotonic() < until:
            time.sleep(0.05)
            pids = [int(name) for name in os.listdir(notes)]
        assert len(pids) == 3 and all(map(alive, pids))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 5
        while any(map(alive, pids)) and time.monotonic() < until:
            time.sleep(0.02)
        assert not any(map(alive, pids)), "an orphan goes on"
    finally:
        for pid in [parent.pid, *pids]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_stage_that_is_let_be_ends_well(tmp_path):
    """Dying with the parent is no dying at its ordinary calls: a stage forks, waits and goes on."""
    program = (
        "import os\nfrom pipeline.core import stage\n"
        "def main(config):\n    pid = os.fork()\n    if pid == 0:\n        os._exit(0)\n"
        "    print('child ended with', os.waitpid(pid, 0)[1])\nstage.run('pack', main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy_configs(tmp_path),
        env=stage_environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "child ended with 0\n"), done.stderr


def test_our_own_mistakes_keep_their_traceback(tmp_path):
    program = "from pipeline.core import stage\nstage.run('pack', lambda config: config.model.d_model)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy_configs(tmp_path),
        env=stage_environment(),
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 1
        and "AssertionError: stage pack reads configs/models/robo-nano-5m.yaml: d_model" in done.stderr
    )


# --- what a project's folder may hold beside ours ---------------------------------------------------------------------

BESIDE = sorted(
    (sys.stdlib_module_names - {"this", "antigravity"})
    | {
        "requests",
        "numpy",
        "torch",
        "datasets",
        "dvc",
        "pydantic",
        "ruamel",
        "tqdm",
        "prefect",
        "mlflow",
        "machine",
        "micropython",
        "uasyncio",
    }
)
STARTS = {
    "a stage": ["-m", "pipeline.data.prepare"],
    "a child of a stage": ["-m", "pipeline.evaluation.speed", "none.gguf"],
    "robo": ["-m", "flows.cli", "doctor"],
    "dvc": ["-m", "flows.dvc_child", "status"],
    "Prefect's engine": ["-m", "flows.engine"],
}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A project with a file for each module of the library in its folder, none of which may ever be imported; its code is this one's."""
    root = copy_configs(tmp_path_factory.mktemp("crowded"))
    for module in BESIDE:
        (root / f"{module}.py").write_text(f"print('the project has its own {module}')\nraise SystemExit(99)\n")
    for package in ("pipeline", "flows", "prefect.yaml"):
        (root / package).symlink_to(REPOSITORY / package)
    subprocess.run(["git", "init", "-q"], check=True, cwd=root)
    subprocess.run([sys.executable, "-P", "-m", "dvc", "init", "-q"], check=True, cwd=root)
    return root


@pytest.mark.parametrize("start", STARTS)
def test_modules_in_the_projects_folder_shadow_nothing(crowded, start):
    """PYTHONPATH would put them first for good; a project has none, since its packages are installed."""
    environment = {key: value for key, value in stage_environment().items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *STARTS[start]], cwd=crowded, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "has its own" not in done.stdout + done.stderr and done.returncode != 99


def test_children_of_libraries_are_safe_too(crowded):
    """multiprocessing starts `python -c`, which looks where it is started; our own children have to."""
    program = (
        "import multiprocessing, os\nfrom pipeline.core import stage\n"
        "def main(config):\n    pool = multiprocessing.get_context('spawn').Pool(1)\n    print(pool.apply(os.getppid) == os.getpid())\n"
        "    print(stage.SAFE_PATH in stage.own_environment())\n    pool.close()\n    pool.join()\n"
        "if __name__ == '__main__':\n    stage.run('pack', main)\n"
    )
    (crowded / "started.txt").write_text(program)
    environment = {key: value for key, value in stage_environment().items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", "import pipeline, runpy; runpy.run_path('started.txt', run_name='__main__')"],
        cwd=crowded,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "True\nFalse\n", done.stdout + done.stderr


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep/file.txt"
    with pytest.raises(RuntimeError), atomic(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert files_under(tmp_path) == {}
    write_text(path, "whole ä\n")
    with pytest.raises(RuntimeError), atomic(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert files_under(tmp_path) == {"deep/file.txt": "whole ä\n".encode()}


def test_every_stage_of_dvc_goes_through_this_door():
    from pipeline.core.config import read_yaml

    for name in read_yaml(REPOSITORY / "dvc.yaml")["stages"]:
        module = module_of(name).replace(".", "/")
        assert f'run("{name}"' in (REPOSITORY / f"{module}.py").read_text(), (
            f"{module} does not start through stage.run"
        )
