"""What DHT11 and DHT22 share: a sensor that measures no more often than it can, and else tells what it told before."""

from collections.abc import Callable

from pipeline.board.board import Board
from pipeline.board.boards import Pin

EARLY = (
    50_000  # microseconds: who asks every two seconds by the clock is a little early now and then, and no sensor minds
)


def connect(
    board: Board, pin: Pin, pause: int, measure: Callable[[int], bytes], plugged: Callable[[int], float]
) -> None:
    """`measure` gives the four bytes of a time; `pause` is in microseconds. It does not answer while it is not `plugged`."""
    last: list = [None, b""]

    def answer() -> bytes | None:
        if plugged(board.now) < 0.5:
            return None
        if last[0] is None or board.now - last[0] >= pause - EARLY:
            last[:] = [board.now, measure(board.now)]
        return last[1] + bytes([sum(last[1]) & 0xFF])

    board.dht.attach(pin, answer)
