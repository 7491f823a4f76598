"""Stages and whole runs that another machine works off: what `pools` of configs/operations/ and `robo run --on POOL` send, and how it comes back.

Three things carry all of it, none of them ours: git the code, DVC's remote the files, Prefect's queue the request. A request is a commit, what
is not committed as git's own patch, and the stage's lock entry as it has to be there before it runs; the answer is the entry after it.
So the other machine cannot run something else unnoticed, and dvc.lock here ends as if the stage had run here. Nobody has to remember
anything: a request that is sent again, since a machine or the link between them died, finds there what is done, or the last checkpoint.
"""

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows import stores, versions
from flows.processes import UMASK
from pipeline.core.config import Config
from pipeline.core.errors import TemporaryError, UserError, shortened
from pipeline.core.files import write_text
from pipeline.publish import lineage

FLOW = "sent"  # flows/sent.py
ALL_HERE = "ROBO_ALL_HERE"  # set in a run that was sent here, which sends nothing on
LATER = "Later"  # the name of a failed state where trying again may help
SENT_BYTES = 300_000  # of a patch; Prefect takes half a megabyte of parameters
LOST_SECONDS = 600  # that a machine, a server or a remote may be silent before a stage fails
TRIES = 3  # of a request whose process died there
stopping = threading.Event()  # set where this run ends before its time


def pool_of(config: Config, stage: str) -> str | None:
    """The pool that takes a stage of dvc.yaml; all of a matrix go where its name says."""
    return None if ALL_HERE in os.environ else config.operations.pools.get(stage.split("@")[0])


def variable(worker: str) -> str:
    """Where a worker says what it is: a variable of Prefect's."""
    return f"robo-worker-{re.sub('[^a-z0-9]+', '-', worker.lower()).strip('-')}"


def dvc(*arguments: str, seconds: float = 0, say: Callable[[str], None] = lambda text: None) -> str:
    """What dvc prints. Where it fails it is asked again for so many `seconds`, since a link may mend. Raises TemporaryError with its own words."""
    until, told = time.monotonic() + seconds, False
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "flows.dvc_child", "--wait-for-lock", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            umask=UMASK,
        )
        if not done.returncode:
            return done.stdout
        lines = [line for line in done.stdout.splitlines() if line.startswith("ERROR")] or done.stdout.splitlines()[-3:]
        said = f"dvc {arguments[0]}: {'; '.join(line.removeprefix('ERROR: ') for line in lines)}"
        if time.monotonic() > until or stopping.is_set():
            raise TemporaryError(said)
        if not told:
            say(f"{said}; tries again for {seconds:.0f} s")
        told = True
        time.sleep(5)


def git(*arguments: str, root: Path = Path("."), told: bytes = b"", index: Path | None = None) -> bytes:
    """As lineage.git, to the byte; with another index than git's own where one is given."""
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        input=told,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", **({"GIT_INDEX_FILE": str(index)} if index else {})},
    )
    if done.returncode:
        raise UserError(
            f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip() or f'status {done.returncode}'}"
        )
    return done.stdout


def snapshot(where: str) -> dict[str, str]:
    """The commit here, and what differs from it, new files too; git's own index stays as it is. Raises UserError where that is too much."""
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        git("read-tree", "HEAD", index=index)
        git("add", "--all", index=index)
        patch = git("diff", "--cached", "--binary", "--no-ext-diff", "--no-color", "HEAD", index=index)
    packed = base64.b85encode(zlib.compress(patch)).decode() if patch else ""
    if len(packed) > SENT_BYTES:
        raise UserError(
            f"{where}: what is not committed here is {len(packed):,} bytes, too much to be sent along (at most {SENT_BYTES:,}); commit and push it"
        )
    return {"commit": lineage.commit(Path(".")), "patch": packed}


def inputs(stage: str) -> tuple[dict[str, Any], list[str]]:
    """A stage's lock entry before it runs, and those of its inputs that other stages make, in the words of dvc.yaml."""
    from dvc.stage.serialize import to_single_stage_lockfile

    from flows.dvc_repo import Repo

    with Repo(".", _wait_for_lock=True) as repo:
        found = repo.stage.get_target(stage)
        # Whole outputs, also where a stage reads one file of a folder: DVC takes a folder that it finds in a remote for complete.
        made = {
            out.def_path
            for dep in found.deps
            if dep.protocol == "local" and not hasattr(dep, "params")
            for out in repo.index.outs
            if out.fs.isin_or_eq(dep.fs_path, out.fs_path) or out.fs.isin(out.fs_path, dep.fs_path)
        }
        found.save_deps()
        found.outs = []
        entry = to_single_stage_lockfile(found)
    return json.loads(json.dumps(entry)), sorted(made)


def has_remote(where: str) -> None:
    """Raises UserError where there is no DVC remote, or one that refuses us: a wrong key does not pass, so nobody should try for minutes."""
    from flows.dvc_repo import Repo

    with Repo(".") as repo:
        store = stores.remote(repo)
    if not store:
        raise UserError(
            f"{where}: DVC has no remote over which files could travel; name one that both machines reach: "
            "dvc remote add -d store URL, and commit .dvc/config"
        )
    try:
        store.check()
    except (TemporaryError, stores.NotWritable):
        return  # a link that may mend; plain HTTP, of which nothing can be told beforehand
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def workers(client, pool: str) -> list[tuple[Any, dict]]:
    """The workers of a pool that are heard of, each with what it says of itself."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        online = [worker for worker in client.read_workers_for_work_pool(pool) if worker.status == "ONLINE"]
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:  # no such pool
            raise
        return []
    found = []
    for worker in online:
        said = client.read_variable_by_name(variable(worker.name))
        found.append((worker, said.value if said and isinstance(said.value, dict) else {}))
    return found


def check(pool: str, where: str) -> None:
    """Raises UserError where nobody could take a request for this pool. `where` names the setting that asks for it."""
    from prefect.client.orchestration import get_client

    has_remote(where)
    with get_client(sync_client=True) as client:
        there, api = workers(client, pool), client.api_url
    if not there:
        raise TemporaryError(
            f"{where}: no worker of the pool {pool} is known at {api}; start it on the other machine, with PREFECT_API_URL "
            f"naming this server: robo worker {pool}"
        )
    for worker, said in there:
        if wrong := versions.differing(said.get("versions", {}), versions.shown()):
            raise UserError(
                f"{where}: {worker.name}, a worker of the pool {pool}, has other packages: {shortened(wrong)}; the same commit on both "
                "machines and `make setup` mend it"
            )


def check_config(config: Config, pending: dict[str, str]) -> None:
    """check() for the pools of those stages that would run."""
    for pool in sorted({found for stage in pending if (found := pool_of(config, stage))}):
        check(pool, f"{config.paths['operations']}: pools")


def send(pool: str, name: str, parameters: dict[str, Any], say: Callable[[str], None]):
    """Puts a request into the pool's queue, passes on what is said there, and returns the state it ended in.

    Raises TemporaryError where it did not end, UserError where nobody ever offered to take it. A run that ends here before is cancelled there.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelling

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"{FLOW}/{pool}")
            run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters, name=name)
        except ObjectNotFound:
            raise UserError(
                f"nothing is deployed to the pool {pool}; start its worker there: robo worker {pool}"
            ) from None
        except httpx.HTTPError as error:
            raise TemporaryError(
                f"Prefect's server at {client.api_url}: {str(error) or type(error).__name__}"
            ) from None
        passed, heard, silent, waits = 0, time.monotonic(), False, False
        try:
            while True:
                try:
                    run = client.read_flow_run(run.id)
                    logs = client.read_logs(
                        LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])), 200, passed, LogSort.TIMESTAMP_ASC
                    )
                    there = workers(client, pool)
                except (httpx.HTTPError, OSError):
                    logs, there = [], []
                passed += len(logs)
                for line in logs:
                    if line.name.endswith(f".{FLOW}"):
                        say(line.message)
                assert run.state, "each run that was made has one"
                if run.state.is_final() and not logs:
                    return run.state
                if there:
                    if silent:
                        say(f"a worker of the pool {pool} is heard of again")
                    heard, silent = time.monotonic(), False
                elif not silent:
                    silent = True
                    say(
                        f"no worker of the pool {pool} is heard of; waits up to {LOST_SECONDS // 60} minutes for it (robo worker {pool})"
                    )
                if run.state.is_scheduled() and run.state.name == "Late" and there and not waits:
                    waits = True
                    say(f"waits in the queue of the pool {pool}")
                if time.monotonic() - heard > LOST_SECONDS:
                    raise TemporaryError(
                        f"no worker of the pool {pool} was heard of for {LOST_SECONDS // 60} minutes; start it: robo worker {pool}"
                    )
                if stopping.wait(1):
                    raise TemporaryError(f"stopped; its run in the pool {pool} is cancelled")
        except BaseException:
            if not (run.state and run.state.is_final()):
                with contextlib.suppress(httpx.HTTPError):
                    client.set_flow_run_state(run.id, Cancelling(message="Who sent it has ended"))
            raise


def ask(pool: str, name: str, parameters: dict[str, Any], say: Callable[[str], None]) -> tuple[str, str]:
    """send(), and again where its process died there; returns how it ended and its lock, as text.

    Raises UserError with what was said there, TemporaryError where it may pass.
    """
    for _ in range(TRIES):
        state = send(pool, name, parameters, say)
        if state.is_completed():
            return state.name, state.message
        if not state.is_crashed():
            break
        say(f"its process in the pool {pool} is gone; it is sent again, and goes on from what is done there")
    kind = TemporaryError if state.name == LATER or state.is_crashed() else UserError
    raise kind(f"in the pool {pool}: {state.message or state.name}")


def reproduce(stage: str, pool: str, say: Callable[[str], None]) -> str:
    """Brings one stage up to date on a machine of the pool; returns how, as graph.reproduce does. Raises UserError."""
    from dvc.utils.serialize import modify_yaml

    from flows.dvc_repo import Repo

    where = f"stage {stage} in the pool {pool}"
    has_remote(where)
    wanted, needs = inputs(stage)
    if needs:
        dvc("push", *needs, seconds=60, say=say)
    state, text = ask(pool, stage, {"stage": stage, "needs": needs, "wanted": wanted, **snapshot(where)}, say)
    entry = json.loads(text)
    if {key: value for key, value in entry.items() if key != "outs"} != wanted:
        raise UserError(f"{where}: what came back was made of other inputs; run again")
    with Repo(".", _wait_for_lock=True) as repo, repo.lock, modify_yaml("dvc.lock") as lock:
        lock.setdefault("schema", "2.0")
        lock.setdefault("stages", {})[stage] = entry
    dvc("pull", "--force", stage, seconds=60, say=say)
    return state


def run(pool: str, say: Callable[[str], None]) -> None:
    """A whole run in the pool, with its acts; its files come here. Raises UserError."""
    from flows import runs

    where = f"--on {pool}"
    check(pool, where)
    runs.take_turn(say)
    if Path("dvc.lock").exists():
        dvc("push", seconds=60, say=say)
    _, text = ask(pool, "run", {"stage": None, "needs": [], "wanted": None, **snapshot(where)}, say)
    write_text(Path("dvc.lock"), text)
    dvc("pull", "--force", seconds=60, say=say)
