"""The 1-Wire bus's signals on a pin."""
from binascii import unhexlify

from _bus import _pin
from _hw import call as _call


def reset(pin):
    return _call("onewire.reset", _pin(pin)) == "1"


def readbit(pin):
    return int(_call("onewire.readbit", _pin(pin)))


def readbyte(pin):
    return unhexlify(_call("onewire.read", _pin(pin) + ",1"))[0]


def writebit(pin, value):
    _call("onewire.writebit", "%s,%d" % (_pin(pin), 1 if value else 0))


def writebyte(pin, value):
    _call("onewire.write", "%s,%02x" % (_pin(pin), value & 255))


def crc8(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
