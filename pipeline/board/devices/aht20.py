"""An AHT20: temperature and humidity over I2C, measured when told to, which takes 80 ms."""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Signal
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.devices._values import over_time, within
from pipeline.board.hardware.i2c import Target

ADDRESS = 0x38
START, RESET = 0xBE, 0xBA
MEASURE, STATUS = 0xAC, 0x71
BUSY, CALIBRATED, ALWAYS = 0x80, 0x08, 0x10
TAKES = 80_000  # microseconds


class Aht20(I2CDevice):
    temperature: Annotated[Signal, AfterValidator(within(-40, 85))] = 22.0  # degrees Celsius
    humidity: Annotated[Signal, AfterValidator(within(0, 100))] = 45.0  # percent

    def attach(self, board):
        self.connect(board, Chip(board, over_time(self.temperature), over_time(self.humidity)))


def crc8(data: bytes) -> int:
    """The sensor's checksum: polynomial 0x31, from 0xFF, highest bit first."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 & 0xFF ^ (0x31 if crc & 0x80 else 0)
    return crc


class Chip(Target):
    def __init__(self, board, temperature, humidity):
        self.board, self.temperature, self.humidity = board, temperature, humidity
        self.calibrated, self.values, self.until = False, bytes(5), 0

    def hears(self, address):
        return address == ADDRESS

    def write(self, data):
        if data[:1] == bytes([START]):
            self.calibrated = True
        elif data[:1] == bytes([RESET]):
            self.calibrated, self.values = False, bytes(5)
        elif data[:1] == bytes([MEASURE]):
            self.until = self.board.now + TAKES
            humidity, temperature = self.humidity(self.until) / 100, (self.temperature(self.until) + 50) / 200
            raw = [min((1 << 20) - 1, round(value * (1 << 20))) for value in (humidity, temperature)]
            self.values = (raw[0] << 20 | raw[1]).to_bytes(5, "big")

    def read(self, count):
        busy = self.board.now < self.until
        answer = bytes([ALWAYS | (CALIBRATED if self.calibrated else 0) | (BUSY if busy else 0)]) + (
            bytes(5) if busy else self.values
        )
        return (answer + bytes([crc8(answer)]) + b"\xff" * count)[:count]
