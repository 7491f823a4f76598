"""What a worker of another machine does with a request of flows/elsewhere.py: `robo worker POOL` deploys this flow.

It works in a clone of its own below the worker's checkout, .state/sent, whose objects, DVC cache and remote are the checkout's. So a person's
work there is left alone, and what a killed training left stays where the next request looks for it.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.logging.loggers import PrefectLogAdapter
from prefect.states import Completed, Failed, State

from flows import runs
from flows.elsewhere import ALL_HERE, FLOW, LATER, LOST_SECONDS, dvc, git, has_remote, inputs
from flows.graph import StageFailed, child_environment, mend, reproduce, stop_children
from flows.processes import UMASK, answers
from pipeline.core.errors import TemporaryError, UserError, shortened
from pipeline.core.files import DISK_FULL
from pipeline.core.stage import die_with_parent

LOCAL = Path(".dvc/config.local")


def at(home: Path) -> str:
    return f"{os.uname().nodename}:{home}"


def checked_out(home: Path, commit: str, patch: str) -> Path:
    """The clone at this commit and with this patch. Raises UserError where the commit is not known here."""
    from flows.dvc_repo import Repo

    there = home / ".state" / "sent"
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}", root=home)
    except UserError:
        try:
            git("fetch", "--quiet", root=home)
            git("cat-file", "-e", f"{commit}^{{commit}}", root=home)
        except UserError as error:
            raise UserError(
                f"{at(home)} has no commit {commit[:12]}: push it to where that checkout fetches from, or fetch it there ({error})"
            ) from None
    if not (there / ".git" / "HEAD").exists():
        shutil.rmtree(there, ignore_errors=True)
        git("clone", "--quiet", "--shared", "--no-checkout", str(home), str(there), root=home)
    for lock in (there / ".git").glob("*.lock"):  # of a git that was killed; we hold the turn
        lock.unlink()
    git("checkout", "--quiet", "--force", "--detach", commit, root=there)
    git("clean", "--quiet", "--force", "-d", root=there)
    if patch:
        git("apply", "--whitespace=nowarn", root=there, told=zlib.decompress(base64.b85decode(patch)))
    (there / LOCAL).unlink(missing_ok=True)
    if (home / LOCAL).exists():
        shutil.copy(home / LOCAL, there / LOCAL)
    with Repo(str(home)) as own:
        cache = own.cache.local.path.removesuffix("/files/md5")
    with Repo(str(there)) as repo, repo.config.edit("local") as local:
        local.setdefault("cache", {})["dir"] = cache
    return there


def agree(wanted: dict, home: Path, stage: str) -> None:
    """Raises UserError where the stage would not see here what it would see where the request comes from."""
    found, _ = inputs(stage)
    other = [
        f"{kind}: {', '.join(names)}"
        for kind in ("cmd", "deps", "params")
        if (names := differing(wanted.get(kind), found.get(kind)))
    ]
    if other:
        raise UserError(
            f"{at(home)} has other inputs than the machine that asks ({shortened(other)}); what git ignores does not travel, nor what "
            "DVC does not know"
        )


def differing(one, two) -> list[str]:
    """Names of what two parts of a lock entry disagree about."""
    if one == two:
        return []
    if isinstance(one, list) and isinstance(two, list):
        first, second = ({each["path"]: each for each in part} for part in (one, two))
        return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    return sorted(one) if isinstance(one, dict) else [str(two)]


def run_all(logger) -> str:
    """`robo run` in the clone, with its acts. Raises StageFailed."""
    environment = {key: value for key, value in child_environment().items() if not key.startswith("PREFECT__")}
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run"],
        env={**environment, "ROBO_HOME": str(Path.cwd()), ALL_HERE: "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        umask=UMASK,
        preexec_fn=die_with_parent,
    )
    assert child.stdout
    tail = []
    try:
        for line in child.stdout:
            if text := line.rstrip():
                logger.info(text)
                tail.append(text.removeprefix("error: "))
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if child.wait():
        raise StageFailed("\n".join(tail[-5:]) or f"robo run ended with status {child.returncode}")
    return "Executed"


def entry_of(stage: str) -> dict:
    """The stage's lock entry, as dvc.lock has it."""
    from dvc.utils.serialize import load_yaml

    return load_yaml("dvc.lock")["stages"][stage]


def wait_for_server() -> None:
    """Till the one who asked can be told how it ended; the link between us may be cut."""
    api, until = os.environ.get("PREFECT_API_URL"), time.monotonic() + LOST_SECONDS
    while api and not answers(f"{api}/health") and time.monotonic() < until:
        time.sleep(2)


@flow(name=FLOW, persist_result=False, on_running=[runs.on_running])
def sent(stage: str | None, needs: list[str], wanted: dict | None, commit: str, patch: str) -> State:
    """Brings a stage up to date here, or all of them where it is None, and sends the files to DVC's remote."""
    logger, home = get_run_logger(), runs.home()
    assert isinstance(logger, PrefectLogAdapter)
    logger = logger.getChild(FLOW)
    try:
        runs.take_turn(logger.info)
        os.chdir(checked_out(home, commit, patch))
        has_remote(at(home))
        for line in mend():
            logger.info(line)
        logger.info(f"on {at(home)}, commit {commit[:12]}{' and what is not committed' if patch else ''}")
        if stage is None:
            try:
                dvc("pull", "--force", "--allow-missing", seconds=30, say=logger.info)
            except TemporaryError as error:
                logger.info(f"not all could be had ({error}), and is made here")
            state = run_all(logger)
            dvc("push", seconds=LOST_SECONDS, say=logger.info)
            text = Path("dvc.lock").read_text(encoding="utf-8")
        else:
            assert wanted is not None
            if needs:
                dvc("pull", "--force", *needs, seconds=LOST_SECONDS, say=logger.info)
            agree(wanted, home, stage)
            state = reproduce(stage, logger)
            dvc("push", stage, seconds=LOST_SECONDS, say=logger.info)
            text = json.dumps(entry_of(stage))
        ended = Completed(name=state, message=text)
    except (UserError, StageFailed) as error:
        later = isinstance(error, TemporaryError) or getattr(error, "temporary", False)
        ended = Failed(name=LATER if later else "Failed", message=str(error))
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        ended = Failed(message=f"{at(home)}: the disk is full; free some space there and run again")
    except BaseException:  # cancelled: leave nobody writing
        stop_children()
        raise
    wait_for_server()
    return ended
