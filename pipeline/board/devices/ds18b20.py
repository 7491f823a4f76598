"""A DS18B20 temperature sensor on a 1-Wire bus; several may share the pin. It measures when told to, which takes 750 ms."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.board.devices import Device, Pin, Signal
from pipeline.board.devices._values import over_time, within
from pipeline.board.hardware.onewire import Target, crc8

FAMILY = 0x28
CONVERT, READ, WRITE = 0x44, 0xBE, 0x4E
AT_START = 85 * 16  # what it says before it has measured, in sixteenths of a degree


class Ds18b20(Device):
    pin: Pin
    temperature: Annotated[Signal, AfterValidator(within(-55, 125))] = 20.0  # degrees Celsius
    serial: Annotated[int, Field(ge=1, le=2**48 - 1)] | None = None  # left out: its number on this pin

    def pins(self):
        return {"pin": self.pin}

    def attach(self, board):
        wire = board.onewire.wire(board.spec.pin(self.pin))
        number = self.serial or len(wire.targets) + 1
        wire.targets.append(Sensor(board, number, over_time(self.temperature)))


class Sensor(Target):
    def __init__(self, board, number: int, temperature):
        code = bytes([FAMILY]) + number.to_bytes(6, "little")
        self.rom = code + bytes([crc8(code)])
        self.board, self.temperature = board, temperature
        self.raw, self.alarms, self.resolution = AT_START, b"\x4b\x46", 12
        self.until: int | None = None  # when the measurement that runs is through
        self.command = b""
        self.sends = b""

    def start(self):
        self.command, self.sends = b"", b""

    def settle(self) -> None:
        if self.until is not None and self.board.now >= self.until:
            step = 1 << 12 - self.resolution
            self.raw = round(self.temperature(self.until) * 16) // step * step
            self.until = None

    def write(self, data):
        self.command = (self.command + data)[:4]
        if len(self.command) > 1 and self.command[0] != WRITE:
            return
        self.settle()
        if self.command[0] == CONVERT and self.until is None:
            self.until = self.board.now + 750_000 // (1 << 12 - self.resolution)
        elif self.command[0] == READ:
            body = (
                (self.raw & 0xFFFF).to_bytes(2, "little")
                + self.alarms
                + bytes([(self.resolution - 9) << 5 | 0x1F, 0xFF, 0x0C, 0x10])
            )
            self.sends = body + bytes([crc8(body)])
        elif self.command[0] == WRITE and len(self.command) == 4:
            self.alarms, self.resolution = self.command[1:3], (self.command[3] >> 5 & 3) + 9

    def read(self):
        first, self.sends = self.sends[:1], self.sends[1:]
        return first[0] if first else 0xFF

    def ready(self):
        self.settle()
        return self.until is None
