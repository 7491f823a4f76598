"""`robo serve` and `robo ui` with the real servers: both pages come up over what the flow wrote, others need a password, and nothing outlives
them. What works beside the pages is in test_serve.py."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import browser
from project import REPOSITORY, retrain
from real import free_port

from flows.processes import RESTARTS, Child, answers, locked, stop
from flows.servers import (
    MLFLOW_PASSWORD,
    PREFECT_PASSWORD,
    address_of,
    credentials,
    guard,
    is_local,
    prefect_environment,
    tell,
)
from pipeline.core.config import Config
from pipeline.core.errors import UserError
from pipeline.tracking import default_tracking_uri, local_tracking_uri

OPEN = """
import sys
from flows.servers import serve
from pipeline.core.errors import UserError
try:
    serve(work=False)
except UserError as error:
    sys.exit(f"error: {error}")
"""
FLOW = """
from prefect import flow, get_run_logger, task
@task
def bake():
    get_run_logger().info("the oven is hot")
@flow(name="bakery")
def bakery():
    bake.submit().result()
if __name__ == "__main__":
    bakery()
"""


@pytest.fixture(autouse=True)
def no_servers_of_others(monkeypatch):
    """MLflow's client puts the address that it last talked to into the environment, where it would count as the user's own server."""
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


class Ui:
    """`robo ui` as a child process in `root`."""

    def __init__(self, root):
        self.ports = {"Prefect": free_port(), "MLflow": free_port()}
        environment = {
            key: value for key, value in os.environ.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")
        }
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-c", OPEN],
            cwd=root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **environment,
                "PYTHONPATH": str(REPOSITORY),
                **{f"ROBO_{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
            },
        )

    def wait_until_open(self):
        said = ""
        while "Ctrl-C" not in said:
            line = self.process.stdout.readline()
            assert line, f"{said}\n{self.process.stderr.read()}"
            said += line
        return said

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def left(self):
        """Processes that still name this folder or one of our ports in their command line or environment, but for zombies."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z" and f"ROBO_PREFECT_PORT={self.ports['Prefect']}".encode() in known:
                found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
        return found

    def gone_in(self, seconds):
        until = time.monotonic() + seconds
        while self.left() and time.monotonic() < until:
            time.sleep(0.2)
        return not self.left()


@pytest.fixture
def opened(request, tmp_path):
    ui = Ui(tmp_path)
    yield ui
    ui.process.kill()
    ui.process.wait()
    for process, _ in ui.left():
        os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_pages_show_the_run(project, monkeypatch, tmp_path):
    """A flow run and a version, made with no server, stand in the pages; so does a run made through the server."""
    from pipeline.publish.judge import judge
    from pipeline.publish.registry import register
    from pipeline.tracking import default_tracking_uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    registered = register(Config(project), default_tracking_uri(project))
    (tmp_path / "bakery.py").write_text(FLOW)

    def run_flow():
        environment = prefect_environment(project)
        done = subprocess.run(
            [sys.executable, tmp_path / "bakery.py"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # quiet: the flow prints its own lines
        return environment

    assert "PREFECT_API_URL" not in run_flow()
    ui = Ui(project)
    try:
        said = ui.wait_until_open()
        assert ui.url("Prefect") in said and f"{ui.url('MLflow')}/#/models" in said
        assert run_flow()["PREFECT_API_URL"] == f"{ui.url('Prefect')}/api"
        assert register(Config(project), ui.url("MLflow")).run_id == registered.run_id  # both ways lead to one store
        for number in range(2, 6):
            retrain(project)
            assert register(Config(project), ui.url("MLflow")).version == number
            judge(Config(project), ui.url("MLflow"))
        look(ui, registered, tmp_path)
    finally:
        ui.process.send_signal(signal.SIGINT)
        ui.process.wait(60)
    assert ui.process.returncode == 0 and ui.gone_in(5)
    assert "PREFECT_API_URL" not in prefect_environment(project)


def look(ui, registered, pictures):
    from playwright.sync_api import expect

    with browser(pictures) as page:
        page.goto(f"{ui.url('MLflow')}/#/models")  # as `robo ui` says
        expect(page.get_by_role("heading", name="Registered Models")).to_be_visible()
        expect(page.get_by_text(registered.name, exact=True)).to_be_visible()
        page.goto(f"{ui.url('MLflow')}/#/models/{registered.name}/versions/{registered.version}")
        expect(page.get_by_text("1,806,592 parameters")).to_be_visible()
        page.screenshot(path=pictures / "version.png")
        page.goto(f"{ui.url('MLflow')}/#/models/{registered.name}")
        expect(page.get_by_text("candidate")).to_be_visible()
        for number in (5, 4, 3):  # the second row was out of sight once
            expect(page.get_by_role("link", name=f"Version {number}")).to_be_in_viewport()
        expect(page.get_by_text("verdict").first).to_be_in_viewport()
        page.screenshot(path=pictures / "model.png")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Training runs").click()
        expect(opened.value.get_by_text("matching runs")).to_be_visible()
        expect(opened.value.get_by_text("evaluate.val.bits_per_byte").first).to_be_visible()
        opened.value.screenshot(path=pictures / "runs.png")
        opened.value.close()
        page.goto(f"{ui.url('MLflow')}/#/experiments/1/runs/{registered.run_id}")
        expect(page.get_by_text("training.learning_rate")).to_be_visible()
        expect(page.get_by_text("content_hash")).to_be_visible()
        page.screenshot(path=pictures / "run.png")
        page.goto(f"{ui.url('MLflow')}/#/experiments/1/runs/{registered.run_id}/artifacts")
        page.get_by_text("reports", exact=True).click()
        page.get_by_text("samples.md").click()
        expect(page.get_by_role("heading", name="Completions")).to_be_visible()
        page.screenshot(path=pictures / "artifacts.png")

        page.goto(f"{ui.url('Prefect')}/runs")
        expect(page.get_by_text("2 runs", exact=True)).to_be_visible()  # one made without a server, one through it
        page.locator("a[href*='/runs/flow-run/']").first.click()
        expect(page.get_by_text("the oven is hot")).to_be_visible()
        page.screenshot(path=pictures / "flow-run.png")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(opened, how):
    opened.wait_until_open()
    assert len(opened.left()) >= 3
    opened.process.send_signal(how)
    assert opened.process.wait(60) == 0 and opened.gone_in(2)
    assert opened.process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.parametrize("ready", [False, True])
def test_killed_outright_leaves_nothing(opened, ready):
    if ready:
        opened.wait_until_open()
    else:
        opened.process.stdout.readline()
        time.sleep(1)
    opened.process.kill()
    opened.process.wait()
    assert opened.gone_in(30), opened.left()


@pytest.mark.slow
def test_one_that_dies_comes_back_until_it_dies_too_often(opened):
    opened.wait_until_open()
    for death in range(RESTARTS + 1):
        mlflow = [process for process, command in opened.left() if "mlflow server" in command]
        os.kill(mlflow[0], signal.SIGKILL)
        line = opened.process.stdout.readline() if death < RESTARTS else ""
        assert death == RESTARTS or (
            "mlflow was killed by signal 9" in line and str(opened.root / ".state/logs/mlflow.log") in line
        )
        if death == 0:
            assert "mlflow is there again" in opened.process.stdout.readline() and answers(
                f"{opened.url('MLflow')}/health"
            )
        until = time.monotonic() + 30
        while death < RESTARTS and not any("mlflow server" in command for _, command in opened.left()):
            assert time.monotonic() < until
            time.sleep(0.1)
    assert opened.process.wait(60) == 1 and opened.gone_in(2)
    said = opened.process.stderr.read()
    assert f"That was the {RESTARTS + 1}th time" in said and "Traceback" not in said


@pytest.mark.parametrize("name", ["Prefect", "MLflow"])
def test_port_in_use(opened, name):
    """Said before anything starts."""
    opened.process.kill()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "ROBO_PREFECT_PORT": str(free_port()),
            "ROBO_MLFLOW_PORT": str(free_port()),
            f"ROBO_{name.upper()}_PORT": str(port),
        }
        done = subprocess.run(
            [sys.executable, "-c", OPEN], cwd=opened.root, env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"error: port {port} of 127.0.0.1 is in use.*set ROBO_{name.upper()}_PORT.*\n", done.stderr)


@pytest.mark.parametrize("port", ["no", "80", "70000"])
def test_no_port(tmp_path, monkeypatch, port):
    from flows.servers import serve

    monkeypatch.setenv("ROBO_MLFLOW_PORT", port)
    monkeypatch.setenv("ROBO_PREFECT_PORT", str(free_port()))
    with pytest.raises(UserError, match=f"ROBO_MLFLOW_PORT: '{port}' is no port"):
        serve(tmp_path)


def test_the_flow_asks_who_answers(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert prefect_environment(tmp_path)["PREFECT_HOME"] == str(tmp_path / ".state/prefect")
    (tmp_path / ".state").mkdir()
    (tmp_path / ".state/prefect.url").write_text(f"http://127.0.0.1:{free_port()}")  # left by a killed ui
    assert "PREFECT_API_URL" not in prefect_environment(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", "http://team:4200/api")
    assert prefect_environment(tmp_path)["PREFECT_API_URL"] == "http://team:4200/api"
    assert not answers(f"http://127.0.0.1:{free_port()}/")


def test_the_servers_of_a_project_are_not_those_of_its_copy(tmp_path, monkeypatch):
    """The address came along with the copy, or stayed after a kill and another project has the port: it answers, and is not ours."""
    for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    original, copy = tmp_path / "original", tmp_path / "copy"
    with healthy_server() as url:
        locks = [tell(address_of(name, original), url) for name in ("prefect", "mlflow")]
        shutil.copytree(original, copy)
        assert (
            prefect_environment(original)["PREFECT_API_URL"] == f"{url}/api" and default_tracking_uri(original) == url
        )
        assert "PREFECT_API_URL" not in prefect_environment(copy) and default_tracking_uri(copy) == local_tracking_uri(
            copy
        )
        for lock in locks:  # as the system does for whoever is killed
            lock.close()
        assert "PREFECT_API_URL" not in prefect_environment(original) and default_tracking_uri(
            original
        ) == local_tracking_uri(original)


@contextlib.contextmanager
def healthy_server():
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_one_that_is_interrupted_while_it_starts_is_stopped(tmp_path):
    """Ctrl-C may come between its process and the thread that is to read its lines."""
    child = Child(
        "sleeper", [], {}, tmp_path / "log", process=subprocess.Popen(["sleep", "60"], start_new_session=True)
    )
    stop([child])
    assert child.running.returncode == -signal.SIGTERM


def test_only_one_holds_a_lock(tmp_path):
    with locked(tmp_path / "lock") as file:
        assert locked(tmp_path / "lock") is None
        holder = subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])
    assert locked(tmp_path / "lock") is None  # the child lives and holds it
    holder.kill()
    holder.wait()
    locked(tmp_path / "lock").close()


@pytest.mark.parametrize(
    "host, right", [("0.0.0.0", False), ("192.168.1.7", False), ("127.0.0.1", True), ("localhost", True)]
)
def test_who_listens_to_others(monkeypatch, host, right):
    for name in (PREFECT_PASSWORD, MLFLOW_PASSWORD):
        monkeypatch.delenv(name, raising=False)
    assert is_local(host) is right
    if right:
        guard(host, [PREFECT_PASSWORD, MLFLOW_PASSWORD])
        return
    with pytest.raises(
        UserError, match=f"{host} would open the servers to others.*{PREFECT_PASSWORD} and {MLFLOW_PASSWORD}"
    ):
        guard(host, [PREFECT_PASSWORD, MLFLOW_PASSWORD])
    monkeypatch.setenv(PREFECT_PASSWORD, "me:sesame")
    with pytest.raises(UserError, match=f"passwords: set {MLFLOW_PASSWORD} in"):
        guard(host, [PREFECT_PASSWORD, MLFLOW_PASSWORD])
    monkeypatch.setenv(MLFLOW_PASSWORD, "twelve-letters")
    guard(host, [PREFECT_PASSWORD, MLFLOW_PASSWORD])
    assert (
        credentials()["PREFECT_API_AUTH_STRING"] == "me:sesame" and credentials()["MLFLOW_TRACKING_USERNAME"] == "admin"
    )


@pytest.mark.parametrize(
    "variable, value, says",
    [(PREFECT_PASSWORD, "sesame", "user:password"), (MLFLOW_PASSWORD, "short", "12 characters")],
)
def test_passwords_that_cannot_work(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=f"{variable}.*{says}"):
        guard("127.0.0.1", [])


def test_no_address():
    with pytest.raises(UserError, match="'everywhere' is no IPv4 address"):
        is_local("everywhere")


def test_a_database_of_the_server_needs_the_server(tmp_path, monkeypatch):
    from pipeline.tracking import default_tracking_uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/.state/mlflow.db"
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql://robo:secret@db/mlflow")
    with pytest.raises(UserError, match="start it") as raised:
        default_tracking_uri(tmp_path)
    assert "secret" not in str(raised.value)
