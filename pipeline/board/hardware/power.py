"""Sleeping, resetting, and what the processor says of itself. Logged: ("sleep", "deep" or "light", milliseconds or None), ("reset", "", None)."""

from pipeline.board.board import Board
from pipeline.board.wasi import Stop

RESET, DEEP_SLEEP = "it reset the board", "it went into deep sleep"     # ends that a program may well mean


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.operations = {"sleep.light": self._light, "sleep.deep": self._deep, "reset": self._reset, "irq.on": self._on}

    def _light(self, milliseconds: str) -> None:
        self.board.note("sleep", "light", int(milliseconds))
        self.board.sleep(int(milliseconds) * 1000)

    def _deep(self, milliseconds: str) -> None:
        self.board.note("sleep", "deep", int(milliseconds) if milliseconds else None)
        raise Stop(DEEP_SLEEP)

    def _reset(self, _: str) -> None:
        self.board.note("reset", "", None)
        raise Stop(RESET)

    def _on(self, arguments: str) -> None:
        self.board.interrupts_on = arguments == "1"
