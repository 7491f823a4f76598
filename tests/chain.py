"""The whole project in a folder of its own, small enough to build in a minute: the real code, dvc.yaml and configs, with
modules of the standard library for text, such as MicroPython's compiler takes, a model of 60 thousand parameters and six steps of training.
No network is needed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = {
    "train": ["textwrap", "filecmp", "bisect", "heapq", "shlex", "fnmatch", "glob", "numbers", "getopt", "cmd"],
    "val": ["colorsys", "stat"],
    "test": ["nturl2path", "this", "pprint"],
}
MODEL = dict(
    architecture="gpt2",
    vocab_size=512,
    context_length=256,
    d_model=64,
    n_layers=1,
    n_heads=2,
    d_ff=256,
    tie_embeddings=True,
    dropout=0.0,
)
TRAINING = dict(
    optimizer="muon",
    learning_rate=3e-3,
    muon_learning_rate=5e-3,
    warmup_ratio=0.2,
    min_lr=3e-4,
    weight_decay=0.1,
    betas=[0.9, 0.95],
    grad_clip_norm=1.0,
    precision="32-true",
    accumulate_grad_batches=2,
    max_steps=6,
    eval_every=3,
    checkpoint_every=2,
    compile=False,
    seed=3,  # with which so small a model says something to the smoke prompt
    devices=1,
    strategy="auto",
    num_nodes=1,
    init_from=None,
    force_precision=False,
    max_tokens=None,
    max_time=None,
    patience=None,
    keep="best",
    sample_prompts=["import "],
)
QUANTS = ["F16", "Q8_0", "Q4_K_M"]
TASKS = [
    {
        "id": f"blink-{pin}",
        "intent": "blink",
        "level": "easy",
        "speaker": "beginner",
        "request": f"blink pin {pin}",
        "board": "pico",
        "seconds": 1,
        "check": [{"blinks": {"pin": pin, "on": 0.1, "off": 0.1}}],
        "wrong": "import machine\n",
        "solution": f"from machine import Pin\nimport time\np = Pin({pin}, Pin.OUT)\nwhile True:\n    p.toggle()\n    time.sleep(0.1)\n",
    }
    for pin in (2, 3, 4)
]


def edit(root: Path, file: str, **values) -> None:
    """Sets keys of a YAML file; a dotted key reaches inside."""
    yaml = YAML()
    content = yaml.load(root / file)
    for key, value in values.items():
        *path, last = key.split(".")
        inner = content
        for step in path:
            inner = inner[step]
        inner[last] = value
    yaml.dump(content, root / file)


def write_yaml(path: Path, content) -> None:
    YAML().dump(content, path)


def environment(root: Path, **more: str) -> dict[str, str]:
    """Nothing of this machine's own servers reaches the project; a closed port stands for Ollama unless one is given. The shell is what
    a service has, which unlike bash starts a child for the last command too."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "MLFLOW_", "OLLAMA_", "DVC_", "ROBO_", "PYTHONDONT"))
    }
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(root),
        "SHELL": "/bin/sh",
        "OLLAMA_HOST": "127.0.0.1:9",
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        **more,
    }


def call(root: Path, *command: str, ok: bool = True, **more: str) -> str:
    """Runs a command in the project and returns all it printed."""
    done = subprocess.run(
        command,
        cwd=root,
        env=environment(root, **more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=540,
    )
    assert not ok or done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    assert ok or done.returncode != 0, f"{' '.join(command)} should have failed:\n{done.stdout[-3000:]}"
    return done.stdout


def robo(root: Path, *arguments: str, **options) -> str:
    return call(root, sys.executable, "-m", "flows.cli", *arguments, **options)


def without_bfloat16(root: Path, *arguments: str, **options) -> str:
    """`robo` on a CPU without bfloat16 units. One machine cannot be both kinds, so the one question put to the processor is answered for it."""
    program = "from pipeline.training import precision; precision.cpu_has_bfloat16 = lambda: False; from flows.cli import main; main()"
    return call(root, sys.executable, "-c", program, *arguments, **options)


def states(output: str) -> dict[str, str]:
    """Stage or act -> how it ended, from what `robo run` prints while it runs."""
    return dict(re.findall(r"^[✓↺·✗] (\S+) +(Executed|Cached|Skipped|Failed)\b", output, re.MULTILINE))


def make_chain(root: Path) -> Path:
    """The project, committed to git, with nothing built yet."""
    root.mkdir(parents=True, exist_ok=True)
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    for file in tracked.stdout.split("\0"):
        if file and (REPOSITORY / file).is_file() and not file.startswith("tests/") and file != "dvc.lock":
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / file, root / file)
    shutil.rmtree(root / "exam")
    (root / "exam/people").mkdir(parents=True)
    write_yaml(root / "exam/people/blink.yaml", TASKS)
    shutil.copy(REPOSITORY / "exam/held_out.yaml", root / "exam")
    shutil.rmtree(root / "corpora")
    sources = []
    for split, modules in TEXT.items():
        folder = root / "corpora" / split
        folder.mkdir(parents=True)
        for module in modules:
            shutil.copy(Path(os.__file__).parent / f"{module}.py", folder)
        sources.append(
            {
                "kind": "folder",
                "name": f"stdlib-{split}",
                "path": f"corpora/{split}",
                "license": "PSF-2.0",
                "split": split,
                "include": ["*.py"],
            }
        )
    write_yaml(root / "configs/corpora/small.yaml", {"sources": sources})
    write_yaml(root / "configs/corpora/small.lock", {})
    write_yaml(root / "configs/models/small.yaml", MODEL)
    write_yaml(root / "configs/training/small.yaml", TRAINING)
    for section, file in (
        ("tokenizers", "robo-code-8k"),
        ("data", "robo-code-8k-256"),
        ("serving", "robo-micropython"),
    ):
        shutil.copy(root / f"configs/{section}/{file}.yaml", root / f"configs/{section}/small.yaml")
    edit(root, "configs/tokenizers/small.yaml", vocab_size=MODEL["vocab_size"])
    edit(root, "configs/data/small.yaml", block_size=256, stride=256, batch_size=2)
    # so small a model goes on with code, and has no answer to a request
    asked = {"template": "{{ .Prompt }}", "smoke_prompt": "from machine import Pin\nimport time\n\nled = Pin("}
    edit(root, "configs/serving/small.yaml", **{"parameters.num_ctx": 64, "parameters.num_predict": 16}, **asked)
    edit(
        root,
        "params.yaml",
        corpus="small",
        tokenizer="small",
        data="small",
        model="small",
        training="small",
        serving="small",
        quants=QUANTS,
        **{
            "curriculum.draws": 12,
            "evaluate.max_new_tokens": 8,
            "exam.prompt": "{request}",
            "exam.max_new_tokens": 8,
            "exam.sets": ["people"],
            "exam.completions": 4,
            "assess.tokens": 512,
        },
    )
    call(root, "git", "init", "-q")
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "start")
    return root


def processes_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if (
                (process / "cwd").resolve() == folder
                and command
                and "forkserver" not in command
                and "resource_tracker" not in command
            ):
                found.append(f"{process.name} {command}")
        except OSError:
            continue
    return found


def metrics(root: Path, name: str):
    return json.loads((root / "metrics" / f"{name}.json").read_text())
