"""The way into every stage: what `python -m pipeline.FOLDER.NAME` does around the stage's own main().

Three things that each stage would otherwise do in its own way: it sees just the keys that dvc.yaml lists for it, a user's
mistake or Ctrl-C ends in one message instead of a traceback, and it dies with the process that started it. The last one matters
most: a stage that outlives a killed `dvc` goes on writing while the next run starts a second writer.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.config import StageConfig, load
from pipeline.core.environment import nobody_reads, prepare
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import DISK_FULL

PR_SET_PDEATHSIG = 1
EX_TEMPFAIL = 75  # sysexits.h: the user is invited to try again
INTERRUPTED = 128 + signal.SIGINT  # as shells say it
SAFE_PATH = "PYTHONSAFEPATH"  # Python does not look for modules where it is started; pipeline/__init__.py says why


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Asks Linux to send us `signal_number` when our parent dies (prctl(2)); elsewhere there is nothing to ask."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # it died between the two lines above
            os.kill(os.getpid(), signal_number)


def own_environment() -> dict[str, str]:
    """For a child that runs a module of this project, which has to be found where it is started."""
    return {key: value for key, value in os.environ.items() if key != SAFE_PATH}


def follow() -> None:
    """In every child of a stage: it ends when the stage does, and Ctrl-C, which a terminal sends to both, is the stage's to answer."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C began it: datasets raises an error of its own out of a wait that was interrupted."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or interrupted(error.__context__))


def explain(name: str, error: BaseException) -> tuple[str, int] | None:
    """(message, exit status) of what a user can mend or has done, else None."""
    if interrupted(error):
        return f"{name} was stopped by Ctrl-C; run again to start it anew", INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return f"{name}: nobody reads any more what it says, so it ends; run again to start it anew", nobody_reads()
    if isinstance(error, UserError):
        return str(error), EX_TEMPFAIL if isinstance(error, TemporaryError) else 1
    if isinstance(error, FileNotFoundError) and error.filename is not None and not Path(error.filename).is_absolute():
        return f"{error.filename}: no such file; the stages before {name} make it: run `dvc repro {name}`", 1
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return (
            f"{error.filename or Path.cwd()}: the disk is full. Nothing unfinished was left there; free some space and run again",
            1,
        )
    return None


def run(name: str, main: Callable[..., None], **arguments) -> None:
    """Runs main(config) as the stage `name` of dvc.yaml.

    Exits with one message on what a user can mend: with status 75 where trying again may help, 130 after Ctrl-C, else with 1.
    """
    die_with_parent()
    prepare()
    os.environ[SAFE_PATH] = "1"  # for the children of libraries: multiprocessing's, the compiler's
    os.register_at_fork(after_in_child=follow)  # datasets' workers would wait for a dead stage for ever
    try:
        main(StageConfig(load(), name), **arguments)
        sys.stdout.flush()
    except BaseException as error:
        if (explained := explain(name, error)) is None:
            raise
        print(f"error: {explained[0]}", file=sys.stderr)
        sys.exit(explained[1])
