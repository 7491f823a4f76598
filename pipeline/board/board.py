"""The board: a clock that only moves when the program asks something of the hardware, a queue of what happens when, and a log of it all.

The program runs in the sandbox and holds no state of the hardware: each of its calls comes here as an operation with arguments, both text.
So what the log says happened, whatever the program did to its own modules. Time is virtual: a sleep costs nothing, and each other call a
microsecond or two, as on a real board. A program that polls in a loop asks a hundred thousand times a second; the longer nothing
changes, the larger steps the clock takes for a question (a thirty-second part of the wait), but never past the next thing that happens, so that
no edge is missed or late.

Interrupts are delivered between two of the program's calls: the answer then is the interrupt's number, and the firmware asks again.
"""

import heapq
import importlib
import pkgutil
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.board import hardware
from pipeline.board.boards import BoardSpec
from pipeline.board.wasi import Stop

if TYPE_CHECKING:
    from pipeline.board.hardware import adc, dht, gpio, i2c, network, pwm, sockets, timer

MAX_EVENTS = 50_000
MAX_HAPPENINGS = 200_000  # of the queue: timers' ticks and what devices do
MAX_LACKS = 100
COST = 2  # microseconds that a call takes
POLL_SHARE = 5  # a poll's step is the wait so far / 2**5 ...
POLL_MAX = 5_000  # ... but no longer, microseconds
TIME_IS_UP = "time is up"


class Event(NamedTuple):
    """One line of the log."""

    time: int  # microseconds since the start
    what: str  # "pin", "pwm", "print", ...; each peripheral says in its module what it logs
    where: Any  # pin, bus or name
    value: Any


class Refused(Exception):
    """The hardware refuses, as the real one does: becomes the Python exception `kind` in the program."""

    def __init__(self, kind: str, text: str | int):
        super().__init__(f"!{kind}:{text}")


@cache
def peripherals() -> list[tuple[str, type]]:
    names = [module.name for module in pkgutil.iter_modules(hardware.__path__)]
    return [(name, importlib.import_module(f"{hardware.__name__}.{name}").Peripheral) for name in names]


class Board:
    """The hardware of one run. Attributes: spec, now (microseconds), log, and each peripheral under its module's name."""

    adc: "adc.Peripheral"  # those that other modules ask
    dht: "dht.Peripheral"
    gpio: "gpio.Peripheral"
    i2c: "i2c.Peripheral"
    network: "network.Peripheral"
    pwm: "pwm.Peripheral"
    sockets: "sockets.Peripheral"
    timer: "timer.Peripheral"

    def __init__(self, spec: BoardSpec, seconds: float):
        self.spec, self.now, self.end = spec, 0, round(seconds * 1_000_000)
        self.log: list[Event] = []
        self.quiet_since = 0  # when something last happened that a polling program may wait for
        self.ended: int | None = None  # when the program was through
        self.lacks: list[str] = []  # names that the simulation does not have yet, in the order of their use
        self._queue: list[tuple[int, int, Callable[[], object]]] = []
        self._number = self._happened = 0
        self._pending: deque[str] = deque()
        self._handling = False
        self._kept: tuple[str, int] = ("", 0)
        self._wake = 0
        self._line = bytearray()
        self.interrupts_on = True
        self.operations: dict[str, Callable[[str], str | None]] = {
            "tick": lambda _: self.poll(),
            "sleep": self._sleep,
            "ended": self._ended,
            "failed": self._failed,
            "lacks": self._lacks,
        }
        for name, kind in peripherals():
            part = kind(self)
            setattr(self, name, part)
            self.operations |= part.operations

    # --- time ---------------------------------------------------------------------------------------------------------

    def at(self, time: int, happens: Callable[[], object]) -> None:
        """Calls `happens` when the clock reaches `time`; what stands for the same moment happens in the order in which it was said."""
        self._number += 1
        heapq.heappush(self._queue, (max(time, self.now), self._number, happens))

    def after(self, microseconds: int, happens: Callable[[], object]) -> None:
        self.at(self.now + microseconds, happens)

    def advance(self, until: int, break_off: bool = False) -> None:
        """Moves the clock to `until` and lets happen what is due; with `break_off` only to the first interrupt. Raises Stop at the end."""
        while self._queue and self._queue[0][0] <= min(until, self.end):
            self._happened += 1
            if self._happened > MAX_HAPPENINGS:
                raise Stop(f"timers and devices did more than {MAX_HAPPENINGS:,} things")
            self.now, _, happens = heapq.heappop(self._queue)
            happens()
            if break_off and self._pending and self._can_interrupt():
                return
        if until > self.end:
            self.now = self.end
            raise Stop(TIME_IS_UP)
        self.now = max(self.now, until)

    def next(self) -> int | None:
        """When the next thing happens; None where nothing stands in the queue."""
        return self._queue[0][0] if self._queue else None

    def poll(self, cost: int = COST) -> None:
        """The time of a question; see above for why it grows."""
        step = (self.now - self.quiet_since) >> POLL_SHARE
        step = cost if step < cost else min(step, POLL_MAX)
        until = self.now + step
        if until <= self.end and (not self._queue or self._queue[0][0] > until):
            self.now = until  # nothing is due, as nearly always: the quick way
            return
        if step > cost and self._queue:
            step = max(cost, min(step, self._queue[0][0] - self.now))
        self.advance(self.now + step)

    def changed(self) -> None:
        """Something happened that a program may be polling for."""
        self.quiet_since = self.now

    # --- the log ------------------------------------------------------------------------------------------------------

    def note(self, what: str, where: Any, value: Any, news: bool = True) -> None:
        """Logs that something happened. No `news` is what the program does over and over, such as the steps of a fade: nobody waits for it,
        so a poll's steps go on growing."""
        self.log.append(Event(self.now, what, where, value))
        if news:
            self.quiet_since = self.now
        if len(self.log) > MAX_EVENTS:
            raise Stop(f"more than {MAX_EVENTS:,} things happened")

    def printed(self, data: bytes) -> None:
        """Output, which is logged in whole lines."""
        self._line += data
        if b"\n" not in data:
            return
        *lines, self._line = self._line.split(b"\n")
        for line in lines:
            self.note("print", "", line.rstrip(b"\r").decode("utf-8", "replace"))

    def end_of_output(self) -> None:
        if self._line:
            self.log.append(Event(self.now, "print", "", self._line.rstrip(b"\r").decode("utf-8", "replace")))

    # --- the program's calls ------------------------------------------------------------------------------------------

    def interrupt(self, number: str) -> None:
        """Asks for the handler that the firmware listens with under `number`. One that already waits is not doubled, as on a real board."""
        if number not in self._pending:
            self._pending.append(number)

    def _can_interrupt(self) -> bool:
        return self.interrupts_on and not self._handling

    def call(self, operation: str, arguments: str) -> str:
        """Answers one call of the firmware."""
        if operation == ".":
            self._handling = False
            answer, self._wake = self._kept
        else:
            try:
                answer = self.operations[operation](arguments) or ""
            except Refused as refusal:
                answer = str(refusal)
            except Stop:
                raise
            except Exception as error:  # a program that talks to the hardware past the firmware can hand over anything
                answer = f"!ValueError:the board does not understand {operation[:40]!r}: {type(error).__name__}"
        while self.now < self._wake and not (self._pending and self._can_interrupt()):
            self.advance(self._wake, break_off=True)
        if self._pending and self._can_interrupt():
            self._handling, self._kept = True, (answer, self._wake)
            self.quiet_since = self.now
            self._wake = 0
            return f"#{self._pending.popleft()}"
        return answer

    def clock(self) -> int:
        """What the program reads as its clock, microseconds."""
        self.poll(1)
        return self.now

    def epoch(self) -> int:
        """What the program reads as the calendar, microseconds since 1970."""
        self.poll(1)
        return self.timer.epoch()

    def sleep(self, microseconds: int) -> None:
        """Ends the call that asks for it after `microseconds`."""
        self._wake = self.now + microseconds
        self.quiet_since = self._wake

    def _sleep(self, arguments: str) -> None:
        self.sleep(int(arguments))

    def _ended(self, _: str) -> None:
        self.ended = self.now if self.ended is None else self.ended
        self.sleep(self.end - self.now + 1)

    def _failed(self, _: str) -> None:
        self.note("error", "", None)

    def _lacks(self, name: str) -> None:
        name = name[:100]
        if name not in self.lacks and len(self.lacks) < MAX_LACKS:
            self.lacks.append(name)
        raise Refused("NotImplementedError", f"the simulated board has no {name} yet")
