"""The files that the stages of text need in a folder of their own: dvc.yaml, params.yaml, configs/ and nothing built."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from chain import REPOSITORY, edit

from pipeline.core.config import read_yaml


def copy_configs(root: Path) -> Path:
    """Copies the real configs to `root`, with the reference's profile chosen; returns it."""
    root.mkdir(parents=True, exist_ok=True)
    for file in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / file, root)
    shutil.copytree(REPOSITORY / "configs", root / "configs")
    edit(
        root,
        "params.yaml",
        model="robo-nano-5m",
        data="robo-code-8k-256",
        tokenizer="robo-code-8k",
        serving="robo-micropython-256",
        **{"exam.max_new_tokens": 128},
    )
    return root


def write_pairs(path: Path, pairs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(
            json.dumps({"request": request, "program": program, "board": "pico"}) + "\n" for request, program in pairs
        )
    )


def stage_environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ROBO_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **more}


def module_of(stage: str) -> str:
    """The module that dvc.yaml starts for a stage."""
    return re.search(r" -m (\S+)", read_yaml(REPOSITORY / "dvc.yaml")["stages"][stage]["cmd"])[1]


def run_stage(root: Path, name: str, **more: str) -> subprocess.CompletedProcess:
    """The stage `name` in `root`, as DVC runs it."""
    return subprocess.run(
        [sys.executable, "-m", module_of(name)],
        cwd=root,
        env=stage_environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
    )


def files_under(root: Path) -> dict[str, bytes]:
    """Every file under `root`, hidden ones too: path -> content."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
