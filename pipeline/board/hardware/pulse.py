"""Measuring a pulse to the microsecond, by going from one thing that happens to the next."""

from pipeline.board.board import Board

STEP = 1_000_000


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.operations = {"pulse": self._pulse}

    def _wait(self, pin, level: int, timeout: int) -> bool:
        """Lets time pass until the pin has `level`; False after `timeout` microseconds."""
        until = self.board.now + timeout
        while pin.level() != level:
            if self.board.now >= until:
                return False
            self.board.advance(min(until, self.board.next() or until))
        return True

    def _pulse(self, arguments: str) -> str:
        """PIN,level,timeout: the pulse's microseconds; -2 where none began, -1 where it did not end."""
        name, level, timeout = arguments.split(",")
        pin, level, timeout = self.board.gpio.of(name), int(level), int(timeout)
        self.board.advance(self.board.now + 2)
        if not self._wait(pin, level, timeout):
            return "-2"
        start = self.board.now
        if not self._wait(pin, 1 - level, timeout):
            return "-1"
        return str(self.board.now - start)
