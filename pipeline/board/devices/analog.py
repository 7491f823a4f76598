"""Any voltage on an analog pin."""

from pipeline.board.devices import Signal
from pipeline.board.devices._analog import AnalogSensor, put


class Analog(AnalogSensor):
    volts: Signal

    def attach(self, board):
        put(board, self.pin, self.volts, lambda volts: volts)
