"""An EEPROM such as the 24C32: bytes that outlast the program, over I2C, at addresses of two bytes.

While it burns what was written it does not answer, 5 ms long; what goes over the end of a page comes round to its beginning.
"""

from typing import Annotated

from pydantic import Field

from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.hardware.i2c import Target

BURNS = 5_000  # microseconds

Byte = Annotated[int, Field(ge=0, le=255)]


class Eeprom(I2CDevice):
    address: Annotated[int, Field(ge=0x50, le=0x57)] = 0x50
    size: Annotated[int, Field(ge=256, le=65536)] = 4096  # bytes
    page: Annotated[int, Field(ge=8, le=256)] = 32  # bytes
    holds: list[Byte] = Field(default=[])  # from address 0 on; the rest is 255, as it comes

    def attach(self, board):
        self.connect(board, Chip(board, self))


class Chip(Target):
    def __init__(self, board, script: Eeprom):
        self.board, self.address, self.page = board, script.address, script.page
        self.data = bytearray(script.holds[: script.size]) + bytearray(b"\xff" * (script.size - len(script.holds)))
        self.at, self.busy = 0, 0

    def hears(self, address):
        return address == self.address and self.board.now >= self.busy

    def write(self, data):
        if len(data) < 2:
            return
        self.at = int.from_bytes(data[:2], "big") % len(self.data)
        for byte in data[2:]:
            self.data[self.at] = byte
            start = self.at // self.page * self.page
            self.at = start + (self.at + 1 - start) % self.page
        if len(data) > 2:
            self.busy = self.board.now + BURNS

    def read(self, count):
        found = bytes(self.data[(self.at + n) % len(self.data)] for n in range(count))
        self.at = (self.at + count) % len(self.data)
        return found
