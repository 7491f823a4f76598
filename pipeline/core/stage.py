"""The way into every stage: what `python -m pipeline.FOLDER.NAME` does around the stage's own main().

Three things that each stage would otherwise do in its own way: it sees just the keys that dvc.yaml lists for it, a user's
mistake ends in one message instead of a traceback, and it dies with the process that started it. The last one matters
most: a stage that outlives a killed `dvc` goes on writing while the next run starts a second writer.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.config import StageConfig, load
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import DISK_FULL

PR_SET_PDEATHSIG = 1
EX_TEMPFAIL = 75        # sysexits.h: the user is invited to try again


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Asks Linux to send us `signal_number` when our parent dies (prctl(2)); elsewhere there is nothing to ask."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:      # it died between the two lines above
            os.kill(os.getpid(), signal_number)


def run(name: str, main: Callable[[StageConfig], None], **arguments) -> None:
    """Runs main(config) as the stage `name` of dvc.yaml.

    Exits with one message on what a user can mend: with status 75 where trying again may help, else with 1.
    """
    die_with_parent()
    os.register_at_fork(after_in_child=die_with_parent)     # datasets' workers would wait for a dead stage for ever
    try:
        main(StageConfig(load(), name), **arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EX_TEMPFAIL if isinstance(error, TemporaryError) else 1)
    except FileNotFoundError as error:
        if error.filename is None or Path(error.filename).is_absolute():
            raise
        sys.exit(f"error: {error.filename}: no such file; the stages before {name} make it: run `dvc repro {name}`")
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        sys.exit(f"error: {error.filename or Path.cwd()}: the disk is full. Nothing unfinished was left there; "
                 "free some space and run again")
