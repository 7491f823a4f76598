"""Some chip on an I2C bus, of which only the address counts, for programs that scan; it may be plugged in and out. It answers zeros."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Signal
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.devices._values import over_time, within
from pipeline.board.hardware.i2c import ADDRESSES, Target


class I2CChip(I2CDevice):
    address: Annotated[int, Field(ge=ADDRESSES[0], le=ADDRESSES[-1])]
    plugged: Annotated[Signal, AfterValidator(within(0, 1))] = 1.0  # 1 while it is on the bus

    def attach(self, board):
        self.connect(board, Chip(board, self.address, over_time(self.plugged)))


class Chip(Target):
    def __init__(self, board, address: int, plugged):
        self.board, self.address, self.plugged = board, address, plugged

    def hears(self, address):
        return address == self.address and self.plugged(self.board.now) >= 0.5

    def read(self, count):
        return bytes(count)
