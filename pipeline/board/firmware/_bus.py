"""The buses of machine: I2C, SPI and UART, in hardware and in software. A transfer is one call, its bytes as hexadecimal digits."""
import io
from binascii import hexlify, unhexlify

from _hw import call, listen


def _pin(pin):
    """The hardware's name of a pin; none at all where it was not given."""
    return "" if pin is None else pin._id if hasattr(pin, "_id") else call("pin", str(pin))


def _hex(buf):
    return hexlify(buf).decode()


def _whole(answer, count, rest):
    """The `count` bytes of an answer, which may come in parts."""
    data = unhexlify(answer)
    while len(data) < count:
        data += unhexlify(call(rest))
    return data


class I2C:
    def __init__(self, id=0, freq=400000, *, scl=None, sda=None, timeout=50000):
        self._key = call("i2c.init", "%d,%d,%s,%s,%d" % (id, freq, _pin(scl), _pin(sda), timeout))

    def __repr__(self):
        return call("i2c.show", self._key)

    def _unsupported(self, *args, **kwargs):
        raise OSError("I2C operation not supported")

    init = start = stop = readinto = write = _unsupported

    def deinit(self):
        pass

    def scan(self):
        return list(unhexlify(call("i2c.scan", self._key)))

    def writeto(self, addr, buf, stop=True):
        return int(call("i2c.write", "%s,%d,%s" % (self._key, addr, _hex(buf))))

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector))

    def readfrom(self, addr, nbytes, stop=True):
        return _whole(call("i2c.read", "%s,%d,%d" % (self._key, addr, nbytes)), nbytes, "i2c.rest")

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self.readfrom(addr, len(buf))

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        return _whole(call("i2c.mem", "%s,%d,%s,%d" % (self._key, addr, _memory(memaddr, addrsize), nbytes)), nbytes, "i2c.rest")

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        call("i2c.write", "%s,%d,%s%s" % (self._key, addr, _memory(memaddr, addrsize), _hex(buf)))


def _memory(memaddr, addrsize):
    if addrsize == 8:
        return "%02x" % (memaddr & 255)
    if addrsize & 7 or not 0 <= addrsize <= 32:
        raise ValueError("invalid addrsize")
    return "".join("%02x" % (memaddr >> shift & 255) for shift in range(addrsize - 8, -8, -8))


class SoftI2C(I2C):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self.init(scl, sda, freq=freq, timeout=timeout)

    def init(self, scl, sda, *, freq=400000, timeout=50000):
        self._key = call("i2c.soft", "%d,%s,%s,%d" % (freq, _pin(scl), _pin(sda), timeout))

    def start(self):
        call("i2c.start", self._key)

    def stop(self):
        call("i2c.stop", self._key)

    def write(self, buf):
        return int(call("i2c.out", "%s,%s" % (self._key, _hex(buf))))

    def readinto(self, buf, nack=True):
        buf[:] = _whole(call("i2c.in", "%s,%d" % (self._key, len(buf))), len(buf), "i2c.rest")


class SPI:
    LSB = 0
    MSB = 1
    CONTROLLER = 0

    def __init__(self, id=0, baudrate=1000000, polarity=0, phase=0, bits=8, firstbit=MSB, sck=-1, mosi=-1, miso=-1):
        self._key = str(id)
        self.init(baudrate, polarity, phase, bits, firstbit, sck, mosi, miso)

    def init(self, baudrate=None, polarity=None, phase=None, bits=None, firstbit=None, sck=-1, mosi=-1, miso=-1):
        order = None if firstbit is None else "lsb" if firstbit == self.LSB else "msb"
        given = ["" if value is None else str(value) for value in (baudrate, polarity, phase, bits, order)]
        given += ["none" if pin is None else "" if pin == -1 else _pin(pin) for pin in (sck, mosi, miso)]
        self._key = call("spi.init", self._key + "," + ",".join(given))

    def __repr__(self):
        return call("spi.show", self._key)

    def deinit(self):
        call("spi.deinit", self._key)

    def write(self, buf):
        call("spi.write", "%s,%s" % (self._key, _hex(buf)))

    def read(self, nbytes, write=0):
        return _whole(call("spi.read", "%s,%d,%d" % (self._key, nbytes, write)), nbytes, "spi.rest")

    def readinto(self, buf, write=0):
        buf[:] = self.read(len(buf), write)

    def write_readinto(self, write_buf, read_buf):
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        read_buf[:] = _whole(call("spi.both", "%s,%s" % (self._key, _hex(write_buf))), len(read_buf), "spi.rest")


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
    IDLE = 0

    def __init__(self, id, *args, **kwargs):
        self._key = call("uart.open", str(id))
        self.init(*args, **kwargs)

    def init(self, baudrate=None, bits=None, parity=-1, stop=None, *, tx=None, rx=None, txbuf=None, rxbuf=None, timeout=None, timeout_char=None,
             invert=None, flow=None, rts=None, cts=None):
        parity = "none" if parity is None else parity
        given = ("" if value is None else str(value) for value in (baudrate, bits, parity, stop, rxbuf, timeout, timeout_char))
        call("uart.init", "%s,%s,%s,%s" % (self._key, ",".join(given), _pin(tx), _pin(rx)))

    def __repr__(self):
        return call("uart.show", self._key)

    def deinit(self):
        call("uart.deinit", self._key)

    def any(self):
        return int(call("uart.any", self._key))

    def _take(self, count, how):
        """Waits as long as the UART is told to; an interrupt breaks the wait off, which then goes on."""
        data, new = b"", 1
        while True:
            answer = call("uart.read", "%s,%s,%d,%d" % (self._key, how, count - len(data), new))
            more = answer[-1:] == "+"
            data += unhexlify(answer[:-1] if more else answer)
            if not more:
                return data or None
            new = 0

    def read(self, nbytes=-1):
        return self._take(32768 if nbytes is None or nbytes < 0 else nbytes, "all" if nbytes is None or nbytes < 0 else "some")

    def readline(self):
        return self._take(32768, "line")

    def readinto(self, buf, nbytes=None):
        data = self._take(len(buf) if nbytes is None else min(nbytes, len(buf)), "some")
        if data is None:
            return None
        buf[:len(data)] = data
        return len(data)

    def write(self, buf):
        return int(call("uart.write", "%s,%s" % (self._key, _hex(buf))))

    def txdone(self):
        return call("uart.txdone", self._key) == "1"

    def flush(self):
        call("uart.flush", self._key)

    def sendbreak(self):
        call("uart.break", self._key)

    def _poll(self, wanted):
        return wanted & (5 if self.any() else 4)

    def irq(self, handler=None, trigger=0, hard=False):
        wanted = [name for name, bit in (("rx", "IRQ_RX"), ("idle", "IRQ_RXIDLE"), ("sent", "IRQ_TXIDLE"), ("break", "IRQ_BREAK"))
                  if trigger & getattr(UART, bit, 0)]
        listen("uart" + self._key, handler, self)
        call("uart.irq", "%s,%s" % (self._key, "" if handler is None else "+".join(wanted)))
        return _UartIrq()


class _UartIrq:
    def flags(self):
        return 0

    def trigger(self, *args):
        return 0


def dht_readinto(pin, buf):
    buf[:5] = unhexlify(call("dht.read", _pin(pin)))
