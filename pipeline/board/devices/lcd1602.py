"""A character display (HD44780) of 16x2 or 20x4: on the usual I2C backpack (PCF8574), or on six pins where `rs` is given.

Noted: ("display", "lcd1602", rows of text) when they became others and nothing has come for a moment; rows of nothing where it is switched
off. ("device", "lcd1602", ("backlight", 0 or 1)).
"""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.board.devices import Pin
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.hardware.i2c import Target

QUIET = 20_000  # microseconds after which a text counts as written
RS, READ, ENABLE, BACKLIGHT = 1, 2, 4, 8  # of the backpack's byte; the other four bits are data
SIGNS = {0x5C: "¥", 0x7E: "→", 0x7F: "←", 0xDF: "°", 0xE1: "ä", 0xE4: "µ", 0xEF: "ö", 0xF4: "Ω", 0xF5: "ü", 0xFF: "█"}
OWN = "?"  # one that the program drew itself, and all others


class Lcd1602(I2CDevice):
    address: Annotated[int, Field(ge=0x20, le=0x3F)] = 0x27
    columns: Literal[16, 20] = 16
    rows: Literal[2, 4] = 2
    rs: Pin | None = None  # without a backpack: the pins of RS, E and D4 to D7
    enable: Pin | None = None
    data: Annotated[list[Pin], Field(min_length=4, max_length=4)] | None = None

    def pins(self):
        wired = [
            ("rs", self.rs),
            ("enable", self.enable),
            *((f"data {n}", pin) for n, pin in enumerate(self.data or ())),
        ]
        return super().pins() | {name: pin for name, pin in wired if pin is not None}

    def rules(self):
        given = [self.rs, self.enable, self.data]
        return [
            (
                all(each is None for each in given) or None not in given,
                "rs: without a backpack it needs rs, enable and data: [D4, D5, D6, D7]",
            )
        ]

    def attach(self, board):
        panel = Panel(board, self.columns, self.rows)
        if self.rs is None:
            self.connect(board, Backpack(panel, self.address))
            return
        rs, enable, *data = (board.gpio.pin(board.spec.pin(pin)) for pin in (self.rs, self.enable, *(self.data or ())))

        def clock(level: int | None) -> None:
            if level == 0:
                panel.nibble(rs.level(), sum(pin.level() << n for n, pin in enumerate(data)))

        board.gpio.watch(enable.name, clock)


class Panel:
    """The controller: its memory of characters, and the state that four bits at a time lead it through."""

    def __init__(self, board, columns: int, rows: int):
        self.board, self.columns = board, columns
        self.starts = (0x00, 0x40, columns, 0x40 + columns)[:rows]  # of each row in memory
        self.memory = bytearray(b" " * 0x80)
        self.at, self.step, self.shift = 0, 1, 0
        self.drawing = self.on = False  # whether data are a character's own dots
        self.four_bits, self.high = False, None
        self.shown = ("",) * rows
        self.written = 0

    def nibble(self, rs: int, value: int) -> None:
        if not self.four_bits:  # the lines of the lower half hang in the air
            self.byte(rs, value << 4)
        elif self.high is None:
            self.high = value
        else:
            whole, self.high = self.high << 4 | value, None
            self.byte(rs, whole)

    def byte(self, rs: int, value: int) -> None:
        if rs:
            if not self.drawing:
                self.memory[self.at] = value
                self.at = (self.at + self.step) & 0x7F
                if self.at in (0x28, 0x68):  # a line has 40 places
                    self.at = 0x40 if self.at == 0x28 else 0x00
        else:
            self.command(value)
        self.written += 1
        self.board.after(QUIET, lambda written=self.written: self.show() if written == self.written else None)

    def command(self, value: int) -> None:
        if value & 0x80:
            self.at, self.drawing = value & 0x7F, False
        elif value & 0x40:
            self.drawing = True
        elif value & 0x20:
            self.four_bits, self.high = not value & 0x10, None
        elif value & 0x10:
            if value & 0x08:
                self.shift = (self.shift + (-1 if value & 0x04 else 1)) % 40
            else:
                self.at = (self.at + (1 if value & 0x04 else -1)) & 0x7F
        elif value & 0x08:
            self.on = bool(value & 0x04)
        elif value & 0x04:
            self.step = 1 if value & 0x02 else -1
        elif value:
            self.at, self.shift, self.drawing = 0, 0, False
            if value & 0x01:
                self.memory[:], self.step = b" " * 0x80, 1

    def row(self, start: int) -> str:
        line, place = start & 0x40, start & 0x3F
        codes = [self.memory[line + (place + n + self.shift) % 40] for n in range(self.columns)]
        return "".join(SIGNS.get(code, chr(code) if 0x20 <= code < 0x7E else OWN) for code in codes).rstrip()

    def show(self) -> None:
        rows = tuple(self.row(start) if self.on else "" for start in self.starts)
        if rows != self.shown:
            self.shown = rows
            self.board.note("display", "lcd1602", rows)


class Backpack(Target):
    """The expander: each byte sets its eight lines."""

    def __init__(self, panel: Panel, address: int):
        self.panel, self.address, self.lines, self.light = panel, address, 0xFF, None

    def hears(self, address):
        return address == self.address

    def write(self, data):
        for lines in data:
            if self.lines & ENABLE and not lines & ENABLE and not lines & READ:
                self.panel.nibble(lines & RS, lines >> 4)
            self.lines = lines
        light = int(bool(self.lines & BACKLIGHT))
        if data and light != self.light:
            self.light = light
            self.panel.board.note("device", "lcd1602", ("backlight", light))

    def read(self, count):
        return bytes([self.lines & 0x0F]) * count  # never busy
