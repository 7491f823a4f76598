"""micropython: the interpreter's own, but that what is scheduled waits for the handler that scheduled it, as on a board."""
from _hw import call as _call, inner, listen

_own = inner("micropython")
const, opt_level, mem_info, qstr_info, stack_use = _own.const, _own.opt_level, _own.mem_info, _own.qstr_info, _own.stack_use
heap_lock, heap_unlock, kbd_intr, RingIO = _own.heap_lock, _own.heap_unlock, _own.kbd_intr, _own.RingIO
_DEPTH = 8
_waiting = []


def schedule(func, arg):
    if len(_waiting) >= _DEPTH:
        raise RuntimeError("schedule queue full")
    _waiting.append((func, arg))
    _call("schedule")


def _next(_):
    func, arg = _waiting.pop(0)
    if _waiting:
        _call("schedule")
    func(arg)


listen("schedule", _next, None)


def alloc_emergency_exception_buf(size):
    pass


def native(func):
    return func


viper = native
