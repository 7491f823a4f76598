"""WS2812 lights: a buffer in the order of the wire, green first, sent in one call."""
from _hw import call
from machine import _name


class NeoPixel:
    ORDER = (1, 0, 2, 3)

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        self.buf = bytearray(n * bpp)
        self.timing = timing
        pin.init(pin.OUT)
        self._to = "%s,%d," % (_name(pin), bpp)

    def __len__(self):
        return self.n

    def _at(self, i):
        if i < 0:
            i += self.n
        if not 0 <= i < self.n:
            raise IndexError("bytearray index out of range")
        return i * self.bpp

    def __setitem__(self, i, v):
        offset = self._at(i)
        for c in range(self.bpp):
            self.buf[offset + self.ORDER[c]] = v[c]

    def __getitem__(self, i):
        offset = self._at(i)
        return tuple(self.buf[offset + self.ORDER[c]] for c in range(self.bpp))

    def fill(self, v):
        for i in range(self.n):
            self[i] = v

    def write(self):
        call("pixels", self._to + self.buf.hex())
