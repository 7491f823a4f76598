"""Addressable lights (WS2812). Logged: ("pixels", pin, the colours, each (red, green, blue) or with white)."""

from pipeline.board.board import Board

BIT = 1.25      # microseconds


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.operations = {"pixels": self._pixels}

    def _pixels(self, arguments: str) -> None:
        """PIN,bytes a pixel,hex as it goes over the wire: green first."""
        name, width, data = arguments.split(",")
        raw, width = bytes.fromhex(data), int(width)
        pin = self.board.gpio.of(name)
        colours = tuple((raw[n + 1], raw[n], *raw[n + 2:n + width]) for n in range(0, len(raw) - width + 1, width))
        self.board.advance(self.board.now + round(len(raw) * 8 * BIT) + 50)
        self.board.note("pixels", pin.name, colours)
