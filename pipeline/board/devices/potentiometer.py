"""A knob between ground and 3V3."""

from pipeline.board.devices._analog import SUPPLY, AnalogSensor, Share, put


class Potentiometer(AnalogSensor):
    position: Share  # 0 at ground, 1 at 3V3

    def attach(self, board):
        put(board, self.pin, self.position, lambda position: SUPPLY * position)
