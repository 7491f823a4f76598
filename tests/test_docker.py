"""The flow in a Docker pool, as deploy/README.md says: a real daemon, Prefect's server and worker on this machine, the checkout of a person who
is not root mounted at /robo."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from chain import edit, environment
from docker_daemon import IMAGE, start_docker, volumes
from project import REPOSITORY
from real import free_port, wait_until
from ruamel.yaml import YAML

from flows.processes import answers
from flows.versions import check_image
from pipeline.core.errors import UserError
from pipeline.core.stage import die_with_parent

PERSON = 1000  # whose checkout it is; the image knows nobody of this id


def test_an_image_of_other_packages_says_which(tmp_path, monkeypatch):
    image, checkout = tmp_path / "image.lock", tmp_path / "requirements.lock"
    image.write_text("torch==2.12.0 \\\n    --hash=sha256:0\nnumpy==2.4.0 \\\n    --hash=sha256:0\n")
    checkout.write_text(
        "numpy==2.4.0 \\\n    --hash=sha256:1\ntorch==2.13.0 \\\n    --hash=sha256:1\ndvc==3.67.1 \\\n    --hash=sha256:1\n"
    )
    check_image(tmp_path)  # no image
    monkeypatch.setenv("ROBO_IMAGE_LOCK", str(image))
    with pytest.raises(UserError) as said:
        check_image(tmp_path)
    assert str(said.value) == (
        "the image has other packages than requirements.lock asks for: dvc missing instead of 3.67.1, torch 2.12.0 instead of 2.13.0; "
        "build it anew: docker build -f deploy/docker/Dockerfile -t robo-micropython ."
    )
    shutil.copy(checkout, image)
    check_image(tmp_path)


def own(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        os.chown(path, PERSON, PERSON, follow_symlinks=False)


class Pool:
    """A Prefect server, and a worker of a Docker pool over the project at `root`."""

    def __init__(self, root: Path, daemon, folder: Path):
        self.root, self.folder = root, folder
        self.url = f"http://127.0.0.1:{free_port()}/api"
        self.environment = environment(
            REPOSITORY,
            PREFECT_API_URL=self.url,
            PREFECT_HOME=str(folder / "prefect"),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            ROBO_HOME="/robo",
            **daemon.environment,
        )
        self.processes = []

    def start(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.log", "w") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "prefect", "--no-prompt", *command],
                    cwd=self.root,
                    env=self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=die_with_parent,
                )
            )

    def prefect(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"{self.url}{path}", body and json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def run(self) -> str:
        deployment = self.ask("/deployments/name/retrain/retrain")["id"]
        return self.ask(f"/deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})["id"]

    def wait_for(self, run: str, state: str) -> None:
        ended = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        wait_until(
            lambda: self.ask(f"/flow_runs/{run}")["state_type"] in (state, *ended),
            (self.folder / "worker.log").read_text,
            300,
        )
        assert self.ask(f"/flow_runs/{run}")["state_type"] == state, (self.folder / "worker.log").read_text()[-6000:]

    def said(self) -> str:
        return (self.folder / "worker.log").read_text()


@pytest.fixture
def pool(built, tmp_path):
    """Over a copy of the built chain which belongs to PERSON, in a folder that they may reach."""
    with start_docker() as daemon:
        root = Path(shutil.copytree(built, daemon.folder / "robo", symlinks=True))
        yaml = YAML()
        prefect = yaml.load(root / "prefect.yaml")
        prefect["definitions"]["pool"] = {
            "name": "robo-docker",
            "job_variables": {
                "command": "python -m flows.container",
                "image": IMAGE,
                "image_pull_policy": "Never",
                "network_mode": "host",
                "auto_remove": True,
                "volumes": [f"{root}:/robo", *volumes()],
                "env": {"OMP_NUM_THREADS": "1", "OLLAMA_HOST": "127.0.0.1:9", "PREFECT_HOME": "/tmp/prefect"},
                "container_create_kwargs": {"user": f"{PERSON}:{PERSON}", "init": True},
            },
        }
        for deployment in prefect["deployments"]:
            deployment["work_pool"] = prefect["definitions"]["pool"]
        yaml.dump(prefect, root / "prefect.yaml")
        pool = Pool(root, daemon, tmp_path)
        try:
            pool.start("server", "start", "--port", pool.url.split(":")[2].split("/")[0])
            wait_until(lambda: answers(f"{pool.url}/health"), (tmp_path / "server.log").read_text)
            pool.prefect("work-pool", "create", "robo-docker", "--type", "docker")
            pool.prefect("deploy", "--name", "retrain")
            pool.start("worker", "start", "--pool", "robo-docker")
            yield pool
        finally:
            for process in reversed(pool.processes):
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:  # Prefect's worker may wait for a container that is gone
                    process.kill()
                    process.wait()


@pytest.mark.slow
def test_the_flow_in_a_docker_pool(pool):
    """What is there is taken over, and a cancelled training leaves a checkpoint; all that was written belongs to the person."""
    edit(pool.root, "configs/training/small.yaml", max_steps=100_000, checkpoint_every=100_000, eval_every=100_000)
    own(pool.root)
    run = pool.run()
    wait_until(lambda: "steps/s" in pool.said(), pool.said, 200)
    pool.ask(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    pool.wait_for(run, "CANCELLED")
    assert "training was stopped by SIGTERM at step" in pool.said()
    assert len(list((pool.root / ".state/checkpoints").glob("*/step-*.ckpt"))) == 1
    assert {path.lstat().st_uid for path in pool.root.rglob("*")} == {PERSON}
