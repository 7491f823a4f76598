"""The whole chain for real, on a small project: what runs when, what is read, what is left behind by a kill, and DVC's own commands."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chain import call, edit, environment, make_chain, metrics, processes_in, robo, states, without_bfloat16
from ruamel.yaml import YAML

from pipeline.core.config import FOLDERS

pytestmark = pytest.mark.slow
TRAIN_ON = {
    "train",
    "evaluate",
    "export",
    "quantize@F16",
    "quantize@Q8_0",
    "quantize@Q4_K_M",
    "answer",
    "assess",
    "exam",
    "release",
}
NEW_VERSION = {"register", "judge"}
CONFIGS = [f"configs/{folder}" for folder, _ in FOLDERS.values()]  # of which a stage lists the keys
ALL = {"collect", "prepare", "report", "curriculum", "tokenizer", "pack"} | TRAIN_ON


@pytest.fixture(scope="module")
def settled(built, tmp_path_factory):
    """A copy of it whose acts are done, which the tests of this module share and leave as they found it."""
    root = Path(shutil.copytree(built, tmp_path_factory.mktemp("shared") / "project"))
    robo(root, "run")
    assert "would run nothing" in robo(root, "plan", "--no-measure")
    return root


def test_dvc_alone_builds_everything_and_finds_nothing_left_to_do(built):
    assert call(built, "dvc", "status").strip() == "Data and pipelines are up to date."
    assert not (built / ".state/prefect").exists() and not (built / ".state/mlflow.db").exists()


def changes_no_result(module: Path, root: Path) -> bool:
    """Whether a module holds nothing but a docstring, or says only where modules are looked for."""
    return module.name == "__init__.py" and (
        len(ast.parse(module.read_text()).body) == 1 or module == root / "pipeline/__init__.py"
    )


def test_every_stage_lists_exactly_what_it_reads(built, record):
    """Keys, files and code that a stage opened, against the lists in dvc.yaml; both ways."""
    params = YAML(typ="safe").load(built / "params.yaml")
    for name, stage in YAML(typ="safe").load(built / "dvc.yaml")["stages"].items():
        rows = [line.split("\t") for line in (record / name).read_text().splitlines()]
        declared_keys, whole_files = set(), set()
        for entry in stage.get("params", []):
            for file, keys in ({"params.yaml": [entry]} if isinstance(entry, str) else entry).items():
                file = re.sub(r"\$\{(\w+)\}", lambda match: params[match[1]], file)
                whole_files |= {file} if keys is None else set()
                declared_keys |= {(file, key) for key in keys or []}
        read_keys = {(row[1], row[2]) for row in rows if row[0] == "key"}
        assert {key for key in read_keys if key[0] not in whole_files} == declared_keys, f"{name}: params"
        for file in whole_files:  # a key that never has to be there may be left out of the file
            assert set(YAML(typ="safe").load(built / file)) <= {key for f, key in read_keys if f == file}, (
                f"{name}: {file}"
            )

        def inside(path, folders):
            return any(path == folder or path.startswith(f"{folder}/") for folder in folders)

        deps = [dep.replace("${item.quant}", "") for dep in stage["deps"]]
        outs = [next(iter(o)) if isinstance(o, dict) else o for o in stage["outs"] + stage.get("metrics", [])]
        outs = [re.sub(r"/?\$\{item.quant\}.*", "", out) for out in outs]
        code = {row[1] for row in rows if row[0] == "code" and not changes_no_result(built / row[1], built)}
        own = ("pipeline", "params.yaml", "dvc.yaml", "dvc.lock", *CONFIGS, ".dvc", ".git", ".state", ".venv")
        files = {
            row[1]
            for row in rows
            if row[0] == "file"
            and row[1] != "<unknown>"  # the line of a text without a file, which Python looks for when it refuses some
            and not inside(row[1], own)
            and "unfinished" not in row[1]
            and not Path(built, row[1]).is_dir()
        }
        undeclared = {path for path in code | files if not inside(path, deps) and not inside(path, outs)}
        assert not undeclared, f"{name} reads what dvc.yaml does not list: {undeclared}"
        unread = {dep for dep in deps if not any(inside(path, [dep]) for path in code | files)} - {
            "checkpoints"
        }  # read where init_from names one
        assert not unread, f"{name} lists what it does not read: {unread}"


def test_the_flow_skips_what_is_built_and_repeats_no_act(built, tmp_path, ollama):
    chain = Path(shutil.copytree(built, tmp_path / "project"))
    first = states(robo(chain, "run", OLLAMA_HOST=ollama))
    assert {stage: first[stage] for stage in ALL} == dict.fromkeys(ALL, "Skipped")
    assert first["register"] == first["judge"] == first["import"] == "Executed"
    said = robo(chain, "run", OLLAMA_HOST=ollama)
    second = states(said)
    assert set(second) == ALL | NEW_VERSION | {"import"} and set(second.values()) == {"Skipped"}
    assert "Nothing is to be done" in said
    # the acts ask the world, not a note of their own
    call(chain, sys.executable, "-c", f"import ollama; ollama.Client('{ollama}').delete('robo-micropython:candidate')")
    assert states(robo(chain, "run", OLLAMA_HOST=ollama))["import"] == "Executed"


def test_the_judge_measures_as_the_evaluate_stage_does(built):
    """So a candidate's figure on the champion's held-out text may stand beside the champion's own."""
    program = "from pathlib import Path; from pipeline.publish.judge import bits_per_byte; print(bits_per_byte(Path('.'), Path('{}')))"
    for split in ("val", "test"):
        said = call(built, sys.executable, "-c", program.format(f"data/processed/{split}_corpus.jsonl"))
        assert float(said.split()[-1]) == metrics(built, "evaluate")[split]["bits_per_byte"]


@pytest.mark.parametrize(
    "file, key, value, expected",
    [
        ("configs/training/small.yaml", "learning_rate", 2e-3, TRAIN_ON | NEW_VERSION),
        (
            "params.yaml",
            "quants",
            ["F16", "Q8_0", "Q4_K_M", "Q5_K_M"],
            {"quantize@Q5_K_M", "answer", "assess", "exam", "release"} | NEW_VERSION,
        ),
        ("params.yaml", "assess.tokens", 256, {"assess", "exam", "release"}),
        ("configs/serving/small.yaml", "parameters.temperature", 0.3, {"release"} | NEW_VERSION),
    ],
    ids=["learning_rate", "quants", "assess", "temperature"],
)
def test_one_changed_key_runs_just_what_reads_it(settled, file, key, value, expected):
    before = (settled / file).read_text()
    try:
        edit(settled, file, **{key: value})
        planned = robo(settled, "plan", "--no-measure")
        assert all(re.search(rf"^ +{re.escape(stage)} ", planned, re.MULTILINE) for stage in expected - NEW_VERSION)
        assert "epochs are not known yet" not in planned
        assert ("is of the training before" in planned) == ("train" in expected)
        ran = {name for name, state in states(robo(settled, "run")).items() if state == "Executed"}
        assert ran == expected
    finally:
        (settled / file).write_text(before)
    # back again: DVC has it all, so next to nothing is computed. It keeps no result of release, which depends on a lock that is empty where
    # a corpus has no pins; and it leaves the file of a type that is asked for no more, beside those that answer, assess and release read.
    ran = {name for name, state in states(robo(settled, "run")).items() if state == "Executed"}
    assert ran <= NEW_VERSION | {"release"} | ({"answer", "assess", "exam"} if key == "quants" else set())


def test_a_precision_that_this_cpu_crawls_in_is_refused_where_it_would_be_trained_in(built, tmp_path):
    root = Path(shutil.copytree(built, tmp_path / "project"))
    edit(root, "configs/training/small.yaml", precision="bf16-mixed")
    said = without_bfloat16(root, "run", ok=False)
    assert (
        "configs/training/small.yaml: precision: bf16-mixed: this CPU has no bfloat16 units" in said
        and states(said) == {}
    )
    call(root, "dvc", "commit", "--force", "train")  # trained elsewhere: then it is served here
    ran = states(without_bfloat16(root, "run"))
    assert ran["train"] == "Skipped" and ran["register"] == "Executed"


@pytest.mark.parametrize("victim", ["flow", "dvc"])
def test_a_killed_flow_leaves_nobody_writing_and_goes_on(built, tmp_path, victim):
    root = Path(shutil.copytree(built, tmp_path / "project")).resolve()
    edit(root, "configs/training/small.yaml", max_steps=4000, checkpoint_every=5)
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run"],
        cwd=root,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    until = time.monotonic() + 400
    checkpoints = root / ".state/checkpoints"
    while not list(checkpoints.rglob("step-*.ckpt")):
        assert time.monotonic() < until and flow.poll() is None, "training did not begin"
        time.sleep(0.1)
    stage = [line for line in processes_in(root) if "pipeline.training.train" in line]
    assert stage, "the stage runs"
    killed = (
        f"{flow.pid} flows.cli"
        if victim == "flow"
        else next(line for line in processes_in(root) if "flows.dvc_child" in line)
    )
    os.kill(int(killed.split()[0]), signal.SIGKILL)
    said = flow.communicate(timeout=300)[0].decode(errors="replace")
    until = time.monotonic() + 30
    while left := [line for line in processes_in(root) if "pipeline." in line or "dvc" in line]:
        assert time.monotonic() < until, f"still there: {left}\n{said}"
        time.sleep(0.2)
    assert not (root / "models/trained").exists(), f"killed {killed}, and yet there is a model; the flow said:\n{said}"
    # the next run goes on from the checkpoint
    edit(root, "configs/training/small.yaml", max_steps=4000, checkpoint_every=5)
    done = list(checkpoints.rglob("step-*.ckpt"))
    assert done
    edit(root, "configs/training/small.yaml", max_steps=6, checkpoint_every=2)
    if victim == "flow":
        assert states(robo(root, "run"))["assess"] in ("Cached", "Executed", "Skipped")
    else:
        call(root, "dvc", "repro", "evaluate")


def test_dvcs_own_commands(built, tmp_path):
    root = Path(shutil.copytree(built, tmp_path / "project"))
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "built")
    call(root, "dvc", "repro", "--force", "--single-item", "train", "assess")  # the same again, at another speed
    assert call(root, "git", "status", "--porcelain") == "", "dvc.lock holds what is another each time"
    assert "tokens_per_second" in call(root, "dvc", "metrics", "show", "metrics/speed.json")
    call(root, "dvc", "exp", "run", "-n", "slower", "-S", "configs/training/small.yaml:learning_rate=0.001", "evaluate")
    difference = call(root, "dvc", "metrics", "diff", "HEAD", "--targets", "metrics/train.json")
    assert "val_loss" in difference
    call(root, "dvc", "plots", "diff", "HEAD", "-o", "plots")
    assert "learning" in call(root, "dvc", "params", "diff", "HEAD")
    assert "slower" in call(root, "dvc", "exp", "show", "--md")
    call(root, "git", "checkout", "-q", ".")
    call(root, "dvc", "checkout")
    # a sweep, as docs/training.md says
    call(
        root, "dvc", "exp", "run", "--queue", "-S", "configs/training/small.yaml:learning_rate=0.002,0.004", "evaluate"
    )
    robo(root, "sweep")
    shown = call(root, "dvc", "exp", "show", "--csv", "--sort-by", "metrics/evaluate.json:val.bits_per_byte")
    assert {"0.001", "0.002", "0.003", "0.004"} <= set(re.split(r"[,\n]", shown))
    call(root, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    call(root, "dvc", "push", "-q")
    call(root, "git", "commit", "-qam", "remote")
    # another clone pulls everything and computes nothing
    clone = tmp_path / "clone"
    call(tmp_path, "git", "clone", "-q", str(root), str(clone))
    call(clone, "dvc", "pull", "-q", PYTHONPATH=str(clone))
    assert "Running stage" not in call(clone, "dvc", "repro", PYTHONPATH=str(clone))
    assert metrics(clone, "evaluate") == metrics(root, "evaluate")


def test_a_collect_that_fails_leaves_the_text_of_the_one_before(built, tmp_path):
    root = Path(shutil.copytree(built, tmp_path / "project"))
    before = sorted(root.glob("data/raw/**/*"))
    shutil.rmtree(root / "corpora/val")
    assert "no such folder" in call(root, "dvc", "repro", "collect", ok=False)
    assert before and sorted(root.glob("data/raw/**/*")) == before


def test_fine_tuning_on_other_text(built, tmp_path):
    """As docs/training.md says; and DVC sees a changed model to start from, though the config only names it."""
    root = Path(shutil.copytree(built, tmp_path / "project"))
    shutil.copytree(root / "models/trained", root / "checkpoints/base")
    edit(root, "dvc.yaml", **{"stages.tokenizer.frozen": True})
    edit(root, "params.yaml", **{"prepare.min_bytes": 3500})
    edit(
        root, "configs/training/small.yaml", init_from="checkpoints/base", learning_rate=1e-4, min_lr=1e-5, max_steps=2
    )
    assert "parameters from checkpoints/base" in call(root, "dvc", "repro", "train")
    assert "up to date" in call(root, "dvc", "status", "train")
    shutil.copytree(root / "models/trained", root / "checkpoints/base", dirs_exist_ok=True)
    assert "checkpoints" in call(root, "dvc", "status", "train")


def test_the_data_stages_are_the_same_bytes_elsewhere(built, tmp_path):
    """No hash of a path, a time or a machine gets into them; tokenizer and packing included."""
    root = make_chain(tmp_path / "elsewhere")
    call(root, "dvc", "repro", "pack")

    def locked(project):
        stages = YAML(typ="safe").load(project / "dvc.lock")["stages"]
        return {stage: stages[stage]["outs"] for stage in ("collect", "prepare", "tokenizer", "pack")}

    assert locked(root) == locked(built)
