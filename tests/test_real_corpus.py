"""The default corpus, fetched for real: on another clone the data stages come out byte for byte as the committed dvc.lock says."""

import subprocess
from pathlib import Path

import pytest
from chain import REPOSITORY, call
from ruamel.yaml import YAML

DATA = ("collect", "prepare", "tokenizer", "pack")


@pytest.mark.slow
def test_data_stages_come_out_as_dvc_lock_says(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
    committed = YAML(typ="safe").load((clone / "dvc.lock").read_text())["stages"]
    call(clone, "dvc", "repro", "pack")
    built = YAML(typ="safe").load(Path(clone / "dvc.lock").read_text())["stages"]
    for stage in DATA:
        assert built[stage] == committed[stage], f"{stage}: run `dvc repro` and commit dvc.lock"
