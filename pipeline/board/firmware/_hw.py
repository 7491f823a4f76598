"""The wire between the firmware and the hardware: one function, `call`. The hardware is on the other side, where no program reaches it.

An answer that begins with `#` says that an interrupt came first: its handler runs here, then `.` asks for the answer proper. One that
begins with `!` is an error of the hardware. Both stand before `$`, as no other answer's beginning does: one comparison tells.

Arguments are bytes rather than text: each new text costs this interpreter a search through all the names that it knows.
"""
import sys

import builtins
import errno
from host import call as _ask

_handlers = {}      # number of an interrupt -> (handler, what it is given)


def call(operation, arguments=b""):
    answer = _ask(operation, arguments)
    return answer if answer == "" or answer >= "$" else settle(answer)


def settle(answer):
    while answer[:1] == "#":
        handler, given = _handlers.get(answer[1:], (None, None))
        if handler is not None:
            try:
                handler(given)
            except Exception as error:
                report(error)
        answer = _ask(".", "")
    if answer[:1] == "!":
        fail(answer[1:])
    return answer


def report(error):
    sys.print_exception(error, sys.stderr)
    _ask("failed", "")


def fail(said):
    kind, _, text = said.partition(":")
    if kind == "OSError":       # ETIMEDOUT, a number that has no name, or words
        text = int(text) if text.lstrip("-").isdigit() else getattr(errno, text, text)
    raise getattr(builtins, kind)(text)


def listen(number, handler, given):
    """Calls handler(given) when the hardware reports interrupt `number`; None forgets it."""
    if handler is None:
        _handlers.pop(number, None)
    else:
        _handlers[number] = (handler, given)


def tick():
    """What every turn of a loop does that asks the hardware nothing: time passes, interrupts come."""
    answer = _ask("tick", b"")
    if answer != "":
        settle(answer)
    return True


def lacks(name):
    call("lacks", name)


def inner(name):
    """The interpreter's own module of a name that ours stands before."""
    path = sys.path[:]
    sys.path[:] = []
    try:
        return __import__(name)
    finally:
        sys.path[:] = path
