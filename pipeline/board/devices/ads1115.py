"""An ADS1115: four inputs for voltages, with 16 bits, over I2C. It measures when told to, once or on and on."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Signal
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.devices._values import over_time, within
from pipeline.board.hardware.i2c import Target

CONVERSION, CONFIG = 0, 1
RANGES = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)  # volts
RATES = (8, 16, 32, 64, 128, 250, 475, 860)  # a second
PAIRS = ((0, 1), (0, 3), (1, 3), (2, 3))
BEGIN, ONCE = 0x8000, 0x0100

Volts = Annotated[Signal, AfterValidator(within(0, 5))]


class Ads1115(I2CDevice):
    address: Annotated[int, Field(ge=0x48, le=0x4B)] = 0x48
    a0: Volts = 0.0
    a1: Volts = 0.0
    a2: Volts = 0.0
    a3: Volts = 0.0

    def attach(self, board):
        self.connect(
            board, Chip(board, self.address, [over_time(signal) for signal in (self.a0, self.a1, self.a2, self.a3)])
        )


class Chip(Target):
    def __init__(self, board, address: int, inputs):
        self.board, self.address, self.inputs = board, address, inputs
        self.held = {CONVERSION: 0, CONFIG: 0x0583, 2: 0x8000, 3: 0x7FFF}
        self.at, self.ready = CONVERSION, None  # when the measurement that runs is through

    def hears(self, address):
        return address == self.address

    def write(self, data):
        self.settle()
        if data:
            self.at = data[0] & 3
        if len(data) >= 3 and self.at != CONVERSION:
            self.held[self.at] = int.from_bytes(data[1:3], "big")
            if self.at == CONFIG and (self.held[CONFIG] & BEGIN or not self.held[CONFIG] & ONCE):
                self.ready = self.board.now + 1_000_000 // RATES[self.held[CONFIG] >> 5 & 7]

    def settle(self) -> None:
        """Takes what was measured by now."""
        if self.ready is None or self.board.now < self.ready:
            return
        config = self.held[CONFIG]
        now = self.ready if config & ONCE else self.board.now
        channel = config >> 12 & 7
        volts = (
            self.inputs[channel - 4](now)
            if channel >= 4
            else self.inputs[PAIRS[channel][0]](now) - self.inputs[PAIRS[channel][1]](now)
        )
        self.held[CONVERSION] = max(-32768, min(32767, round(volts / RANGES[config >> 9 & 7] * 32768))) & 0xFFFF
        if config & ONCE:
            self.ready = None

    def read(self, count):
        self.settle()
        value = self.held[self.at]
        if self.at == CONFIG:  # its first bit says whether it is idle
            value = value & ~BEGIN | (0 if self.ready is not None and self.board.now < self.ready else BEGIN)
        return (value.to_bytes(2, "big") * (count // 2 + 1))[:count]
