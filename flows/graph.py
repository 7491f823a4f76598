"""DVC's graph as Prefect tasks. There is no second list of stages: the tasks are made from dvc.yaml at each run.

A task first asks DVC, in process, whether its stage is up to date. If so the task is Completed as "Skipped"; else it runs
`dvc repro` for just that stage as a child and ends as "Executed", or as "Cached" where DVC had the result already. Prefect's own
caching stays off: it keeps results, not files.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from flows import console, elsewhere
from flows.changes import changes
from flows.processes import UMASK
from flows.summary import UP_TO_DATE, Outcome
from pipeline.core.config import load
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.stage import EX_TEMPFAIL

# What DVC says around a stage, which the line of the stage itself says better.
DVC_SAYS = (
    "Running stage",
    "> exec python",
    "Updating lock file",
    "Generating lock file",
    "Use `dvc push`",
    "To track",
    "To enable auto staging",
    "\tdvc config core.autostage",
    "\tgit add",
    "ERROR: failed to reproduce",
)
MARGIN = "    "  # before what a stage says
UNREADABLE = Path(".state/dvc.lock.unreadable")
_children: set[subprocess.Popen] = set()


class StageFailed(RuntimeError):
    """A stage ended badly; `temporary` says whether trying again can help."""

    def __init__(self, message: str, temporary: bool = False):
        super().__init__(message)
        self.temporary = temporary


def mend() -> list[str]:
    """Takes away what a full disk cut short of the two files that DVC writes in place, and says so in a line each. DVC then makes its
    lock anew, and finds in its run cache every stage that dvc.lock knew."""
    from dvc.dvcfile import Lockfile
    from dvc.rwlock import RWLockFileCorruptedError, rwlock
    from dvc.utils.serialize import YAMLFileCorruptedError
    from dvc.utils.strictyaml import YAMLValidationError

    from flows.dvc_repo import Repo

    said = []
    with Repo(".") as repo:
        try:
            with rwlock(repo.tmp_dir, repo.fs, "robo", [], [], repo.config["core"].get("hardlink_lock", False)):
                pass
        except RWLockFileCorruptedError:
            (Path(repo.tmp_dir) / "rwlock").unlink()
            said.append("DVC's .dvc/tmp/rwlock was cut short, by a full disk perhaps; it is made anew")
        lock = Path("dvc.lock")
        text = lock.read_text(encoding="utf-8") if lock.exists() else ""
        try:
            Lockfile(repo, str(lock)).load()
            whole = text[-1:] in ("", "\n")
        except (YAMLFileCorruptedError, YAMLValidationError):
            whole = "<<<<<<<" in text  # a merge, which somebody has to end
        if not whole:
            UNREADABLE.parent.mkdir(exist_ok=True)
            lock.replace(UNREADABLE)
            said.append(
                f"dvc.lock was cut short, by a full disk perhaps, and is now {UNREADABLE}; it is made anew from DVC's run cache"
            )
    return said


def child_environment() -> dict[str, str]:
    """dvc and the stages run with this interpreter, and are told whether a person watches, and how wide the terminal is."""
    here, found = os.path.dirname(sys.executable), {"ROBO_PROGRESS": "log"}
    if console.is_live():
        columns = shutil.get_terminal_size().columns - len(MARGIN)
        found = {
            "ROBO_PROGRESS": "live",
            "COLUMNS": str(columns),
            "TQDM_NCOLS": str(columns - 1),
        }  # the latter for bars of libraries
    return {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}", "PYTHONUNBUFFERED": "1", **found}


def stop_children() -> None:
    elsewhere.stopping.set()
    for child in list(_children):
        child.send_signal(signal.SIGTERM)


def segments(stream: BufferedReader) -> Iterable[tuple[str, bool]]:
    """Splits raw output into (text, is a whole line); a bar's redraws end in a carriage return."""
    pending = b""
    while chunk := stream.read1(65536):
        pending += chunk
        *parts, pending = re.split(rb"(\r\n|\n|\r)", pending)
        for text, end in zip(parts[::2], parts[1::2], strict=True):
            yield text.decode(errors="replace"), end != b"\r"
    if pending:
        yield pending.decode(errors="replace"), True


def reproduce(stage: str, logger) -> str:
    """Runs `dvc repro` for one stage and passes its output on; returns "Executed" or "Cached".

    Raises StageFailed with the stage's own message.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.dvc_child", "--wait-for-lock", "repro", "--single-item", stage],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(),
        umask=UMASK,
    )
    _children.add(child)
    state, tail, code = "Executed", [], None
    try:
        assert isinstance(child.stdout, BufferedReader)
        for text, whole in segments(child.stdout):
            if not whole:
                console.bar(stage, text)
                continue
            text = text.rstrip()
            if "is cached - skipping run" in text:
                state = "Cached"
            if exited := re.search(r"exited with (-?\d+)", text):
                code = int(exited[1])
            if text and not text.startswith(DVC_SAYS):
                tail.append(text)
                logger.info(text)
                console.say(f"{MARGIN}{text}")
        status = child.wait()
    finally:
        _children.discard(child)
    if status:
        errors = [line for line in tail if line.startswith(("error:", "ERROR:"))]
        message = "\n".join(tail[tail.index(errors[0]) :] if errors else tail[-15:])
        message = message.removeprefix("error: ")
        raise StageFailed(
            f"{stage}: {message or f'dvc ended with status {status}'}",
            temporary=code == EX_TEMPFAIL or "is busy" in message,
        )
    return state


def reproduce_there(stage: str, pool: str, logger) -> str:
    """As reproduce(), on a machine of the pool."""

    def say(text: str) -> None:
        logger.info(text)
        console.say(f"{MARGIN}{text}")

    try:
        return elsewhere.reproduce(stage, pool, say)
    except UserError as error:
        raise StageFailed(f"{stage}: {error}", temporary=isinstance(error, TemporaryError)) from None


def can_pass(task, run, state: State) -> bool:
    """Retry what may pass: a network that did not answer, a lock that somebody holds."""
    try:
        state.result()
    except Exception as error:
        return getattr(error, "temporary", False)
    return False


@task(
    name="stage",
    retries=2,
    retry_delay_seconds=[3, 15],
    retry_condition_fn=can_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def run_stage(stage: str) -> State:
    """Brings one stage up to date. The state's name says how, its message why."""
    logger, began = get_run_logger(), time.perf_counter()
    reason = changes(stage)
    if not reason:
        return finish(Outcome(stage, "Skipped", time.perf_counter() - began, UP_TO_DATE))
    console.started(stage, reason)
    logger.info("runs: %s", reason)
    try:
        pool = elsewhere.pool_of(load(), stage)
        state = reproduce_there(stage, pool, logger) if pool else reproduce(stage, logger)
    except StageFailed:
        console.ended(stage, "Failed", time.perf_counter() - began, "")
        raise
    return finish(Outcome(stage, state, time.perf_counter() - began, reason))


def finish(outcome: Outcome) -> State:
    console.ended(outcome.name, outcome.state, outcome.seconds, outcome.why)
    return Completed(name=outcome.state, message=outcome.why, data=outcome)
