"""TMP36, a thermometer: 0.5 V at 0 °C and 10 mV a degree (data sheet, Analog Devices)."""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Signal
from pipeline.board.devices._analog import AnalogSensor, put
from pipeline.board.devices._values import within


class Tmp36(AnalogSensor):
    celsius: Annotated[Signal, AfterValidator(within(-40, 125))]

    def attach(self, board):
        put(board, self.pin, self.celsius, lambda celsius: 0.5 + celsius / 100)
