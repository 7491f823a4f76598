"""Mutants are the slips that people make, each in one place; what does the same is not counted, and weak checks are found out."""

import ast
import difflib
import sys

import pytest
from chain import REPOSITORY
from everyday import PROGRAMS

from pipeline.board import checks, inputs
from pipeline.board.run import run

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from alike import caught, same
from slips import mutants

BLINK = """from machine import Pin
import time

led = Pin(15, Pin.OUT)
for n in range(3):
    led.on()
    time.sleep(0.5)
    led.off()
    time.sleep(0.5)
print("done")
"""

# the program's line -> what becomes of it, by the kind of slip
SLIPS = {
    "led = Pin(15, Pin.OUT)": {"another pin": ["led = Pin(16, Pin.OUT)"]},
    "LED = 15\nled = Pin(LED, Pin.OUT)": {"another pin": ["LED = 16\nled = Pin(LED, Pin.OUT)"]},
    "a, b = Pin(2), Pin(3)": {"pins swapped": ["a, b = Pin(3), Pin(2)"]},
    "leds = [Pin(n, Pin.OUT) for n in (2, 3)]": {
        "pins swapped": ["leds = [Pin(n, Pin.OUT) for n in (3, 2)]"],
        "another pin": ["leds = [Pin(n, Pin.OUT) for n in (1, 3)]", "leds = [Pin(n, Pin.OUT) for n in (2, 4)]"],
    },
    "i2c = I2C(0, sda=Pin(4), scl=Pin(5))": {"pins swapped": ["i2c = I2C(0, sda=Pin(5), scl=Pin(4))"]},
    "time.sleep(0.5)": {
        "time halved": ["time.sleep(0.25)"],
        "time doubled": ["time.sleep(1.0)"],
        "wait removed": ["pass"],
    },
    "time.sleep_ms(250)": {"time halved": ["time.sleep_ms(125)"], "time doubled": ["time.sleep_ms(500)"]},
    "t = Timer(period=500, mode=Timer.PERIODIC)": {
        "time halved": ["t = Timer(period=250, mode=Timer.PERIODIC)"],
        "edge or mode": ["t = Timer(period=500, mode=Timer.ONE_SHOT)"],
    },
    "led.on()": {"level": ["led.off()"], "statement dropped": ["pass"]},
    "led.value(not button.value())": {"level": ["led.value((button.value()))", "led.value(not (not button.value()))"]},
    "for n in range(10):\n    led.toggle()": {
        "count": ["for n in range(9):\n    led.toggle()", "for n in range(11):\n    led.toggle()"]
    },
    "b = Pin(2, Pin.IN, Pin.PULL_UP)": {"pull": ["b = Pin(2, Pin.IN)", "b = Pin(2, Pin.IN, Pin.PULL_DOWN)"]},
    "p.duty_u16(32768)": {"PWM duty halved": ["p.duty_u16(16384)"], "PWM duty doubled": ["p.duty_u16(65536)"]},
    "p = PWM(Pin(1), freq=50)": {"PWM frequency doubled": ["p = PWM(Pin(1), freq=100)"]},
    "oled.text('Hi', 0, 16)": {"place": ["oled.text('Hi', 128, 16)", "oled.text('Hi', 0, 144)"]},
    "if x > 20 and y:\n    led.on()": {
        "threshold halved": ["if x > 10 and y:\n    led.on()"],
        "comparison": [
            "if x <= 20 and y:\n    led.on()",
            "if not (x > 20 and y):\n    led.on()",
            "if x > 20 or y:\n    led.on()",
        ],
    },
    "while True:\n    led.toggle()": {"loop once": ["for _ in (1,):\n    led.toggle()"]},
    "n += 1": {"direction": ["n -= 1"], "statement dropped": ["pass"], "number": ["n += 0"]},
    "x = a + b": {"sum": ["x = a - b"]},
    "strip[0] = (100, 0, 50)": {"colours swapped": ["strip[0] = (0, 100, 50)", "strip[0] = (100, 50, 0)"]},
    "print('done')": {"text": ["print('donq')"]},
    "print('%.1f C' % t)": {"decimals": ["print('%.2f C' % t)"], "text": ["print('%.1f q' % t)"]},
    "print(f'{t:.1f} C')": {"decimals": ["print(f'{t:.2f} C')"]},
    "pin.irq(go, Pin.IRQ_FALLING)": {"edge or mode": ["pin.irq(go, Pin.IRQ_RISING)"]},
    "v = max(0, min(100, v))": {"limit": ["v = min(0, min(100, v))", "v = max(0, max(100, v))"]},
}


@pytest.mark.parametrize("program", SLIPS)
def test_each_slip_is_made(program):
    made: dict[str, list[str]] = {}
    for mutant in mutants(program):
        made.setdefault(mutant.kind, []).append(mutant.program)
    for kind, expected in SLIPS[program].items():
        assert sorted(expected) == sorted(program for program in made.get(kind, []) if program in expected), made


def test_a_pin_is_no_number_and_no_other_pin_of_the_program():
    programs = [mutant.program for mutant in mutants("a = Pin(2)\nb = Pin(3)\n") if mutant.kind == "another pin"]
    assert programs == ["a = Pin(1)\nb = Pin(3)\n", "a = Pin(2)\nb = Pin(4)\n"]


def test_how_fast_a_bus_runs_is_no_fault():
    programs = [mutant.program for mutant in mutants("i2c = I2C(0, sda=Pin(4), scl=Pin(5), freq=400_000)\n")]
    assert programs and all("400_000" in program for program in programs)


@pytest.mark.parametrize("name", PROGRAMS)
def test_mutants_differ_near_the_line_that_they_name_and_can_be_read(name):
    program = PROGRAMS[name][1]
    found = mutants(program)
    assert found and found == mutants(program)
    assert len({mutant.program for mutant in found} | {program}) == len(found) + 1
    for mutant in found:
        ast.parse(mutant.program)
        changed = [
            number
            for number, line in enumerate(difflib.ndiff(program.split("\n"), mutant.program.split("\n")))
            if line[0] == "-"
        ]
        assert len(changed) <= 2 or "swapped" in mutant.kind
        assert 1 <= mutant.line <= program.count("\n") + 1


def report(program, check, around=(), seconds=4.0):
    return caught(program, "pico", inputs.parse(list(around), "pico", "test"), seconds, checks.parse(check, "test"))


STRONG = [
    {"blinks": {"pin": 15, "on": 0.5, "off": 0.5, "times": 3}},
    {"prints": {"text": "done", "times": 1, "from": 2.9}},
]


def test_sharp_checks_catch_every_mutant_that_counts():
    found = report(BLINK, STRONG)
    assert [verdict.mutant for verdict in found if verdict.verdict == "missed"] == []
    assert len([verdict for verdict in found if verdict.verdict == "caught"]) >= 12
    assert all(bool(verdict.said) == (verdict.verdict == "caught") for verdict in found)


def test_a_weak_check_is_found_out():
    missed = {
        (verdict.mutant.kind, verdict.mutant.line)
        for verdict in report(BLINK, [{"prints": "done"}])
        if verdict.verdict == "missed"
    }
    assert {("another pin", 4), ("time halved", 7), ("level", 6), ("count", 5)} <= missed


POLL = """from machine import Pin
import time
b = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(15, Pin.OUT)
while True:
    led.value(not b.value())
    time.sleep(0.01)
"""


def test_a_mutant_that_does_the_same_does_not_count():
    found = report(POLL, [{"follows": {"pin": 15, "input": 14}}], [{"button": {"pin": 14, "pressed": [1], "for": 1}}])
    verdicts = {(verdict.mutant.kind, verdict.mutant.line): verdict.verdict for verdict in found}
    assert verdicts["time halved", 7] == verdicts["wait removed", 7] == "equivalent"
    assert verdicts["another pin", 4] == verdicts["level", 6] == "caught"


LAMP = "from machine import Pin, PWM\np = PWM(Pin(15), freq=1000, duty_u16=30000)\n"


@pytest.mark.parametrize(
    ("one", "two", "heard", "alike"),
    [
        (LAMP, LAMP.replace("1000", "2000"), set(), True),  # nobody sees it
        (LAMP, LAMP.replace("1000", "2000"), {15}, False),  # but hears it
        (LAMP, LAMP.replace("30000", "30300"), set(), True),
        (LAMP, LAMP.replace("30000", "15000"), set(), False),
        (LAMP, LAMP.replace("30000", "15000"), {15}, True),
        (
            LAMP.replace("1000", "50"),
            LAMP.replace("1000", "50").replace("30000", "30300"),
            set(),
            False,
        ),  # as a servo's pulse it is 3 degrees
        (LAMP, LAMP.replace("15", "14"), set(), False),
        (BLINK, BLINK.replace("time.sleep(0.5)", "time.sleep(0.501)"), set(), True),
        (BLINK, BLINK.replace("time.sleep(0.5)", "time.sleep(0.52)"), set(), False),
        (BLINK, BLINK.replace("led.on()", "led.on(); led.off(); led.on()"), set(), True),
        (BLINK, BLINK + "print('more')\n", set(), False),
        (BLINK, BLINK + "time.sleep(1)\nprint('too late')\n", set(), True),
        (BLINK, BLINK + "open('x', 'w').close()\n", set(), False),
        (BLINK, BLINK + "x()\n", set(), False),
    ],
    ids=str,
)
def test_what_is_alike_is_what_nobody_can_tell_apart(one, two, heard, alike):
    assert same(run(one, seconds=4), run(two, seconds=4), heard) is alike
