"""Programs that will not end, or not when their time is up; see board_attacks.py."""

from board_attacks import ANY, ASKED, ENDED, EVENTS, FUEL, TIME

EITHER = "(ended|time is up)"

LOOPS = {
    "a busy loop": (TIME, "while True:\n    pass\n"),
    "a busy loop past the ticks": (FUEL, "exec('while True: pass')"),
    "a loop that feeds itself": (f"({FUEL}|MemoryError.*)", "x = [0]\nfor _ in x:\n    x.append(0)\n"),
    "a busy loop in C": (FUEL, "x = 7 ** 3000\nexec('while 1: str(x) < str(x)')"),
    "a busy loop that catches everything": (
        FUEL,
        """
exec('''
while True:
    try:
        while True:
            pass
    except:
        print("succeeded")
''')
""",
    ),
    "a sleep past the end that catches everything": (
        TIME,
        """
import time
while True:
    try:
        time.sleep(1000)
    except BaseException:
        print("succeeded")
    finally:
        print("succeeded")
""",
    ),
    "a generator that outlives the end": (
        TIME,
        """
import time
def survive():
    while True:
        try:
            yield time.sleep(1000)
        except:
            print("succeeded")
        finally:
            print("succeeded")
for _ in survive():
    pass
""",
    ),
    "a finally that begins again": (
        FUEL,
        """
exec('''
def again():
    try:
        while True:
            pass
    finally:
        print("succeeded")
        again()
again()
''')
""",
    ),
    "a context that swallows the end": (
        TIME,
        """
import time
class Swallow:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        print("succeeded")
        return True
while True:
    with Swallow():
        time.sleep(1000)
""",
    ),
    "a handler at the exit": (
        EITHER,
        """
import _hw
_hw.inner("sys").atexit(lambda: print("succeeded"))
""",
    ),
    "leaves by SystemExit again and again": (
        EITHER,
        """
import sys
def leave():
    try:
        sys.exit(3)
    finally:
        raise SystemExit(0)
leave()
""",
    ),
    "a del that never ends": (
        f"({TIME}|{FUEL}|{ENDED})",
        """
import gc
class Never:
    def __del__(self):
        exec("while True: pass")
for _ in range(1000):
    Never()
gc.collect()
""",
    ),
    "schedules itself": (
        f"({TIME}|{ENDED}|{FUEL}|{ASKED}|RuntimeError.*|.*call stack exhausted.*|AttributeError.*)",
        """
import micropython
def turn(_):
    micropython.schedule(turn, 0)
turn(0)
exec("while True: pass")
""",
    ),
    "asks without end": (f"({ASKED}|{FUEL})", "import host\nexec('''\nwhile True:\n    host.call('sleep', '0')\n''')"),
    "asks the clock without end": (TIME, "import time\nexec('while True: time.ticks_us()')"),
    "searches files without end": (
        f"({ASKED}|{FUEL}|{TIME})",
        """
exec('''
while True:
    try:
        import nothing
    except ImportError:
        pass
''')
""",
    ),
    "answers a pin's interrupt with its edge": (
        f"({TIME}|{ENDED}|{EVENTS}|{ASKED}|{FUEL})",
        """
from machine import Pin
pin = Pin(3, Pin.OUT)
pin.irq(lambda p: p.toggle(), Pin.IRQ_FALLING | Pin.IRQ_RISING)
pin.on()
while True:
    pass
""",
    ),
    "an interrupt that never returns": (
        f"({TIME}|{FUEL})",
        """
from machine import Pin
import time
def stay(_):
    while True:
        time.sleep_ms(1)
pin = Pin(3, Pin.OUT)
pin.irq(stay, Pin.IRQ_RISING)
pin.on()
print("succeeded")
""",
    ),
    "an interrupt that computes": (
        FUEL,
        """
from machine import Pin
pin = Pin(3, Pin.OUT)
pin.irq(lambda _: exec("while True: pass"), Pin.IRQ_RISING)
pin.on()
print("succeeded")
""",
    ),
    "toggles a pin without end": (
        EVENTS,
        "from machine import Pin\npin = Pin(3, Pin.OUT)\nwhile True:\n    pin.toggle()\n",
    ),
    "a timer at 1 MHz": (
        ANY,
        """
from machine import Timer
import time
n = 0
def tick(_):
    global n
    n += 1
Timer(-1).init(freq=1_000_000, mode=Timer.PERIODIC, callback=tick)
time.sleep(100)
""",
    ),
    "10,000 timers": (
        ANY,
        """
from machine import Timer
held = []
for n in range(10_000):
    t = Timer(-1)
    t.init(period=1, mode=Timer.PERIODIC, callback=lambda _: None)
    held.append(t)
while True:
    pass
""",
    ),
    "timers that make timers": (
        ANY,
        """
from machine import Timer
import time
def more(_):
    for _ in range(2):
        Timer(-1).init(period=1, mode=Timer.ONE_SHOT, callback=more)
more(0)
time.sleep(100)
""",
    ),
    "10,000 pins": (
        f"({ENDED}|{FUEL})",
        """
from machine import Pin
held = []
for n in range(10_000):
    held.append(Pin(n % 28, Pin.OUT, value=n & 1))
    try:
        Pin(n + 30, Pin.OUT)
        print("succeeded")
    except ValueError:
        pass
""",
    ),
    "deep asyncio": (
        ANY,
        """
import asyncio
async def deeper(n):
    await deeper(n + 1)
asyncio.run(deeper(0))
""",
    ),
    "asyncio tasks without end": (
        ANY,
        """
import asyncio
async def more():
    while True:
        asyncio.create_task(more())
        await asyncio.sleep(0)
asyncio.run(more())
""",
    ),
    "asyncio that swallows its end": (
        TIME,
        """
import asyncio
async def stay():
    while True:
        try:
            await asyncio.sleep(1)
        except:
            print("succeeded")
asyncio.run(stay())
""",
    ),
    "fakes the time": (
        TIME,
        """
import time, host
time.ticks_ms = time.ticks_us = lambda: 0
time.sleep = lambda s: None
for given in ("-5000000", "-1", "0", "1e9", "nan", "x"):
    try:
        host.call("sleep", given)
    except (ValueError, TypeError):
        pass
while True:
    pass
""",
    ),
}
