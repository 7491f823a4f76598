"""The 1-Wire bus."""
from _bus import _pin
from _hw import call
from binascii import hexlify, unhexlify


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin
        self._name = _pin(pin)

    def reset(self, required=False):
        found = call("onewire.reset", self._name) == "1"
        if required and not found:
            raise OneWireError
        return found

    def readbit(self):
        return int(call("onewire.readbit", self._name))

    def readbyte(self):
        return unhexlify(call("onewire.read", self._name + ",1"))[0]

    def readinto(self, buf):
        buf[:] = unhexlify(call("onewire.read", "%s,%d" % (self._name, len(buf))))

    def writebit(self, value):
        call("onewire.writebit", "%s,%d" % (self._name, 1 if value else 0))

    def writebyte(self, value):
        call("onewire.write", "%s,%02x" % (self._name, value & 255))

    def write(self, buf):
        call("onewire.write", b"%s," % self._name + hexlify(buf))

    def select_rom(self, rom):
        self.reset()
        self.write(bytes([self.MATCH_ROM]) + bytes(rom))

    def scan(self):
        found = unhexlify(call("onewire.scan", self._name))
        return [bytearray(found[at:at + 8]) for at in range(0, len(found), 8)]

    def crc8(self, data):
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
        return crc
