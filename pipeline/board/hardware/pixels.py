"""Addressable lights (WS2812). Logged: ("pixels", pin, the colours, each (red, green, blue) or with white at the end)."""

from pipeline.board.board import Board

BIT = 1.25  # microseconds
RESET = 50


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.operations = {"pixels": self._pixels}

    def _pixels(self, arguments: str) -> None:
        """PIN,order,bytes in hex; the order of the colours on the wire, such as grb or grbw. A light takes no half of a colour."""
        name, order, data = arguments.split(",")
        raw, width = bytes.fromhex(data), len(order)
        pin = self.board.gpio.regular(name)
        places = [order.index(colour) for colour in "rgbw"[:width]]
        colours = tuple(
            tuple(raw[start + place] for place in places) for start in range(0, len(raw) - width + 1, width)
        )
        self.board.advance(self.board.now + round(len(raw) * 8 * BIT) + RESET)
        self.board.note("pixels", pin.name, colours)
