"""The buses of machine: I2C, SPI and UART, in hardware and in software. A transfer is one call, its bytes as hexadecimal digits.

Functions are small: one of more than eleven words, arguments, locals and what it has in hand, gets its frame from the heap, which is a
search through it.
"""
import io
from binascii import hexlify, unhexlify

from _hw import call as _call, listen


def _pin(pin):
    """The hardware's name of a pin; none at all where it was not given."""
    return "" if pin is None else pin._id if hasattr(pin, "_id") else _call("pin", str(pin) if isinstance(pin, int) else "=%s" % pin)


def _given(values):
    return ",".join(["" if value is None else str(value) for value in values])


def _read(operation, arguments, count):
    """The `count` bytes of an answer, which may come in parts."""
    data = unhexlify(_call(operation, arguments))
    return data if len(data) == count else _more(operation[:3] + ".rest", data, count)


def _more(operation, data, count):
    while len(data) < count:
        data += unhexlify(_call(operation))
    return data


def _to(key, addr):
    return b"%s,%d," % (key, addr)


def _wide(memaddr, addrsize):
    """The address of a memory in so many bits."""
    if addrsize & 7 or not 0 <= addrsize <= 32:
        raise ValueError("invalid addrsize")
    return b"".join([b"%02x" % (memaddr >> shift & 255) for shift in range(addrsize - 8, -8, -8)])


class I2C:
    def __init__(self, id=0, freq=400000, *, scl=None, sda=None, timeout=50000):
        self._key = _call("i2c.init", "%d,%d,%s,%s,%d" % (id, freq, _pin(scl), _pin(sda), timeout))

    def __repr__(self):
        return _call("i2c.show", self._key)

    def _unsupported(self, *args, **kwargs):
        raise OSError("I2C operation not supported")

    init = start = stop = readinto = write = _unsupported

    def scan(self):
        return list(unhexlify(_call("i2c.scan", self._key)))

    def writeto(self, addr, buf, stop=True):
        return self._write(_to(self._key, addr), hexlify(buf))

    def writevto(self, addr, vector, stop=True):
        return self._write(_to(self._key, addr), b"".join([hexlify(part) for part in vector]))

    def _write(self, to, data):
        _call("i2c.write", to + data)
        return len(data) // 2

    def readfrom(self, addr, nbytes, stop=True):
        return _read("i2c.read", _to(self._key, addr) + b"%d" % nbytes, nbytes)

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self.readfrom(addr, len(buf))

    def _at(self, addr, memaddr, addrsize):
        if addrsize == 8:
            return b"%s,%d,%02x" % (self._key, addr, memaddr & 255)
        return _to(self._key, addr) + _wide(memaddr, addrsize)

    def _get(self, where, nbytes):
        return _read("i2c.mem", where + b",%d" % nbytes, nbytes)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        where = self._at(addr, memaddr, addrsize)
        return self._get(where, nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        where = self._at(addr, memaddr, addrsize)
        buf[:] = self._get(where, len(buf))

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        where = self._at(addr, memaddr, addrsize)
        _call("i2c.write", where + hexlify(buf))


class SoftI2C(I2C):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self.init(scl, sda, freq=freq, timeout=timeout)

    def init(self, scl, sda, *, freq=400000, timeout=50000):
        self._key = _call("i2c.soft", "%d,%s,%s,%d" % (freq, _pin(scl), _pin(sda), timeout))

    def start(self):
        _call("i2c.start", self._key)

    def stop(self):
        _call("i2c.stop", self._key)

    def write(self, buf):
        return int(_call("i2c.out", b"%s," % self._key + hexlify(buf)))

    def readinto(self, buf, nack=True):
        buf[:] = _read("i2c.in", b"%s,%d" % (self._key, len(buf)), len(buf))


class SPI:
    LSB = 0
    MSB = 1

    def __init__(self, id=0, baudrate=1000000, polarity=0, phase=0, bits=8, firstbit=MSB, sck=-1, mosi=-1, miso=-1):
        self._key = str(id)
        self.init(baudrate, polarity, phase, bits, firstbit, sck, mosi, miso)

    def init(self, baudrate=None, polarity=None, phase=None, bits=None, firstbit=None, sck=-1, mosi=-1, miso=-1):
        order = None if firstbit is None else "lsb" if firstbit == self.LSB else "msb"
        pins = ["none" if pin is None else "" if pin == -1 else _pin(pin) for pin in (sck, mosi, miso)]
        self._key = _call("spi.init", _given((self._key, baudrate, polarity, phase, bits, order)) + "," + ",".join(pins))

    def __repr__(self):
        return _call("spi.show", self._key)

    def deinit(self):
        _call("spi.deinit", self._key)

    def write(self, buf):
        _call("spi.write", b"%s," % self._key + hexlify(buf))

    def read(self, nbytes, write=0):
        return _read("spi.read", b"%s,%d,%d" % (self._key, nbytes, write), nbytes)

    def readinto(self, buf, write=0):
        buf[:] = self.read(len(buf), write)

    def write_readinto(self, write_buf, read_buf):
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        read_buf[:] = _read("spi.both", b"%s," % self._key + hexlify(write_buf), len(read_buf))


class SoftSPI(SPI):
    def __init__(self, baudrate=500000, *, polarity=0, phase=0, bits=8, firstbit=SPI.MSB, sck=None, mosi=None, miso=None):
        if bits != 8:
            raise ValueError("bits must be 8")
        if None in (sck, mosi, miso):
            raise ValueError("must specify all of sck/mosi/miso")
        self._key = "soft"
        self.init(baudrate, polarity, phase, bits, firstbit, sck, mosi, miso)


class _Stream(io.IOBase):
    """What select.poll and asyncio ask."""

    def ioctl(self, request, arg):
        return self._poll(arg) if request == 3 else 0


class UART(_Stream):
    INV_TX = 1
    INV_RX = 2
    INV_RTS = 64
    INV_CTS = 8
    CTS = 1
    RTS = 2
    IRQ_RX = 1
    IRQ_RXIDLE = 64
    IRQ_TXIDLE = 32
    IRQ_BREAK = 512

    def __init__(self, id, *args, **kwargs):
        self._key = _call("uart.open", str(id))
        self.init(*args, **kwargs)

    def init(self, baudrate=None, bits=None, parity=-1, stop=None, *, tx=None, rx=None, txbuf=None, rxbuf=None, timeout=None, timeout_char=None,
             invert=None, flow=None, rts=None, cts=None):
        parity = "none" if parity is None else parity
        _call("uart.init", _given((self._key, baudrate, bits, parity, stop, rxbuf, timeout, timeout_char, _pin(tx), _pin(rx))))

    def __repr__(self):
        return _call("uart.show", self._key)

    def deinit(self):
        _call("uart.deinit", self._key)

    def any(self):
        return int(_call("uart.any", self._key))

    def _take(self, count, how):
        """Waits as long as the UART is told to; an interrupt breaks the wait off, which then goes on."""
        data, answer = b"", self._ask(how, count, 1)
        while answer.endswith("+"):
            data += unhexlify(answer[:-1])
            answer = self._ask(how, count - len(data), 0)
        return data + unhexlify(answer) or None

    def _ask(self, how, count, new):
        return _call("uart.read", b"%s,%s,%d,%d" % (self._key, how, count, new))

    def read(self, nbytes=-1):
        return self._take(32768, "all") if nbytes is None or nbytes < 0 else self._take(nbytes, "some")

    def readline(self):
        return self._take(32768, "line")

    def readinto(self, buf, nbytes=None):
        data = self._take(len(buf) if nbytes is None else min(nbytes, len(buf)), "some")
        if data is None:
            return None
        buf[:len(data)] = data
        return len(data)

    def write(self, buf):
        return int(_call("uart.write", b"%s," % self._key + hexlify(buf)))

    def txdone(self):
        return _call("uart.txdone", self._key) == "1"

    def flush(self):
        _call("uart.flush", self._key)

    def sendbreak(self):
        _call("uart.break", self._key)

    def _poll(self, wanted):
        return wanted & (5 if self.any() else 4)

    def irq(self, handler=None, trigger=0, hard=False):
        wanted = [name for name, bit in (("rx", "IRQ_RX"), ("idle", "IRQ_RXIDLE"), ("sent", "IRQ_TXIDLE"), ("break", "IRQ_BREAK"))
                  if trigger & getattr(UART, bit, 0)]
        listen("uart" + self._key, handler, self)
        _call("uart.irq", _given((self._key, "" if handler is None else "+".join(wanted))))
        return _UartIrq()


class _UartIrq:
    def flags(self):
        return 0

    def trigger(self, *args):
        return 0


def dht_readinto(pin, buf):
    buf[:5] = unhexlify(_call("dht.read", _pin(pin)))
