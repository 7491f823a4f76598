"""A BMP280: temperature and air pressure over I2C. It sleeps until a program sets its mode."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from pipeline.board.devices import Signal
from pipeline.board.devices._bosch import Chip
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.devices._values import over_time, within


class Bmp280(I2CDevice):
    address: Literal[0x76, 0x77] = 0x76
    temperature: Annotated[Signal, AfterValidator(within(-40, 85))] = 22.0  # degrees Celsius
    pressure: Annotated[Signal, AfterValidator(within(300, 1100))] = 1013.25  # hectopascal

    def attach(self, board):
        temperature, pressure = over_time(self.temperature), over_time(self.pressure)
        self.connect(
            board, Chip(board, self.address, lambda now: (temperature(now), pressure(now) * 100, 0.0), humid=False)
        )
