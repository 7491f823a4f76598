"""The touch pins of an ESP32: a count that a finger makes smaller."""

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

PINS = (4, 0, 2, 15, 13, 12, 14, 27, 33, 32)
FREE, TOUCHED = 560, 75


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.touched: set[PinName] = set()
        self.operations = {"touch.new": self._new, "touch.read": self._read}

    def touch(self, name: PinName, touched: bool) -> None:
        """A finger comes to the pin, or leaves it."""
        (self.touched.add if touched else self.touched.discard)(name)
        self.board.changed()

    def _new(self, arguments: str) -> str:
        pin = self.board.gpio.of(arguments)
        if pin.name not in PINS:
            raise Refused("ValueError", "invalid pin for touchpad")
        self.board.gpio.claim(pin.name)
        return str(pin.name)

    def _read(self, arguments: str) -> str:
        self.board.poll(30)
        return str(TOUCHED if self.board.gpio.of(arguments).name in self.touched else FREE)
