"""What DHT11 and DHT22 share: a sensor that measures no more often than it can, and else tells what it told before."""

from collections.abc import Callable

from pipeline.board.board import Board
from pipeline.board.boards import Pin


def connect(board: Board, pin: Pin, pause: int, measure: Callable[[int], bytes]) -> None:
    """`measure` gives the four bytes of a time; `pause` is in microseconds."""
    last: list = [None, b""]

    def answer() -> bytes:
        if last[0] is None or board.now - last[0] >= pause:
            last[:] = [board.now, measure(board.now)]
        return last[1] + bytes([sum(last[1]) & 0xFF])

    board.dht.attach(pin, answer)
