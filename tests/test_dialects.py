"""Dialects: what a program imports, which dialect that tells of, and whether a board could run it. A further case is one more line."""

import re
import sys
from pathlib import Path

import pytest

from pipeline.data import dialects
from pipeline.data.dialects import DESKTOP, Import, desktop, imports, majority, told


def test_imports_are_found_whatever_stands_around_them():
    text = '''"""import a"""
# import b
import c, d.e as f; import g
from h.i import (j,
    k)
from . import l
from .m import n
print('import o', "it's")
try:
    import p
except ImportError:
    import q
if sys.platform == "linux": import r  # in a line with what asks: neither needed nor telling
if x:
\timport s
    # import t

def u():
    import v
    async with w:
        try:
            import x
        finally:
            pass
important = 1; from_ = 2
import y \\
    as z
'''
    assert list(imports(text)) == [
        Import("c", False, False),
        Import("d.e", False, False),
        Import("g", False, False),
        Import("h.i", False, False),
        Import("p", True, False),
        Import("q", True, False),
        Import("s", True, False),
        Import("v", False, True),
        Import("x", True, True),
        Import("y", False, False),
    ]


TOLD = [
    ("from machine import Pin\n", "MicroPython"),
    ("import utime as time\n", "MicroPython"),
    ("import time, board\nfrom digitalio import DigitalInOut\n", "CircuitPython"),
    ("from adafruit_bus_device.i2c_device import I2CDevice\nfrom micropython import const\n", "CircuitPython"),
    ("from microbit import *\nimport machine, utime\n", "micro:bit"),
    ("from pybricks.hubs import PrimeHub\n", "Pybricks"),
    ("import time\nimport math\n", ""),
    ("import neopixel\n", ""),  # both have one
    ("from micropython import const\n", ""),  # so do both of this
    ("import machine\nimport board\n", ""),
    ("import machine, utime\nimport board\n", "MicroPython"),
    ("try:\n    import board\nexcept ImportError:\n    pass\nimport machine\n", "MicroPython"),
    ("try:\n    from circuitpython_typing import ReadableBuffer\nexcept ImportError:\n    pass\n", "CircuitPython"),
    ("try:\n    import machine\nexcept ImportError:\n    import board\n", ""),  # a library for both
    ("def on():\n    import machine\n", "MicroPython"),
    ("# import board\nx = 'import machine'\n", ""),
]


@pytest.mark.parametrize("text, dialect", TOLD)
def test_the_dialect_that_imports_tell(text, dialect):
    assert told(text) == dialect


def test_what_a_source_brings_itself_tells_nothing():
    assert told("import board\n", {"board"}) == "" and told("import board, machine\n", {"board"}) == "MicroPython"


@pytest.mark.parametrize(
    "source, dialects, usual",
    [
        ("any", ["CircuitPython", "CircuitPython", "MicroPython", ""], "CircuitPython"),
        ("any", ["CircuitPython", "MicroPython", ""], "MicroPython"),
        ("circuitpython-any", ["CircuitPython", "MicroPython", ""], "CircuitPython"),
        ("any", ["", ""], "MicroPython"),
        ("adafruit-circuitpython-any", [""], "CircuitPython"),
        ("microbit-any", [""], "micro:bit"),
        ("any", ["CircuitPython"] + [""] * 9, "MicroPython"),  # a tenth says nothing of the rest
        ("any", ["CircuitPython"] + [""] * 8, "CircuitPython"),
    ],
)
def test_neutral_code_is_in_what_its_source_is_mostly_in(source, dialects, usual):
    assert majority([(source, dialect) for dialect in dialects]) == {source: usual}


ON_A_DESKTOP = [  # module that is named, program
    ("tkinter", "import tkinter as tk\n\nroot = tk.Tk()\nroot.mainloop()\n"),
    ("subprocess", "import os, subprocess\n\nprint(subprocess.check_output(['ls', os.getcwd()]))\n"),
    ("numpy", "import numpy as np\n\nprint(np.linalg.inv(np.eye(3)))\n"),
    ("threading", "from threading import Thread\nimport time\n\nThread(target=time.sleep, args=(1,)).start()\n"),
    ("matplotlib.pyplot", "import csv\nimport matplotlib.pyplot as plt\n\nplt.plot([1, 2])\nplt.show()\n"),
    ("serial", "import serial\n\nport = serial.Serial('/dev/ttyACM0', 115200)\nprint(port.readline())\n"),
    ("RPi.GPIO", "import RPi.GPIO as GPIO\n\nGPIO.setmode(GPIO.BCM)\nGPIO.setup(18, GPIO.OUT)\n"),
    ("PIL", "import board\nfrom PIL import Image\n\nprint(Image.open('a.png'), board.D5)\n"),
    ("urllib.request", "import urllib.request\n\nprint(urllib.request.urlopen('http://x').read())\n"),
    (
        "multiprocessing",
        "def main():\n    from multiprocessing import Pool\n    print(Pool(2).map(abs, [1]))\n\nmain()\n",
    ),
]
FOR_A_BOARD = [
    "try:\n    import numpy as np\nexcept ImportError:\n    from ulab import numpy as np\n",
    "from ulab import numpy as np\n\nprint(np.zeros(3))\n",
    "try:\n    from typing import Optional\nexcept ImportError:\n    pass\n",
    "from typing import Optional\nfrom abc import ABC\n",
    "import sys\n\nif sys.platform == 'linux':\n    import subprocess\n",
    "import machine\n\n\ndef on_linux():\n    import threading\n",
    "import requests, urequests, socket, ssl, json, argparse, logging, unittest\n",
    "import usb.core\nimport _thread\nfrom urllib.parse import quote\n",
    "from .subprocess import call\n",
    "# import tkinter\nx = '''\nimport tkinter\n'''\n",
]


@pytest.mark.parametrize("module, text", ON_A_DESKTOP)
def test_desktop_programs_are_told_by_what_they_need(module, text):
    assert desktop(text) == f"desktop Python: it needs {module}, which no board has"


@pytest.mark.parametrize("text", FOR_A_BOARD)
def test_what_a_board_may_run_stays(text):
    assert desktop(text) is None


def test_a_module_of_its_own_is_no_desktop_module():
    assert desktop("import serial\n") and not desktop("import serial\n", {"serial"})


def test_no_board_has_what_is_said_to_be_a_desktops():
    """By the stubs of the simulated boards, which `make setup` installs."""
    stubs = sorted(Path(sys.prefix, "share/robo/stubs").glob("*/*"))
    on_boards = {
        path.name.removesuffix(".pyi") for path in stubs if path.suffix == ".pyi" or (path / "__init__.pyi").exists()
    }
    assert {"machine", "requests", "socket"} <= on_boards and not on_boards & DESKTOP
    known = {each for each in on_boards if re.fullmatch(dialects.MODULES["CircuitPython"], each)}
    assert not known, "they would tell of another dialect"
