"""Names that a board has not are found in a program's text; those it has are never refused."""

from pathlib import Path

import pytest

from pipeline.board.names import used

EXAMPLES = sorted((Path(__file__).parents[1] / "corpora" / "robo-examples").glob("*.py"))


def wrong(program: str, board: str = "pico") -> list[str]:
    return [name.dotted for name in used(program, board) if not name.exists]


@pytest.mark.parametrize(
    "program, found",
    [
        # modules and what stands in them
        ("import servo", "servo"),
        ("import RPi.GPIO as GPIO", "RPi.GPIO"),
        ("from machine import Servo", "machine.Servo"),
        ("import time\ntime.delay(1)", "time.delay"),
        ("import utime as t\nt.wait(1)", "time.wait"),
        ("from gpiozero import LED\nled = LED(2)", "gpiozero"),
        ("import machine\nmachine.Led(2)", "machine.Led"),
        ("import umqtt.simple", "umqtt.simple"),
        ("import os.path", "os.path"),
        ("import network", "network"),
        # what an instance has
        ("from machine import Pin\nled = Pin(25, Pin.OUT)\nled.blink()", "machine.Pin.blink"),
        ("from machine import Pin\nPin.write(1)", "machine.Pin.write"),
        ("from machine import *\np = Pin(2)\np.set_high()", "machine.Pin.set_high"),
        ("import machine\nmachine.Pin(2).turn_on()", "machine.Pin.turn_on"),
        ("import machine as m\np = m.Pin(2)\np.high(); p.hi()", "machine.Pin.hi"),
        ("from machine import Pin as P\nx = P(1)\nx.foo", "machine.Pin.foo"),
        ("from machine import Pin\nled: Pin = Pin(1)\nled.foo()", "machine.Pin.foo"),
        ("from machine import Pin\ndef f(led: Pin): led.foo()", "machine.Pin.foo"),
        (
            "from machine import PWM, Pin\nled = None\ndef f():\n  global led\n  led = PWM(Pin(1))\ndef g():\n  led.dim()",
            "machine.PWM.dim",
        ),
        ("from machine import Pin\nwith Pin(1) as p:\n  p.foo()", "machine.Pin.foo"),
        ("from machine import Pin\nif (p := Pin(1)): p.foo()", "machine.Pin.foo"),
        ("from machine import Pin\na, b = Pin(1), 2\na.foo()", "machine.Pin.foo"),
        ("from machine import Pin\np = Pin(1) if True else Pin(2)\np.foo()", "machine.Pin.foo"),
        ("from machine import Pin\ndef make(): return Pin(1)\nmake().foo()", "machine.Pin.foo"),
        ("import asyncio\nasyncio.create_task(f()).stop()", "asyncio.Task.stop"),
        ("from machine import Pin, PWM\np = Pin(1)\np = PWM(p)\np.foo()", "machine.PWM.foo"),
        ("from machine import Timer\nt = Timer()\nt.init(callback=lambda x: t.halt())", "machine.Timer.halt"),
        # lists and what loops take from them
        ("from machine import Pin\nleds = [Pin(n) for n in range(3)]\nleds[0].foo()", "machine.Pin.foo"),
        ("from machine import Pin\nfor led in (Pin(1), Pin(2)): led.foo()", "machine.Pin.foo"),
        ("from machine import Pin\nleds = [Pin(1)]\nfor n, led in enumerate(leds): led.foo()", "machine.Pin.foo"),
        (
            "from machine import Pin\nleds = {'a': Pin(1)}\nleds['a'].foo()\n[each.bar() for each in leds.values()]",
            "machine.Pin.bar machine.Pin.foo",
        ),
        # a program's own classes
        (
            "from machine import Pin\nclass A:\n  def __init__(self):\n    self.p = Pin(1)\n  def f(self):\n    self.p.foo()",
            "machine.Pin.foo",
        ),
        ("from machine import Pin\nclass A:\n  p = Pin(1)\nclass B(A):\n  pass\nB().p.foo()", "machine.Pin.foo"),
        (
            "from machine import PWM\nclass Servo(PWM):\n  def turn(self):\n    self.duty_u16(1); self.angle(2)",
            "machine.PWM.angle",
        ),
        ("from machine import PWM\nclass Servo(PWM):\n  def turn(self):\n    super().turn()", "machine.PWM.turn"),
        ("from machine import PWM\nclass Servo(PWM): pass\ns = Servo(1)\ns.write(3)", "machine.PWM.write"),
        # arguments
        ("from machine import PWM\nPWM(1, frequency=50)", "machine.PWM(frequency=)"),
        ("from machine import Timer\nTimer().init(interval=3)", "machine.Timer.init(interval=)"),
        # a handler for everything hides no wrong name
        (
            "from machine import Pin\nled = Pin(1)\ntry:\n  led.blink()\nexcept Exception as e:\n  print(e)",
            "machine.Pin.blink",
        ),
    ],
)
def test_wrong_names_are_found(program, found):
    assert " ".join(sorted(set(wrong(program, "pico")))) == found


@pytest.mark.parametrize(
    "program",
    [
        "import machine, time\nled = machine.Pin('LED', machine.Pin.OUT)\nled.toggle()\ntime.sleep_ms(10)",
        "from machine import Pin\nled = Pin(25, mode=Pin.OUT, value=0)\nled(1)\nled.irq(handler=print, trigger=Pin.IRQ_FALLING | Pin.IRQ_RISING)",
        "from machine import Pin, PWM\npwm = PWM(Pin(0), freq=50, duty_u16=0)\npwm.freq(60)\npwm.duty_ns(1000)\npwm.deinit()",
        "from machine import Pin, I2C\nfrom ssd1306 import SSD1306_I2C\noled = SSD1306_I2C(128, 64, I2C(0, sda=Pin(0), scl=Pin(1), freq=400_000))\n"
        "oled.fill(0)\noled.text('x', 0, 0)\noled.show()\noled.pixel(1, 1, 1)\noled.contrast(3)",
        # a program's own names shadow the board's
        "class Pin:\n  def blink(self): pass\nPin().blink()",
        "from machine import Pin\ndef f(Pin): Pin.foo()",
        "import time\ntime = 3\ntime.foo",
        "from machine import Pin\nclass Led(Pin):\n  def blink(self): self.toggle()\nLed(1).blink()",
        "import framebuf\nclass Base(framebuf.FrameBuffer):\n  def show(self): self.send(1)\nclass Real(Base):\n  def send(self, x): pass",
        "from machine import Pin\nclass Led:\n  def __init__(self, pin): self.pin = pin\n  def on(self): self.pin.whatever()",
        "from machine import Pin\nclass A: pass\na = A()\na.p = 3\na.p.foo\na.q.bar",
        # what may be something else is not judged
        "from machine import Pin\nled = Pin(1)\nled = other()\nled.foo()",
        "from machine import Pin\nleds = [Pin(1), other()]\nleds[0].foo()",
        "from machine import Pin\nfor led in leds: led.foo()",
        "def f(pin):\n  pin.foo()",
        "from machine import Pin\np = Pin(1)\nfor p in things: p.foo()",
        "from machine import Pin, PWM\np = Pin(1)\np = PWM(p)\np.duty_u16(3)\np.value()",
        # what is looked for first
        "try:\n  import usocket as socket\nexcept ImportError:\n  socket = None",
        "try:\n  from ulab import numpy\nexcept:\n  numpy = None",
        "import sys\nif sys.platform == 'esp32':\n  import esp32\n  from machine import TouchPad",
        "from machine import Pin\np = Pin(1)\nif hasattr(p, 'mode'): p.mode(1)",
        "from machine import RTC\ntry:\n  RTC().memory()\nexcept AttributeError:\n  pass",
        # odd corners
        "import builtins\nbuiltins.anything",
        "from . import x",
        "import micropython\n@micropython.native\ndef f(): pass",
        "import machine\nmachine.Pin.__name__",
        "import rp2\nfrom machine import Pin\n@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)\ndef prog():\n  wrap_target()\n  set(pins, 1) [31]\n  wrap()\n"
        "sm = rp2.StateMachine(0, prog, freq=2000, set_base=Pin(25))\nsm.active(1)",
        "import uasyncio as asyncio\nasync def main():\n  await asyncio.sleep_ms(1)\n  e = asyncio.Event()\n  await e.wait()\nasyncio.run(main())",
        "from machine import UART, Pin\nu = UART(0, baudrate=9600, tx=Pin(0), rx=Pin(1), timeout=10)\nu.any() and u.readline()",
        "x = lambda: 0\nx().foo",
        "",
        "\0",
    ],
)
def test_right_names_are_not_refused(program):
    assert wrong(program, "pico") == []


@pytest.mark.parametrize(
    "board, program, found",
    [
        ("esp32", "from machine import ADC, Pin\na = ADC(Pin(34))\na.atten(ADC.ATTN_11DB)\na.read()", []),
        (
            "pico",
            "from machine import ADC, Pin\na = ADC(Pin(26))\na.atten(ADC.ATTN_11DB)\na.read()",
            ["machine.ADC.ATTN_11DB", "machine.ADC.atten", "machine.ADC.read"],
        ),
        ("esp32", "from machine import PWM, Pin\nPWM(Pin(2), freq=1000, duty=512).duty(3)", []),
        (
            "pico",
            "from machine import PWM, Pin\nPWM(Pin(2), freq=1000, duty=512).duty(3)",
            ["machine.PWM(duty=)", "machine.PWM.duty"],
        ),
        (
            "pico_w",
            "import network\nw = network.WLAN(network.STA_IF)\nw.active(True)\nw.connect('a', 'b')\nw.isconnected()\nw.ifconfig()",
            [],
        ),
        ("pico", "import network\nw = network.WLAN(network.STA_IF)", ["network"]),
        ("pico_w", "from umqtt.simple import Client", ["umqtt.simple.Client"]),
        (
            "pico_w",
            "import network\nw = network.WLAN(network.WIFI)\nw.join('a', 'b')",
            ["network.WLAN.join", "network.WIFI"],
        ),
    ],
)
def test_what_is_right_on_one_board_is_wrong_on_another(board, program, found):
    assert sorted(wrong(program, board)) == sorted(found)


def test_each_use_is_told_with_its_line():
    program = "import time\nfrom machine import Pin\n\nled = Pin(25, Pin.OUT)\nwhile True:\n    led.toggle()\n    time.delay(\n        3)\n"
    assert used(program, "pico") == [
        ("time", 1, True),
        ("machine.Pin", 2, True),
        ("machine.Pin.OUT", 4, True),
        ("machine.Pin.toggle", 6, True),
        ("time.delay", 7, False),
    ]


@pytest.mark.parametrize(
    "program, found",
    [
        ("import time\ntime.delay(1)\nprint('x'", ["time", "time.delay"]),
        ("import time\ndef f():\n  time.sleep(1)\n  time.delay(", ["time", "time.sleep"]),
        ("import time\nif x:\n", ["time"]),
        ("Sure! Here is it:\n\nimport time", []),
        ("import time\n```\n", ["time"]),
    ],
)
def test_of_a_broken_text_what_stands_before_the_fault_is_looked_at(program, found):
    assert [name.dotted for name in used(program, "pico")] == found


@pytest.mark.parametrize(
    "program",
    [
        "x = " + "(" * 5000,
        "x = " + "-" * 20_000 + "1",
        "x = " + "+".join("1" * 9000),
        "[" * 90 + "]" * 90,
        "a" + ".b" * 3000,
    ],
)
def test_absurd_texts_do_no_harm(program):
    assert wrong(f"import time\ntime.delay(1)\n{program}") in (["time.delay"], [])


@pytest.mark.parametrize("board", ["pico_w", "esp32"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_our_own_examples_use_only_what_is_there(example, board):
    names = used(example.read_text(), board)
    assert len(names) > 4 and [name for name in names if not name.exists] == []


def test_examples_are_there():
    assert len(EXAMPLES) >= 8
