"""Measuring a pulse to the microsecond, by going from one thing that happens to the next."""

from pipeline.board.board import COST, Board
from pipeline.board.hardware.gpio import Pin

NEVER_BEGAN, NEVER_ENDED = "-2", "-1"


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.operations = {"pulse": self._pulse}

    def _wait(self, pin: Pin, level: int, timeout: int) -> bool:
        """Lets time pass until the pin has `level`; False after `timeout` microseconds."""
        until = self.board.now + timeout
        while pin.level() != level:
            if self.board.now >= until:
                return False
            following = self.board.next()
            self.board.advance(until if following is None else min(until, following))
        return True

    def _pulse(self, arguments: str) -> str:
        """PIN,level,timeout: the pulse's length in microseconds."""
        name, level, timeout = arguments.split(",")
        pin, level, timeout = self.board.gpio.regular(name), int(level), int(timeout)
        self.board.advance(self.board.now + COST)
        if not self._wait(pin, level, timeout):
            return NEVER_BEGAN
        start = self.board.now
        if not self._wait(pin, 1 - level, timeout):
            return NEVER_ENDED
        return str(self.board.now - start)
