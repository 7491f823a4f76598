"""Prefect's and MLflow's pages for one machine, over the very files that the flow uses when no server runs.

Nothing depends on the pages: the flow writes .state/prefect and .state/mlflow.db itself, and talks to Prefect's server only while
one of ours answers, because two writers on one SQLite file lock each other out.

Each server leads a process group of its own. So Ctrl-C reaches only us, and we stop group by group, which leaves no grandchild;
and where we are killed outright, Linux tells each server to stop.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.stage import die_with_parent
from pipeline.registry import artifact_root, local_tracking_uri

HOST = "127.0.0.1"
START_SECONDS = 180         # a first start creates the databases; 20 s is usual
STOP_SECONDS = 20
POOL = "robo"               # the process work pool that prefect.yaml names


@dataclass
class Server:
    name: str
    port: int
    health: str             # path that answers 200 when it is ready
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def state(root: Path) -> Path:
    return Path(root).resolve() / ".state"


def port_of(name: str, default: int) -> int:
    """The port for a server from ROBO_PREFECT_PORT or ROBO_MLFLOW_PORT. Raises UserError when it is none, or taken."""
    variable = f"ROBO_{name.upper()}_PORT"
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise UserError(f"{variable}: {text!r} is no port; a number from 1024 to 65535 is")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # a server stopped a moment ago is no hindrance
        try:
            probe.bind((HOST, int(text)))
        except OSError:
            raise UserError(f"port {text} of {HOST} is in use, perhaps by pages opened before; to open {name} elsewhere set {variable}, "
                            f"for example {variable}={int(text) % 60000 + 1100}") from None
    return int(text)


def inherited() -> dict[str, str]:
    """The environment without where the user's other tools point to, which would lead our own servers astray."""
    return {key: value for key, value in os.environ.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}


def prefect_server(root: Path, port: int, log: Path) -> Server:
    return Server("Prefect", port, "/api/health", [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)],
                  {**inherited(), **local_prefect(root), "PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": str(port)}, log)


def servers(root: Path) -> list[Server]:
    prefect, mlflow, logs = port_of("Prefect", 4200), port_of("MLflow", 5000), state(root) / "logs"
    if prefect == mlflow:
        raise UserError(f"ROBO_PREFECT_PORT and ROBO_MLFLOW_PORT are both {prefect}; they must differ")
    return [
        prefect_server(root, prefect, logs / "prefect.log"),
        # One worker and no job runner: 0.5 GB and 8 s instead of 2.4 GB and 20 s.
        Server("MLflow", mlflow, "/health",
               [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow), "--workers", "1",
                "--backend-store-uri", local_tracking_uri(root), "--default-artifact-root", artifact_root(root)],
               {**inherited(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}, logs / "mlflow.log"),
    ]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def start(server: Server) -> None:
    server.log.parent.mkdir(parents=True, exist_ok=True)
    with open(server.log, "w") as log:
        server.process = subprocess.Popen(server.command, env=server.environment, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent)


def check(running: list[Server]) -> None:
    """Raises UserError when a server has ended."""
    for server in running:
        if (status := server.process.poll()) is not None:
            last = server.log.read_text(errors="replace").strip().splitlines()[-1:] or ["it wrote nothing"]
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise UserError(f"{server.name}'s server {how}: {last[0]}\nIts whole log is {server.log}")


def wait_until_ready(running: list[Server]) -> None:
    """Raises UserError when a server ends or does not answer in time."""
    until = time.monotonic() + START_SECONDS
    while not all(answers(server.url + server.health) for server in running):
        check(running)
        if time.monotonic() > until:
            raise UserError(f"the servers did not answer in {START_SECONDS} s; see {', '.join(str(server.log) for server in running)}")
        time.sleep(0.2)


def stop(running: list[Server]) -> None:
    """Ends every server with all its children, politely first. The order does not matter: neither needs the other."""
    for kind, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        for server in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.process.pid, kind)
        until = time.monotonic() + patience
        while any(alive(server) for server in running) and time.monotonic() < until:
            time.sleep(0.1)


def alive(server: Server) -> bool:
    """Whether any process of the server's group is left."""
    server.process.poll()       # takes note of its end, or it would stay in the group as a zombie
    try:
        os.killpg(server.process.pid, 0)
        return True
    except ProcessLookupError:
        return False


@contextlib.contextmanager
def foreground(running: list[Server]) -> Iterator[None]:
    """Turns Ctrl-C and SIGTERM inside the block into its end, and stops everything in `running` when it ends, however it does."""
    def leave(*_):
        raise KeyboardInterrupt

    before = {kind: signal.signal(kind, leave) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        print("Stopping ...", flush=True)
    finally:
        for kind in before:         # an impatient second Ctrl-C must not leave anything running
            signal.signal(kind, signal.SIG_IGN)
        stop([server for server in running if server.process])
        for kind, handler in before.items():
            signal.signal(kind, handler)


def ui(root: Path = Path(".")) -> None:
    """Opens both pages and stays until Ctrl-C or SIGTERM, then stops both.

    Raises UserError when a port is in use, or a server does not start or ends by itself.
    """
    address = state(root) / "prefect.url"
    running: list[Server] = []
    with foreground(running):
        chosen = servers(root)
        print("Starting the pages of Prefect and MLflow, about 20 seconds ...", flush=True)
        try:
            for server in chosen:
                running.append(server)
                start(server)
            wait_until_ready(running)
            write_text(address, running[0].url)
            for server in running:
                print(f"{server.name:8}{server.url}")
            print("Ctrl-C stops both.", flush=True)
            while True:
                check(running)
                time.sleep(0.5)
        finally:
            address.unlink(missing_ok=True)


# --- the flow's side --------------------------------------------------------------------------------------------------

def local_prefect(root: Path) -> dict[str, str]:
    return {"PREFECT_HOME": str(state(root) / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def prefect_environment(root: Path = Path(".")) -> dict[str, str]:
    """What to put into os.environ before prefect is imported: Prefect keeps everything under .state, says nothing on the terminal
    (the flow prints its own lines; the page has the logs), and goes through the user's server or ours while one answers."""
    found = {**local_prefect(root), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    if set_by_user := os.environ.get("PREFECT_API_URL"):
        return {**found, "PREFECT_API_URL": set_by_user}
    with contextlib.suppress(FileNotFoundError):
        url = (state(root) / "prefect.url").read_text()
        if answers(f"{url}/api/health"):
            found["PREFECT_API_URL"] = f"{url}/api"
    return found


@contextlib.contextmanager
def prefect_for_a_run(root: Path = Path(".")) -> Iterator[None]:
    """Sets os.environ for a flow in this process, with a server of its own where none answers, which ends with the block.

    Prefect would start one too, but that one outlives a killed flow, and two of them lock each other out of the database. Raises
    UserError when the server does not start.
    """
    environment = prefect_environment(root)
    running = []
    if "PREFECT_API_URL" not in environment:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        running = [prefect_server(root, port, state(root) / "logs" / "prefect-run.log")]
        environment["PREFECT_API_URL"] = f"{running[0].url}/api"
    try:
        for server in running:
            start(server)
        wait_until_ready(running)
        os.environ.update(environment)
        yield
    finally:
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()     # the last lines of the log, while somebody is there to take them
        stop([server for server in running if server.process])


def worker(root: Path = Path(".")) -> None:
    """Deploys prefect.yaml to the running server and works off its runs, one at a time, until Ctrl-C.

    Raises UserError when no Prefect server answers or it refuses the deployment.
    """
    environment = {**os.environ, **prefect_environment(root), "ROBO_HOME": str(root.resolve())}
    if "PREFECT_API_URL" not in environment:
        raise UserError("no Prefect server answers; start one with `robo ui`, or name yours in PREFECT_API_URL")
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for command in (["work-pool", "create", POOL, "--type", "process", "--overwrite"], ["deploy", "--all"]):
        done = subprocess.run([*prefect, *command], env=environment, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise UserError(f"prefect {' '.join(command)} ended with status {done.returncode}:\n{done.stdout.strip()[-1500:]}")
    print(f"prefect.yaml is deployed; a worker of the pool {POOL} waits for its runs. Ctrl-C stops it.", flush=True)
    # A child and not this process itself: told to stop, Prefect's worker may take minutes, and it would leave a run's process behind.
    child = Server("Prefect's worker", 0, "", [*prefect, "worker", "start", "--pool", POOL], environment, state(root) / "logs" / "worker.log")
    with foreground([child]):
        child.process = subprocess.Popen(child.command, env=environment, cwd=root, start_new_session=True, preexec_fn=die_with_parent)
        if status := child.process.wait():
            raise UserError(f"Prefect's worker ended with status {status}; what it said stands above")
