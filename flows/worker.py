"""Prefect's worker for this checkout: first it closes the runs that a killed worker left, puts prefect.yaml on the server and makes its
pool; then this very process becomes `prefect worker start`, so that nothing stands between it and who watches it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from flows import runs
from flows.processes import answers, locked
from flows.servers import check_prefect
from pipeline.core.environment import prepare
from pipeline.core.errors import UserError

PATIENCE = 60  # seconds for a server that is being started again


def deploy(prefect: list[str]) -> None:
    """Raises UserError with what Prefect says when it refuses."""
    for command in (["work-pool", "create", runs.POOL, "--type", "process", "--overwrite"], ["deploy", "--all"]):
        done = subprocess.run(
            [*prefect, *command], encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise UserError(
                f"prefect {' '.join(command)} ended with status {done.returncode}:\n{done.stdout.strip()[-1500:]}"
            )


def main() -> None:
    """Raises UserError where no server answers, or it refuses prefect.yaml."""
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
    if settled := runs.settle(pool=urlsplit(api).hostname in ("127.0.0.1", "localhost")):
        print(f"marked as Crashed, their processes are gone: {', '.join(settled)}", flush=True)
    deploy(prefect)
    print(f"prefect.yaml is deployed; waits for runs of the pool {runs.POOL}", flush=True)
    os.execv(prefect[0], [*prefect, "worker", "start", "--pool", runs.POOL])


if __name__ == "__main__":
    prepare()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
