"""An SSD1306 display (OLED) over I2C, or over SPI where `dc` is given: keeps the pixels and reads the text on them.

Noted: ("display", "ssd1306", the text in each row of eight pixels) whenever the picture became another, at the end of a full update, or
when nothing has come for a moment; no text where it is dark: switched off, or without the charge pump that the modules need. With it
("picture", "ssd1306", (height, the pixels)), column by column in bytes of eight, the upper one in the lowest bit.
("device", "ssd1306", ("contrast", 0..255)), (..., ("inverted", 0 or 1)).
"""

from typing import Literal

from pipeline.board.devices import Pin
from pipeline.board.devices._font import glyphs, read
from pipeline.board.devices._i2c import I2CDevice
from pipeline.board.hardware.i2c import Target
from pipeline.board.hardware.spi import Target as SpiTarget

COLUMNS, PAGES = 128, 8
QUIET = 10_000  # microseconds without data after which a picture counts as done
DATA, ONE = 0x40, 0x80  # of a control byte: data follow, not commands; one byte only, then the next control byte
# how many bytes follow a command
ARGUMENTS = {
    0x20: 1,
    0x21: 2,
    0x22: 2,
    0x26: 6,
    0x27: 6,
    0x29: 5,
    0x2A: 5,
    0x81: 1,
    0x8D: 1,
    0xA3: 2,
    0xA8: 1,
    0xD3: 1,
    0xD5: 1,
    0xD9: 1,
    0xDA: 1,
    0xDB: 1,
}


class Ssd1306(I2CDevice):
    address: Literal[0x3C, 0x3D] = 0x3C
    width: Literal[64, 72, 96, 128] = 128
    height: Literal[16, 32, 40, 48, 64] = 64
    dc: Pin | None = None  # over SPI: the pin that tells data from commands
    cs: Pin | None = None  # and the one that selects the display; left out: it is tied low

    def pins(self):
        return super().pins() | {name: pin for name, pin in (("dc", self.dc), ("cs", self.cs)) if pin is not None}

    def rules(self):
        return [
            (
                self.cs is None or self.dc is not None,
                "cs: a display over SPI needs dc as well, the pin that tells data from commands",
            )
        ]

    def attach(self, board):
        glyphs()  # asks the interpreter, which has another program to run afterwards
        panel = Panel(board, self.width, self.height)
        if self.dc is None:
            self.connect(board, OnI2C(panel, self.address))
        else:
            board.spi.attach(
                OnSpi(panel, board.gpio.pin(board.spec.pin(self.dc))),
                None if self.cs is None else board.spec.pin(self.cs),
                {},
            )


class Panel:
    """The chip's memory, how it is written to and how it is shown."""

    def __init__(self, board, width: int, height: int):
        self.board, self.width, self.height = board, width, height
        self.memory = [bytearray(COLUMNS) for _ in range(PAGES)]
        self.pending = b""  # a command whose bytes are not all there
        self.mode = 2  # 0: along the page, then the next; 1: down, then the next column; 2: along one page
        self.columns, self.pages = (0, COLUMNS - 1), (0, PAGES - 1)
        self.column = self.page = 0
        self.first_row = 0
        self.rows = 8 * PAGES  # that are driven
        self.alternating = True  # the even rows are the first half of the chip's lines
        self.on = self.pump = self.inverted = self.mirrored_columns = self.mirrored_rows = False
        self.all_on = False
        self.shown: tuple | None = None
        self.written = 0  # how often data came

    # --- commands -----------------------------------------------------------------------------------------------------

    def command(self, data: bytes) -> None:
        for byte in data:
            self.pending += bytes([byte])
            if len(self.pending) > ARGUMENTS.get(self.pending[0], 0):
                whole, self.pending = self.pending, b""
                self.obey(whole[0], whole[1:])

    def obey(self, code: int, given: bytes) -> None:
        if code <= 0x0F:
            self.column = self.column & 0xF0 | code
        elif code <= 0x1F:
            self.column = self.column & 0x0F | (code & 7) << 4
        elif code == 0x20:
            self.mode = min(given[0] & 3, 2)
        elif code == 0x21:
            self.columns = (given[0] & 0x7F, given[1] & 0x7F)
            self.column = self.columns[0]
        elif code == 0x22:
            self.pages = (given[0] & 7, given[1] & 7)
            self.page = self.pages[0]
        elif 0x40 <= code <= 0x7F:
            self.first_row = code & 0x3F
        elif code == 0x81:
            self.board.note("device", "ssd1306", ("contrast", given[0]))
        elif code == 0x8D:
            self.pump = bool(given[0] & 0x04)
        elif code in (0xA0, 0xA1):
            self.mirrored_columns = code == 0xA1
        elif code in (0xA4, 0xA5):
            self.all_on = code == 0xA5
        elif code in (0xA6, 0xA7):
            if self.inverted != (code == 0xA7):
                self.inverted = not self.inverted
                self.board.note("device", "ssd1306", ("inverted", int(self.inverted)))
        elif code == 0xA8:
            self.rows = (given[0] & 0x3F) + 1
        elif code in (0xAE, 0xAF):
            self.on = code == 0xAF
        elif 0xB0 <= code <= 0xB7:
            self.page = code & 7
        elif code in (0xC0, 0xC8):
            self.mirrored_rows = code == 0xC8
        elif code == 0xDA:
            self.alternating = bool(given[0] & 0x10)
        if code in (0x8D, 0xA4, 0xA5, 0xA8, 0xAE, 0xAF, 0xC0, 0xC8, 0xDA) or 0x40 <= code <= 0x7F:
            self.show()

    # --- data ---------------------------------------------------------------------------------------------------------

    def data(self, data: bytes) -> None:
        done = self.downwards(data) if self.mode == 1 else self.along(data)
        self.written += 1
        if done:
            self.show()
        else:
            self.board.after(QUIET, lambda written=self.written: self.show() if written == self.written else None)

    def along(self, data: bytes) -> bool:
        """Along the page, and then to its begin or to the next; whether that was the last."""
        done = False
        while data:
            last = self.columns[1] if self.mode == 0 and self.column <= self.columns[1] else COLUMNS - 1
            part, data = data[: last + 1 - self.column], data[last + 1 - self.column :]
            self.memory[self.page][self.column : self.column + len(part)] = part
            self.column += len(part)
            if self.column > last:
                self.column = self.columns[0] if self.mode == 0 else 0
                if self.mode == 0:
                    done |= self.page == self.pages[1]
                    self.page = (self.page + 1) % PAGES if self.page != self.pages[1] else self.pages[0]
        return done

    def downwards(self, data: bytes) -> bool:
        """Down the pages and then to the next column; whether that was the last."""
        done = False
        for byte in data:
            self.memory[self.page][self.column] = byte
            if self.page != self.pages[1]:
                self.page = (self.page + 1) % PAGES
                continue
            self.page = self.pages[0]
            done |= self.column == self.columns[1]
            self.column = self.columns[0] if self.column == self.columns[1] else (self.column + 1) % COLUMNS
        return done

    # --- what is seen -------------------------------------------------------------------------------------------------

    def show(self) -> None:
        picture = self.picture()
        if picture != self.shown and (self.shown is not None or any(picture)):
            self.shown = picture
            self.board.note("display", "ssd1306", read([0] * self.width if self.all_on else list(picture), self.height))
            lit = [(1 << self.height) - 1] * self.width if self.all_on else picture
            self.board.note(
                "picture",
                "ssd1306",
                (self.height, b"".join(column.to_bytes(self.height // 8, "little") for column in lit)),
            )

    def picture(self) -> tuple[int, ...]:
        """The columns of the glass. A module may be mounted either way up, so only a mirror image is turned: it cannot be read."""
        if not (self.on and self.pump):
            return (0,) * self.width
        left = (COLUMNS - self.width) // 2
        columns = [int.from_bytes(column, "little") for column in zip(*self.memory, strict=True)]
        if self.first_row:
            columns = [(column >> self.first_row | column << 64 - self.first_row) & (1 << 64) - 1 for column in columns]
        columns = [
            self.on_glass(column & (1 << self.rows) - 1) & (1 << self.height) - 1
            for column in columns[left : left + self.width]
        ]
        return tuple(columns[::-1] if self.mirrored_columns != self.mirrored_rows else columns)

    def on_glass(self, column: int) -> int:
        """Where the rows of a column come out. Flat glasses are wired in the order of the chip's lines, others by turns from its two sides; a
        program that takes one for the other draws every second row, or in every second one."""
        if self.alternating != (self.width > 2 * self.height):
            return column
        half, rows = 4 * PAGES, range(8 * PAGES)
        places = [row % 2 * half + row // 2 if self.alternating else row % half * 2 + row // half for row in rows]
        return sum((column >> row & 1) << place for row, place in zip(rows, places, strict=True))


class OnI2C(Target):
    def __init__(self, panel: Panel, address: int):
        self.panel, self.address = panel, address

    def hears(self, address):
        return address == self.address

    def write(self, data):
        while data:
            control, data = data[0], data[1:]
            part, data = (data[:1], data[1:]) if control & ONE else (data, b"")
            (self.panel.data if control & DATA else self.panel.command)(part)

    def read(self, count):
        return bytes([0 if self.panel.on else 0x40]) * count  # its status


class OnSpi(SpiTarget):
    def __init__(self, panel: Panel, dc):
        self.panel, self.dc = panel, dc

    def transfer(self, data):
        (self.panel.data if self.dc.level() else self.panel.command)(data)
        return bytes(len(data))
