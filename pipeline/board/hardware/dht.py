"""The one wire of DHT11 and DHT22: a start signal of the board, then 40 bits of the sensor. Answered as a whole, not bit by bit."""

from collections.abc import Callable

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

START, BITS = 268_000, 5_000  # microseconds: of the start signal as MicroPython gives it, and of the answer


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.sensors: dict[PinName, Callable[[], bytes | None]] = {}
        self.operations = {"dht.read": self._read}

    def attach(self, pin: PinName, sensor: Callable[[], bytes | None]) -> None:
        """Connects a sensor, called for its five bytes, or None where it does not answer."""
        self.sensors[pin] = sensor

    def _read(self, arguments: str) -> str:
        pin = self.board.gpio.of(arguments).name
        self.board.gpio.claim(pin)
        answer = self.sensors[pin]() if pin in self.sensors else None
        self.board.sleep(START + BITS if answer else START)
        if answer is None:
            raise Refused("OSError", "ETIMEDOUT")
        return answer.hex()
