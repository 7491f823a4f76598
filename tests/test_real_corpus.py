"""The default corpus, fetched for real: on another clone it comes out byte for byte as the committed dvc.lock says.

The curriculum takes minutes, and tests/test_curriculum.py holds that it is the same everywhere. Here it is enough that the lock is of the code,
the tasks and the parameters that stand there.
"""

import json
import subprocess
from pathlib import Path

import pytest
from chain import REPOSITORY, call
from ruamel.yaml import YAML


@pytest.mark.slow
def test_the_corpus_comes_out_as_dvc_lock_says(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
    committed = YAML(typ="safe").load((clone / "dvc.lock").read_text())["stages"]
    call(clone, "dvc", "repro", "prepare")
    built = YAML(typ="safe").load(Path(clone / "dvc.lock").read_text())["stages"]
    for stage in ("collect", "prepare"):
        assert built[stage] == committed[stage], f"{stage}: run `dvc repro pack` and commit dvc.lock"
    for stage in ("curriculum", "tokenizer", "pack"):
        said = json.loads(call(clone, "dvc", "status", "--json", stage))
        assert "modified" not in json.dumps(said.get(stage, [])), f"{stage}: run `dvc repro pack` and commit dvc.lock"
