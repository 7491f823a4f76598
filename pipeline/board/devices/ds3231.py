"""A DS3231: a clock with a battery, over I2C, which knows its temperature as well."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from pipeline.board.devices import Signal
from pipeline.board.devices._i2c import I2CDevice, Registers
from pipeline.board.devices._values import over_time, within

ADDRESS = 0x68
TIME, CONTROL, STATUS, TEMPERATURE = range(7), 0x0E, 0x0F, 0x11
WRITABLE = range(0x11)
TWELVE, PM = 0x40, 0x20  # in the hours


def moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} must be a date and a time such as '2024-12-31 23:59:00'") from None
    return text


class Ds3231(I2CDevice):
    time: Annotated[str, AfterValidator(moment)] = "2024-01-01 12:00:00"  # at the start
    temperature: Annotated[Signal, AfterValidator(within(-40, 85))] = 25.0  # degrees Celsius

    def attach(self, board):
        self.connect(board, Chip(board, datetime.fromisoformat(self.time), over_time(self.temperature)))


def bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def binary(value: int) -> int:
    return (value >> 4) * 10 + (value & 15)


class Chip(Registers):
    """Its time is what was set last and when that was; `held` has the seven registers as they were then."""

    def __init__(self, board, start: datetime, temperature):
        super().__init__(board, ADDRESS, {CONTROL: 0x1C, STATUS: 0x00})
        self.temperature = temperature
        self.since = board.now
        self.put(start, start.isoweekday(), 0)

    def put(self, time: datetime, weekday: int, hour_mode: int) -> None:
        hour = (
            bcd(time.hour) if not hour_mode else TWELVE | (PM if time.hour >= 12 else 0) | bcd((time.hour - 1) % 12 + 1)
        )
        values = (
            bcd(time.second),
            bcd(time.minute),
            hour,
            weekday,
            bcd(time.day),
            bcd(time.month),
            bcd(time.year % 100),
        )
        self.held |= dict(zip(TIME, values, strict=True))

    def latch(self):
        """Lets the time that went by since the registers were set go into them. A date that does not exist stays as it is."""
        passed = (self.board.now - self.since) // 1_000_000
        if not passed:
            return
        second, minute, hour, weekday, day, month, year = (self.held[register] for register in TIME)
        twelve = hour & TWELVE
        hours = binary(hour & 0x1F) % 12 + (12 if hour & PM else 0) if twelve else binary(hour & 0x3F)
        try:
            before = datetime(
                2000 + binary(year), binary(month & 0x1F), binary(day), hours, binary(minute), binary(second)
            )
        except ValueError:
            return
        now = before + timedelta(seconds=passed)
        self.put(now, (weekday - 1 + (now.date() - before.date()).days) % 7 + 1, twelve)
        self.since += passed * 1_000_000

    def get(self, register):
        quarters = round(self.temperature(self.board.now) * 4)
        if register == TEMPERATURE:
            return quarters >> 2
        if register == TEMPERATURE + 1:
            return (quarters & 3) << 6
        return super().get(register)

    def set(self, register, value):
        if register in TIME:
            self.latch()
            if register == 0:  # setting the seconds starts them anew
                self.since = self.board.now
        if register in WRITABLE:
            self.held[register] = value

    def after(self, register):
        return (register + 1) % 0x13
