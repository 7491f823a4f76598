"""asyncio on the simulated board: on the virtual clock, with interrupts, and in its turns and words the same as a real MicroPython's."""

import subprocess
import sys

import pytest

from pipeline.board.inputs import parse
from pipeline.board.run import run


def changes(result, pin):
    """(milliseconds, level) of what a pin drove."""
    return [(event.time // 1000, event.value) for event in result.log if event.what == "pin" and event.where == pin]


def play(program, *devices, seconds=5.0, errors=()):
    result = run(program, inputs=parse(list(devices), "pico", "inputs"), seconds=seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], list(errors))
    return result


TWO_LEDS = """
import asyncio
from machine import Pin

async def blink(pin, ms):
    led = Pin(pin, Pin.OUT)
    while True:
        led.toggle()
        await asyncio.sleep_ms(ms)

async def main():
    asyncio.create_task(blink(14, 250))
    await blink(15, 1000)

asyncio.run(main())
"""


def test_two_tasks_blink_at_their_own_rates():
    result = play(TWO_LEDS)
    fast, slow = changes(result, 14), changes(result, 15)
    assert [time for time, _ in fast[1:]] == [250 * n for n in range(20)]
    assert [time for time, _ in slow[1:]] == [1000 * n for n in range(5)]
    assert [level for _, level in fast[1:]] == [1, 0] * 10


def test_a_blink_takes_few_instructions_however_long_it_runs():
    short, long = (play(TWO_LEDS, seconds=seconds) for seconds in (5, 65))
    assert long.fuel - short.fuel < 20_000_000  # for 300 changes


def test_a_button_is_polled_beside_another_task():
    result = play(
        """
import asyncio
from machine import Pin
button, led, alive = Pin(14, Pin.IN, Pin.PULL_UP), Pin(15, Pin.OUT), Pin(16, Pin.OUT)

async def watch():
    before = 1
    while True:
        now = button.value()
        if before and not now:
            led.toggle()
            print("pressed")
        before = now
        await asyncio.sleep_ms(10)

async def main():
    asyncio.create_task(watch())
    while True:
        alive.toggle()
        await asyncio.sleep(1)
asyncio.run(main())
""",
        {"button": {"pin": 14, "pressed": [1.0, 2.5]}},
    )
    assert result.output == ["pressed", "pressed"]
    assert [time // 20 for time, _ in changes(result, 15)] == [0, 50, 125]
    assert len(changes(result, 16)) == 6


FLAG = """
import asyncio, time
from machine import Pin
flag = asyncio.ThreadSafeFlag()
button = Pin(14, Pin.IN, Pin.PULL_UP)
button.irq(lambda pin: flag.set(), Pin.IRQ_FALLING)

async def main():
    while True:
        await flag.wait()
        print("pressed", time.ticks_ms())
asyncio.run(main())
"""


def test_a_flag_set_by_an_interrupt_wakes_its_task_at_once_and_waiting_for_it_costs_nothing():
    short, long = (play(FLAG, {"button": {"pin": 14, "pressed": [1.0, 50.5]}}, seconds=seconds) for seconds in (5, 60))
    assert long.output == ["pressed 1000", "pressed 50500"]
    assert long.fuel - short.fuel < 1_000_000


def test_a_flag_wakes_its_task_while_another_sleeps_long():
    program = FLAG.replace("    while True:\n", "    asyncio.create_task(sleeper())\n    while True:\n", 1)
    program = program.replace("async def main", "async def sleeper():\n    await asyncio.sleep(60)\n\nasync def main")
    assert play(program, {"button": {"pin": 14, "pressed": [1.0, 2.5]}}).output == ["pressed 1000", "pressed 2500"]


def test_a_flag_that_nobody_sets_waits_to_the_end():
    result = play(FLAG)
    assert (result.output, result.ended) == ([], None)


def test_an_event_that_an_interrupt_sets_wakes_a_program_that_waits_for_nothing_else():
    result = play(
        FLAG.replace("ThreadSafeFlag", "Event").replace("        print", "        flag.clear()\n        print"),
        {"button": {"pin": 14, "pressed": [1.0, 2.5]}},
    )
    assert result.output == ["pressed 1000", "pressed 2500"]


def test_waiting_for_what_never_comes_goes_on_to_the_end():
    result = play(
        "import asyncio\nasync def main():\n    await asyncio.Event().wait()\nasyncio.run(main())\nprint('never')",
        seconds=60,
    )
    assert (result.output, result.ended) == ([], None)


def test_an_event_set_by_an_interrupt_is_seen_at_the_next_turn_of_the_loop():
    result = play(
        """
import asyncio, time
from machine import Pin
event = asyncio.Event()
button = Pin(14, Pin.IN, Pin.PULL_UP)
button.irq(lambda pin: event.set(), Pin.IRQ_FALLING)

async def wait():
    await event.wait()
    print("pressed", time.ticks_ms())

async def main():
    asyncio.create_task(wait())
    while True:
        await asyncio.sleep_ms(400)
asyncio.run(main())
""",
        {"button": {"pin": 14, "pressed": [1.0]}},
    )
    assert result.output == ["pressed 1200"]  # as on a board, whose loop sleeps until then


def test_an_error_in_a_task_is_told_as_an_error_with_its_line_and_the_others_go_on():
    result = play(
        """
import asyncio
async def bad():
    await asyncio.sleep_ms(100)
    raise ValueError("broken")
async def main():
    asyncio.create_task(bad())
    for n in range(3):
        print(n)
        await asyncio.sleep(1)
asyncio.run(main())
print("end")
""",
        errors=["ValueError: broken (line 5)"],
    )
    assert result.output[:2] == ["0", "Task exception wasn't retrieved"]
    assert result.output[-3:] == ["1", "2", "end"]
    assert result.errors[0].time // 1000 == 100


def test_an_error_of_the_main_task_ends_the_program():
    program = "import asyncio\nasync def main():\n    await asyncio.sleep(1)\n    1 / 0\nasyncio.run(main())\nprint('never')\n"
    assert play(program, errors=["ZeroDivisionError: divide by zero (line 4)"]).output == []


def test_a_task_that_never_awaits_lets_no_other_run_but_time_goes_on():
    result = play("""
import asyncio
from machine import Pin
async def other():
    print("never")
async def main():
    asyncio.create_task(other())
    led = Pin(15, Pin.OUT)
    for n in range(4):
        led.toggle()
        asyncio.sleep(1)
    while True:
        pass
asyncio.run(main())
""")
    assert result.output == []
    assert [time for time, _ in changes(result, 15)] == [0, 0, 0, 0, 0]


def test_a_stream_reads_a_program_s_own_pollable_object():
    result = play("""
import asyncio, io, time
class Line(io.IOBase):
    def ioctl(self, request, flags):
        return flags if time.ticks_ms() > 500 else 0
    def readline(self):
        return b"hello\\n"
async def main():
    asyncio.create_task(tick())
    print(await asyncio.StreamReader(Line()).readline(), time.ticks_ms() // 100)
async def tick():
    while True:
        await asyncio.sleep_ms(200)
asyncio.run(main())
""")
    assert result.output == ["b'hello\\n' 5"]


def test_select_times_out_on_the_virtual_clock():
    result = play("""
import select, sys, time
keyboard = select.poll()
keyboard.register(sys.stdin, select.POLLIN)
for timeout in (0, 1500):
    print(keyboard.poll(timeout), time.ticks_ms())
print(select.select([sys.stdin], [], [], 1), time.ticks_ms())
""")
    assert result.output == ["[] 0", "[] 1500", "([], [], []) 2500"]


# --- the same as a real MicroPython -----------------------------------------------------------------------------------

PARITY = {
    "sleeps": """
async def say(name, ms, times):
    for n in range(times):
        await asyncio.sleep_ms(ms)
        print(name, n)
async def main():
    tasks = [asyncio.create_task(say("a", 20, 4)), asyncio.create_task(say("b", 50, 2))]
    await say("c", 35, 2)
    for task in tasks:
        await task
asyncio.run(main())
""",
    "first turns": """
async def say(name):
    for n in range(3):
        print(name, n)
        await asyncio.sleep(0)
async def main():
    for name in "abc":
        asyncio.create_task(say(name))
    print("main")
    await asyncio.sleep_ms(20)
asyncio.run(main())
""",
    "gather values": """
async def square(n):
    await asyncio.sleep_ms(50 - 10 * n)
    print("done", n)
    return n * n
async def main():
    print(await asyncio.gather(*[square(n) for n in range(4)]))
    print(await asyncio.gather())
    task = asyncio.create_task(square(2))
    await task
    print(await asyncio.gather(task, square(3)))
asyncio.run(main())
""",
    "gather errors": """
async def work(n):
    await asyncio.sleep_ms(10 * n)
    if n == 2:
        raise ValueError(n)
    print("done", n)
    return n
async def main():
    print(await asyncio.gather(work(1), work(2), work(3), return_exceptions=True))
    try:
        await asyncio.gather(work(1), work(2), work(3))
    except ValueError as error:
        print("failed", error)
    await asyncio.sleep_ms(50)
asyncio.run(main())
""",
    "gather cancelled": """
async def work(n):
    try:
        await asyncio.sleep_ms(100 * n)
        print("done", n)
    except asyncio.CancelledError:
        print("cancelled", n)
        raise
async def main():
    both = asyncio.create_task(gather())
    await asyncio.sleep_ms(150)
    both.cancel()
    try:
        await both
    except asyncio.CancelledError:
        print("main sees it")
    await asyncio.sleep_ms(10)
async def gather():
    await asyncio.gather(work(1), work(2), work(3))
asyncio.run(main())
""",
    "wait_for": """
async def work(ms):
    try:
        await asyncio.sleep_ms(ms)
        return ms
    except asyncio.CancelledError:
        print("cancelled", ms)
        raise
    finally:
        print("finally", ms)
async def fails():
    await asyncio.sleep_ms(5)
    raise KeyError("k")
async def main():
    print(await asyncio.wait_for(work(10), 1))
    print(await asyncio.wait_for_ms(work(11), 500))
    print(await asyncio.wait_for(work(12), None))
    try:
        await asyncio.wait_for_ms(work(500), 20)
    except asyncio.TimeoutError as error:
        print("timeout", repr(error))
    try:
        await asyncio.wait_for(fails(), 1)
    except KeyError as error:
        print("error", error)
    task = asyncio.create_task(work(30))
    print(await asyncio.wait_for(task, 1), task.done())
asyncio.run(main())
""",
    "wait_for cancelled": """
async def work():
    try:
        await asyncio.sleep(2)
    except asyncio.CancelledError:
        print("work cancelled")
        raise
async def waits():
    try:
        await asyncio.wait_for(work(), 1)
    except asyncio.CancelledError:
        print("wait cancelled")
        raise
async def main():
    task = asyncio.create_task(waits())
    await asyncio.sleep_ms(20)
    print(task.cancel())
    try:
        await task
    except asyncio.CancelledError:
        print("main", task.done())
    await asyncio.sleep_ms(20)
asyncio.run(main())
""",
    "wait_for of a task that resists": """
async def stubborn():
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        print("tidying up")
        await asyncio.sleep_ms(50)
        print("tidy")
async def main():
    try:
        await asyncio.wait_for_ms(stubborn(), 20)
    except asyncio.TimeoutError:
        print("timeout")
asyncio.run(main())
""",
    "cancel": """
async def work(name):
    print(name, "starts")
    try:
        while True:
            await asyncio.sleep_ms(20)
            print(name, "turns")
    except asyncio.CancelledError:
        print(name, "cancelled")
        raise
    finally:
        print(name, "ends")
async def main():
    a, b = asyncio.create_task(work("a")), asyncio.create_task(work("b"))
    await asyncio.sleep_ms(50)
    print(a.cancel(), a.done())
    await asyncio.sleep_ms(20)
    print(a.done(), b.done(), a.cancel())
    b.cancel()
    try:
        await b
    except asyncio.CancelledError as error:
        print("awaited", repr(error))
    never = asyncio.create_task(work("never"))
    never.cancel()
    await asyncio.sleep_ms(10)
    print(never.done())
    try:
        asyncio.current_task().cancel()
    except RuntimeError as error:
        print(error)
asyncio.run(main())
""",
    "cancel is swallowed": """
async def work():
    for n in range(3):
        try:
            await asyncio.sleep_ms(100)
        except asyncio.CancelledError:
            print("not me", n)
    return "worked"
async def main():
    task = asyncio.create_task(work())
    await asyncio.sleep_ms(10)
    task.cancel()
    print(await task)
asyncio.run(main())
""",
    "cancel of a chain": """
async def inner():
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        print("inner")
        raise
async def outer(task):
    try:
        await task
    except asyncio.CancelledError:
        print("outer")
        raise
async def main():
    task = asyncio.create_task(inner())
    around = asyncio.create_task(outer(task))
    await asyncio.sleep_ms(10)
    around.cancel()
    await asyncio.sleep_ms(10)
    print(task.done(), around.done())
asyncio.run(main())
""",
    "awaiting tasks": """
async def work(n):
    await asyncio.sleep_ms(n)
    return n
async def fails():
    raise OSError(5)
async def main():
    task = asyncio.create_task(work(20))
    print(task.done())
    print(await task, task.done(), await task)
    many = [asyncio.create_task(waits(name, task_two)) for task_two in [asyncio.create_task(work(30))] for name in "abc"]
    await asyncio.gather(*many)
    for _ in range(2):
        try:
            await bad
        except OSError as error:
            print("error", error.args)
async def waits(name, task):
    print(name, await task)
async def start():
    global bad
    bad = asyncio.create_task(fails())
    asyncio.get_event_loop().set_exception_handler(lambda loop, context: print("handler"))
    await main()
asyncio.run(start())
""",
    "exception handler": """
def handler(loop, context):
    print(sorted(context), repr(context["exception"]), context["message"], type(context["future"]))
async def fails(n):
    await asyncio.sleep_ms(n)
    raise IndexError(n)
async def main():
    loop = asyncio.get_event_loop()
    print(loop.get_exception_handler())
    loop.set_exception_handler(handler)
    asyncio.create_task(fails(10))
    kept = asyncio.create_task(fails(20))
    await asyncio.sleep_ms(50)
    try:
        await kept
    except IndexError as error:
        print("late", repr(error))
    print("end")
asyncio.run(main())
""",
    "event": """
async def waits(event, name):
    while True:
        print(name, await event.wait())
        await asyncio.sleep_ms(20)
async def main():
    event = asyncio.Event()
    for name in "ab":
        asyncio.create_task(waits(event, name))
    await asyncio.sleep_ms(10)
    print(event.is_set())
    event.set()
    print(event.is_set())
    await asyncio.sleep_ms(10)
    event.clear()
    await asyncio.sleep_ms(50)
    event.set()
    await asyncio.sleep_ms(5)
    try:
        event.clear()
        await asyncio.wait_for_ms(event.wait(), 10)
    except asyncio.TimeoutError:
        print("no event")
asyncio.run(main())
""",
    "lock": """
async def work(lock, name, ms):
    async with lock:
        print(name, "in")
        await asyncio.sleep_ms(ms)
        print(name, "out")
async def main():
    lock = asyncio.Lock()
    tasks = [asyncio.create_task(work(lock, name, ms)) for name, ms in (("a", 30), ("b", 10), ("c", 10), ("d", 10))]
    await asyncio.sleep_ms(5)
    print(lock.locked())
    tasks[2].cancel()
    await asyncio.sleep_ms(40)
    await tasks[3]
    print(lock.locked(), await lock.acquire(), lock.locked())
    try:
        lock.release()
        lock.release()
    except RuntimeError as error:
        print(error)
asyncio.run(main())
""",
    "flag": """
flag = asyncio.ThreadSafeFlag()
async def waits():
    for n in range(2):
        await flag.wait()
        print("flag", n)
async def main():
    task = asyncio.create_task(waits())
    await asyncio.sleep_ms(10)
    flag.set()
    flag.set()
    await asyncio.sleep_ms(10)
    print("once")
    flag.set()
    flag.clear()
    await asyncio.sleep_ms(10)
    flag.set()
    await task
asyncio.run(main())
""",
    "producer and consumer": """
items, full = [], asyncio.Event()
async def produce():
    for n in range(5):
        items.append(n)
        full.set()
        await asyncio.sleep_ms(10)
    items.append(None)
    full.set()
async def consume():
    while True:
        await full.wait()
        full.clear()
        while items:
            item = items.pop(0)
            if item is None:
                return "consumed"
            print("item", item)
async def main():
    print((await asyncio.gather(produce(), consume()))[1])
asyncio.run(main())
""",
    "loops": """
loop = asyncio.get_event_loop()
async def work(n):
    await asyncio.sleep_ms(n)
    print("work", n)
    return n
async def stops():
    await asyncio.sleep_ms(50)
    print("stop")
    loop.stop()
print(loop.run_until_complete(work(10)))
loop.create_task(work(20))
loop.create_task(work(500))
loop.create_task(stops())
loop.run_forever()
print("stopped")
loop.close()
asyncio.new_event_loop()
asyncio.get_event_loop().run_until_complete(work(5))
""",
    "results of run": """
async def value():
    return 42
async def fails():
    raise ValueError("no")
async def leaves():
    raise SystemExit
async def cancelled():
    raise asyncio.CancelledError
print(asyncio.run(value()))
for bad in (fails, cancelled, leaves):
    try:
        asyncio.run(bad())
    except BaseException as error:
        print(repr(error))
for bad in (value, 3):
    try:
        asyncio.run(bad)
    except TypeError as error:
        print(error)
try:
    asyncio.current_task()
except RuntimeError as error:
    print(error)
""",
    "what can be gathered": """
async def main():
    for bad in (asyncio.sleep(1), 3, None):
        try:
            await asyncio.gather(bad)
        except TypeError as error:
            print(error)
    try:
        await asyncio.wait_for(asyncio.sleep(1), 2)
    except TypeError as error:
        print(error)
    a = asyncio.sleep_ms(30)
    b = asyncio.sleep_ms(10)
    print(a is b)
    await a
    await b
    await asyncio.sleep(-1)
    await asyncio.sleep(0.01)
asyncio.run(main())
""",
    "async iteration and context": """
class Count:
    def __init__(self, n):
        self.n = n
    def __aiter__(self):
        return self
    async def __anext__(self):
        await asyncio.sleep_ms(5)
        self.n -= 1
        if self.n < 0:
            raise StopAsyncIteration
        return self.n
class Room:
    async def __aenter__(self):
        await asyncio.sleep_ms(5)
        print("in")
        return self
    async def __aexit__(self, kind, error, trace):
        await asyncio.sleep_ms(5)
        print("out", kind)
async def main():
    async for n in Count(3):
        print(n)
    try:
        async with Room():
            raise ValueError
    except ValueError:
        print("caught")
asyncio.run(main())
""",
    "nesting": """
async def leaf(n):
    await asyncio.sleep_ms(n)
    return n
async def branch(n):
    return sum(await asyncio.gather(leaf(n), leaf(2 * n), asyncio.wait_for(leaf(n), 1)))
async def main():
    print(await asyncio.gather(branch(5), branch(10), branch(15)))
asyncio.run(main())
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARITY)
def test_asyncio_does_what_a_real_micropython_does(name, tmp_path):
    program = tmp_path / "main.py"
    program.write_text("import asyncio\n" + PARITY[name])
    result = run(program.read_text(), seconds=10)
    assert [str(error) for error in result.errors] == []
    for _ in range(4):  # its clock is the machine's, so that a task has fewer turns where other work is in the way
        real = subprocess.run(
            [sys.executable, "-m", "micropython_unix", str(program)], capture_output=True, text=True, timeout=60
        )
        assert (real.returncode, real.stderr) == (0, ""), real.stderr
        if "\n".join(result.output) == real.stdout.replace("\r", "").rstrip("\n"):
            break
    assert "\n".join(result.output) == real.stdout.replace("\r", "").rstrip("\n")
    assert result.ended is not None
