"""Prefect's worker for this checkout: first it closes the runs that a killed worker left, puts its deployments on the server and makes its
pool; then this very process becomes `prefect worker start`, so that nothing stands between it and who watches it.

Of two kinds: that of `robo serve` works off prefect.yaml; that of `robo worker POOL` what other machines send (flows/elsewhere.py)."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from flows import elsewhere, processes, runs, versions
from flows.processes import Child, answers, locked, say
from flows.servers import check_prefect, close_lost_runs, prefect_environment, state
from pipeline.core.environment import prepare
from pipeline.core.errors import UserError
from pipeline.core.schema import OWN_POOL
from pipeline.publish import lineage

PATIENCE = 60  # seconds for a server that is being started again
SETTLE_SECONDS = 60  # between two looks for runs that could not say how they ended
# Seconds. A worker that is silent for three beats counts as gone; asked more often, it would give up sooner when the link is cut.
PACE = {"PREFECT_WORKER_HEARTBEAT_SECONDS": "10", "PREFECT_WORKER_QUERY_SECONDS": "3"}


def deploy(prefect: list[str], *commands: list[str], pool: str = OWN_POOL) -> None:
    """Makes the pool. Raises UserError with what Prefect says when it refuses."""
    for command in (["work-pool", "create", pool, "--type", "process", "--overwrite"], *commands):
        done = subprocess.run(
            [*prefect, *command], encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise UserError(
                f"prefect {' '.join(command)} ended with status {done.returncode}:\n{done.stdout.strip()[-1500:]}"
            )


def worker_name() -> str:
    """One for each checkout."""
    return f"{socket.gethostname()}-{sha256(str(runs.home()).encode()).hexdigest()[:8]}"


def introduce(pool: str) -> None:
    """Deploys what takes requests for the pool, and says on the server what this machine is."""
    from prefect.client.orchestration import get_client
    from prefect.variables import Variable

    try:
        commit = lineage.commit(runs.home())
    except UserError as error:
        raise UserError(f"{runs.home()}: a worker needs a clone of the project: {error}") from None
    with get_client(sync_client=True) as client:
        client.create_deployment(
            flow_id=client.create_flow_from_name(elsewhere.FLOW),
            name=pool,
            description="A stage or a whole run that another machine sends: robo run --on, or pools in configs/operations/",
            work_pool_name=pool,
            entrypoint="flows/sent.py:sent",
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $ROBO_HOME }}"}}],
            job_variables={"command": "python -m flows.engine"},
            enforce_parameter_schema=False,
        )
    said = {"pool": pool, "checkout": str(runs.home()), "commit": commit, "versions": versions.shown()}
    Variable.set(elsewhere.variable(worker_name()), said, overwrite=True)


def stay(pool: str) -> None:
    """A worker of this pool in the foreground, started again when it dies. Raises UserError where no server is named."""
    root = Path.cwd()
    if pool == OWN_POOL:
        raise UserError(f"{pool} is the pool that `robo serve` works off itself; choose another name, such as gpu")
    os.environ.update(prefect_environment(root) | {"ROBO_HOME": str(root)})
    if not (api := os.environ.get("PREFECT_API_URL")):
        raise UserError(
            "PREFECT_API_URL: not set, so there is no queue to take work from; name the server that `robo serve --host` opened, "
            "such as http://SERVER:4200/api"
        )
    elsewhere.has_remote(f"robo worker {pool}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    child = Child(
        "worker",
        [sys.executable, "-m", "flows.worker", pool],
        {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **PACE},
        state(root) / "logs" / f"worker-{pool}.log",
        shown=True,
        orphaned=signal.SIGKILL,
    )

    def settle() -> None:
        while True:
            time.sleep(SETTLE_SECONDS)
            with contextlib.suppress(Exception):  # whatever Prefect's client meets; the next look tells
                if names := close_lost_runs(api, pool=False):
                    say(f"marked as Crashed, their processes are gone: {', '.join(names)}")

    threading.Thread(target=settle, daemon=True).start()
    with processes.foreground(children := [child]):
        processes.start(child)
        say("Ctrl-C stops it")
        processes.watch(children)


def main(pool: str) -> None:
    """Raises UserError where no server answers, or it refuses what is deployed."""
    prefect = [
        sys.executable,
        "-P",
        "-m",
        "prefect",
        "--no-prompt",
    ]  # -P: pipeline/__init__.py says why; its engines are ours
    if not (api := os.environ.get("PREFECT_API_URL")):
        sys.exit("error: no Prefect server answers; start all with `robo serve`, or name yours in PREFECT_API_URL")
    os.environ.setdefault("ROBO_HOME", str(Path.cwd()))
    until = time.monotonic() + PATIENCE
    while not answers(f"{api}/health") and time.monotonic() < until:
        time.sleep(0.5)
    check_prefect(api)
    lock = locked(runs.home() / ".state" / "worker.lock")
    if lock is None:
        sys.exit("error: another worker runs over this checkout; one is enough")
    os.set_inheritable(lock.fileno(), True)  # the worker that this process becomes holds it on
    # a server elsewhere may have other checkouts' runs in the pool
    own = pool == OWN_POOL
    if settled := close_lost_runs(api, pool=own and urlsplit(api).hostname in ("127.0.0.1", "localhost")):
        print(f"marked as Crashed, their processes are gone: {', '.join(settled)}", flush=True)
    more = []
    if own:
        deploy(prefect, ["deploy", "--all"])
        print(f"prefect.yaml is deployed; waits for runs of the pool {pool}", flush=True)
    else:
        deploy(prefect, pool=pool)
        introduce(pool)
        more = ["--name", worker_name(), "--limit", "1"]
        print(f"{worker_name()} waits for what is sent to the pool {pool}", flush=True)
    os.execv(prefect[0], [*prefect, "worker", "start", "--pool", pool, *more])


if __name__ == "__main__":
    prepare()
    try:
        main(sys.argv[1] if sys.argv[1:] else OWN_POOL)
    except UserError as error:
        sys.exit(f"error: {error}")
