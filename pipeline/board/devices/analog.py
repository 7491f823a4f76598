"""Any voltage on an analog pin."""

from pipeline.board.devices import Signal
from pipeline.board.devices._analog import Analog, put


class Analog(Analog):
    volts: Signal

    def attach(self, board):
        put(board, self.pin, self.volts, lambda volts: volts)
