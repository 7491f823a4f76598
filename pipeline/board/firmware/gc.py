"""gc, which collects nothing: the sandbox's interpreter must not (see sandbox.py), and has room for all that a program makes.

What a program is told of its memory is the distance of two new objects: asking the interpreter's own collector costs a walk of the heap.
"""
from _board import HEAP as _HEAP

_start, _on = id([]), True
_TAKEN = 9000       # bytes that are in use when a program starts


def collect():
    global _start
    _start = id([])


def mem_alloc():
    return min(max(id([]) - _start, 0) + _TAKEN, _HEAP)


def mem_free():
    return _HEAP - mem_alloc()


def enable():
    global _on
    _on = True


def disable():
    global _on
    _on = False


def isenabled():
    return _on


def threshold(amount=-1):
    return amount
