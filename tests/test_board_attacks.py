"""No program gets out of the sandbox, takes more than its share, hides what it did, or disturbs the program after it."""

import base64
import contextlib
import ctypes
import os
import random
import re
import socket
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest
from board_attacks import ATTACKS
from board_excesses import EXCESSES
from board_loops import LOOPS

from pipeline.board import boards, wasi
from pipeline.board.board import Board
from pipeline.board.run import run
from pipeline.board.sandbox import engine, view
from pipeline.board.wasi import Exit, Failed, Files, Stop, Surroundings

ALL = ATTACKS | LOOPS | EXCESSES
CPU_SECONDS = 2.0
HONEST = """
from machine import Pin
import time
led = Pin(15, Pin.OUT)
for n in range(6):
    led.toggle()
    print("turn", n, time.ticks_ms())
    time.sleep(0.5)
"""
SECRET = "the solution is 4711 and nobody else knows it"
# What Python reports when somebody reads a file, opens a socket, starts a process: none of it may come from a program.
WATCHED = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "shutil.",
    "pathlib.",
    "pty.",
    "fcntl.",
    "signal.",
    "urllib.",
    "import",
    "_thread.",
    "glob.",
)


class Watch:
    """Notes the audit events between `with` and its end; a hook cannot be taken off, so there is one for all tests."""

    def __init__(self):
        self.seen, self.on = [], False
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if self.on and event.startswith(WATCHED) and threading.current_thread() is threading.main_thread():
            self.seen.append((event, str(arguments)[:200]))

    def __enter__(self):
        self.seen, self.on = [], True
        return self

    def __exit__(self, *_):
        self.on = False


WATCH = Watch()


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """What a program might be after: word in an attack -> what stands for it. And `came`, who connected to us."""
    folder = tmp_path_factory.mktemp("ours")
    (folder / "secret.txt").write_text(SECRET)
    (folder / "link").symlink_to(folder / "secret.txt")
    opened = (folder / "secret.txt").open()
    server, came = socket.create_server(("127.0.0.1", 0)), []

    def accept():
        while True:
            try:
                came.append(server.accept()[1])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    up = "../" * 20
    paths = [
        *(f"{prefix}{folder}/{name}" for prefix in ("", up, "/..", "file://", "//") for name in ("secret.txt", "link")),
        "/etc/passwd",
        f"{up}etc/passwd",
        "/etc/hostname",
        "/proc/self/environ",
        "/proc/self/mem",
        "/proc/self/maps",
        "/proc/version",
        f"/proc/self/fd/{opened.fileno()}",
        f"/dev/fd/{opened.fileno()}",
        "/dev/zero",
        "/dev/urandom",
        "/dev/stdin",
        str(Path(__file__)),
        os.path.relpath(__file__),
        sys.executable,
        "~/.bashrc",
    ]
    names = {*os.listdir("/"), *os.listdir(), *os.listdir(folder)} - {"lib", "dev", "rom"}
    packer = zlib.compressobj(9, wbits=-15)
    bomb = base64.b64encode(packer.compress(bytes(32 << 20)) + packer.flush())
    yield (
        {
            "PATHS": repr(paths),
            "FOLDERS": repr(["/", "..", up, "/proc", "/proc/self/cwd", "/proc/self/root", str(folder), os.getcwd()]),
            "OURS": repr(names),
            "PORT": str(server.getsockname()[1]),
            "SECRET": ", ".join(map(str, SECRET.encode())),
            "BOMB": repr(bomb),
        },
        came,
    )
    server.close()
    opened.close()


@pytest.fixture(scope="module")
def usual():
    """The honest program's log; and whatever is imported on first use is imported."""
    run(
        "import machine, time, network, socket, asyncio, random\nfrom machine import Pin, PWM, ADC, Timer, I2C, SPI, UART, RTC, WDT\nprint(1 / 0)\n"
    )
    run("while 1 + True: pass")
    return run(HONEST).log


def filled(program: str, words: dict[str, str]) -> str:
    for word, meant in words.items():
        program = re.sub(rf"\b{word}\b", lambda _, meant=meant: meant, program)
    return program


def ending(done) -> str:
    return done.stopped or (str(done.errors[0]) if done.errors else "ended" if done.ended is not None else "time is up")


def told(done) -> tuple:
    return done.log, done.errors, done.stopped, done.ended, done.fuel, done.lacks, done.files


def timed(program: str) -> tuple:
    """(the run, the seconds of a processor that it took)"""
    began = time.process_time()
    done = run(program)
    return done, time.process_time() - began


@pytest.mark.parametrize("name", ALL)
def test_an_attack_ends_as_it_must(name, ours, usual, capfd):
    words, came = ours
    must, program = ALL[name]
    program = filled(program, words)
    first, took = timed(program)
    with WATCH:
        second, again = timed(program)
    end = ending(first)[:300]
    assert re.fullmatch(must, end, re.DOTALL), end
    assert not [line for line in first.output if "succeeded" in line or SECRET in line or "root:" in line]
    assert min(took, again) < CPU_SECONDS
    same = told(first) == told(second)
    assert same, "the same program must end at the same place"
    assert not WATCH.seen, "a program made us ask the system for something"
    assert not came
    assert capfd.readouterr() == ("", ""), "a program's output must not come out of ours"
    assert run(HONEST).log == usual


def test_the_watch_sees_what_it_is_for():
    with WATCH:
        Path(__file__).read_bytes()
        os.listdir()
    assert {"open", "os.listdir"} <= {event for event, _ in WATCH.seen}


SOURCES = {
    "surrogates": "print('\ud800')\nwhile True:\n    pass\n",
    "NUL": "x = 1\0\nwhile x: pass",
    "a byte order mark": "\ufeffwhile True: pass",
    "a thousand nots": f"while {'not ' * 3000}x: pass",
    "a long sum": f"x = 0\nwhile x{' + 1' * 400}: pass",
    "a longer sum": f"x = 0\nwhile x{' + 1' * 5000}: pass",
    "calls of calls": f"while f{'()' * 900}: pass",
    "attributes of attributes": f"x = 0\nwhile x{'.a' * 3000}: pass",
    "signs": f"while {'-' * 100_000}1: pass",
    "digits": f"while {'9' * 5000}: pass",
    "brackets": f"while {'[' * 150}{']' * 150}: pass",
    "lambdas": f"while {'lambda: ' * 900}1: pass",
    "loops in loops": "".join(f"{' ' * n}while 1:\n" for n in range(99)) + " " * 99 + "pass\n",
    "a comprehension without end": f"while [1 {'for x in y ' * 5000}]: pass",
    "many branches": f"if 1: pass\n{'elif 1: pass' + chr(10)}" * 5000 + "while 1: pass",
    "a long line": f"x = {'1 + ' * 100_000}1\nwhile x: pass",
    "a megabyte": "x = 1\n" * 200_000,
    "many loops": "while 0: pass\n" * 50_000,
    "no text at all": bytes(random.Random(0).randbytes(20_000)).decode("latin-1"),
    "nothing": "",
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_program_that_is_hard_to_read_is_no_harder_to_run(name, usual, recwarn):
    """What we do to a program's text before it runs is done by our own Python."""
    done, took = timed(SOURCES[name])
    assert took < CPU_SECONDS
    assert ending(done)
    assert not recwarn
    assert run(HONEST).log == usual


# --- past the firmware ------------------------------------------------------------------------------------------------

ARGUMENTS = [
    "",
    ",",
    "x",
    "0",
    "-1",
    "99",
    "3",
    "3,1",
    "3,out,none,1",
    "3,,,,,,,,,,,",
    "None",
    "1e308",
    "nan",
    "-inf",
    "٣",
    "é" * 500,
    "\0",
    "\n,\n",
    "9" * 400,
    "9" * 5000,
    "ff" * 3000,
    "0,1,2,3,4,5,6,7,8,9",
    "0,400000,5,4",
    "True",
    "GP3",
    "LED",
    "[1,2]",
    "{}",
    "3,-5,-5,-5",
    "%s%s%n",
]
FUZZ = """
import host
for operation in {operations!r}:
    for arguments in {arguments!r}:
        try:
            answer = host.call(operation, arguments)
            while answer[:1] == "#":
                answer = host.call(".", "")
        except Exception as error:
            print("raised", operation, repr(error)[:80])
host.call("sleep", "200000")
print("tried")
"""


def operations() -> list[str]:
    return sorted(Board(boards.load("pico_w"), 1.0).operations)


@pytest.mark.parametrize("operation", [name for name in operations() if name not in ("ended", "sleep")])
def test_the_hardware_bears_whatever_it_is_asked(operation, usual):
    """Whoever talks to it past the firmware meets no more than an answer, an error or the end of the program."""
    program = FUZZ.format(operations=[operation], arguments=ARGUMENTS)
    done = run(program, "pico_w")
    assert done.output[-1:] == ["tried"] or done.stopped or done.errors or done.ended is None
    same = told(run(program, "pico_w")) == told(done)
    assert same
    assert run(HONEST).log == usual


@pytest.mark.parametrize("seed", range(8))
def test_the_hardware_bears_questions_in_any_order(seed, usual):
    pick = random.Random(seed)
    names = [name for name in operations() if name not in ("ended",)]
    wanted = [(pick.choice([*names, "no such thing"]), pick.choice(ARGUMENTS)) for _ in range(400)]
    program = f"import host\nfor each in {wanted!r}:\n    try:\n        host.call(*each)\n    except Exception:\n        pass\n"
    done = run(program, "pico_w")
    same = told(run(program, "pico_w")) == told(done)
    assert same
    assert run(HONEST).log == usual


TAMPERING = {
    "says that it ended": ("import host\nhost.call('ended', '')\nprint('succeeded')\n", []),
    "says that it failed": ("import host\nfor _ in range(5):\n    host.call('failed', '')\n", []),
    "asks for the rest of an answer": ("import host\nfor _ in range(5):\n    host.call('.', '')\n", []),
    "asks for what nobody knows": (
        "import host\nfor name in ('note', 'log', '__init__', 'print', ''):\n    host.call(name, '15,1')\n",
        [],
    ),
    "drives a pin that it has not set up": (
        "import host\nhost.call('write', '15,1')\nprint(host.call('read', '15'))\n",
        ["0"],
    ),
    "overwrites its own Pin": (
        "import machine\nmachine.Pin.value = lambda self, x=None: 1\np = machine.Pin(15)\np.value(1)\nprint(p.value())\n",
        ["1"],
    ),
    "puts a module of its own in its place": (
        "import sys\nclass Pin:\n    OUT = 1\n    def __init__(self, *a): pass\n    def value(self, x=None): return 1\n"
        "class machine: pass\nmachine.Pin = Pin\nsys.modules['machine'] = sys.modules['_machine'] = machine\n"
        "from machine import Pin\nPin(15, Pin.OUT).value(1)\n",
        [],
    ),
    "prints a log": ("print(\"('pin', 15, 1)\")\n", ["('pin', 15, 1)"]),
    "prints a traceback that is none": (
        "import sys\nsys.stderr.write('Traceback (most recent call last):\\n  File \"main.py\", line 1, in <module>\\nValueError: no\\n')\n",
        [],
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_a_log_says_only_what_the_hardware_did(name):
    """None of these drives pin 15, whatever it says."""
    program, printed = TAMPERING[name]
    done = run(program)
    assert not [event for event in done.log if event.what == "pin"]
    assert done.output == printed


def test_an_error_cannot_be_made_up_for_another_program(usual):
    run(TAMPERING["prints a traceback that is none"][0])
    assert not run(HONEST).errors


def test_names_that_are_lacking_are_counted_and_short(usual):
    done = run(
        "import host\nfor n in range(5000):\n    try:\n        host.call('lacks', str(n) * 50)\n    except Exception:\n        pass\n"
    )
    assert len(done.lacks) <= 100 and all(len(name) <= 100 for name in done.lacks)


# --- the imports themselves -------------------------------------------------------------------------------------------

NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 16, 255, 4095, 65_535, 65_536, 1 << 20, (1 << 31) - 1, -1, -2, -65_536, -(1 << 31)]
IMPORTS = sorted({wanted.name for wanted in engine().module.imports})


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_bears_any_numbers(name):
    """A program can overwrite its interpreter, so each import must bear whatever it is called with, and touch nothing but its memory."""
    pick, size = random.Random(name), 1 << 16
    guard = b"\xa5" * 4096
    for turn in range(300):
        memory = ctypes.create_string_buffer(guard + pick.randbytes(size) + guard, size + 2 * len(guard))
        around = Surroundings(
            ["x"],
            {},
            Files({"main.py": b"x = 1\n", "lib/a.mpy": b"12345"}),
            lambda *_: "answer" * 10,
            lambda _: None,
            lambda: 1,
            lambda: 1,
        )
        around.look = lambda memory=memory: view(ctypes.addressof(memory) + len(guard), size)
        around.open[4] = wasi.Open("main.py", wasi.FILE)
        around.files.written["mine"] = bytearray(b"abc")
        around.open[5] = wasi.Open("mine", wasi.FILE)
        function = getattr(around, name)
        given = [
            pick.choice(NUMBERS) if turn % 3 else pick.randrange(0, 40)
            for _ in range(function.__code__.co_argcount - 1)
        ]
        with contextlib.suppress(Stop, Exit, Failed):
            assert isinstance(function(*given), int)
        raw = memory.raw
        assert raw[: len(guard)] == guard and raw[len(guard) + size : len(guard) * 2 + size] == guard


# --- in the long run --------------------------------------------------------------------------------------------------


def resident() -> int:
    """Megabytes of ours in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) >> 10


@pytest.mark.slow
def test_two_hundred_attacks_leave_no_memory_behind(ours, usual):
    programs = [filled(program, ours[0]) for _, program in ALL.values()]
    for program in programs[:20]:
        run(program)
    before = resident()
    for number in range(200):
        run(programs[number % len(programs)])
    assert resident() - before < 64
    assert run(HONEST).log == usual
