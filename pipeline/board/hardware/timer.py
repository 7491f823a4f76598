"""What runs by the clock: timers, the calendar, the watchdog. Logged: ("watchdog", "feed" or "bite", None)."""

from pipeline.board.board import Board
from pipeline.board.wasi import Stop

MICRO = 1_000_000


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.timers: dict[str, int] = {}        # number -> which of its settings is the living one
        self.shift = 0                          # of the calendar, microseconds
        self.fed = 0
        self.operations = {"timer": self._timer, "timer.off": self._off, "rtc": self._rtc, "rtc.set": self._set, "wdt": self._watchdog,
                           "wdt.feed": self._feed}
        self.patience: int | None = None

    def _timer(self, arguments: str) -> None:
        """NUMBER,microseconds,1 for periodic."""
        number, period, periodic = arguments.split(",")
        generation = self.timers[number] = self.timers.get(number, 0) + 1
        period = max(1, int(period))
        start = self.board.now

        def fires(turn: int = 1) -> None:
            if self.timers.get(number) == generation:
                self.board.interrupt(f"timer{number}")
                if periodic == "1":
                    self.board.at(start + (turn + 1) * period, lambda: fires(turn + 1))
        self.board.at(start + period, fires)

    def _off(self, number: str) -> None:
        self.timers[number] = self.timers.get(number, 0) + 1

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

    def _watchdog(self, arguments: str) -> None:
        self.patience = int(arguments) * 1000
        self._look()

    def _look(self) -> None:
        """Bites if nobody has fed it by then."""
        fed = self.fed = self.board.now

        def bites() -> None:
            if self.fed == fed:
                self.board.note("watchdog", "bite", None)
                raise Stop("the watchdog was not fed and reset the board")
        self.board.after(self.patience, bites)

    def _feed(self, _: str) -> None:
        self.board.advance(self.board.now + 2)
        self.board.note("watchdog", "feed", None)
        if self.patience is not None:
            self._look()
