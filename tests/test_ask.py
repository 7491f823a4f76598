"""`robo ask`: what is checked of a program without knowing what was wanted, and what becomes of an answer, with a model that knows four by heart."""

import subprocess
import sys

import pytest
import torch
from chain import REPOSITORY, environment
from tiny import make_model

from flows.ask import board_of, checked
from pipeline.core.errors import UserError
from pipeline.core.prompt import as_prompt
from pipeline.evaluation import plausible
from pipeline.export.gguf import write_gguf
from pipeline.export.tokenization import load_vocabulary

BLINK = "from machine import Pin\nimport time\n\nled = Pin(15, Pin.OUT)\n\nwhile True:\n    led.toggle()\n    time.sleep_ms(250)\n"
REQUEST = "Toggle the LED on pin 15 every 250 ms"
FILLS = "from machine import Pin\nfrom neopixel import NeoPixel\n\nnp = NeoPixel(Pin(15), 8)\nnp.fill((255, 0, 0))\nnp.write()\n"
SAYS_HI = "Print 'hi there' five times, with 2 s between them"


def fault(request: str, program: str, board: str = "pico") -> list[str]:
    return [
        f"{finding.what}: {finding.fault}" for finding in plausible.findings(request, program, board) if finding.fault
    ]


@pytest.mark.parametrize(
    "request_, program",
    [
        (REQUEST, BLINK),
        ("Toggle the LED on GP15 four times a second, 0.25 s each", BLINK),
        (
            "LEDs on pins 2, 3 and 4 come on",
            "from machine import Pin\nfor pin in (2, 3, 4):\n    Pin(pin, Pin.OUT).on()\n",
        ),
        ("PWM at 50% on pin 3", "from machine import Pin, PWM\nPWM(Pin(3), freq=1000, duty_u16=65535 * 50 // 100)\n"),
        ("Blink the lamp on pin 15 twice a second", BLINK),
        (REQUEST, "# toggles the LED on pin 15 every 250 ms\n" + BLINK),
        ("print hello and a number", "print('Hello', 3)\n"),
        ("print hello", "print('hello')\n\\\n"),  # which MicroPython takes, and Python's tokenizer does not
        ("change the lamp on pin 15 every quarter of a second", BLINK),
        ("GP15 on, half a second later off", BLINK.replace("toggle()", "on()").replace("250", "500")),
        (
            "blink GP15, 5 times a second, while the button is held",
            "from machine import Pin\nbutton = Pin(15, Pin.IN)\n",
        ),
        (SAYS_HI, "import time\nfor _ in range(5):\n    print('hi there')\n    time.sleep(2)\n"),
        ("Blink GP15, a quarter of a second each, two and a half seconds long", BLINK.replace("True", "2.5")),
        ("blink GP15 with 2 Hz", BLINK),
        ("blink GP15 four times each second, after half a minute", BLINK.replace("250", "125 + 0 * 30")),
        ("All 8 pixels of the NeoPixel on GP15 red", FILLS),
        ("Colour (red, green, blue): 255, 0, 0 on the 8 NeoPixels at GP15", FILLS),
        ("LED on pin 15 off, no blinking", "from machine import Pin\nPin(15, Pin.OUT).off()\n"),
        ("print the voltage of the pot on GP26", "from machine import ADC\nprint(ADC(26).read_u16() * 3.3 / 65535)\n"),
        (
            "read the sensor at 0x76",
            "from machine import I2C, Pin\ni2c = I2C(0, sda=Pin(0), scl=Pin(1))\nprint(i2c.readfrom_mem(0x76, 0xd0, 1))\n",
        ),
    ],
)
def test_what_a_right_program_looks_like(request_, program):
    assert fault(request_, program) == []


@pytest.mark.parametrize(
    "request_, program, said",
    [
        (REQUEST, BLINK.replace("15", "16"), "it uses the pins of the request: pin 15 is not in it"),
        (REQUEST, BLINK.replace("250", "300"), "the request's numbers are in it: 250 is not"),
        (REQUEST, BLINK.replace("toggle()", "toggle("), "it parses: SyntaxError"),
        (
            REQUEST,
            BLINK.replace("toggle", "flip"),
            "its names exist on the board: a pico has no machine.Pin.flip (line 7)",
        ),
        (REQUEST, BLINK.replace("led.toggle()", "light.toggle()"), "it runs: NameError"),
        (
            REQUEST.replace("15", "45"),
            BLINK.replace("15", "45"),
            "it uses the pins of the request: a pico has no pin 45",
        ),
        (REQUEST, "# a comment\n", "there is a program: nothing but comments came back"),
        (
            SAYS_HI,
            "import time\nfor _ in range(5):\n    print('hi')\n    time.sleep(2)\n",
            "the request's texts are in it: 'hi there' is not",
        ),
        (
            "LEDs on pins 2, 3 and 4 come on",
            "from machine import Pin\nfor pin in (2, 3):\n    Pin(pin, Pin.OUT).on()\n",
            "pin 4 is not in it",
        ),
        (
            "Blink the lamp on pin 15 twice a second",
            BLINK.replace("250", "500"),
            "keeps the time: nothing happens every 0.5 s",
        ),
        ("change GP15 every tenth of a second", BLINK, "it keeps the time: nothing happens every 0.1 s"),
        ("GP15 on, half a second later off", BLINK, "the request's numbers are in it: 0.5 is not"),
        ("GP15 blinks while the button is held", BLINK, "what the request speaks of: not with 'button'"),
        (REQUEST, BLINK.replace("(250)", "(300)  # 250"), "the request's numbers are in it: 250 is not"),
        (REQUEST, BLINK.replace("(250)", "(250)\n    time.sleep(3)"), "it waits 3 s, which the request does not say"),
        (REQUEST, BLINK + "lamp = Pin(16, Pin.OUT)\n", "it uses the pins of the request: the request has no pin 16"),
        (REQUEST, BLINK + "lamp = Pin(15, Pin.OUT)\n", "it uses the pins of the request: pin 15 is set up twice"),
        ("blink GP15 with 5 hertz", BLINK, "it keeps the time: nothing happens every 0.2 s"),
        ("blink GP15", BLINK.replace("toggle", "on"), "it blinks: nothing goes on and off"),
        ("LED on GP15 on", "from machine import Pin\nPin(15, Pin.OUT)\n", "something happens: nothing happens"),
        ("the NeoPixels on GP15 blue", FILLS, "it shows the request's colours: nothing is blue"),
        ("print the voltage at GP26", "from machine import ADC\nprint(ADC(26).read_u16())\n", "not with 'the voltage'"),
        ("let a periodic timer toggle GP15", BLINK, "not with 'periodic timer'"),
        ("print hello", "print('Tick')\n", "the request's texts are in it: the request does not say 'Tick'"),
        (
            REQUEST,
            "# toggle the LED on pin 15 every 350 ms\n" + BLINK,
            "its comments are about the request: they speak of '350'",
        ),
        (
            REQUEST,
            "# twinkle random pixels along the strip\n" + BLINK,
            "are about the request: they speak of 'twinkle'",
        ),
        ("print a number", "while True:\n    print(1)\n", "it runs: it was stopped"),
    ],
)
def test_what_is_wrong_is_said(request_, program, said):
    assert said in "; ".join(fault(request_, program))


def test_a_refusal_for_want_of_a_pin_that_is_there_is_mistaken():
    said = "I cannot do that: it is not said which pin the LED is on."
    assert plausible.mistaken(said, "turn on the led on GP5") == "the request names pin 5"
    assert plausible.mistaken(said, "turn on the led") is None
    assert plausible.mistaken("I cannot do that: there is no camera on this board.", "photo when GP5 is low") is None


@pytest.mark.parametrize(
    "request_, given, board",
    [
        ("blink the led", None, "pico"),
        ("blink the led of my Pico W", None, "pico_w"),
        ("blink an LED with an ESP32", None, "esp32"),
        ("blink the led", "esp32", "esp32"),
        ("blink the led of my Pico", "pico_w", "pico_w"),
    ],
)
def test_the_board_that_is_meant(request_, given, board):
    assert board_of(request_, given) == board


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda: board_of("blink an LED with my ESP32", "pico"),
            "the request speaks of a .*ESP32.*, but --on is pico; .*--on esp32",
        ),
        (lambda: board_of("blink", "picco"), "pico"),
        (lambda: checked("  \n"), "what shall the program do"),
        (lambda: checked("Bitte lass die LED an Pin 15 blinken"), "looks like German"),
        (lambda: checked("fais clignoter la LED sur la broche 15"), "looks like French"),
        (lambda: checked("quiero parpadear el led con un boton"), "looks like Spanish"),
    ],
)
def test_requests_that_cannot_be_asked(call, said):
    with pytest.raises(UserError, match=said):
        call()


@pytest.mark.parametrize(
    "request_", ["die LED on pin 3 at once", "blink the LED on pin 15 and then turn on the lamp on 3", "led 15 on"]
)
def test_english_is_not_taken_for_another_language(request_):
    assert checked(f" {request_}\n ") == request_


# --- a model that knows four answers by heart --------------------------------------------------------------------------

ANSWERS = {
    REQUEST: BLINK,
    "Toggle pin 16": BLINK,
    "take a photo": "# I cannot do that: there is no camera on this board.\n",
    "Light pin 7": "# I cannot do that: it is not said which pin the LED is on.\n",
}


@pytest.fixture(scope="module")
def knows(tmp_path_factory, tiny_tokenizer):
    """A GGUF file that gives ANSWERS, learned in seconds."""
    vocabulary = load_vocabulary(tiny_tokenizer)
    eos = vocabulary.special["eos"]
    rows = [
        vocabulary.tokenizer.encode(as_prompt("# {request}\n", request, "pico") + program).ids
        for request, program in ANSWERS.items()
    ]
    longest = max(map(len, rows)) + 1
    ids = torch.tensor([row + [eos] * (longest - len(row)) for row in rows])
    model = make_model("qwen3", len(vocabulary.tokens)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(120):
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("knows") / "knows.gguf"
    write_gguf(model.eval(), vocabulary, path, "f16")
    return path


def ask(root, knows, request: str, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "ask", request, "--model", str(knows), "--max-tokens", "120", *more],
        cwd=root,
        env=environment(REPOSITORY),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_good_answer_is_printed_and_written(knows, tmp_path):
    done = ask(REPOSITORY, knows, REQUEST, "-o", str(tmp_path / "main.py"), "--run")
    assert done.returncode == 0 and done.stdout.startswith(BLINK), done.stderr
    assert (tmp_path / "main.py").read_text() == BLINK and "GP15" in done.stdout[len(BLINK) :]
    assert (
        "it uses the pins of the request" in done.stderr
        and "whether it does what you want was not checked" in done.stderr
    )


def test_an_answer_that_passes_not_is_said_to_be_so(knows):
    done = ask(REPOSITORY, knows, "Toggle pin 16", "--samples", "3")
    assert done.returncode == 1 and done.stdout.startswith("from machine"), done.stderr
    assert "none of 3 answers passed" in done.stderr and "pin 16 is not in it" in done.stderr


def test_what_it_cannot_do_it_says(knows):
    done = ask(REPOSITORY, knows, "take a photo")
    assert (done.returncode, done.stdout) == (3, "") and "I cannot do that: there is no camera" in done.stderr


def test_a_mistaken_refusal_is_an_answer_that_passes_not(knows):
    done = ask(REPOSITORY, knows, "Light pin 7", "--samples", "2")
    assert done.returncode == 1 and "none of 2 answers passed" in done.stderr, done.stderr
    assert "it is not said which pin the LED is on: the request names pin 7" in done.stderr


@pytest.mark.parametrize(
    "request_, more, said",
    [
        ("", (), "what shall the program do"),
        ("blink", ("--on", "pikko"), "pico"),
        ("blink", ("--samples", "0"), "--samples: 0 must be from 1 to 100"),
        ("blink " * 600, (), "the request is too long"),
    ],
)
def test_wrong_calls_get_one_line(knows, request_, more, said):
    done = ask(REPOSITORY, knows, request_, *more)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout
