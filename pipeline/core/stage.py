"""The way into every stage: what `python -m pipeline.NAME` does around the stage's own main().

Three things that each stage would otherwise do in its own way: it sees just the keys that dvc.yaml lists for it, a user's
mistake ends in one message instead of a traceback, and it dies with the process that started it. The last one matters
most: a stage that outlives a killed `dvc` goes on writing while the next run starts a second writer.
"""

import ctypes
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.config import StageConfig, load
from pipeline.core.errors import UserError

PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Asks Linux to send us `signal_number` when our parent dies (prctl(2)); elsewhere there is nothing to ask."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:      # it died between the two lines above
            os.kill(os.getpid(), signal_number)


def run(name: str, main: Callable[[StageConfig], None], **arguments) -> None:
    """Runs main(config) as the stage `name` of dvc.yaml; exits 1 with one message on what a user can mend."""
    die_with_parent()
    try:
        config = StageConfig(load(), name)
        main(config, **arguments)
        # The test that holds dvc.yaml against what the code reads asks for this record.
        if record := os.environ.get("ROBO_RECORD_READS"):
            Path(record).write_text(json.dumps(sorted(config.read)))
    except UserError as error:
        sys.exit(f"error: {error}")
    except FileNotFoundError as error:
        if error.filename is None or Path(error.filename).is_absolute():
            raise
        sys.exit(f"error: {error.filename}: no such file; the stages before {name} make it: run `dvc repro {name}`")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"error: {error.filename or Path.cwd()}: the disk is full. Nothing unfinished was left there; "
                 "free some space and run again")
