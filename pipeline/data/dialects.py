"""Tells by its imports which dialect a program is in, and whether any board could run it.

MicroPython, CircuitPython, micro:bit and Pybricks say the same thing by other modules, and a model that reads them mixed writes them mixed.
So each document has its dialect as a tag, and `prepare.dialect_line` puts it into a first line, which a prompt can then begin with.

Python for a desktop passes MicroPython's compiler, too. What gives it away is what it needs: windows, processes, threads, a package that
is too big for a board. DESKTOP names such modules; a test holds it against what the boards' stubs have. What is looked for in a `try` or
under an `if` is not needed, nor is what the source brings itself, nor a fallback in a function of what is else written for a board.

Imports are found by signs that are the same for every Python, as all that prepare.py goes by.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

MODULES = {  # of which dialect a module tells; modules that two have (neopixel, usb) or that anybody's file may be called (wifi) tell of none
    "Pybricks": "pybricks",
    "micro:bit": "microbit",
    "CircuitPython": r"(?:adafruit|circuitpython)_\w+|board|digitalio|analogio|busio|bitbangio|pwmio|pulseio|countio|frequencyio|rotaryio|touchio|"
    r"microcontroller|supervisor|displayio|busdisplay|fourwire|i2cdisplaybus|framebufferio|rgbmatrix|terminalio|vectorio|bitmaptools|"
    r"audio(?:io|core|busio|pwmio|mp3|mixer|filters|delays)|synthio|usb_(?:hid|midi|cdc|host)|socketpool|neopixel_write|_bleio|canio|"
    r"sdcardio|i2c(?:peripheral|target)|rainbowio|memorymap|picodvi|espulp|paralleldisplay(?:bus)?|sharpdisplay",
    "MicroPython": r"machine|network|bluetooth|rp2|esp|esp32|pyb|stm|framebuf|onewire|dht|ds18x20|espnow|aioespnow|umqtt|urequests|mip|upip|webrepl|"
    r"ntptime|picozero|btree|u(?:asyncio|binascii|bluetooth|collections|cryptolib|ctypes|errno|hashlib|heapq|io|json|machine|os|random|re|"
    r"select|socket|ssl|struct|sys|time|zlib)",
}
TELLING = {dialect: re.compile(modules) for dialect, modules in MODULES.items()}
USUAL = "MicroPython"  # what nothing else is told of
FEW = 0.1  # share of a source's documents, up to which their dialect says nothing of the others

NEEDS = {  # what a program for a desktop needs
    "an operating system": "tkinter turtle pygame PyQt5 PyQt6 PySide2 PySide6 wx kivy gi pyautogui pynput keyboard subprocess multiprocessing "
    "threading concurrent ctypes signal fcntl mmap pwd grp termios tty pty resource syslog readline getpass winreg winsound msvcrt "
    "socketserver xmlrpc smtplib imaplib poplib ftplib telnetlib urllib.request http.server http.client sqlite3 webbrowser zipfile",
    "Python's own workshop": "configparser distutils setuptools cProfile pdb",
    "a package too big for a board": "numpy scipy pandas matplotlib seaborn plotly sklearn torch tensorflow keras cv2 PIL imageio flask django "
    "fastapi uvicorn starlette jinja2 sqlalchemy boto3 openai bs4 lxml selenium click tqdm esptool",
    "Linux on a Raspberry Pi, or a board at the other end": "RPi gpiozero pigpio gpiod smbus smbus2 spidev picamera picamera2 evdev psutil "
    "serial bluepy bleak paho",
}
DESKTOP = frozenset(module for modules in NEEDS.values() for module in modules.split())

UNREAD = re.compile(
    r"""(?s)\#[^\n]*|('{3}|"{3})(?:\\.|(?!\1).)*\1|(["'])(?:\\.|(?!\2)[^\\\n])*\2|\\\n"""
)  # comments, strings, joined lines
IMPORT = re.compile(r"(?a)(?:from[ \t]+(?P<one>\w[\w.]*)[ \t]+import\b|import[ \t]+(?P<many>\w[\w., \t]*))")
BLOCK = re.compile(r"(?a)(try|except|else|elif|if|async|def|class|for|while|with|finally)\b.*:")
ASKS = {"try", "except", "if", "elif", "else"}


class Import(NamedTuple):
    module: str  # dotted
    asked: bool  # in a `try` or under an `if`: the program may do without
    late: bool  # in a function


def unread(part: re.Match) -> str:
    return " " if part[0][0] == "\\" else "\n" * part[0].count("\n")


@lru_cache(maxsize=1)  # three ask in a row of one text
def imports(text: str) -> tuple[Import, ...]:
    """What a program imports, but for its own neighbours (`from . import a`)."""
    found, blocks = [], []  # blocks: those that are open, by indentation and first word
    for line in UNREAD.sub(unread, text).expandtabs().split("\n"):
        code = line.lstrip()
        if not code:
            continue
        depth = len(line) - len(code)
        while blocks and blocks[-1][0] >= depth:
            blocks.pop()
        words = {word for _, word in blocks}
        for match in filter(None, (IMPORT.match(statement.strip()) for statement in code.split(";"))):
            for module in [match["one"]] if match["one"] else re.findall(r"(?a)(?:^|,)\s*([\w.]+)", match["many"]):
                found.append(Import(module, bool(words & ASKS), bool(words & {"def", "async"})))
        if block := BLOCK.match(code):
            blocks.append((depth, block[1]))
    return tuple(found)


def top(module: str) -> str:
    return module.split(".")[0]


def of_module(module: str) -> str | None:
    return next((dialect for dialect, pattern in TELLING.items() if pattern.fullmatch(top(module))), None)


def told(text: str, own: Collection[str] = ()) -> str:
    """The dialect that a program is in by what it imports, but for modules of its `own`; empty where that does not tell.

    What it needs decides, by most modules. What it would take in a `try` decides only where that is of one dialect: a library for two
    tries both."""
    found = {each for each in imports(text) if top(each.module) not in own}
    needed, asked = (
        Counter(filter(None, map(of_module, {top(each.module) for each in found if each.asked is so})))
        for so in (False, True)
    )
    for dialect in ("Pybricks", "micro:bit"):  # there a board's whole world is one module
        if needed[dialect] or list(asked) == [dialect]:
            return dialect
    votes = needed or (asked if len(asked) == 1 else Counter())
    (most, first), (_, second) = (*votes.most_common(2), ("", 0), ("", 0))[:2]
    return most if first > second else ""


def majority(documents: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What a source's documents of no told dialect are in, by (source, dialect told) of all: as most of those that tell, or where too few do
    (a library over all of them), as its name says."""
    votes: dict[str, Counter] = defaultdict(Counter)
    for source, dialect in documents:
        votes[source][dialect] += 1

    def most(source: str, count: Counter) -> str:
        named = next((each for each in MODULES if each.lower().replace(":", "") in source.lower()), USUAL)
        usual = max(MODULES, key=lambda dialect: (count[dialect], dialect == named))
        return usual if count[usual] > FEW * count.total() else named

    return {source: most(source, count) for source, count in votes.items()}


def desktop(text: str, own: Collection[str] = ()) -> str | None:
    """Why no board runs this program, if that is so; `own` are modules that its source brings."""
    found = [each for each in imports(text) if top(each.module) not in own]
    for_a_board = any(of_module(each.module) for each in found)
    for each in found:
        if not each.asked and not (each.late and for_a_board):
            parts = each.module.split(".")
            if DESKTOP & {".".join(parts[:length]) for length in range(1, len(parts) + 1)}:
                return f"desktop Python: it needs {each.module}, which no board has"
    return None
