"""What runs by the clock: timers, the calendar, the watchdog. Logged: ("watchdog", "start", its milliseconds), and "feed", of which one in a
millisecond, and "bite" with None; ("memory", "rtc", bytes) that the clock's memory is given to keep."""

from pipeline.board.board import Board, Refused
from pipeline.board.wasi import Stop

MICRO = 1_000_000
OLD_NEWS = 1_000  # microseconds after a feed in which another one is not logged
BITTEN = "the watchdog was not fed and reset the board"


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.timers: dict[str, int] = {}  # name -> which of its settings is the living one
        self.started: dict[str, int] = {}
        self.shift = 0  # of the calendar, microseconds
        self.memory = ""  # of the ESP32's clock, as hex
        self.patience = self.fed = 0  # of the watchdog, microseconds
        self.told = -OLD_NEWS
        self.operations = {
            "timer": self._timer,
            "timer.off": self._off,
            "timer.value": self._value,
            "schedule": lambda _: board.interrupt("schedule"),
            "rtc": self._rtc,
            "rtc.set": self._set,
            "rtc.memory": self._memory,
            "wdt": self._watchdog,
            "wdt.feed": self._feed,
        }

    # --- timers -------------------------------------------------------------------------------------------------------

    def _timer(self, arguments: str) -> None:
        """NAME,microseconds,1 for periodic."""
        name, period, periodic = arguments.split(",")
        period, start = int(period), self.board.now
        if period < 1 and self.board.spec.port == "esp32":
            raise Refused("ValueError", "Timer period is too short for this timer")
        period = max(1, period)
        self._off(name)
        generation = self.timers[name]
        self.started[name] = start

        def fires(turn: int) -> None:
            if self.timers[name] == generation:
                self.board.interrupt(f"timer{name}")
                self.started[name] = self.board.now
                if periodic == "1":
                    self.board.at(start + (turn + 1) * period, lambda: fires(turn + 1))

        self.board.at(start + period, lambda: fires(1))
        self.board.advance(start + 2)

    def _off(self, name: str) -> None:
        self.timers[name] = self.timers.get(name, 0) + 1

    def _value(self, name: str) -> str:
        """Milliseconds since it last fired or was started."""
        self.board.poll()
        return str((self.board.now - self.started.get(name, self.board.now)) // 1000)

    # --- the calendar -------------------------------------------------------------------------------------------------

    def epoch(self) -> int:
        """The calendar, microseconds since 1970."""
        return self.board.spec.epoch * MICRO + self.board.now + self.shift

    def set_epoch(self, microseconds: int) -> None:
        self.shift += microseconds - self.epoch()
        self.board.changed()

    def _rtc(self, _: str) -> str:
        self.board.poll()
        return str(self.epoch())

    def _set(self, arguments: str) -> None:
        self.set_epoch(int(arguments))

    def _memory(self, arguments: str) -> str | None:
        """`=` and what is to be kept, as hex; nothing asks for it."""
        if not arguments:
            return self.memory
        if len(arguments) > 1 + 2 * 2048:
            raise Refused("ValueError", "buffer too long")
        data = bytes.fromhex(arguments[1:])
        self.memory = data.hex()
        self.board.note("memory", "rtc", data)
        return None

    # --- the watchdog -------------------------------------------------------------------------------------------------

    def _watchdog(self, arguments: str) -> None:
        """ID,milliseconds"""
        number, patience = map(int, arguments.split(","))
        rp2 = self.board.spec.port == "rp2"
        if number:
            raise Refused("ValueError", f"WDT({number}) doesn't exist" if rp2 else "")
        if rp2 and not 0 <= patience <= 8388:
            raise Refused("ValueError", "timeout exceeds 8388")
        if not rp2 and patience <= 0:
            raise Refused("ValueError", "WDT timeout too short")
        self.patience = patience * 1000
        self.board.note("watchdog", "start", patience)
        self._look()

    def _look(self) -> None:
        """Bites if nobody feeds it in time."""
        fed = self.fed = self.fed + 1

        def bites() -> None:
            if self.fed == fed:
                self.board.note("watchdog", "bite", None)
                raise Stop(BITTEN)

        self.board.after(self.patience, bites)

    def _feed(self, _: str) -> None:
        self.board.poll()
        if self.board.now - self.told >= OLD_NEWS:
            self.told = self.board.now
            self.board.note("watchdog", "feed", None, news=False)
        self._look()
