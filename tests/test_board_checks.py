"""Checks pass what is right in every style that people write, and tell each slip in one sentence that says what was seen and expected.

The cases stand in tests/checks/: programs that must pass, and slips in the first of them with the beginning of what is said. They run on the
simulated board. What no program can bring about is tested on logs that stand here.
"""

import random
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.board import boards, checks, inputs
from pipeline.board.board import Event
from pipeline.board.checks import signals
from pipeline.board.run import Error, Run, run
from pipeline.core.errors import UserError

PRELUDE = "from machine import Pin, PWM, Timer\nimport time\nfrom time import sleep, sleep_ms, sleep_us\n"
CASES = [
    case
    for path in sorted((Path(__file__).parent / "checks").glob("*.yaml"))
    for case in YAML(typ="safe", pure=True).load(path)
]
RIGHT = [
    pytest.param(case, program, id=f"{case['name']} {number}")
    for case in CASES
    for number, program in enumerate(case["right"])
]
SLIPS = [
    pytest.param(case, slip, id=f"{case['name']} {number}")
    for case in CASES
    for number, slip in enumerate(case["slips"])
]


def said(case: dict, program: str) -> list[str]:
    """What the checks say against a program."""
    board = case.get("board", "pico")
    done = run(
        PRELUDE + program, board, inputs.parse(case.get("inputs", []), board, case["name"]), case.get("seconds", 5.0)
    )
    return [result.said for result in checks.apply(checks.parse(case["check"], case["name"]), done) if not result.ok]


@pytest.mark.parametrize(("case", "program"), RIGHT)
def test_a_right_program_passes(case, program):
    assert said(case, program) == []


@pytest.mark.parametrize(("case", "slip"), SLIPS)
def test_a_slip_is_told(case, slip):
    program = case["right"][0]
    assert slip["replace"] in program, "the slip changes nothing"
    found = said(case, program.replace(slip["replace"], slip["by"]))
    assert any(one.startswith(slip["said"]) for one in found), found


def test_every_predicate_has_a_case_with_a_slip():
    def names(listed):
        for entry in listed if isinstance(listed, list) else [listed]:
            for name, given in entry.items():
                yield name
                if name in ("any_of", "all_of", "not"):
                    yield from names(given)

    assert {name for case in CASES if case["slips"] for name in names(case["check"])} == set(checks.PREDICATES)


# --- lists of checks ----------------------------------------------------------------------------------------------------

FAULTS = {
    "- blinks: {pin: 15}": "0.blinks: needs on or off or period or frequency",
    "- blnks: {pin: 15}": "0: there is no check 'blnks'; did you mean 'blinks'?",
    "- blinks: {pin: 15, on: x, offf: 1}": "0.blinks.on: input should be a valid number or a valid list, not 'x'\n"
    "task: 0.blinks.offf: unknown key; did you mean 'off'?",
    "- blinks: {on: 1}": "0.blinks.pin: missing",
    "- blinks: {pin: 15, on: [2, 1]}": "0.blinks.on: must be one number or [lowest, highest], not [2.0, 1.0]",
    "- blinks: {pin: 15, frequency: 1, period: 1}": "0.blinks: period and frequency say the same; give one of them",
    "- any_of: [on: {pn: 3}]": "0.any_of.0.on.pin: missing; must be a whole number or a text or a list, each of it a whole number or a text\n"
    "task: 0.any_of.0.on.pn: unknown key; did you mean 'pin'?",
    "- any_of:": "0.any_of: must hold checks",
    "- sequence: {steps: [[13, x]]}": "0.sequence.steps.0.1: input should be a valid number or a valid list, not 'x'",
    "- sequence: {steps: [[13], [14, 1]]}": "0.sequence: each step but the last needs its seconds",
    "- servo: {pin: 9, steps: [[0, 1], [90, 1]]}": "0.servo: the last step holds to the end and has no seconds; add one for what follows",
    "- servo: {pin: 1, angle: [[0, 1], [1, 2, 3]]}": "0.servo.angle.1: must be [time, value], not [1.0, 2.0, 3.0]",
    "- brightness: {pin: 1, is: [[1, 0.5], [0, 1]]}": "0.brightness.is: time 0.0 stands after 1.0; times must not go backwards",
    "- pixels: {pin: 3, show: gren}": "0.pixels.show: 'gren' is not known; must be [red, green, blue] or one of red, orange",
    "- prints: {pattern: '('}": "0.prints.pattern: '(' is no regular expression",
    "- uart_sent: {data: 12 G}": "0.uart_sent.data: '12 G' must be bytes in hexadecimal digits, such as 'AA 03 C8'",
    "- on: {pin: 3, from: -1}": "0.on.from: input should be greater than or equal to 0, not -1",
    "- blinks": "0: must be one check with its arguments, such as blinks: {pin: 15, on: 0.5, off: 0.5}",
    "blinks: 3": ": must be a list of checks",
    "[]": ": must be a list of checks",
}


def parsed(text: str):
    return checks.parse(YAML(typ="safe", pure=True).load(text), "task")


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_told_with_its_place(text):
    with pytest.raises(UserError) as error:
        parsed(text)
    assert str(error.value).startswith(f"task{'' if FAULTS[text][0] == ':' else ': '}{FAULTS[text]}")


def test_a_value_alone_is_the_first_argument():
    assert parsed("- prints: done") == [
        checks.Check("prints", {"text": "done"}, parsed("- prints: {text: done}")[0].arguments)
    ]


def test_the_pins_of_checks_are_those_that_they_name():
    text = """
    - blinks: {pin: LED, on: 1}
    - any_of: [on: {pin: [3, GP4]}, sequence: {pins: [5], steps: [[[6, 7], 1], [[], 1]], repeats: true}]
    - only_on: {pins: [8], on: [[0, [9]], [1, 8]]}
    - wheels: {left: [10, 11], right: 12, go: forward}
    - stepper: {step: 13, direction: 14, moves: [15]}
    - follows: {pin: 3, input: 16}
    - servo: {pin: 17, angle: [[0, 90]]}
    """
    assert checks.pins_of(parsed(text)) == ["LED", 3, "GP4", 6, 7, 5, 8, 9, 10, 11, 12, 13, 14, 16, 17]


def test_the_vocabulary_names_each_predicate_with_its_arguments():
    told = checks.vocabulary()
    assert (
        "blinks: {pin, on?, off?, period?, frequency?, times?, then?, tolerance?, active?, from?, to?}\n    The pin goes on and off"
        in told
    )
    assert "any_of: [checks]\n" in told
    assert all(f"{name}: " in told for name in checks.PREDICATES)


def test_python_takes_from_with_an_underscore_and_pins_as_people_write_them():
    done = run(
        "from machine import Pin\nimport time\nled = Pin('LED', Pin.OUT)\ntime.sleep(1)\nled.on()\n",
        "pico_w",
        seconds=2,
    )
    assert checks.on(done, pin="LED", from_=1.1) is None
    assert checks.on(done, pin="LED") == "LED was off from 0.10 s to 1.00 s, on was expected"
    with pytest.raises(UserError, match="a pico_w has no pin 77"):
        checks.on(done, pin=77)
    with pytest.raises(AttributeError):
        _ = checks.blnks


# --- what no check has to ask for ---------------------------------------------------------------------------------------


def of_log(*events, seconds=5.0, board="pico", **more) -> Run:
    known = {"ended": None, "stopped": None, "errors": [], "lacks": [], "files": {}, "fuel": 0}
    return Run(
        board,
        "",
        [Event(round(time * 1e6), *rest) for time, *rest in events],
        round(seconds * 1e6),
        **{**known, **more},
    )


WRONG = Error(1_500_000, "ValueError", "bad pin", 3, "")


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (of_log(), None),
        (of_log(errors=[WRONG]), "ValueError: bad pin (line 3) at 1.50 s, no error was expected"),
        (of_log(stopped="it computed without end"), "the program was stopped: it computed without end"),
        (of_log(lacks=["machine.X"]), "the simulated board has no machine.X yet"),
        (of_log((1, "sleep", "deep", 1000), stopped="it went into deep sleep"), None),
        (of_log((1, "reset", "", None), stopped="it reset the board"), None),
    ],
)
def test_every_program_must_run_through(done, expected):
    first = checks.apply(parsed("- prints: {text: x, times: 0}"), done)[0]
    assert (first.name, first.said, first.ok) == ("runs", expected, expected is None)


def test_a_failure_may_be_asked_for_and_another_then_still_counts():
    asked = parsed("- fails: {kind: ValueError}")
    assert all(result.ok for result in checks.apply(asked, of_log(errors=[WRONG])))
    both = checks.apply(asked, of_log(errors=[WRONG, Error(2_000_000, "OSError", "", None, "")]))
    assert [result.said for result in both] == ["OSError at 2.00 s, no error was expected", None]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(0, "start", 4000), (0.5, "feed", None), (1, "feed", None), (1.5, "feed", None)], None),
        (
            [(0, "start", 8000), (0.5, "feed", None), (1, "feed", None), (1.5, "feed", None)],
            "the watchdog was started with 8 s, 4 s was expected",
        ),
        (
            [(0.5, "feed", None), (1, "feed", None), (1.5, "feed", None)],
            "the watchdog was started with nothing, 4 s was expected",
        ),
        (
            [(0, "start", 4000), (0.5, "feed", None)],
            "the watchdog was not fed for 1.5 s from 0.50 s on, 0.6 s at most was expected",
        ),
        ([], "no watchdog was started"),
    ],
)
def test_a_watchdog_is_started_with_its_time_and_fed(events, expected):
    done = of_log(*((time, "watchdog", what, value) for time, what, value in events), seconds=2)
    assert checks.watchdog_fed(done, timeout=4, longest=0.6) == expected


# --- signals ------------------------------------------------------------------------------------------------------------


def spans(signal):
    return [(span.start / 1e6, span.value) for span in signal.spans]


def test_a_pin_is_low_until_it_is_driven_and_after_the_board_went_to_sleep():
    done = of_log((1, "pin", 3, 1), (2, "pin", 3, None), (3, "pin", 3, 1), (4, "sleep", "deep", 10))
    assert spans(signals.level(done, 3)) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    low = of_log((1, "pin", 3, 0), (2, "pin", 3, 1), (3, "pin", 3, 0), (4, "pin", 3, None))
    assert spans(signals.level(low, "GP3", "low")) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]


def test_slow_pwm_is_a_blinking_that_keeps_its_rhythm_when_the_duty_is_set_again():
    done = of_log((0, "pwm", 3, (2, 0.5)), (0.6, "pwm", 3, (2, 0.4)), seconds=1.2)
    assert spans(signals.lit(done, 3)) == [(0, True), (0.25, False), (0.5, True), (0.7, False), (1.0, True)]


def test_fast_switching_is_pwm_and_a_few_quick_pulses_are_not():
    fast = [event for n in range(50) for event in ((1 + n / 500, "pin", 3, 1), (1 + n / 500 + 0.0005, "pin", 3, 0))]
    done = of_log(*fast)
    assert [
        (start, round(value.frequency), round(value.duty, 2)) for start, value in spans(signals.drive(done, 3))
    ] == [(0, 0, 0), (1, 500, 0.25), (1.1, 0, 0)]
    few = of_log(*fast[:8])
    assert [value.frequency for _, value in spans(signals.drive(few, 3))] == [0] * 9


def test_a_glitch_is_what_stood_before_and_a_fade_is_none():
    glitch = of_log((0.001, "pin", 3, 1), (1, "pin", 3, 0), (1.002, "pin", 3, 1), (2, "pin", 3, 0))
    assert spans(signals.lit(glitch, 3).settled(10_000)) == [(0, True), (2, False)]
    fade = of_log(*((1 + n / 200, "pwm", 3, (1000, n / 200)) for n in range(200)))
    assert spans(signals.level(fade, 3).settled(10_000)) == spans(signals.level(fade, 3))


def test_a_servo_pulse_is_told_from_pwm_and_from_switching_alike():
    by_hand = [event for n in range(20) for event in ((n / 50, "pin", 3, 1), (n / 50 + 0.0015, "pin", 3, 0))]
    assert signals.pulse(of_log(*by_hand), 3).at(100_000) == 1.5
    assert signals.pulse(of_log((0, "pwm", 3, (50, 0.075))), 3).at(100_000) == 1.5
    assert signals.pulse(of_log((0, "pwm", 3, (1000, 0.075))), 3).at(100_000) is None


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(1, 0), (2, None)], [(0, False), (1, True), (2, False)]),  # a button to ground
        ([(1, 1), (2, None)], [(0, False), (1, True), (2, False)]),  # one to 3V3
        ([(0, 0), (1, 1), (2, 0)], [(0, False), (1, True), (2, False)]),  # a sensor
    ],
)
def test_an_input_is_active_where_a_button_drives_or_a_sensor_is_high(events, expected):
    assert spans(signals.given(of_log(*((time, "input", 5, level) for time, level in events)), 5)) == expected


def test_lines_over_a_uart_are_put_together_from_what_was_sent():
    done = of_log(
        (1, "uart", 0, ("sent", b"pi")),
        (2, "uart", 0, ("sent", b"ng\r\npo")),
        (3, "uart", 0, ("received", b"x\n")),
        (4, "uart", 1, ("sent", b"y\n")),
    )
    assert signals.lines(done, 0) == [(2_000_000, "ping"), (5_000_000, "po")]


# --- logs that nobody thought of ----------------------------------------------------------------------------------------

EXAMPLES = [check for case in CASES for check in case["check"]]


def noise(draw: random.Random) -> Run:
    """A log of anything at any time, on the pins that the cases name."""
    kinds = [
        lambda: ("pin", draw.choice(range(30)), draw.choice([0, 1, None])),
        lambda: (
            "pwm",
            draw.choice(range(30)),
            draw.choice([None, (draw.choice([1, 8, 50, 440, 20_000]), draw.choice([0, 0.05, 0.5, 1]))]),
        ),
        lambda: ("input", draw.choice(range(30)), draw.choice([0, 1, None])),
        lambda: ("print", "", draw.choice(["", "done", "25", "-1.5 and 3", "A", "{", '{"raw": 500}', "\x00é"])),
        lambda: (
            "pixels",
            2,
            tuple(tuple(draw.choices(range(256), k=draw.choice([3, 4]))) for _ in range(draw.choice([0, 1, 4]))),
        ),
        lambda: ("i2c", 0, draw.choice([("write", 0x68, b"\x6b\0"), ("read", 0x68, b""), ("scan", None, b"")])),
        lambda: ("spi", 1, ("write", bytes(draw.choices(range(4), k=2)))),
        lambda: ("uart", draw.choice([0, 1]), ("sent", draw.choice([b"ping\n", b"\xff\xaa"]))),
        lambda: ("display", "ssd1306", draw.choice([(), ("OPEN",), ("U", "3.00")])),
        lambda: ("picture", "ssd1306", (16, draw.choice([bytes(32), b"\xff" * 32, draw.randbytes(32)]))),
        lambda: ("device", "pca9685", (draw.choice([0, 3]), 50.0, draw.random())),
        lambda: (
            "net",
            *draw.choice(
                [
                    ("connected", "home"),
                    ("request", ("GET", "http://10.0.0.5/rain", "")),
                    ("answer", ("/", None, "")),
                    ("publish", ("a/b", "34.5")),
                    ("subscribe", "casa"),
                ]
            ),
        ),
        lambda: ("watchdog", draw.choice(["feed", "bite"]), None),
        lambda: ("sleep", draw.choice(["deep", "light"]), draw.choice([None, 10_000])),
        lambda: ("reset", "", None),
    ]
    times = sorted(draw.choice([0.0, draw.uniform(0, 5), 5.0]) for _ in range(draw.choice([0, 1, 5, 200])))
    return of_log(
        *((time, *draw.choice(kinds)()) for time in times),
        board=draw.choice(["pico", "esp32"]),
        files={"log.csv": b"\xff1,2\n"},
    )


def test_no_log_upsets_a_check():
    draw = random.Random(13)
    for _ in range(150):
        done = noise(draw)
        has = boards.load(done.board)
        known = [
            check
            for check in EXAMPLES
            if all(has.pin(pin) is not None for pin in checks.pins_of(checks.parse([check], "case")))
        ]
        for result in checks.apply(checks.parse(known, "case"), done):
            assert result.ok == (result.said is None)
            assert result.ok or ("\n" not in result.said and "None" not in result.said.replace("'led': None", ""))
