"""On what machine a benchmark ran, and whether it had the machine for itself: said before and after the figures of each.

Two things that are timed in turns suffer alike from other work, but not equally: whoever has more threads waits longer for one that was taken
away. So a ratio is a result only where next to nothing else ran.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

QUIET = 0.05  # share of the processors that others may take: less than what a turn differs from the next
SIDE, TURNS = 1024, 5


def name() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else "unknown processor"


def product() -> float:
    """GFLOP/s of a product of float32 matrices on all cores, the best of some: what the clock allows at this moment."""
    left, right = np.random.default_rng(0).random((2, SIDE, SIDE), dtype=np.float32)
    best = np.inf
    for _ in range(TURNS):
        began = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best / 1e9


def busy() -> float:
    """Seconds that the processors have worked, and that a host has taken from them (`steal`)."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def own() -> float:
    """Seconds of a processor that this process took, with all that it started."""
    total = 0.0
    for process in (me := psutil.Process(), *me.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])  # user and system, its own and of those that it waited for
        except psutil.NoSuchProcess:
            continue
    return total


class Watch:
    """From its making on."""

    def __init__(self) -> None:
        self.began, self.busy, self.own = time.perf_counter(), busy(), own()

    def others(self) -> float:
        """Processors that other work took, on average."""
        return max(0.0, busy() - self.busy - own() + self.own) / (time.perf_counter() - self.began)

    @property
    def quiet(self) -> bool:
        return self.others() <= QUIET * psutil.cpu_count()

    def ratio(self, value: float, digits: int = 2) -> str:
        """The ratio as a table has it: one that was measured beside other work is no result, and not shown as one."""
        return f"{value:.{digits}f}" if self.quiet else f"no result ({value:.{digits}f})"


@contextmanager
def watched() -> Iterator[Watch]:
    """Prints the machine, and at the end what else ran on it meanwhile."""
    cores = psutil.cpu_count()
    print(
        f"{name()}, {cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB; load {os.getloadavg()[0]:.1f}; "
        f"a product of matrices does {product():.0f} GFLOP/s\n",
        flush=True,
    )
    watch = Watch()
    yield watch
    others, quiet = watch.others(), watch.quiet
    print(
        f"Other work took {others:.2f} of {cores} cores meanwhile; the product now does {product():.0f} GFLOP/s.",
        flush=True,
    )
    if not quiet:
        print(
            f"That is more than {QUIET:.0%}: no ratio above is a result. Run it again when the machine is quiet.",
            flush=True,
        )
