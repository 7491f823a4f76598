"""Addressable lights: a buffer in the order of the wire, green first, which goes out in one call."""
from binascii import hexlify

from _hw import call as _call
from machine import _name


class NeoPixel:
    ORDER = (1, 0, 2, 3)
    _wire = "grbw"      # what the lights themselves take for which colour

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        self.buf = bytearray(n * bpp)
        self.timing = timing
        pin.init(pin.OUT)
        self._to = b"%s,%s," % (_name(pin), self._wire[:bpp])

    def __len__(self):
        return self.n

    def __setitem__(self, i, v):
        start = i * self.bpp
        for part in range(self.bpp):
            self.buf[start + self.ORDER[part]] = v[part]

    def __getitem__(self, i):
        start = i * self.bpp
        return tuple([self.buf[start + self.ORDER[part]] for part in range(self.bpp)])

    def fill(self, v):
        one = bytearray(self.bpp)
        for part in range(self.bpp):
            one[self.ORDER[part]] = v[part]
        self.buf[:] = bytes(one) * self.n

    def write(self):
        _call("pixels", self._to + hexlify(self.buf))
