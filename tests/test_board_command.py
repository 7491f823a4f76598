"""`robo board` says what a program did, in words, as a timeline, as a picture and as a log, and fails as a command should."""

import io
import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from stages import REPOSITORY

from flows.console import show_tables
from pipeline.board import inputs, show, words
from pipeline.board.board import Event
from pipeline.board.plot import plot
from pipeline.board.run import Error, Run

BLINK = """
from machine import Pin
import time
led = Pin(15, Pin.OUT)
while True:
    led.toggle()
    print("toggled")
    time.sleep(0.5)
"""
BUTTON = """
from machine import Pin
import time
button = Pin(14, Pin.IN, Pin.PULL_UP)
while button.value():
    time.sleep_ms(10)
print("pressed")
raise ValueError("enough")
"""


def robo_board(folder: Path, *arguments: str, given: bytes = b"", **more: str) -> subprocess.CompletedProcess:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ROBO_", "PYTHONIO", "NO_COLOR", "COLUMNS"))
    }
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "board", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        timeout=120,
        env={**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8", **more},
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "blink.py").write_text(BLINK)
    (tmp_path / "button.py").write_text(BUTTON)
    (tmp_path / "inputs.yaml").write_text("- button: {pin: 14, pressed: [1.0]}\n")
    return tmp_path


# --- as a command -----------------------------------------------------------------------------------------------------


def test_any_folder_will_do_and_nothing_is_left_in_it(folder):
    before = sorted(folder.rglob("*"))
    done = robo_board(folder, "blink.py")
    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "blink.py on a Raspberry Pi Pico" in said and "It still ran after 5 s" in said
    assert "10 changes, on 0.50 s / off 0.50 s" in said and "10 lines, about every 0.50 s" in said
    assert "\x1b" not in said and max(map(len, said.splitlines())) <= 100
    assert sorted(folder.rglob("*")) == before


def test_an_error_is_shown_with_its_line_and_fails(folder):
    done = robo_board(folder, "button.py", "--inputs", "inputs.yaml", "--seconds", "3")
    said = done.stdout.decode()
    assert done.returncode == 1
    assert (
        "line 8: ValueError: enough" in said
        and '>    8 │ raise ValueError("enough")' in said
        and "     7 │ print" in said
    )
    assert "low 1.00 to 1.20 s" in said and "It ended after 1.0" in said


def test_a_program_that_is_stopped_fails(folder):
    done = robo_board(folder, "-", given=b"exec('while True: pass')\n")
    assert done.returncode == 1 and b"It was stopped: it computed without end" in done.stdout


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import machine, time\ntime.sleep(2)\nmachine.deepsleep(10000)\n", b"It went into deep sleep after 2.00 s."),
        ("from machine import *\nPin(1, Pin.OUT).on()\nreset()\n", b"It reset the board after "),
    ],
)
def test_a_program_may_end_by_sleeping_or_by_a_reset(folder, program, said):
    done = robo_board(folder, "-", given=program.encode())
    assert done.returncode == 0 and said in done.stdout and b"stopped" not in done.stdout


def test_a_program_that_only_fails_is_shown(folder):
    done = robo_board(folder, "-", given=b"1 / 0\n")
    assert done.returncode == 1 and b"line 1: ZeroDivisionError" in done.stdout and done.stderr == b""


def test_a_program_finds_the_modules_beside_it(folder):
    (folder / "lib/parts").mkdir(parents=True)
    (folder / "lib/parts/__init__.py").write_text("")
    (folder / "lib/parts/lamp.py").write_text("def wait(pin):\n    while pin.value():\n        pass\n")
    (folder / "helper.py").write_text("from lib.parts.lamp import wait\nTEXT = open('words.txt').read()\n")
    (folder / "words.txt").write_text("pressed")
    (folder / "main.py").write_text(
        "import helper\nfrom machine import Pin\nhelper.wait(Pin(14, Pin.IN, Pin.PULL_UP))\nprint(helper.TEXT)\n"
    )
    done = robo_board(folder, "main.py", "--inputs", "inputs.yaml", "--with", "helper.py", "lib", "words.txt")
    assert done.returncode == 0 and "1.0" in done.stdout.decode() and "pressed" in done.stdout.decode(), (
        done.stdout.decode()
    )
    assert robo_board(folder, "main.py").returncode == 1


def test_json_holds_the_whole_log(folder):
    done = robo_board(folder, "-", "--json", "--seconds", "1", given=BLINK.encode())
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["board"] == "pico" and found["ended"] is None and found["errors"] == []
    turns = [["pin", 15, 1], ["print", "", "toggled"], ["pin", 15, 0], ["print", "", "toggled"]]
    assert [event[1:] for event in found["log"]] == [["pin", 15, 0], *turns]


def test_checks_are_told_and_decide_the_status(folder):
    (folder / "good.yaml").write_text("- blinks: {pin: 15, on: 0.5, off: 0.5}\n- prints: toggled\n")
    (folder / "bad.yaml").write_text("- blinks: {pin: 15, on: 0.1, off: 0.1}\n")
    (folder / "wrong.yaml").write_text("- blinks: {pin: 31, on: 0.1, off: 0.1}\n")
    good, bad, wrong = (robo_board(folder, "blink.py", "--check", f"{name}.yaml") for name in ("good", "bad", "wrong"))
    assert good.returncode == 0 and "✓" in good.stdout.decode() and "✗" not in good.stdout.decode()
    assert (
        bad.returncode == 1 and "✗" in bad.stdout.decode() and "was expected" in " ".join(bad.stdout.decode().split())
    )
    (folder / "hangs.yaml").write_text("- resets: {by: watchdog}\n")
    assert robo_board(folder, "-", "--check", "hangs.yaml", given=b"import machine\nmachine.WDT()\n").returncode == 1
    assert (
        robo_board(
            folder, "-", "--check", "hangs.yaml", "--seconds", "6", given=b"import machine\nmachine.WDT()\n"
        ).returncode
        == 0
    )
    assert wrong.returncode == 2 and b"wrong.yaml: a pico has no pin 31; it has 0 to 29 and LED" in wrong.stderr


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["blink.py", "--with", "nothing.py"], "--with: nothing.py: No such file"),
        ([], "which program? Give its file, such as main.py, or - for standard input"),
        (["nothing.py"], "nothing.py: no such file"),
        (["."], ".: a folder; a program is one file, such as main.py"),
        (["bytes.py"], "bytes.py: not UTF-8 text: "),
        (["blink.py", "--on", "picco"], "there is no board 'picco'; did you mean 'pico'?"),
        (["blink.py", "--seconds", "0"], "--seconds: 0 must be more than 0 and at most 3600"),
        (["blink.py", "--seconds", "nan"], "--seconds: nan must be more than 0"),
        (["blink.py", "--inputs", "nothing.yaml"], "nothing.yaml: no such file"),
        (["blink.py", "--inputs", "blink.py"], "blink.py: "),
        (["blink.py", "--check", "inputs.yaml"], "inputs.yaml: 0: there is no check 'button'"),
        (["blink.py", "--plot", "picture.png"], "--plot: picture.png must end with .svg"),
        (["blink.py", "--plot", "blink.py/picture.svg"], "--plot: blink.py/picture.svg: "),
    ],
)
def test_what_cannot_be_is_one_message_and_status_2(folder, arguments, said):
    (folder / "bytes.py").write_bytes(b"print('\xff')")
    done = robo_board(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error: {said}") and done.stderr.count(b"\n") == 1


def test_what_there_is_can_be_listed(folder):
    devices, checks, coverage = (
        robo_board(folder, flag).stdout.decode() for flag in ("--devices", "--checks", "--coverage")
    )
    assert all(f"\n{kind} " in devices for kind in inputs.kinds())
    assert "\nblinks " in checks and "\nprints " in checks
    assert "\nmachine " in coverage and " of " in coverage


def test_a_terminal_without_utf_8_gets_ascii(folder):
    done = robo_board(folder, "button.py", "--inputs", "inputs.yaml", PYTHONIOENCODING="ascii")
    assert (
        done.returncode == 1 and done.stdout.isascii() and b">    8 | raise" in done.stdout and b"____" in done.stdout
    )


def test_whoever_stops_reading_hears_no_complaint(folder):
    reader = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "board", "-", "--json"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    reader.stdin.write(b"from machine import Pin\np = Pin(3, Pin.OUT)\nfor _ in range(20000):\n    p.toggle()\n")
    reader.stdin.close()
    reader.stdout.read(10)
    reader.stdout.close()
    assert reader.stderr.read() == b"" and reader.wait() == 0


def test_no_other_command_works_outside_of_a_project(folder):
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "doctor"],
        cwd=folder,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 1 and b"no dvc.yaml here" in done.stderr


# --- in words ---------------------------------------------------------------------------------------------------------

SECOND = 1_000_000


def made(*log, end=5 * SECOND, ended=None, stopped=None, errors=(), board="pico", program="import x\n1 / 0\n") -> Run:
    return Run(board, program, [Event(*each) for each in log], end, ended, stopped, list(errors), [], {}, 0)


def toggles(kind, where, first, *times, values=(1, 0)):
    return [
        (first[0], kind, where, first[1]),
        *((time, kind, where, values[number % 2]) for number, time in enumerate(times)),
    ]


def halves(number, half=SECOND // 2, start=5):
    return [start + half * n for n in range(number)]


WORDS = [
    (toggles("pin", 15, (1, 0), *halves(10)), "10 changes, on 0.50 s / off 0.50 s"),
    (toggles("pin", 15, (1, 0), *halves(400, 1000)), "400 changes, on 1 ms / off 1 ms (500 Hz)"),
    (toggles("pin", 15, (1, 0), *halves(100, 250)), "100 changes, on 250 µs / off 250 µs (2000 Hz)"),
    ([(1, "pin", 15, 0)], "off throughout"),
    ([(1, "pin", 15, 1)], "on throughout"),
    ([(1, "pin", 15, 0), (1_500_000, "pin", 15, 1)], "on from 1.50 s on"),
    ([(1, "pin", 15, 0), (SECOND, "pin", 15, 1), (1_250_000, "pin", 15, 0)], "on 1.00 to 1.25 s"),
    ([(1, "pin", 3, 0), (SECOND, "pin", 3, 1), (SECOND + 10, "pin", 3, 0)], "on at 1.00 s for 10 µs"),
    (
        toggles("pin", 15, (1, 0), *(SECOND * n for n in (1, 2, 4, 5, 8, 9, 13, 18))),
        "8 changes, on 1.00 s to 5.00 s / off 2.00 s to 4.00 s",
    ),
    ([(1, "pin", 4, None), (100, "pin", 4, 0), (600, "pin", 4, None)], "low at 0.00 s for 500 µs"),
    ([(SECOND, "input", 14, 0), (1_200_000, "input", 14, None)], "low 1.00 to 1.20 s"),
    ([(0, "input", 14, 0), (SECOND, "input", 14, 1), (2 * SECOND, "input", 14, 0)], "high 1.00 to 2.00 s"),
    ([(0, "pwm", 2, (50, 0.025)), (SECOND, "pwm", 2, (50, 0.125))], "50 Hz: duty 2.5% to 12.5%, servo 0° to 180°"),
    ([(0, "pwm", 2, (50, 0.075))], "50 Hz: duty 7.5%, servo 90°"),
    ([(0, "pwm", 2, (50, 0.5)), (90, "pwm", 2, (50, 0.075))], "50 Hz: duty 7.5%, servo 90°"),
    ([(0, "pwm", 2, (50, 0.5)), (900, "pwm", 2, (50, 0.075))], "50 Hz: duty 7.5% to 50%"),
    (
        [(0, "pwm", 2, (1000, 0)), (SECOND, "pwm", 2, (1000, 1.0)), (2 * SECOND, "pwm", 2, None)],
        "1000 Hz: duty 0% to 100%, then off",
    ),
    (
        [(0, "pwm", 2, (440, 0.5)), (SECOND, "pwm", 2, (440, 0)), (2 * SECOND, "pwm", 2, (880, 0.5))],
        "440 Hz to 880 Hz: duty 50%, 2 tones",
    ),
    ([(0, "pwm", 2, (62_500_000, 0.5))], "62.5 MHz: duty 50%"),
    ([(0, "pwm", 2, None)], "off"),
    (
        [(0, "i2c", 0, ("write", 0x68, b"ab")), (9, "i2c", 0, ("read", 0x3C, b"a"))],
        "1 write of 2 bytes, 1 read of 1 byte; addresses 0x3C, 0x68",
    ),
    ([(0, "i2c", 0, ("scan", None, b"h<"))], "1 scan"),
    ([(0, "uart", 0, ("sent", b"ab")), (9, "uart", 0, ("sent", b"a"))], "sent 3 bytes"),
    ([(0, "spi", 0, ("write", b"ab"))], "1 write of 2 bytes"),
    ([(0, "pixels", 4, ((255, 0, 0), (0, 0, 0)))], "2 pixels, 1 frame; at last #ff0000, off"),
    ([(0, "display", "oled", ("Hello", "", " you "))], "drawn 1 time; at last Hello / you"),
    ([(0, "net", "connected", "home")], "home"),
    ([(0, "watchdog", "feed", None), (9, "watchdog", "feed", None)], "2 times"),
    ([(0, "sleep", "deep", 400)], "400 ms"),
    ([(0, "something new", "x", {"a": 1})], "{'a': 1}"),
    ([(n * SECOND // 2, "print", "", "x") for n in range(4)], "4 lines, about every 0.50 s"),
    ([(0, "print", "", "x"), (SECOND, "print", "", "x"), (4 * SECOND, "print", "", "x")], "3 lines, 0.00 to 4.00 s"),
    ([(0, "print", "", "x")], "1 line"),
]


@pytest.mark.parametrize("log, said", WORDS)
def test_what_happened_is_told_in_words(log, said):
    (row,) = words.rows(made(*log))
    assert row.words == said


def test_rows_stand_in_the_order_of_the_pins():
    log = [
        (0, kind, where, value)
        for kind, where, value in (
            ("i2c", 1, ("scan", None, b"")),
            ("pin", "LED", 1),
            ("input", 14, 0),
            ("pin", 15, 0),
            ("print", "", "x"),
            ("pin", 2, 0),
            ("pwm", 14, (50, 0.1)),
        )
    ]
    labels = [
        row.label for row in words.rows(made(*log, board="pico_w", errors=[Error(0, "ValueError", "", None, "")]))
    ]
    assert labels == ["GP2 output", "GP14 PWM", "GP14 input", "GP15 output", "LED output", "I2C 1", "prints", "errors"]
    assert words.rows(made((0, "pin", 2, 1), board="esp32"))[0].label == "GPIO2 output"


# --- on a terminal ----------------------------------------------------------------------------------------------------

EVIL = "\x1b[2J\x1b]0;title\x07[red]markup[/red] \x00\x9b31m\r\n日本語 🎉 \u202e" + "x" * 300


def shown(run: Run, width: int, **more) -> str:
    out = io.StringIO()
    show.show(
        run,
        "main.py",
        Console(file=out, width=width, highlight=False, markup=False, emoji=False, **more),
        [("prints text: x", False, "it printed nothing that is so long that it would not fit into any line")],
    )
    return out.getvalue()


def full(many: int = 0) -> Run:
    """A run with something of everything."""
    log = [event for events, _ in WORDS for event in events] + [(n * 1000, "pin", 20, n & 1) for n in range(many)]
    log += [(n * 1000 + 1, "print", "", f"line {n}") for n in range(many)]
    return made(*sorted(log, key=lambda event: event[0]), errors=[Error(SECOND, "ValueError", "no", 2, "")] * 5)


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize(
    "run",
    [
        full(),
        full(3000),
        made(),
        made(
            (0, "print", "", EVIL),
            (0, "device", EVIL, EVIL),
            stopped=EVIL,
            errors=[Error(0, EVIL, EVIL, 2, EVIL)],
            program=EVIL * 3,
        ),
    ],
    ids=["everything", "much", "nothing", "odd signs"],
)
def test_no_line_is_wider_than_the_terminal(run, width):
    lines = shown(run, width).split("\n")
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", [1, 10, 20])
def test_where_there_is_no_room_for_a_timeline_there_is_none(width):
    lines = shown(made((1, "pin", 15, 0), (SECOND, "pin", 15, 1)), width).split("\n")
    assert max(map(cell_len, lines)) <= width and not any("┴" in line for line in lines)


@pytest.mark.parametrize("columns", [60, 132])
def test_a_pipe_is_as_wide_as_columns_says(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert show.console().width == columns
    show_tables([("The tables of a run", ["word", "words"], [["one", "two " * 100]])])
    assert columns - 10 < max(map(cell_len, capsys.readouterr().out.split("\n"))) <= columns


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_timeline_has_one_scale(width):
    """The light is on for the second fifth of the time, and printed is in the middle; so they are on the screen."""
    lines = shown(
        made((1, "pin", 15, 0), (SECOND, "pin", 15, 1), (2 * SECOND, "pin", 15, 0), (2_500_000, "print", "", "x")),
        width,
    ).splitlines()
    lane = next(line for line in lines if line.startswith("GP15") and "▁" in line).partition("  ")[2]
    dots = next(line for line in lines if line.startswith("prints") and "·" in line)[len("GP15 output  ") :]
    assert math.isclose(lane.index("█") / len(lane), 0.2, abs_tol=0.03) and math.isclose(
        lane.rindex("█") / len(lane), 0.4, abs_tol=0.03
    )
    assert math.isclose(dots.index("·") / len(lane), 0.5, abs_tol=0.03)
    ruler = next(line for line in lines if "┴" in line)
    assert len(ruler) == width and ruler.endswith(("─", "┴"))


def test_a_pulse_is_seen_however_short():
    run = made(
        (0, "pin", 3, 0),
        (SECOND, "pin", 3, 1),
        (SECOND + 10, "pin", 3, 0),
        (3 * SECOND, "pin", 3, 1),
        (4 * SECOND, "pin", 3, 0),
        (4 * SECOND + 10, "pin", 3, 1),
    )
    assert show.drawn(words.rows(run)[0], 5 * SECOND, 5) == "▁▂▁█▇"


@pytest.mark.parametrize("duties, lane", [([0, 0.5, 1.0], "▁▁▁▁▄▄▄▄████"), ([0.25], "▃▃▃▃▃▃▃▃▃▃▃▃")])
def test_a_duty_is_a_height(duties, lane):
    log = [(n * 4 * SECOND, "pwm", 2, (1000, duty)) for n, duty in enumerate(duties)]
    (row,) = words.rows(made(*log, end=12 * SECOND))
    assert show.drawn(row, 12 * SECOND, 12).replace("▅", "▄") == lane


def test_what_a_program_writes_is_no_command_to_the_terminal():
    text = shown(
        made((0, "print", "", EVIL), (1, "device", EVIL, EVIL), errors=[Error(0, EVIL, EVIL, 1, "")], program=EVIL), 80
    )
    assert not {sign for sign in text if not sign.isprintable()} - {"\n"}
    assert "\\x1b[2J" in text and "[red]markup[/red]" in text
    color = shown(made((0, "print", "", "plain \x1b[31m")), 80, force_terminal=True, color_system="standard")
    assert "\\x1b[31m" in color and "\x1b[31mplain" not in color


def test_a_time_that_was_short_is_looked_at_closely():
    """A program that is through in 20 ms of 5 s would else be one column."""
    run = made(*[(n * 2000, "print", "", "x") for n in range(10)], ended=20_000)
    assert words.horizon(run) == 21_000
    assert shown(run, 80).count("·") == 10


# --- as a picture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        full(),
        full(2500),
        made(),
        made((0, "print", "", EVIL + "$x^2$ <&>"), errors=[Error(9, EVIL, "$", 1, "")]),
        made((5 * SECOND, "pin", 3, 1)),
    ],
    ids=["everything", "many", "nothing", "odd signs", "the last moment"],
)
def test_a_picture_is_xml_and_the_same_each_time(run):
    text = plot(run, "main.py $ <x>")
    assert text == plot(run, "main.py $ <x>")
    assert len(text) < 1_000_000
    assert xml.fromstring(text).tag.endswith("svg")


def test_a_picture_says_what_the_timeline_says():
    tones = [(n * SECOND, "pwm", 9, (frequency, 0.5)) for n, frequency in enumerate((262, 440))]
    text = plot(made(*full().log, *tones, errors=full().errors), "main.py")
    for said in (
        "GP15 output",
        "GP2 PWM",
        "GP14 input",
        "I2C 0",
        "prints",
        "errors",
        "440 Hz",
        "seconds",
        "main.py on a Raspberry Pi Pico",
    ):
        assert said in text
    assert "#d62728" in text and "nothing happened" in plot(made(), "x")
