"""LM35: 10 mV a degree Celsius (data sheet, Texas Instruments)."""

from pipeline.board.devices import Signal
from pipeline.board.devices._analog import Analog, put


class Lm35(Analog):
    celsius: Signal

    def attach(self, board):
        put(board, self.pin, self.celsius, lambda celsius: celsius / 100)
