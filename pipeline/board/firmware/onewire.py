"""The 1-Wire bus."""
from binascii import hexlify, unhexlify

import _onewire as _ow
from _bus import _pin
from _hw import call as _call


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin

    def reset(self, required=False):
        found = _ow.reset(self.pin)
        if required and not found:
            raise OneWireError
        return found

    def readbit(self):
        return _ow.readbit(self.pin)

    def readbyte(self):
        return _ow.readbyte(self.pin)

    def readinto(self, buf):
        buf[:] = unhexlify(_call("onewire.read", "%s,%d" % (_pin(self.pin), len(buf))))

    def writebit(self, value):
        _ow.writebit(self.pin, value)

    def writebyte(self, value):
        _ow.writebyte(self.pin, value)

    def write(self, buf):
        _call("onewire.write", b"%s," % _pin(self.pin) + hexlify(buf))

    def select_rom(self, rom):
        self.reset()
        self.write(bytes([self.MATCH_ROM]) + bytes(rom))

    def scan(self):
        found = unhexlify(_call("onewire.scan", _pin(self.pin)))
        return [bytearray(found[at:at + 8]) for at in range(0, len(found), 8)]

    def crc8(self, data):
        return _ow.crc8(data)
