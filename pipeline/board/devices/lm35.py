"""LM35, a thermometer: 10 mV a degree Celsius (data sheet, Texas Instruments)."""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Signal
from pipeline.board.devices._analog import AnalogSensor, put
from pipeline.board.devices._values import within


class Lm35(AnalogSensor):
    celsius: Annotated[Signal, AfterValidator(within(0, 150))]

    def attach(self, board):
        put(board, self.pin, self.celsius, lambda celsius: celsius / 100)
