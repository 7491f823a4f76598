"""Runs main.py as a board does: after its end, or its error, timers and interrupts go on."""
import sys

import _hw
import builtins

builtins._tick = _hw.tick
with open("main.py") as _file:
    _source = _file.read()
try:
    exec(compile(_source, "main.py", "exec"), {"__name__": "__main__"})
except SystemExit:
    pass
except BaseException as _error:
    _hw.report(_error)
_hw.call("ended")
