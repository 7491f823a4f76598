"""machine: what it can do stands here, for every board; what a board has of it is cut to size by image.py."""
from _board import PORT as _PORT
from _bus import I2C, SoftI2C, SPI, SoftSPI, UART
from _hw import call, listen, settle
from host import call as _ask


class Pin:
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    ALT = 3
    ANALOG = 4
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_FALLING = 4
    IRQ_RISING = 8
    IRQ_LOW_LEVEL = 1
    IRQ_HIGH_LEVEL = 2
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        if isinstance(id, Pin):
            id = id._id
        self._id = call("pin", str(id))
        self._low, self._high = self._id + ",0", self._id + ",1"
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        kind = {-1: "-", None: "-", Pin.IN: "in", Pin.OUT: "out", Pin.OPEN_DRAIN: "od"}.get(mode, "alt")
        pulls = {-1: "-", None: "none", Pin.PULL_UP: "up", Pin.PULL_DOWN: "down"}.get(pull, "none")
        call("pin.init", "%s,%s,%s,%s" % (self._id, kind, pulls, "-" if value is None else "1" if value else "0"))

    def value(self, x=None):
        if x is None:
            level = _ask("read", self._id)
            if level != "0" and level != "1":
                level = settle(level)
            return 1 if level == "1" else 0
        late = _ask("write", self._high if x else self._low)
        if late != "":
            settle(late)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    high = on
    low = off

    def toggle(self):
        call("toggle", self._id)

    def mode(self, mode=None):
        if mode is not None:
            return self.init(mode)
        return {"in": Pin.IN, "out": Pin.OUT, "od": Pin.OPEN_DRAIN}.get(call("pin.mode", self._id), Pin.ALT)

    def pull(self, pull=-1):
        if pull != -1:
            return self.init(-1, pull)
        return {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}.get(call("pin.pull", self._id))

    def drive(self, drive=None):
        return Pin.DRIVE_1 if drive is None else None

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING, *, priority=1, wake=None, hard=False):
        edges = ("f" if trigger & Pin.IRQ_FALLING else "") + ("r" if trigger & Pin.IRQ_RISING else "")
        listen("pin" + self._id, handler, self)
        call("pin.irq", self._id + "," + ("" if handler is None else edges))
        return _Irq(self)

    def __repr__(self):
        return "Pin(%s)" % self._id

    def __eq__(self, other):
        return isinstance(other, Pin) and other._id == self._id

    def __hash__(self):
        return hash(self._id)


class _Irq:
    def __init__(self, pin):
        self._pin = pin

    def flags(self):
        return 0

    def trigger(self, *a):
        return 0


def _name(pin):
    """The hardware's name of a pin, given as a Pin, a number or a name."""
    return pin._id if isinstance(pin, Pin) else call("pin", str(pin))


class Signal:
    def __init__(self, pin, *args, invert=False, **kwargs):
        self._pin = pin if hasattr(pin, "value") and not args and not kwargs else Pin(pin, *args, **kwargs)
        self._invert = invert

    def value(self, x=None):
        if x is None:
            return self._pin.value() ^ self._invert
        self._pin.value(bool(x) ^ self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class PWM:
    def __init__(self, dest, freq=None, duty=None, *, duty_u16=None, duty_ns=None, invert=None):
        self._id = _name(dest)
        self.init(freq=freq, duty=duty, duty_u16=duty_u16, duty_ns=duty_ns, invert=invert)

    def init(self, freq=None, duty=None, *, duty_u16=None, duty_ns=None, invert=None):
        if duty is not None:
            duty_u16 = _from_1023(duty)
        call("pwm.init", ",".join([self._id] + ["-" if x is None else str(int(x)) for x in (freq, duty_u16, duty_ns, invert)]))

    def _ask(self, operation, x):
        if x is None:
            return int(call(operation, self._id))
        call(operation, "%s,%d" % (self._id, x))

    def freq(self, x=None):
        return self._ask("pwm.freq", x)

    def duty_u16(self, x=None):
        return self._ask("pwm.u16", x)

    def duty_ns(self, x=None):
        return self._ask("pwm.ns", x)

    def duty(self, x=None):
        if x is None:
            return (self.duty_u16() + 32) >> 6 if self.duty_u16() < 65504 else 1023
        self.duty_u16(_from_1023(x))

    def deinit(self):
        call("pwm.deinit", self._id)

    def __repr__(self):
        return "<PWM pin=%s>" % self._id


def _from_1023(duty):
    if not 0 <= duty <= 1023:
        raise ValueError("duty must be from 0 to 1023")
    return 65535 if duty == 1023 else duty << 6


class ADC:
    CORE_TEMP = 4
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_9BIT = 9
    WIDTH_10BIT = 10
    WIDTH_11BIT = 11
    WIDTH_12BIT = 12

    def __init__(self, id, *, sample_ns=None, atten=None):
        self._id = call("adc", id._id + ",pin" if isinstance(id, Pin) else str(id))
        self._full = _FULL_SCALE[0] if _PORT == "esp32" else 3300000
        self._bits = 12
        if atten is not None:
            self.atten(atten)

    def init(self, *, sample_ns=None, atten=None):
        if atten is not None:
            self.atten(atten)

    def read_uv(self):
        return min(int(call("adc.uv", self._id)), self._full)

    def read_u16(self):
        return min(65535, int(call("adc.uv", self._id)) * 65535 // self._full)

    def read(self):
        return self.read_u16() >> (16 - self._bits)

    def atten(self, atten):
        if atten not in _FULL_SCALE:
            raise ValueError("invalid atten")
        self._full = _FULL_SCALE[atten]

    def width(self, bits):
        self._bits = bits


_FULL_SCALE = {ADC.ATTN_0DB: 950000, ADC.ATTN_2_5DB: 1250000, ADC.ATTN_6DB: 1750000, ADC.ATTN_11DB: 3300000}     # microvolts


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1
    _soft = 0

    def __init__(self, id=-1, *, mode=PERIODIC, freq=-1, period=-1, callback=None, hard=False, tick_hz=1000):
        if id == -1:
            Timer._soft += 1
            self._id = "s%d" % Timer._soft
        elif _PORT == "rp2":
            raise ValueError("Timer doesn't exist")
        elif 0 <= id < 4:
            self._id = str(id)
        else:
            raise ValueError("invalid Timer number")
        if callback is not None or period != -1 or freq != -1:
            self.init(mode=mode, freq=freq, period=period, callback=callback, tick_hz=tick_hz)

    def init(self, *, mode=PERIODIC, freq=-1, period=-1, callback=None, hard=False, tick_hz=1000):
        if freq != -1:
            us = int(1000000 / freq)
        elif period != -1:
            us = int(period) * 1000000 // tick_hz
        else:
            us = 1000000
        listen("timer" + self._id, callback, self)
        call("timer", "%s,%d,%d" % (self._id, us, mode == Timer.PERIODIC))

    def deinit(self):
        listen("timer" + self._id, None, None)
        call("timer.off", self._id)

    def value(self):
        return 0


class RTC:
    _memory = b""

    def __init__(self, id=0):
        pass

    def datetime(self, given=None):
        from time import gmtime, mktime
        if given is None:
            us = int(call("rtc"))
            t = gmtime(us // 1000000)
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], us % 1000000 if _PORT == "esp32" else 0)
        y, mo, d, _, h, mi, s, sub = given
        call("rtc.set", "%d" % (mktime((y, mo, d, h, mi, s, 0, 0)) * 1000000))

    def init(self, given):
        self.datetime(given)

    def memory(self, data=None):
        if data is None:
            return RTC._memory
        RTC._memory = bytes(data) if not isinstance(data, str) else data.encode()


class WDT:
    def __init__(self, id=0, timeout=5000):
        if _PORT == "rp2" and not 0 < timeout <= 8388:
            raise ValueError("timeout exceeds 8388")
        call("wdt", str(int(timeout)))

    def feed(self):
        call("wdt.feed")

    def timeout_ms(self, x=None):
        if x is not None:
            call("wdt", str(int(x)))


PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
_frequency = 125000000 if _PORT == "rp2" else 160000000


def time_pulse_us(pin, pulse_level, timeout_us=1000000):
    return int(call("pulse", "%s,%d,%d" % (_name(pin), pulse_level, timeout_us)))


def bitstream(pin, encoding, timing, data):
    call("pixels", "%s,3,%s" % (_name(pin), bytes(data).hex()))


def disable_irq():
    call("irq.on", "0")
    return 1


def enable_irq(state):
    call("irq.on", "1" if state else "0")


def lightsleep(time_ms=0):
    call("sleep.light", str(int(time_ms)))


def deepsleep(time_ms=None):
    call("sleep.deep", "" if time_ms is None else str(int(time_ms)))


def reset():
    call("reset")


soft_reset = reset


def reset_cause():
    return PWRON_RESET


def wake_reason():
    return 0


def unique_id():
    return b"\xe6\x61\x64\x08\x43\x2a\x1b\x25" if _PORT == "rp2" else b"\x24\x6f\x28\x0a\x0b\x0c"


def freq(hz=None):
    global _frequency
    if hz is None:
        return _frequency
    _frequency = hz


def idle():
    call("tick")
