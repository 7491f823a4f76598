"""A BH1750 light sensor over I2C: measures when told to, once or on and on."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from pipeline.board.devices import Signal
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.devices._values import over_time, within
from pipeline.board.hardware.i2c import Target

OFF, ON, CLEAR = 0x00, 0x01, 0x07
FINE, COARSE = 0x01, 0x03  # of a measurement's command: in half lux, in steps of four
ONCE = 0x20
TAKES = {0x00: 120_000, FINE: 120_000, COARSE: 16_000}  # microseconds


class Bh1750(I2CDevice):
    address: Literal[0x23, 0x5C] = 0x23
    light: Annotated[Signal, AfterValidator(within(0, 54_000))] = 300.0  # lux

    def attach(self, board):
        self.connect(board, Chip(board, self.address, over_time(self.light)))


class Chip(Target):
    def __init__(self, board, address: int, light):
        self.board, self.address, self.light = board, address, light
        self.raw, self.mode, self.ready = 0, OFF, 0  # the mode is the command that set it

    def hears(self, address):
        return address == self.address

    def write(self, data):
        for command in data:
            self.settle()
            if command in (OFF, ON):
                self.mode = OFF
            elif command == CLEAR:
                self.raw = 0
            elif command & 0x30 and command & 0x0F in TAKES:
                self.mode, self.ready = command, self.board.now + TAKES[command & 0x0F]

    def settle(self) -> None:
        """Takes what was measured by now."""
        if self.mode != OFF and self.board.now >= self.ready:
            once = self.mode & ONCE
            lux, kind = self.light(self.ready if once else self.board.now), self.mode & 0x0F
            self.raw = min(
                0xFFFF, round(lux * 2.4) if kind == FINE else round(lux * 1.2) & (~3 if kind == COARSE else ~0)
            )
            if once:
                self.mode = OFF

    def read(self, count):
        self.settle()
        return (self.raw.to_bytes(2, "big") + b"\xff" * count)[:count]
