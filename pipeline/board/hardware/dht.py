"""The one wire of DHT11 and DHT22: a start signal of the board, then 40 bits of the sensor. Answered as a whole, not bit by bit."""

from collections.abc import Callable

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

START, BITS = 268_000, 5_000        # microseconds: of the start signal as MicroPython gives it, and of the answer


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.sensors: dict[PinName, Callable[[], bytes]] = {}
        self.operations = {"dht.read": self._read}

    def attach(self, pin: PinName, sensor: Callable[[], bytes]) -> None:
        """Connects a sensor, called for its five bytes."""
        self.sensors[pin] = sensor

    def _read(self, arguments: str) -> str:
        pin = self.board.gpio.of(arguments).name
        self.board.gpio.claim(pin)
        sensor = self.sensors.get(pin)
        if sensor is None:
            self.board.sleep(START)
            raise Refused("OSError", "ETIMEDOUT")
        self.board.sleep(START + BITS)
        return sensor().hex()
