"""`robo serve` over the whole chain: the schedule, kills, passwords and PostgreSQL. Kills at random moments:
benchmarks/chaos.py, whose rounds take too long for here."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

import pytest
from chain import call, edit, environment, processes_in, robo, states
from real import free_port

pytestmark = pytest.mark.slow
PASSWORD = "sesame-opens-all"


class Served:
    """`robo serve` in a copy of the built chain, on ports of its own."""

    def __init__(self, built: Path, folder: Path, **more: str):
        self.root = Path(shutil.copytree(built, folder / "project")).resolve()
        self.settings = {"ROBO_PREFECT_PORT": str(free_port()), "ROBO_MLFLOW_PORT": str(free_port()), **more}
        self.url = f"http://127.0.0.1:{self.settings['ROBO_PREFECT_PORT']}/api"
        self.mlflow = f"http://127.0.0.1:{self.settings['ROBO_MLFLOW_PORT']}"
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve"],
            cwd=self.root,
            env=environment(self.root, **self.settings),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_for(self, text: str) -> None:
        """Reads what it says until it has said `text` once more."""
        new = ""
        while text not in new:
            line = self.process.stdout.readline()
            assert line, f"{self.said}{new}"
            new += line
        self.said += new

    def robo(self, *arguments: str, **options) -> str:
        return robo(self.root, *arguments, **{**self.settings, **options})

    def prefect(self, *arguments: str) -> str:
        return call(
            self.root,
            "prefect",
            *arguments,
            PREFECT_API_URL=self.url,
            PREFECT_HOME=str(self.root / ".state/prefect"),
            **self.settings,
        )

    def api(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def states(self) -> list[str]:
        """Of all runs of the flow retrain, the last to be due first."""
        shown = self.prefect("flow-run", "ls", "--flow-name", "retrain", "--output", "json")
        return [run["state_type"] for run in json.loads(shown[shown.index("[") :])]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.said += self.process.communicate(timeout=90)[0]
        return self.process.returncode


@contextmanager
def serving(*arguments, **more):
    served = Served(*arguments, **more)
    try:
        served.wait_for("started!")
        yield served
        assert served.stop() == 0, served.said
        assert not processes_in(served.root)
    finally:
        served.process.kill()
        served.process.communicate()


def test_the_schedule_is_worked_off_and_outlives_its_worker(built, tmp_path):
    with serving(built, tmp_path) as served:
        assert "Completed" in served.prefect("deployment", "run", "retrain/retrain", "--watch")
        shown = served.prefect("deployment", "inspect", "retrain/retrain", "--output", "json")
        shown = json.loads(shown[shown.index("{") :])
        assert shown["schedules"][0]["schedule"]["cron"] == "0 3 * * *" and not shown["schedules"][0]["active"]
        assert shown["global_concurrency_limit"]["limit"] == 1

        # one that took its place in the queue and could not say that it ended, its disk being full
        lost = served.api("/deployments/filter", {"deployments": {"name": {"any_": ["retrain"]}}})[0]["id"]
        lost = served.api(
            f"/deployments/{lost}/create_flow_run",
            {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2040-01-01T00:00:00Z"}}},
        )["id"]
        assert served.api(f"/flow_runs/{lost}/set_state", {"state": {"type": "PENDING"}})["status"] == "ACCEPT"
        (served.root / ".state/runs" / lost).touch()

        served.prefect(
            "work-pool",
            "create",
            "robo-kubernetes",
            "--type",
            "kubernetes",
            "--base-job-template",
            "deploy/kubernetes/base-job-template.json",
        )  # the server checks it

        before = (served.root / "configs/training/small.yaml").read_text()
        edit(served.root, "configs/training/small.yaml", max_steps=100_000, learning_rate=2e-3)
        served.prefect("deployment", "run", "retrain/retrain")
        served.wait_for("their processes are gone")  # said by the reconciler, and only then is it this one's turn
        served.wait_for("100000 steps")
        waiting = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run"],
            cwd=served.root,
            env=environment(served.root, **served.settings),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while "waits for another run" not in (line := waiting.stdout.readline()):
            assert line
        waiting.kill()  # another run in this folder waits for its turn; this one is left Running by a kill
        waiting.communicate()
        worker = next(line for line in processes_in(served.root) if "worker start" in line)
        os.kill(int(worker.split()[0]), signal.SIGKILL)
        served.wait_for("worker was killed by signal 9")
        until = time.monotonic() + 30
        while left := [
            line
            for line in processes_in(served.root)
            if "pipeline." in line or "dvc_child" in line or "flows.engine" in line
        ]:
            assert time.monotonic() < until, left
            time.sleep(0.2)
        served.wait_for("marked as Crashed")
        served.wait_for("started!")
        (served.root / "configs/training/small.yaml").write_text(before)
        # the killed run's place in the queue is free again
        assert "Completed" in served.prefect("deployment", "run", "retrain/retrain", "--watch")
        assert set(states(served.robo("run")).values()) == {"Skipped"}  # without Prefect
        assert served.states() == ["CRASHED", "COMPLETED", "CRASHED", "CRASHED", "COMPLETED"]


def status(url: str, body: str | None = None, **headers: str) -> int:
    request = urllib.request.Request(
        url, None if body is None else body.encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_passwords(built, tmp_path):
    secrets = {"PREFECT_SERVER_API_AUTH_STRING": f"me:{PASSWORD}1", "MLFLOW_AUTH_ADMIN_PASSWORD": f"{PASSWORD}2"}

    def basic(text: str) -> dict[str, str]:
        return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}

    with serving(built, tmp_path, **secrets) as served:
        runs, experiments = f"{served.url}/flow_runs/filter", f"{served.mlflow}/ajax-api/2.0/mlflow/experiments/search"
        question = '{"max_results": 1}'
        assert status(runs, "{}") == status(experiments, question) == status(served.mlflow) == 401
        assert status(runs, "{}", **basic("me:wrong")) == status(experiments, question, **basic("admin:wrong")) == 401
        assert (
            status(runs, "{}", **basic(f"me:{PASSWORD}1"))
            == status(experiments, question, **basic(f"admin:{PASSWORD}2"))
            == 200
        )
        # a page of another site, open in the browser of somebody who is logged in, changes nothing
        assert status(experiments, question, Origin="http://evil.example", **basic(f"admin:{PASSWORD}2")) == 403
        assert "asks for a password: set PREFECT_API_AUTH_STRING" in robo(served.root, "run", ok=False)
        assert states(served.robo("run"))["register"] == "Executed"
        assert call(
            served.root,
            "prefect",
            "deployment",
            "run",
            "retrain/retrain",
            "--watch",
            PREFECT_API_URL=served.url,
            PREFECT_API_AUTH_STRING=f"me:{PASSWORD}1",
        ).count("Completed")
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert PASSWORD.encode() not in process.read_bytes()
            except OSError:
                continue
    written = [
        path
        for path in (served.root / ".state").rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    assert not written and PASSWORD not in served.said


@pytest.fixture
def postgres():
    """The address of a real PostgreSQL with two empty databases, mlflow and prefect, run by a user that is not root."""
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    if programs is None:
        missing = "no PostgreSQL here (Debian: apt-get install postgresql)"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder, port = Path(tempfile.mkdtemp(prefix="robo-postgres-")), free_port()
    if user:
        shutil.chown(folder, "postgres", "postgres")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            "robo",
            "-A",
            "scram-sha-256",
            "--pwfile",
            folder / "password",
            "-N",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        **user,
    )
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [
                programs / "postgres",
                "-D",
                folder / "data",
                "-p",
                str(port),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                f"unix_socket_directories={folder}",
                "-c",
                "fsync=off",
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
            **user,
        )
    import psycopg2

    try:
        until = time.monotonic() + 60
        while True:
            try:
                connection = psycopg2.connect(
                    host="127.0.0.1", port=port, user="robo", password=PASSWORD, dbname="postgres"
                )
                break
            except psycopg2.OperationalError:
                assert server.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.2)
        connection.autocommit = True
        for name in ("mlflow", "prefect"):
            connection.cursor().execute(f"create database {name}")
        connection.close()
        yield f"robo:{PASSWORD}@127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)  # "fast": it does not wait for clients
        server.wait(30)
        shutil.rmtree(folder)


def test_a_team_on_postgres(built, tmp_path, postgres, ollama):
    """Flow, promotion and reconciler with both databases on PostgreSQL and the files in a shared folder."""
    import psycopg2

    settings = {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://{postgres}/mlflow",
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "store"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{postgres}/prefect",
        "OLLAMA_HOST": ollama,
    }
    with serving(built, tmp_path, **settings) as served:
        first = states(served.robo("run"))
        assert first["register"] == first["import"] == "Executed"
        assert "Completed" in served.prefect("deployment", "run", "retrain/retrain", "--watch")
        served.robo("promote", "candidate", "--why", "it is the first")
        assert "robo-micropython:latest" in call(
            served.root, sys.executable, "-c", "import ollama; print(ollama.list())", **settings
        )
        assert "robo-micropython:latest is version 1" in (told := served.robo("doctor")) and "nothing to mend" in told
        assert re.search(
            r"reconciler \|.*robo-micropython/1 now: wanted by", served.said + read_log(served.root, "reconciler")
        )

        def count(database: str, table: str) -> int:
            with psycopg2.connect(f"postgresql://{postgres}/{database}") as connection, connection.cursor() as cursor:
                cursor.execute(f"select count(*) from {table}")
                return cursor.fetchone()[0]

        assert count("mlflow", "model_versions") == 1 and count("prefect", "flow_run") >= 2
    assert list((tmp_path / "store").rglob("*.gguf"))
    assert not list(served.root.glob(".state/mlflow.db")) and not list(served.root.glob(".state/prefect/prefect.db"))
    assert PASSWORD not in served.said + "".join(log.read_text() for log in (served.root / ".state/logs").iterdir())


def read_log(root: Path, name: str) -> str:
    return "".join(f"{name} | {line}\n" for line in (root / f".state/logs/{name}.log").read_text().splitlines())
