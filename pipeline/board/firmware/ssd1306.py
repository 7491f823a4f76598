"""SSD1306 displays over I2C or SPI: a frame buffer and `show`, which sends it."""
import framebuf

_MEMORY_MODE = 0x20
_COLUMNS = 0x21
_PAGES = 0x22
_START_LINE = 0x40
_CONTRAST = 0x81
_CHARGE_PUMP = 0x8D
_MIRROR_COLUMNS = 0xA1
_FOLLOW_MEMORY = 0xA4
_INVERT = 0xA6
_ROWS = 0xA8
_ON = 0xAE
_MIRROR_ROWS = 0xC8
_OFFSET = 0xD3
_CLOCK = 0xD5
_PRECHARGE = 0xD9
_WIRING = 0xDA
_VCOM = 0xDB


class SSD1306(framebuf.FrameBuffer):
    def __init__(self, width, height, external_vcc):
        self.width = width
        self.height = height
        self.external_vcc = external_vcc
        self.pages = height // 8
        self.buffer = bytearray(self.pages * width)
        super().__init__(self.buffer, width, height, framebuf.MONO_VLSB)
        self.init_display()

    def init_display(self):
        for command in (_ON, _MEMORY_MODE, 0, _START_LINE, _MIRROR_COLUMNS, _ROWS, self.height - 1, _MIRROR_ROWS, _OFFSET, 0,
                        _WIRING, 0x02 if self.width > 2 * self.height else 0x12, _CLOCK, 0x80, _PRECHARGE, 0x22 if self.external_vcc else 0xF1,
                        _VCOM, 0x30, _CONTRAST, 0xFF, _FOLLOW_MEMORY, _INVERT, _CHARGE_PUMP, 0x10 if self.external_vcc else 0x14, _ON | 1):
            self.write_cmd(command)
        self.fill(0)
        self.show()

    def poweroff(self):
        self.write_cmd(_ON)

    def poweron(self):
        self.write_cmd(_ON | 1)

    def contrast(self, contrast):
        self.write_cmd(_CONTRAST)
        self.write_cmd(contrast)

    def invert(self, invert):
        self.write_cmd(_INVERT | (invert & 1))

    def rotate(self, rotate):
        self.write_cmd(0xC0 | (0 if rotate else 8))
        self.write_cmd(0xA0 | (0 if rotate else 1))

    def show(self):
        first = (128 - self.width) // 2         # a narrower glass sits in the middle
        for command in (_COLUMNS, first, first + self.width - 1, _PAGES, 0, self.pages - 1):
            self.write_cmd(command)
        self.write_data(self.buffer)


class SSD1306_I2C(SSD1306):
    def __init__(self, width, height, i2c, addr=0x3C, external_vcc=False):
        self.i2c = i2c
        self.addr = addr
        self._parts = [b"\x40", None]
        super().__init__(width, height, external_vcc)

    def write_cmd(self, cmd):
        self.i2c.writeto(self.addr, bytes((0x80, cmd)))

    def write_data(self, buf):
        self._parts[1] = buf
        self.i2c.writevto(self.addr, self._parts)


class SSD1306_SPI(SSD1306):
    def __init__(self, width, height, spi, dc, res, cs, external_vcc=False):
        import time
        self.spi, self.dc, self.res, self.cs = spi, dc, res, cs
        self.rate = 10 * 1024 * 1024
        dc.init(dc.OUT, value=0)
        res.init(res.OUT, value=0)
        cs.init(cs.OUT, value=1)
        res(1)
        time.sleep_ms(1)
        res(0)
        time.sleep_ms(10)
        res(1)
        super().__init__(width, height, external_vcc)

    def _send(self, data, level):
        self.spi.init(baudrate=self.rate, polarity=0, phase=0)
        self.cs(1)
        self.dc(level)
        self.cs(0)
        self.spi.write(data)
        self.cs(1)

    def write_cmd(self, cmd):
        self._send(bytes((cmd,)), 0)

    def write_data(self, buf):
        self._send(buf, 1)
