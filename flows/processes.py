"""Child processes that end with us, whoever ends us.

Each leads a process group of its own. So Ctrl-C reaches only us, and we stop group by group, which leaves no grandchild; and where
we are killed outright, Linux sends each child the signal it was started with. What a child prints goes to a log file that cannot grow
for ever, and where asked line by line to our terminal too.
"""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import takewhile
from logging import INFO, LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from pipeline.core.errors import UserError
from pipeline.core.stage import die_with_parent

STOP_SECONDS = 20
LOG_BYTES = 10_000_000  # of one log file; the one before it is kept
LAST_LINES = 200  # of what a child said, among which the reason of its end is sought
# How Python says what ended it; Prefect and uvicorn go on talking after that, a screenful at times.
REASON = re.compile(r"([\w.]+\.)?\w*(Error|Exception|Exit|error)\b")
RESTARTS, WITHIN = 5, 300  # a child that dies more often within so many seconds will not get well by itself

_lock = threading.Lock()


def own_umask() -> int:
    """Of this process; there is no way to ask but to set another."""
    found = os.umask(0o077)
    os.umask(found)
    return found


# What children get, as it was before any thread ran: DVC's Repo() and MLflow's store set it to 0 for a moment, and a child that another
# thread starts in that moment would write files for the whole world to change.
UMASK = own_umask()


@dataclass
class Child:
    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    health: str = ""  # URL that answers 200 when it is ready; empty: no one needs to wait for it
    shown: bool = False  # its lines stand on our terminal too
    orphaned: signal.Signals = signal.SIGTERM  # what Linux sends it when we are gone
    holds: IO | None = None  # an open lock file that stays locked as long as it lives
    process: subprocess.Popen | None = None
    pump: threading.Thread | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))  # since it was started
    ready: bool = False
    deaths: list[float] = field(default_factory=list)

    @property
    def running(self) -> subprocess.Popen:
        """Its process, of a child that was started."""
        assert self.process, self.name
        return self.process

    def hear_out(self) -> None:
        """Waits until its last lines were read, for a moment."""
        if self.pump:
            self.pump.join(2)


def say(text: str, name: str = "robo") -> None:
    """One line on the terminal, with the time where no journal adds it."""
    clock = f"{time.strftime('%H:%M:%S')} " if sys.stdout.isatty() else ""
    with _lock, contextlib.suppress(OSError):  # nobody reads it any more
        print(f"{clock}{name:<10} | {text}", flush=True)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def pass_on(child: Child, stream: IO) -> None:
    child.log.parent.mkdir(parents=True, exist_ok=True)
    file = RotatingFileHandler(child.log, maxBytes=LOG_BYTES, backupCount=1)
    file.handleError = lambda record: None  # a full disk must not stop the one whose lines these are
    for line in stream:
        text = line.decode(errors="replace").rstrip()
        file.emit(LogRecord(child.name, INFO, "", 0, text, (), None))
        child.said.append(text)
        if child.shown and text:
            say(text, child.name)
    file.close()


def start(child: Child) -> None:
    """Must be called by the main thread: Linux counts a child's parent as dead when the thread that started it ends."""
    descriptors = (child.holds.fileno(),) if child.holds else ()
    child.said.clear()
    child.process = subprocess.Popen(
        child.command,
        env=child.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=descriptors,
        umask=UMASK,
        preexec_fn=lambda: die_with_parent(child.orphaned),
    )
    child.pump = threading.Thread(target=pass_on, args=(child, child.process.stdout), daemon=True)
    child.pump.start()
    child.ready = not child.health


def is_alive(child: Child) -> bool:
    """Whether any process of the child's group is left."""
    child.running.poll()  # takes note of its end, or it would stay in the group as a zombie
    try:
        os.killpg(child.running.pid, 0)
        return True
    except ProcessLookupError:
        return False


def wait_until_gone(children: list[Child], seconds: float) -> None:
    """A limit there must be: in a container whose first process reaps nobody, the dead stay in their group."""
    until = time.monotonic() + seconds
    while any([is_alive(child) for child in children]) and time.monotonic() < until:
        time.sleep(0.1)


def stop(children: list[Child]) -> None:
    """Ends every child with all its descendants, politely first."""
    for kind, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.running.pid, kind)
        wait_until_gone(children, patience)
    for child in children:
        child.hear_out()


def reason(said: list[str]) -> str:
    """The last error that these lines tell of, with the lines that belong to it; the last line where they tell of none."""
    last = max((number for number, line in enumerate(said) if REASON.match(line)), default=None)
    if last is None:
        return next((line for line in reversed(said) if line), "(nothing)")
    return " ".join(" ".join(takewhile(bool, said[last:])).split())[:500]


def why_ended(child: Child) -> str:
    status = child.running.returncode
    child.hear_out()
    said = list(child.said)[-1 if status < 0 else 0 :]  # killed, it had no time to say why
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{child.name} {how}; its log {child.log} says: {reason(said)}"


def check(children: list[Child]) -> None:
    """Raises UserError when a child has ended."""
    for child in children:
        if child.running.poll() is not None:
            raise UserError(why_ended(child))


def wait_until_ready(children: list[Child], seconds: float) -> None:
    """Raises UserError when a child ends or does not answer in time."""
    until = time.monotonic() + seconds
    while not all(child.ready for child in children):
        check(children)
        for child in children:
            child.ready = child.ready or answers(child.health)
        if time.monotonic() > until:
            late = [child for child in children if not child.ready]
            raise UserError(
                "\n".join(f"{child.name} did not answer in {seconds} s; its log is {child.log}" for child in late)
            )
        time.sleep(0.1)


def watch(children: list[Child]) -> None:
    """Starts again each child that ends, with all its descendants gone first, for ever.

    Better than ending with it: a training of hours need not die because a page did. Raises UserError when one ends too often.
    """
    while True:
        for child in children:
            if child.running.poll() is not None:
                said = why_ended(child)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.running.pid, signal.SIGKILL)
                now = time.monotonic()
                child.deaths = [death for death in child.deaths if death > now - WITHIN] + [now]
                if len(child.deaths) > RESTARTS:
                    raise UserError(
                        f"{said}\nThat was the {len(child.deaths)}th time in {WITHIN} s, so everything ends"
                    )
                say(f"{said}. It is started again")
                wait_until_gone([child], STOP_SECONDS)
                time.sleep(len(child.deaths) ** 2 / 5)
                start(child)
            elif not child.ready and answers(child.health):
                child.ready = True
                say(f"{child.name} is there again")
        time.sleep(0.3)


@contextlib.contextmanager
def foreground(children: list[Child]) -> Generator[None]:
    """Turns Ctrl-C and SIGTERM inside the block into its end, and stops everything in `children` when it ends, however it does:
    the last one started first, so that who reports to a server still can."""

    def leave(*_):
        raise KeyboardInterrupt

    kinds = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        kinds.append(signal.SIGHUP)
    before = {kind: signal.signal(kind, leave) for kind in kinds}
    try:
        yield
    except KeyboardInterrupt:
        say("stops")
    finally:
        for kind in before:  # an impatient second Ctrl-C must not leave anything running
            signal.signal(kind, signal.SIG_IGN)
        started = [child for child in children if child.process]
        stop([child for child in started if not child.health])
        stop([child for child in started if child.health])
        for kind, handler in before.items():
            signal.signal(kind, handler)


def locked(path: Path) -> IO | None:
    """Opens and locks a file for as long as it stays open, in us or in a child that holds it; None where somebody else has it.

    The system lets go of it when the last holder ends, however that ends, so it tells for certain whether one lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (it stays open)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except BlockingIOError:
        file.close()
        return None
