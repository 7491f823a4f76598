"""One way to show a long step: a tqdm bar where a person watches, a line now and then where a log is kept.

The flow runs stages behind a pipe and passes their bars on to its own terminal, so it says through ROBO_PROGRESS what is
at the other end, and through COLUMNS how wide that is. A bar that is wider than its terminal leaves a line behind at each update.
"""

import contextlib
import os
import shutil
import sys
import time

from tqdm import tqdm
from tqdm.utils import disp_len


def is_live() -> bool:
    return os.environ.get("ROBO_PROGRESS") == "live" or sys.stderr.isatty()


def columns() -> int:
    """How wide the terminal is that stderr stands on, or else what COLUMNS says, or else 80."""
    with contextlib.suppress(OSError, ValueError):
        if wide := os.get_terminal_size(sys.stderr.fileno()).columns:
            return wide
    return shutil.get_terminal_size().columns


class Bar(tqdm):
    """A tqdm that leaves out what does not fit, figure by figure from the last, where tqdm would cut one in two. The figures are the rate
    and the postfix, with ", " between them."""

    def __str__(self):
        said = self.format_dict
        figures = ["{rate_fmt}", *filter(None, (said["postfix"] or "").split(", "))]
        for kept in range(len(figures), -1, -1):
            end = "| {n_fmt}/{total_fmt} [" + ", ".join(["{elapsed}<{remaining}", *figures[:kept]]) + "]"
            if (
                not said["ncols"]
                or disp_len(self.format_meter(**{**said, "ncols": None, "bar_format": "{l_bar}" + end})) < said["ncols"]
            ):
                break
        return self.format_meter(**{**said, "bar_format": "{l_bar}{bar}" + end})


class LiveBar(Bar):
    """As wide as the terminal, also when that is made wider or narrower; its last column stays free, since some wrap there already."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options, ncols=columns() - 1)
        self.dynamic_ncols = lambda _: (columns() - 1, None)


class LogBar(Bar):
    """For logs: whole lines however long, the first after `mininterval` seconds and then one in as many."""

    def __init__(self, *args, **options):
        self.shown = time.monotonic()
        super().__init__(*args, **options, ncols=None)
        self.ncols = None  # tqdm finds one where stdout has a terminal

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
    common = dict(total=total, desc=what, unit=unit, unit_scale=True, **options)
    return LiveBar(mininterval=0.2, **common) if is_live() else LogBar(mininterval=10, maxinterval=10, **common)
