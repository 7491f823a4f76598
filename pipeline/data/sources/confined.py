"""A process of its own for what decodes a stranger's data, with no more memory and disk than LIMITS.

A few kilobytes of git or Parquet can claim to unpack to gigabytes, singly or by deltas, dictionaries and nesting upon each other, and their
libraries set no bound. So no check of ours has to foresee how: the system refuses the memory, and that is one message.

It is started anew instead of forked, since collect's threads may hold locks, and by the path of this very package, since a queued run works
in a copy of the project.
"""

import contextlib
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pipeline
from pipeline.core.errors import UserError
from pipeline.core.stage import follow, own_environment

LIMITS = {resource.RLIMIT_DATA: 2 * 2**30, resource.RLIMIT_FSIZE: 2**30}
# What would take memory beside the work: an arena of the allocator for each thread, and libraries that `datasets` imports if it can
LEAN = {
    "MALLOC_ARENA_MAX": "2",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OPENBLAS_NUM_THREADS": "1",
    "USE_TORCH": "0",
    "USE_TF": "1",
    "USE_JAX": "0",
}
START = "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.data.sources.confined import serve; serve()"


def too_much(where: str) -> UserError:
    return UserError(
        f"{where}: unpacks to more than {LIMITS[resource.RLIMIT_DATA] // 2**30} GiB of memory: a bomb, or far too large"
    )


def out_of_memory(error: BaseException | None) -> bool:
    """Whether it began with that: what is closed on the way out may raise an error of its own."""
    return error is not None and (isinstance(error, MemoryError) or out_of_memory(error.__context__))


def serve() -> None:
    """Does what comes in, one piece of work after the other, till the other side hangs up; each gives (True, item) and so on, then
    (False, the UserError that ended it, or None)."""
    follow()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing too much is an error like others
    for what, most in LIMITS.items():
        resource.setrlimit(what, (most, most))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer

    def send(more: bool, item) -> None:
        pickle.dump((more, item), out)
        out.flush()

    while True:
        try:
            function, where, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            for item in function(where, *arguments):
                send(True, item)
            send(False, None)
        except UserError as error:
            send(False, error)
        except Exception as error:
            if not out_of_memory(error):
                raise
            send(False, too_much(where))


@contextlib.contextmanager
def confined(where: str) -> Generator[Callable]:
    """Yields `do(function, *arguments)`, which iterates over what the generator function(where, *arguments) yields in such a process.

    Raises the UserError that it raises, and one that names `where` when it needs too much or crashes.
    """
    root = Path(pipeline.__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", START, str(root)],
        env=own_environment() | LEAN,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin and child.stdout
        ask, answer = child.stdin, child.stdout

        def do(function: Callable, *arguments) -> Iterator:
            try:
                pickle.dump((function, where, arguments), ask)
                ask.flush()
                more, item = pickle.load(answer)
                while more:
                    yield item
                    more, item = pickle.load(answer)
            except (EOFError, BrokenPipeError, pickle.UnpicklingError):
                raise UserError(
                    f"{where}: reading it ended in a crash (status {child.wait()}): a bomb, or far too large"
                ) from None
            if item is not None:
                raise item

        try:
            yield do
        finally:
            child.kill()
