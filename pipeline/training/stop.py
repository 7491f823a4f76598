"""SIGTERM, Ctrl-C, and SIGUSR1, by which a cluster warns of a job's end: one checkpoint at the next step's end, one message, a status
other than 0, and no output after that.

Lightning would leave in the middle of an accumulation, save nothing and end with status 0; and while it does not train, a signal
would end us in a traceback or be forgotten. So from the first line to the last output the signals are ours. What arrives while
nothing would be lost (imports, compiling, after a checkpoint, while outputs are written) ends the run there and then. What
arrives while there are steps that no checkpoint has waits for the end of the step. Further signals change nothing: the death of
a parent and a flow that stops its children send two.
"""

import multiprocessing
import signal
import sys

from pipeline.core.stage import EX_TEMPFAIL

WARNING = "SIGUSR1, which warns of its job's end,"
SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C", signal.SIGUSR1: WARNING}


class Stop:
    """Use as `with Stop() as stop`, in the main thread.

    Attributes: `deferred`, whether a signal must wait for `check`; `step`, the last one that a checkpoint has, or None; `quiet`,
    whether another process says the message.
    """

    def __init__(self):
        self.signal, self.deferred, self.step, self.quiet = None, False, None, False

    def __enter__(self) -> "Stop":
        self.before = {number: signal.getsignal(number) for number in SIGNALS}
        self.install()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        for loader in multiprocessing.active_children():  # none, but where we left while they were being started
            loader.kill()

    def install(self) -> None:
        """Takes the signals (back: Lightning puts its own handler before ours when fit begins)."""
        for number in SIGNALS:
            signal.signal(number, self.receive)

    def receive(self, number, frame) -> None:
        if self.signal is None:
            self.signal = SIGNALS[number]
            if not self.deferred:
                self.check()

    def check(self) -> None:
        """Leaves if a signal has come, by SystemExit. What swallowed one raised by `receive` meets it here again."""
        if self.signal:
            how = (
                f"at step {self.step}; run again to go on from there"
                if self.step
                else "before its first checkpoint; run again to start anew"
            )
            if not self.quiet:
                print(f"error: training was stopped by {self.signal} {how}", file=sys.stderr, flush=True)
            raise SystemExit(EX_TEMPFAIL if self.signal == WARNING else 1)
