"""A light sensor (LDR) with its resistor: the more light the more voltage, or the less where the LDR is the side `to` ground."""

from typing import Literal

from pipeline.board.devices._analog import SUPPLY, AnalogSensor, Share, put


class Ldr(AnalogSensor):
    light: Share  # 0 dark, 1 as bright as it can tell
    to: Literal["3V3", "ground"] = "3V3"

    def attach(self, board):
        put(board, self.pin, self.light, lambda light: SUPPLY * (light if self.to == "3V3" else 1 - light))
