"""machine: what it can do stands here, for every board; what a board has of it is cut to size by image.py."""
from binascii import hexlify

from _board import PORT as _PORT
from _bus import I2C, SoftI2C, SPI, SoftSPI, UART, dht_readinto
from _hw import call as _call, inner as _inner, listen, settle
from _pins import Signal, _Irq
from host import call as _ask

_RP2 = _PORT == "rp2"


def _int(x):
    """Whole numbers are asked for, and none is made of a float."""
    if isinstance(x, (int, bool)):
        return int(x)
    raise TypeError("can't convert %s to int" % type(x).__name__)


def _only(*others):
    """Arguments that the other port has."""
    for given in others:
        if given is not None:
            raise TypeError("extra keyword arguments given")


def _name(pin):
    """The hardware's name of a pin, given as a Pin, a number or a name."""
    if isinstance(pin, Pin):
        return pin._id
    return _call("pin", b"=%s" % pin if isinstance(pin, str) else b"%d" % _int(pin))


class _Named:
    def __getattr__(self, name):
        try:
            return Pin(name)
        except ValueError:
            raise AttributeError(name)


class Pin:
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    ALT = 3
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_FALLING = 4
    IRQ_RISING = 8
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3
    ALT_SPI = 1
    ALT_UART = 2
    ALT_I2C = 3
    ALT_PWM = 4
    ALT_SIO = 5
    ALT_PIO0 = 6
    ALT_PIO1 = 7
    ALT_GPCK = 8
    ALT_USB = 9
    board = cpu = _Named()

    def __init__(self, id, mode=None, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        self._id = _name(id)
        self._low, self._high = b"%s,0" % self._id, b"%s,1" % self._id
        if mode is not None or pull != -1 or value is not None:
            self.init(mode, pull, value=value, drive=drive, alt=alt, hold=hold)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        _only(drive, hold) if _RP2 else _only(alt)
        kind = "-" if mode is None else _MODES.get(_int(mode), "alt")
        pulls = "none" if pull is None else _PULLS.get(_int(pull), "none")
        _call("pin.init", b"%s,%s,%s,%s" % (self._id, kind, pulls, "-" if value is None else "1" if value else "0"))

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
        late = _ask("write", self._high)
        if late != "":
            settle(late)

    def off(self):
        late = _ask("write", self._low)
        if late != "":
            settle(late)

    high = on
    low = off

    def toggle(self):
        late = _ask("toggle", self._id)
        if late != "":
            settle(late)

    def irq(self, handler=-1, trigger=IRQ_FALLING | IRQ_RISING, hard=None, *, wake=None, priority=None):
        _only(priority, wake) if _RP2 else _only(priority, hard)
        irq = _irqs.get(self._id)
        if irq is None:
            irq = _irqs[self._id] = _Irq(self)
        if wake is not None and _int(trigger) in (Pin.WAKE_LOW, Pin.WAKE_HIGH):
            _call("wake", "ext0,%s,%d" % (self._id, trigger == Pin.WAKE_HIGH))
        if handler != -1:
            irq._handler = handler
            listen("pin" + self._id, handler, self)
            irq.trigger(_int(trigger))
        return irq

    def __repr__(self):
        return _call("pin.show", self._id)

    def __eq__(self, other):
        return isinstance(other, Pin) and other._id == self._id

    def __hash__(self):
        return hash(self._id)


_MODES = {Pin.IN: "in", Pin.OUT: "out", Pin.OPEN_DRAIN: "od"}
_PULLS = {-1: "-", Pin.PULL_UP: "up", Pin.PULL_DOWN: "down", Pin.PULL_UP | Pin.PULL_DOWN: "up"}
_irqs = {}      # pin -> its interrupt


class PWM:
    def __init__(self, dest, freq=None, **kwargs):
        self._id = _name(dest)
        self._tell("pwm.new", freq, **kwargs)

    def init(self, freq=None, **kwargs):
        self._tell("pwm.init", freq, **kwargs)

    def _tell(self, operation, freq, duty=None, duty_u16=None, duty_ns=None, invert=None, lightsleep=None):
        if _RP2:
            _only(duty, lightsleep)
        given = [(unit, value) for unit, value in (("ns", duty_ns), ("u16", duty_u16), ("u10", duty)) if value is not None]
        unit, value = given[0] if given else ("-", None)
        _call(operation, b"%s,%s,%s,%s,%s" % (self._id, "-" if freq is None else _int(freq), unit, "-" if value is None else _int(value),
                                            "-" if invert is None else 1 if invert else 0))

    def freq(self, value=None):
        if value is None:
            return int(_call("pwm.freq", self._id))
        _call("pwm.freq", b"%s,%d" % (self._id, _int(value)))

    def _duty(self, unit, value):
        if value is None:
            return int(_call("pwm.duty", b"%s,%s" % (self._id, unit)))
        _call("pwm.duty", b"%s,%s,%d" % (self._id, unit, _int(value)))

    def duty_u16(self, value=None):
        return self._duty("u16", value)

    def duty_ns(self, value=None):
        return self._duty("ns", value)

    def duty(self, value=None):
        return self._duty("u10", value)

    def deinit(self):
        _call("pwm.deinit", self._id)

    def __repr__(self):
        return _call("pwm.show", self._id)


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
        self._id = _call("adc.new", "=" + _name(id) if isinstance(id, (Pin, str)) else str(_int(id)))
        if _RP2:
            _only(sample_ns, atten)
        else:
            self.init(sample_ns=sample_ns, atten=atten)

    def init(self, *, sample_ns=None, atten=None):
        _only(sample_ns)
        self.atten(self.ATTN_11DB if atten is None else atten)

    def deinit(self):
        pass

    def read_u16(self):
        answer = _ask("adc.u16", self._id)
        return int(answer if answer >= "$" else settle(answer))

    def read_uv(self):
        return int(_call("adc.uv", self._id))

    def read(self):
        return int(_call("adc.read", self._id))

    def atten(self, atten):
        _call("adc.atten", b"%s,%d" % (self._id, _int(atten)))

    def width(self, bits):
        _call("adc.width", b"%s,%d" % (self._id, _int(bits)))

    def __repr__(self):
        return "<ADC channel=%d>" % (4 if self._id == "temperature" else int(self._id) - 26) if _RP2 else "ADC(Pin(%s))" % self._id


class DAC:
    def __init__(self, id):
        self._id = _call("dac.new", _name(id))

    def write(self, value):
        _call("dac.write", b"%s,%d" % (self._id, _int(value)))


class TouchPad:
    def __init__(self, pin):
        self._id = _call("touch.new", _name(pin))

    def read(self):
        return int(_call("touch.read", self._id))

    def config(self, value):
        pass


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1
    _made = 0

    def __init__(self, id=-1, **kwargs):
        if _int(id) < 0 and (id == -1 or not _RP2):
            Timer._made += 1
            self._id = "-%d" % Timer._made
        elif _RP2:
            raise ValueError("Timer doesn't exist")
        elif id > 3:
            raise ValueError("Timer(%d) doesn't exist, there are only 4 hardware timers" % id)
        else:
            self._id = str(id)
        if kwargs:
            self.init(**kwargs)

    def init(self, *, mode=PERIODIC, period=None, tick_hz=1000, freq=None, callback=None, hard=False):
        if hard and not _RP2:
            raise ValueError("hard Timers are not implemented")
        if freq is not None:
            period = int(1000000 / freq)
        elif period is not None:
            period = _int(period) * 1000000 // _int(tick_hz)
            if period < 0:      # in C a number without a sign: some centuries
                period = None
        listen("timer" + self._id, callback, self)
        if period is None:
            _call("timer.off", self._id)
        else:
            _call("timer", b"%s,%d,%d" % (self._id, period, mode == Timer.PERIODIC))

    def deinit(self):
        listen("timer" + self._id, None, None)
        _call("timer.off", self._id)

    def value(self):
        return int(_call("timer.value", self._id))


class RTC:
    def datetime(self, datetimetuple=None):
        if datetimetuple is not None:
            return self._set(datetimetuple, 4)
        gmtime = _inner("time").gmtime
        now = int(_call("rtc"))
        t = gmtime(now // 1000000)
        return t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0 if _RP2 else now % 1000000

    def _set(self, given, hours):
        mktime = _inner("time").mktime       # which counts from 1970 on every board
        if not isinstance(given, (tuple, list)):
            raise TypeError("object '%s' isn't a tuple or list" % type(given).__name__)
        if len(given) != 8:
            raise ValueError("requested length 8 but object has length %d" % len(given))
        whole = [_int(each) for each in given]
        seconds = mktime(tuple(whole[:3] + whole[hours:hours + 3] + [0, 0]))
        _call("rtc.set", str(seconds * 1000000 + (0 if _RP2 else whole[7])))

    def init(self, datetime):
        self._set(datetime, 3)

    def memory(self, data=None):
        if data is None:
            return bytes.fromhex(_call("rtc.memory"))
        _call("rtc.memory", "=" + bytes(data.encode() if isinstance(data, str) else data).hex())


class WDT:
    def __init__(self, id=0, timeout=5000):
        _call("wdt", b"%d,%d" % (_int(id), _int(timeout)))

    def feed(self):
        _call("wdt.feed")


PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
SLEEP = 2
DEEPSLEEP = 4
PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6


def time_pulse_us(pin, pulse_level, timeout_us=1000000):
    return int(_call("pulse", b"%s,%d,%d" % (_name(pin), bool(pulse_level), _int(timeout_us))))


def bitstream(pin, encoding, timing, data):
    if encoding != 0:
        raise ValueError("encoding")
    if len(timing) != 4:
        raise ValueError("requested length 4 but object has length %d" % len(timing))
    _call("pixels", b"%s,%s,%s" % (_name(pin), "grbw" if len(data) % 3 else "grb", hexlify(bytes(data))))


def disable_irq():
    return int(_call("irq.on", "0"))


def enable_irq(state):
    _call("irq.on", "1" if _int(state) else "0")


def lightsleep(time_ms=None):
    _call("sleep.light", "" if time_ms is None else str(_int(time_ms)))


sleep = lightsleep


def deepsleep(time_ms=None):
    _call("sleep.deep", "" if time_ms is None else str(_int(time_ms)))


def reset():
    _call("reset")


def soft_reset():
    _call("reset")


def bootloader(value=None):
    _call("reset")


def reset_cause():
    return PWRON_RESET


def wake_reason():
    return 0


def wake_pins():
    return ()


def unique_id():
    return bytes.fromhex(_call("serial"))


def freq(hz=None, *peripherals):
    if hz is None:
        return int(_call("freq"))
    _call("freq", str(_int(hz)))


def idle():
    _call("tick")
