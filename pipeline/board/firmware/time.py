"""time on the board's clock. Reading it is the interpreter's own, whose clock the board's is; sleeping lets interrupts in."""
from _hw import call, inner

_time = inner("time")
ticks_ms, ticks_us, ticks_cpu, ticks_add, ticks_diff = _time.ticks_ms, _time.ticks_us, _time.ticks_cpu, _time.ticks_add, _time.ticks_diff
time_ns, gmtime, mktime = _time.time_ns, _time.gmtime, _time.mktime


def time():
    return int(_time.time())


def localtime(secs=None):
    return _time.gmtime(time() if secs is None else secs)[:8]


def _sleep(us):
    if us > 0:
        call("sleep", str(us))


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    _sleep(int(seconds * 1000000))


def sleep_ms(ms):
    _sleep(int(ms) * 1000)


def sleep_us(us):
    _sleep(int(us))
