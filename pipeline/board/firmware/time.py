"""time on the board's clock. Reading it is the interpreter's own, whose clock the board's is; sleeping lets interrupts in."""
from _board import PORT as _PORT
from _hw import inner, settle as _settle
from host import call as _ask

_EPOCH = 946684800 if _PORT == "esp32" else 0       # seconds from 1970 to where the board counts from: an ESP32 begins at 2000
_time = inner("time")
ticks_ms, ticks_us, ticks_cpu, ticks_add, ticks_diff = _time.ticks_ms, _time.ticks_us, _time.ticks_cpu, _time.ticks_add, _time.ticks_diff


def time():
    return int(_time.time()) - _EPOCH


def time_ns():
    return _time.time_ns() - _EPOCH * 1000000000


def mktime(parts):
    return _time.mktime(parts) - _EPOCH


def gmtime(secs=None):
    return _time.gmtime((time() if secs is None else secs) + _EPOCH)[:8]


localtime = gmtime


_said = {}      # microseconds -> as they are told: a program sleeps the same times again and again


def _say(us):
    if len(_said) > 100:
        _said.clear()
    _said[us] = text = b"%d" % us
    return text


def _refuse(x):
    raise TypeError("can't convert %s to int" % type(x).__name__)


def sleep_us(us):
    try:
        us |= 0     # what is no whole number cannot do that; asking for its type takes three times as long
    except TypeError:
        _refuse(us)
    if us > 0:
        late = _ask("sleep", _said.get(us) or _say(us))
        if late != "":
            _settle(late)


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    sleep_us(int(seconds * 1000000))


def sleep_ms(ms):
    try:
        us = (ms | 0) * 1000
    except TypeError:
        _refuse(ms)
    sleep_us(us)
