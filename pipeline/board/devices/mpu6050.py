"""An MPU6050: acceleration and rotation on three axes, and temperature, over I2C. It sleeps until a program wakes it."""

from typing import Literal

from pydantic import Field

from pipeline.board.devices import Signal
from pipeline.board.devices._i2c import I2CDevice, Registers
from pipeline.board.devices._values import Axes, axes_over_time, over_time

GYRO_CONFIG, ACCEL_CONFIG, INT_STATUS, DATA, POWER, WHO_AM_I = 0x1B, 0x1C, 0x3A, 0x3B, 0x6B, 0x75
ASLEEP, RESET = 0x40, 0x80
DATA_READY = 0x01
GYRO = (131, 65.5, 32.8, 16.4)  # steps for a degree per second, by range
FRESH = {POWER: ASLEEP, WHO_AM_I: 0x68}


class Mpu6050(I2CDevice):
    address: Literal[0x68, 0x69] = 0x68
    acceleration: Axes = Field(default=[0.0, 0.0, 1.0])  # g
    rotation: Axes = Field(default=[0.0, 0.0, 0.0])  # degrees per second
    temperature: Signal = 25.0  # degrees Celsius

    def attach(self, board):
        self.connect(board, Chip(board, self))


class Chip(Registers):
    def __init__(self, board, script: Mpu6050):
        super().__init__(board, script.address, FRESH)
        self.acceleration, self.rotation = axes_over_time(script.acceleration), axes_over_time(script.rotation)
        self.temperature = over_time(script.temperature)
        self.data = bytes(14)

    def latch(self):
        """Measures; asleep, the data stay as they were."""
        if not self.held[POWER] & ASLEEP:
            now = self.board.now
            accel, gyro = 16384 >> (self.get(ACCEL_CONFIG) >> 3 & 3), GYRO[self.get(GYRO_CONFIG) >> 3 & 3]
            values = [
                *(g * accel for g in self.acceleration(now)),
                (self.temperature(now) - 36.53) * 340,
                *(r * gyro for r in self.rotation(now)),
            ]
            self.data = b"".join(
                max(-32768, min(32767, round(value))).to_bytes(2, "big", signed=True) for value in values
            )

    def get(self, register):
        if DATA <= register < DATA + len(self.data):
            return self.data[register - DATA]
        if register == INT_STATUS:
            return 0 if self.held[POWER] & ASLEEP else DATA_READY
        return super().get(register)

    def set(self, register, value):
        if register == POWER and value & RESET:
            self.held, self.data = dict(FRESH), bytes(14)
        elif register != WHO_AM_I:
            self.latch()  # what it goes on to show if it is put to sleep
            self.held[register] = value
