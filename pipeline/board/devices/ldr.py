"""A light sensor with its resistor: the more light, the more voltage."""

from pipeline.board.devices._analog import Analog, Share, put


class Ldr(Analog):
    light: Share            # 0 dark, 1 as bright as it can tell

    def attach(self, board):
        put(board, self.pin, self.light, lambda light: 3.3 * light)
