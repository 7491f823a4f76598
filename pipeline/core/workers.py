"""The same work on many things, in as many processes as there are cores, in their order."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from pipeline.core.stage import follow

WORKERS = min(os.cpu_count() or 1, 8)


def each(work: Callable, items: Iterable, workers: int = WORKERS) -> Iterator:
    """work(item) of each item in their order, done in `workers` processes.

    What went wrong in one is raised here, and the rest is left undone.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), initializer=follow)
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
