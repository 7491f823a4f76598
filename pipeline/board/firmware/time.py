"""time on the board's clock. Reading it is the interpreter's own, whose clock the board's is; sleeping lets interrupts in."""
from _board import PORT as _PORT
from _hw import call, inner

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


def _sleep(us):
    if us > 0:
        call("sleep", b"%d" % us)


def _int(x):
    if isinstance(x, float):
        raise TypeError("can't convert float to int")
    return int(x)


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    _sleep(int(seconds * 1000000))


def sleep_ms(ms):
    _sleep(_int(ms) * 1000)


def sleep_us(us):
    _sleep(_int(us))
