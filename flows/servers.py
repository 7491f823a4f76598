"""`robo serve` and `robo ui`: Prefect, MLflow, the worker and the reconciler of one machine, over the very files that the flow uses when
no server runs; and how a run finds those servers.

Nothing depends on the pages. A run talks to our servers only while they answer, and else writes .state/prefect and .state/mlflow.db
itself. Two Prefect servers on one database lock each other out, so who starts one holds .state/prefect.lock.

All listen on 127.0.0.1. Told to open them to others, we refuse until each has a password. Passwords and database addresses pass through
the environment alone: an argument would show them to everyone on the machine.
"""

import contextlib
import fcntl
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

from flows import processes, runs
from flows.processes import Child, answers, say
from flows.stores import artifacts
from pipeline.core.environment import own_names, reach_this_machine_directly
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import write_text
from pipeline.core.stage import SAFE_PATH
from pipeline.tracking import (
    PING_SECONDS,
    address,
    address_file,
    artifact_root,
    check_version,
    default_tracking_uri,
    local_database,
    local_tracking_uri,
    settle,
)

LOCALHOST = "127.0.0.1"
LANDING = {"mlflow": "/#/models"}  # MLflow's own start page is for traces of chat applications
START_SECONDS = 180  # a first start creates the databases; 20 s is usual
PREFECT_PASSWORD, MLFLOW_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_AUTH_ADMIN_PASSWORD"
MLFLOW_PASSWORD_LENGTH = 12  # MLflow's own rule
# The users table needs a database beside MLflow's, whose address MLflow takes from a file only; so it never is one with a password.
MLFLOW_AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def state(root: Path) -> Path:
    return Path(root).resolve() / ".state"


def address_of(name: str, root: Path) -> Path:
    """The file that says where our server answers; see tracking.address, which reads it."""
    return address_file(root) if name == "mlflow" else state(root) / f"{name}.url"


def tell(file: Path, where: str) -> IO:
    """Writes an address file; it counts while what is returned stays open."""
    write_text(file, where)
    lock = open(file, encoding="utf-8")  # noqa: SIM115 (it stays open)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def port_of(name: str, default: int, host: str) -> int:
    """The port for a server from ROBO_PREFECT_PORT or ROBO_MLFLOW_PORT. Raises UserError when it is none, or taken."""
    variable = f"ROBO_{name.upper()}_PORT"
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise UserError(f"{variable}: {text!r} is no port; a number from 1024 to 65535 is")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server stopped a moment ago is no hindrance
        try:
            probe.bind((host, int(text)))
        except OSError:
            raise UserError(
                f"port {text} of {host} is in use, perhaps by pages opened before; to open {name} elsewhere set {variable}, "
                f"for example {variable}={int(text) % 60000 + 1100}"
            ) from None
    return int(text)


# --- who may come in --------------------------------------------------------------------------------------------------


def is_local(host: str) -> bool:
    """Whether only this machine reaches `host`. Raises UserError where it is no address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        raise UserError(
            f"--host (or ROBO_HOST): {host!r} is no IPv4 address; {LOCALHOST} is this machine alone, 0.0.0.0 everybody"
        ) from None


def guard(host: str, passwords: list[str]) -> None:
    """Raises UserError where others could come in without one of `passwords`, or a password could not work."""
    missing = [name for name in passwords if not os.environ.get(name)]
    if not is_local(host) and missing:
        raise UserError(
            f"{host} would open the servers to others, so they need passwords: set {' and '.join(missing)} in the environment "
            f"({PREFECT_PASSWORD}=user:password; MLflow's user is admin), or leave out --host and ROBO_HOST"
        )
    if (text := os.environ.get(PREFECT_PASSWORD)) and not all(text.partition(":")[::2]):
        raise UserError(f"{PREFECT_PASSWORD}: must have the form user:password")
    if (text := os.environ.get(MLFLOW_PASSWORD)) and len(text) < MLFLOW_PASSWORD_LENGTH:
        raise UserError(f"{MLFLOW_PASSWORD}: MLflow refuses passwords of less than {MLFLOW_PASSWORD_LENGTH} characters")


def credentials() -> dict[str, str]:
    """What clients on this machine need, from what the servers are given; what is set already stays."""
    found = {}
    if text := os.environ.get(PREFECT_PASSWORD):
        found["PREFECT_API_AUTH_STRING"] = text
    if text := os.environ.get(MLFLOW_PASSWORD):
        found |= {
            "MLFLOW_TRACKING_USERNAME": os.environ.get("MLFLOW_AUTH_ADMIN_USERNAME") or "admin",
            "MLFLOW_TRACKING_PASSWORD": text,
        }
    return {key: value for key, value in found.items() if key not in os.environ}


def names_of(host: str) -> list[str]:
    """What others may call this machine in a browser's address line."""
    if host != "0.0.0.0":
        return [host]
    return sorted({*own_names(), socket.getfqdn()})


# --- the servers ------------------------------------------------------------------------------------------------------


def local_prefect(root: Path) -> dict[str, str]:
    # Its own server may take longer than Prefect's 20 s to answer on a busy machine.
    return {
        "PREFECT_HOME": str(state(root) / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def inherited() -> dict[str, str]:
    """The environment without where the user's other tools point to, which would lead our own servers astray, as would modules in the
    project's folder that are named like one of theirs."""
    return {
        key: value for key, value in os.environ.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")
    } | {SAFE_PATH: "1"}


def url(host: str, port: int) -> str:
    return f"http://{LOCALHOST if host == '0.0.0.0' else host}:{port}"


def prefect_database(root: Path) -> Path:
    return state(root) / "prefect" / "prefect.db"


def prefect_server(root: Path, port: int, log: Path, host: str = LOCALHOST) -> Child:
    """Raises UserError where a newer Prefect wrote the database."""
    if not os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        check_version("prefect", prefect_database(root))
    # A page of another site must not reach the API through a browser here, which Prefect's own default allows.
    own = {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url(host, port), "PREFECT_UI_API_URL": "/api"}
    return Child(
        "prefect",
        [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)],
        {
            **own,
            **inherited(),
            **local_prefect(root),
            "PREFECT_SERVER_API_HOST": host,
            "PREFECT_SERVER_API_PORT": str(port),
        },
        log,
        health=f"{url(host, port)}/api/health",
    )


def mlflow_server(root: Path, port: int, log: Path, host: str = LOCALHOST) -> Child:
    """Raises UserError where a newer MLflow wrote the database, or the store for its files cannot be written."""
    if store := artifacts():
        store.check()
    if not os.environ.get("MLFLOW_BACKEND_STORE_URI"):
        check_version("mlflow", local_database(root))
    settle(root)
    # One worker and no job runner: 0.5 GB and 8 s instead of 2.4 GB and 20 s.
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    shared = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION")  # clients on other machines send files through the server
    settings = {
        "MLFLOW_BACKEND_STORE_URI": local_tracking_uri(root),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": "mlflow-artifacts:/" if shared else artifact_root(root),
    }
    if not is_local(host):  # MLflow answers only to names it was told, and lets pages change things only from there
        settings["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(
            f"{name}:{port}" for name in [*names_of(host), LOCALHOST, "localhost"]
        )
        settings["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(f"http://{name}:{port}" for name in names_of(host))
    if os.environ.get(MLFLOW_PASSWORD):
        command += ["--app-name", "basic-auth"]
        config = state(root) / "mlflow-auth.ini"
        write_text(config, MLFLOW_AUTH.format(database=state(root) / "mlflow-auth.db"))
        settings |= {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32)}
    return Child("mlflow", command, {**settings, **inherited()}, log, health=f"{url(host, port)}/health")


def pages(root: Path, host: str) -> list[Child]:
    """Our servers, not yet started: all but those that the environment names elsewhere. Raises UserError when a port is no good, or
    others could come in unasked."""
    known = {
        "prefect": (prefect_server, "PREFECT_API_URL", 4200, PREFECT_PASSWORD),
        "mlflow": (mlflow_server, "MLFLOW_TRACKING_URI", 5000, MLFLOW_PASSWORD),
    }
    wanted = {name: one for name, one in known.items() if not os.environ.get(one[1])}
    guard(host, [password for *_, password in wanted.values()])
    ports = {name: port_of(name, default, host) for name, (_, _, default, _) in wanted.items()}
    if len(set(ports.values())) < len(ports):
        raise UserError(f"ROBO_PREFECT_PORT and ROBO_MLFLOW_PORT are both {ports['mlflow']}; they must differ")
    return [make(root, ports[name], state(root) / "logs" / f"{name}.log", host) for name, (make, *_) in wanted.items()]


def workers(root: Path) -> list[Child]:
    """Who works by itself: Prefect's worker on the schedule, the reconciler on MLflow's alias."""
    environment = {
        **os.environ,
        **prefect_environment(root),
        "MLFLOW_TRACKING_URI": default_tracking_uri(root),
        "ROBO_HOME": str(Path(root).resolve()),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
    }
    # Killed outright, not asked: told to end, Prefect's worker may take minutes.
    return [
        Child(
            name,
            [sys.executable, "-m", *module],
            environment,
            state(root) / "logs" / f"{name}.log",
            shown=True,
            orphaned=signal.SIGKILL,
        )
        for name, module in (("worker", ["flows.worker"]), ("reconciler", ["flows.cli", "reconcile"]))
    ]


def serve(root: Path = Path("."), host: str = LOCALHOST, work: bool = True) -> None:
    """Opens both pages and, where `work`, works off the schedule and follows the alias, until Ctrl-C or SIGTERM; then stops everything.

    Raises UserError when the servers cannot start, or one of the processes dies again and again.
    """
    children: list[Child] = []
    with processes.foreground(children):
        servers = pages(root, host)
        reach_this_machine_directly(host)
        addresses, locks = [address_of(server.name, root) for server in servers], []
        if servers and servers[0].name == "prefect":
            servers[0].holds = lock_prefect(root)
        if servers:
            say(
                f"starts {' and '.join(server.name for server in servers)}, about 20 seconds; what they say stands in {state(root) / 'logs'}"
            )
        try:
            for server in servers:
                children.append(server)
                processes.start(server)
            processes.wait_until_ready(servers, START_SECONDS)
            for server, file in zip(servers, addresses, strict=True):
                where = server.health.removesuffix("/api/health").removesuffix("/health")
                locks.append(tell(file, where))
                say(f"{server.name:<8} {where}{LANDING.get(server.name, '')}")
            for child in workers(root) if work else []:
                children.append(child)
                processes.start(child)
            say("Ctrl-C stops everything")
            processes.watch(children)
        finally:
            for file in addresses:
                file.unlink(missing_ok=True)


def lock_prefect(root: Path, never_mind: Callable[[], bool] = lambda: False) -> IO | None:
    """Waits until nobody else has a Prefect server on this folder's database, and returns the open lock file; None where meanwhile
    `never_mind` came true."""
    path = state(root) / "prefect.lock"
    if lock := processes.locked(path):
        return lock
    say("waits for another `robo` in this folder that has Prefect's database open")
    while not never_mind():
        if lock := processes.locked(path):
            return lock
        time.sleep(0.5)
    return None


# --- the run's side ---------------------------------------------------------------------------------------------------


def prefect_environment(root: Path = Path(".")) -> dict[str, str]:
    """What to put into os.environ before prefect is imported: Prefect keeps everything under .state, says nothing on the terminal
    (the flow prints its own lines; the page has the logs), and goes through the user's server or ours while one answers."""
    found = {**local_prefect(root), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    if prefect := os.environ.get("PREFECT_API_URL"):
        found["PREFECT_API_URL"] = prefect
    else:
        prefect = address(address_of("prefect", root))
        if prefect and answers(f"{prefect}/api/health"):
            found["PREFECT_API_URL"] = f"{prefect}/api"
    return found


def check_prefect(api: str) -> None:
    """Raises UserError unless a Prefect server answers at this address, of which Prefect's client would make a traceback."""
    right = "start it there, or unset PREFECT_API_URL to do without it"
    try:
        with urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=PING_SECONDS) as answer:
            healthy = answer.read(16).strip() == b"true"
    except urllib.error.HTTPError:  # Prefect's cloud, or one that asks for a password: its client tells better
        return
    except (OSError, ValueError) as error:
        raise TemporaryError(
            f"PREFECT_API_URL: no Prefect server answers at {api} ({getattr(error, 'reason', error)}); {right}"
        ) from None
    if not healthy:
        raise UserError(
            f"PREFECT_API_URL: what answers at {api} is no Prefect API, whose address ends in /api; {right}"
        )


def close_lost_runs(api: str, pool: bool) -> list[str]:
    """runs.settle at a server. Raises UserError where that does not let us in."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        return runs.settle(pool)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 401:
            raise
        raise UserError(
            f"Prefect's server at {api} asks for a password: set PREFECT_API_AUTH_STRING=user:password in the environment"
        ) from None


@contextlib.contextmanager
def prefect_for_a_run(root: Path = Path(".")) -> Generator[None]:
    """Sets os.environ for a flow in this process, with a server of its own where none answers, which ends with the block.

    Prefect would start one too, but that one outlives a killed flow, and two of them lock each other out of the database. Raises
    UserError when the server does not start.
    """
    lock, running, environment = None, [], prefect_environment(root)
    if api := os.environ.get("PREFECT_API_URL"):
        check_prefect(api)
    if "PREFECT_API_URL" not in environment:
        lock = lock_prefect(root, lambda: "PREFECT_API_URL" in prefect_environment(root))
        environment = prefect_environment(root)
    if lock:
        with socket.socket() as probe:
            probe.bind((LOCALHOST, 0))
            port = probe.getsockname()[1]
        running = [prefect_server(root, port, state(root) / "logs" / "prefect-run.log")]
        running[0].holds = lock
        environment["PREFECT_API_URL"] = f"{url(LOCALHOST, port)}/api"
    try:
        for server in running:
            processes.start(server)
        processes.wait_until_ready(running, START_SECONDS)
        os.environ.update(environment)
        from prefect import tags

        close_lost_runs(environment["PREFECT_API_URL"], pool=bool(lock))
        with tags(runs.here()):
            yield
    finally:
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()  # the last lines of the log, while somebody is there to take them
        processes.stop([server for server in running if server.process])
        if lock:
            lock.close()
