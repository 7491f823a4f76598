"""One way to show a long step: a tqdm bar where a person watches, a line now and then where a log is kept.

The flow runs stages behind a pipe and passes their bars on to its own terminal, so it says through ROBO_PROGRESS what is
at the other end.
"""

import os
import sys
import time

from tqdm import tqdm


def is_live() -> bool:
    return os.environ.get("ROBO_PROGRESS") == "live" or sys.stderr.isatty()


class LogBar(tqdm):
    """A tqdm for logs: whole lines, the first after `mininterval` seconds and then one in as many."""

    def __init__(self, *args, **options):
        self.shown = time.monotonic()
        super().__init__(*args, **options)

    def display(self, msg=None, pos=None):
        now = time.monotonic()
        if now - self.shown >= self.mininterval:
            print(str(self).rstrip(), file=sys.stderr, flush=True)
            self.shown = now

    def close(self):
        self.leave = False
        super().close()


def bar(total: int | None, what: str, unit: str, **options) -> tqdm:
    """A progress bar with time left over `total` units; see tqdm for the options."""
    common = dict(total=total, desc=what, unit=unit, unit_scale=True, dynamic_ncols=False, ncols=110, **options)
    return tqdm(mininterval=0.2, **common) if is_live() else LogBar(mininterval=10, maxinterval=10, **common)
