"""TMP36: 0.5 V at 0 °C and 10 mV a degree (data sheet, Analog Devices)."""

from pipeline.board.devices import Signal
from pipeline.board.devices._analog import Analog, put


class Tmp36(Analog):
    celsius: Signal

    def attach(self, board):
        put(board, self.pin, self.celsius, lambda celsius: 0.5 + celsius / 100)
