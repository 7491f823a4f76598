"""Which flow runs are alive on this machine, and what becomes of those that are not.

A process that is killed tells nobody, so Prefect would show its run as Running for ever. Each run's process therefore holds a lock
on a file of its own, which the system releases however the process ends. A run that counts as active and whose file nobody holds has
no process, for certain, and is marked Crashed: by a worker before it takes work, by `robo run`, and every minute by the reconciler,
since a process may also end well and not be able to say so, on a full disk, and its place in the queue would stay taken. Process ids
would not do: they are reused, and after a restart of the machine soon so.
"""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from flows.processes import locked
from pipeline.core.schema import OWN_POOL  # its runs are this checkout's

KEEP_SECONDS = 24 * 3600  # of a lock file that nobody holds
HOLD_SECONDS = 2
START_SECONDS = 60  # that an engine may take from its run's state Pending to its lock
NAME_CHARACTERS = 120  # of a run's name
_held: dict[str, IO | None] = {}


def home() -> Path:
    """The checkout; Prefect starts an engine in a folder of its own."""
    return Path(os.environ.get("ROBO_HOME", ".")).resolve()


def here() -> str:
    """The tag of runs that `robo run` makes, which stand in no pool."""
    return f"on {socket.gethostname()}:{home()}"


def folder() -> Path:
    return home() / ".state" / "runs"


def hold(run_id: str) -> None:
    """Shows until this process ends that it works on the run."""
    until = time.monotonic() + HOLD_SECONDS
    while _held.get(run_id) is None and time.monotonic() < until:
        _held[run_id] = locked(folder() / run_id)
        time.sleep(0.01)  # it is not ours at once where somebody is asking `is_held`


def on_running(flow, flow_run, state) -> None:
    """`hold` as a hook of a Prefect flow, for runs that no engine of ours started."""
    hold(str(flow_run.id))


def is_held(run_id: str) -> bool:
    if run_id in _held:
        return True
    file = locked(folder() / run_id)
    if file:
        file.close()
    return file is None


def is_gone(run, pool: bool) -> bool:
    """Whether the run was ours and has no process: it left a lock file that nobody holds, or it never came to make one, which says
    something only of runs begun here, and of the pool's where no worker lives to start them."""
    pending = run.state_type.value == "PENDING"
    starts = (
        pending and time.time() - run.state.timestamp.timestamp() < START_SECONDS
    )  # again, perhaps, over the file of its last try
    left = not starts and (folder() / str(run.id)).exists()
    begun = not pending and here() in run.tags
    return (left or begun or (pool and run.work_pool_name == OWN_POOL)) and not is_held(str(run.id))


def trigger(run, person: str) -> str:
    """Who or what asked for a flow run: the schedule, Prefect's page (or a client of it), or the person at this terminal."""
    if run.deployment_id is None:
        return person
    return "the schedule" if run.auto_scheduled else "Prefect's page"


def rename(name: str) -> None:
    """Gives the flow run that runs here a name that says what it is about; Prefect's own are two random words."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name[:NAME_CHARACTERS])


def settle(pool: bool = False) -> list[str]:
    """Marks this checkout's runs without a process as Crashed, and returns their names. `pool`: also the pool's that no engine
    took up; right only while no worker lives."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        FlowRunFilterState,
        FlowRunFilterStateType,
        TaskRunFilter,
        TaskRunFilterState,
        TaskRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    active = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    crashed = Crashed(message="Its process is gone")
    settled = []
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=active)))
        )
        for run in runs:
            if is_gone(run, pool):
                tasks = client.read_task_runs(
                    flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
                    task_run_filter=TaskRunFilter(
                        state=TaskRunFilterState(
                            type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
                        )
                    ),
                )
                for task in tasks:
                    client.set_task_run_state(task.id, crashed, force=True)
                client.set_flow_run_state(run.id, crashed)  # not forced: the rules free its place in the queue
                settled.append(run.name)
    for file in folder().glob("*") if folder().exists() else ():
        if file.stat().st_mtime < time.time() - KEEP_SECONDS and not is_held(file.name):
            file.unlink()
    return settled


def take_turn(say: Callable[[str], None]) -> None:
    """Lets one run at a time work in this checkout, wherever it was started: waits until no other does, and keeps them out until this
    process ends."""
    said = False
    while "turn" not in _held:
        if lock := locked(home() / ".state" / "run.lock"):
            _held["turn"] = lock
        else:
            if not said:
                say("waits for another run in this folder to end")
            said = True
            time.sleep(0.5)
