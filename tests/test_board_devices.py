"""What people connect to a board's pins, each by a program as they write it."""

from itertools import pairwise

import pytest
import yaml

from pipeline.board.inputs import parse
from pipeline.board.run import run
from pipeline.core.errors import UserError

START = "from machine import *\nimport time\n"


def play(program, devices="[]", board="pico", seconds=5.0):
    result = run(START + program, board, parse(yaml.safe_load(devices), board, "inputs"), seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], [])
    return result


def noted(result):
    return [tuple(event[2:]) for event in result.log if event.what == "device"]


def told(result):
    """What the devices noted, without their names, which all begin alike."""
    return [value for _, value in noted(result)]


def numbers(result):
    return [float(line) for line in result.output]


def switched(result, pin):
    """(milliseconds, level) of an output."""
    return [(event.time // 1000, event.value) for event in result.log if event.what == "pin" and event.where == pin][1:]


# --- buttons and switches ---------------------------------------------------------------------------------------------

POLLED = """
button = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(15, Pin.OUT)
while True:
    led.value(not button.value())
"""
DEBOUNCED = """
button = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(15, Pin.OUT)
before = 1
while True:
    now = button.value()
    if now != before:
        time.sleep_ms(20)
        if button.value() == now:
            before = now
            if now == 0:
                led.toggle()
"""
INTERRUPTED = """
led = Pin(15, Pin.OUT)
last = 0
def pressed(pin):
    global last
    if time.ticks_diff(time.ticks_ms(), last) > 300:      # it bounces when it is let go, too
        last = time.ticks_ms()
        led.toggle()
Pin(14, Pin.IN, Pin.PULL_UP).irq(pressed, Pin.IRQ_FALLING)
"""


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize(
    ("program", "bounces", "levels"),
    [
        (POLLED, False, [(1000, 1), (1200, 0), (2500, 1), (2700, 0)]),
        (DEBOUNCED, True, [(1020, 1), (2520, 0)]),
        (INTERRUPTED, True, [(1000, 1), (2500, 0)]),
    ],
)
def test_a_button_is_seen_when_it_is_pressed(board, program, bounces, levels):
    result = play(program, f"- button: {{pin: 14, pressed: [1.0, 2.5], bounces: {str(bounces).lower()}}}", board)
    assert switched(result, 15) == levels


def test_without_a_wait_a_bouncing_button_counts_too_often():
    program = INTERRUPTED.replace("> 300", "> -1")
    assert len(switched(play(program, "- button: {pin: 14, pressed: [1], bounces: true}"), 15)) > 1


def test_a_button_to_3v3_needs_the_other_pull():
    program = POLLED.replace("PULL_UP", "PULL_DOWN").replace("not ", "")
    assert switched(play(program, "- button: {pin: 14, pressed: [1], to: 3V3, for: 0.5}"), 15) == [(1000, 1), (1500, 0)]


@pytest.mark.parametrize(("hold", "said"), [(0.3, "short"), (0.9, "short"), (1.2, "long")])
def test_how_long_a_button_is_pressed_can_be_measured(hold, said):
    program = """
button = Pin(14, Pin.IN, Pin.PULL_UP)
while True:
    if button.value() == 0:
        start = time.ticks_ms()
        while button.value() == 0:
            time.sleep_ms(10)
        held = time.ticks_diff(time.ticks_ms(), start)
        print("long" if held > 1000 else "short", held)
    time.sleep_ms(10)
"""
    word, held = play(program, f"- button: {{pin: 14, pressed: [1], for: {hold}}}").output[0].split()
    assert (word, int(held)) == (said, pytest.approx(hold * 1000, abs=25))


def test_a_switch_stays_where_it_is_put():
    up, down = POLLED.replace("not ", ""), POLLED.replace("not ", "").replace("UP", "DOWN")
    assert switched(play(up, "- switch: {pin: 14, closed: [[0, 1], [1, 0], [3, 1]]}"), 15) == [(1000, 1), (3000, 0)]
    assert switched(play(down, "- switch: {pin: 14, closed: [[0, 0], [1, 1], [3, 0]], to: 3V3}"), 15) == [
        (1000, 1),
        (3000, 0),
    ]


def test_a_pir_sees_somebody_for_a_while():
    program = """
pir = Pin(16, Pin.IN)
pir.irq(lambda pin: print("motion", time.ticks_ms()), Pin.IRQ_RISING)
"""
    assert play(program, "- pir: {pin: 16, motion: [1, 3], for: 1.5}").output == ["motion 1000", "motion 3000"]
    polled = POLLED.replace("14, Pin.IN, Pin.PULL_UP", "16, Pin.IN").replace("not ", "")
    assert switched(play(polled, "- pir: {pin: 16, motion: [1], for: 1.5}"), 15) == [(1000, 1), (2500, 0)]


def test_a_digital_signal_has_the_level_of_its_script():
    assert switched(play(POLLED, "- digital: {pin: 14, level: [[0, 1], [1, 0], [2, 1]]}"), 15) == [(1000, 1), (2000, 0)]


def test_a_touch_is_felt_on_an_esp32():
    program = """
pad = TouchPad(Pin(4))
led = Pin(15, Pin.OUT)
while True:
    led.value(pad.read() < 200)
    time.sleep_ms(20)
"""
    changes = switched(play(program, "- touch: {pin: 4, touched: [1], for: 0.5}", "esp32"), 15)
    assert [(time // 100, level) for time, level in changes] == [(10, 1), (15, 0)]


# --- analog sensors ---------------------------------------------------------------------------------------------------

READS = """
sensor = ADC(Pin(PIN))
while True:
    volts = sensor.read_u16() * 3.3 / 65535
    print(EXPRESSION)
    time.sleep(1)
"""


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize(
    ("device", "expression", "values"),
    [
        ("analog: {pin: PIN, volts: [[0, 0.5], [1.5, 2.5]]}", "volts", [0.5, 0.5, 2.5]),
        ("potentiometer: {pin: PIN, position: [[0, 0], [0.5, 0.25], [1.5, 1]]}", "volts / 3.3", [0, 0.25, 1]),
        ("ldr: {pin: PIN, light: [[0, 0.9], [1.5, 0.1]]}", "volts / 3.3", [0.9, 0.9, 0.1]),
        ("ldr: {pin: PIN, light: 0.9, to: ground}", "volts / 3.3", [0.1, 0.1, 0.1]),
        ("tmp36: {pin: PIN, celsius: [[0, 21.5], [1.5, -10]]}", "(volts - 0.5) * 100", [21.5, 21.5, -10]),
        ("lm35: {pin: PIN, celsius: [[0, 21.5], [1.5, 40]]}", "volts * 100", [21.5, 21.5, 40]),
        ("joystick: {x: PIN, y: OTHER, right: [[0, 0.5], [1.5, 1]], up: 0.2}", "volts / 3.3", [0.5, 0.5, 1]),
        ("joystick: {x: OTHER, y: PIN, right: [[0, 0.5], [1.5, 1]], up: 0.2}", "volts / 3.3", [0.2, 0.2, 0.2]),
        (
            "line_sensor: {pins: [OTHER, PIN], sees: [[0, [0, 0.3]], [1.5, [1, 0.8]]], analog: true}",
            "volts / 3.3",
            [0.3, 0.3, 0.8],
        ),
    ],
)
def test_an_analog_sensor_gives_its_volts(board, device, expression, values):
    pin, other = ("26", "27") if board == "pico" else ("34", "35")
    result = play(
        READS.replace("PIN", pin).replace("EXPRESSION", expression),
        "- " + device.replace("PIN", pin).replace("OTHER", other),
        board,
    )
    assert numbers(result)[:3] == pytest.approx(values, abs=0.1)


def test_an_old_esp32_program_reads_a_potentiometer():
    program = "pot = ADC(Pin(34))\npot.atten(ADC.ATTN_11DB)\npot.width(ADC.WIDTH_12BIT)\nprint(pot.read())"
    assert play(program, "- potentiometer: {pin: 34, position: 0.5}", "esp32").output == ["2048"]


def test_light_that_goes_off_switches_a_lamp_on():
    program = "ldr = ADC(26)\nlamp = Pin(15, Pin.OUT)\nwhile True:\n    lamp.value(ldr.read_u16() < 20000)"
    assert switched(play(program, "- ldr: {pin: 26, light: [[0, 0.8], [2, 0.1], [3, 0.7]]}"), 15) == [
        (2000, 1),
        (3000, 0),
    ]


def test_a_joysticks_button_is_a_button():
    assert switched(play(POLLED, "- joystick: {x: 26, y: 27, button: 14, pressed: [1]}"), 15) == [(1000, 1), (1200, 0)]


def test_line_sensors_see_the_line_each_for_itself():
    program = """
left, right = Pin(2, Pin.IN), Pin(3, Pin.IN)
while True:
    print(left.value(), right.value())
    time.sleep(1)
"""
    device = "- line_sensor: {pins: [2, 3], sees: [[0, [1, 0]], [1.5, [0, 1]], [2.5, [1, 1]]]}"
    assert play(program, device, seconds=3.9).output == ["1 0", "1 0", "0 1", "1 1"]
    assert play(program, device.replace("]]]}", "]]], inverted: true}"), seconds=3.9).output == [
        "0 1",
        "0 1",
        "1 0",
        "0 0",
    ]


# --- HC-SR04 ----------------------------------------------------------------------------------------------------------

PING = """
trigger, echo = Pin(3, Pin.OUT), Pin(2, Pin.IN)
def measure():
    trigger.low() if hasattr(trigger, "low") else trigger.off()
    time.sleep_us(2)
    trigger.value(1)
    time.sleep_us(10)
    trigger.value(0)
"""
BY_HAND = (
    PING
    + """
    while echo.value() == 0:
        start = time.ticks_us()
    while echo.value() == 1:
        end = time.ticks_us()
    return time.ticks_diff(end, start) * 0.0343 / 2
while True:
    print(measure())
    time.sleep(1)
"""
)
BY_CALL = (
    PING
    + """
    return time_pulse_us(echo, 1, 30000) * 0.0343 / 2
while True:
    print(measure())
    time.sleep(1)
"""
)
BY_INTERRUPT = (
    PING
    + """
def edge(pin):
    global rose
    if pin.value():
        rose = time.ticks_us()
    else:
        print(time.ticks_diff(time.ticks_us(), rose) * 0.0343 / 2)
echo.irq(edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)
while True:
    measure()
    time.sleep(1)
"""
)


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize("program", [BY_HAND, BY_CALL, BY_INTERRUPT])
def test_a_distance_is_measured_by_the_echo(board, program):
    result = play(
        program, "- hcsr04: {trigger: 3, echo: 2, distance: [[0, 10], [0.5, 57.5], [1.5, 400], [2.5, 8]]}", board, 3.9
    )
    assert numbers(result) == pytest.approx([10, 57.5, 400, 8], rel=0.02)


@pytest.mark.parametrize(("distance", "said"), [(401, -1), (1, 117), (2, 117)])
def test_what_is_too_far_gives_no_echo_and_what_is_too_near_the_shortest(distance, said):
    program = BY_CALL.replace(" * 0.0343 / 2", "")
    assert numbers(play(program, f"- hcsr04: {{trigger: 3, echo: 2, distance: {distance}}}", seconds=0.5)) == [said]


def test_a_trigger_must_be_long_enough():
    assert numbers(
        play(BY_CALL.replace("time.sleep_us(10)", "pass"), "- hcsr04: {trigger: 3, echo: 2, distance: 10}", seconds=0.5)
    ) == [-0.0343]


# --- encoder and keypad -----------------------------------------------------------------------------------------------

BY_POLLING = """
clk, dt = Pin(2, Pin.IN, Pin.PULL_UP), Pin(3, Pin.IN, Pin.PULL_UP)
count, last = 0, clk.value()
while True:
    now = clk.value()
    if now != last and now == 0:
        count += 1 if dt.value() != now else -1
        print(count)
    last = now
"""
BY_EDGES = """
clk, dt = Pin(2, Pin.IN, Pin.PULL_UP), Pin(3, Pin.IN, Pin.PULL_UP)
count = 0
def turned(pin):
    global count
    count += 1 if dt.value() else -1
    print(count)
clk.irq(turned, Pin.IRQ_FALLING)
"""
BY_TABLE = """
a, b = Pin(2, Pin.IN, Pin.PULL_UP), Pin(3, Pin.IN, Pin.PULL_UP)
STEPS = {0b1101: 1, 0b0100: 1, 0b0010: 1, 0b1011: 1, 0b1110: -1, 0b1000: -1, 0b0001: -1, 0b0111: -1}
state, quarters = 3, 0
def turned(pin):
    global state, quarters
    now = b.value() << 1 | a.value()
    quarters -= STEPS.get(state << 2 | now, 0)
    state = now
    if quarters % 4 == 0:
        print(quarters // 4)
for pin in (a, b):
    pin.irq(turned, Pin.IRQ_FALLING | Pin.IRQ_RISING)
"""


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize("program", [BY_POLLING, BY_EDGES, BY_TABLE])
def test_an_encoder_counts_its_clicks(board, program):
    assert numbers(play(program, "- encoder: {a: 2, b: 3, turns: [[1, 3], [3, -4]]}", board)) == [1, 2, 3, 2, 1, 0, -1]


def test_an_encoders_button_is_a_button():
    assert switched(play(POLLED, "- encoder: {a: 2, b: 3, button: 14, turns: [], pressed: [1]}"), 15) == [
        (1000, 1),
        (1200, 0),
    ]


SCAN = """
rows = [Pin(n, Pin.OUT) for n in (2, 3, 4, 5)]
columns = [Pin(n, Pin.IN, Pin.PULL_DOWN) for n in COLUMNS]
KEYS = ("123A", "456B", "789C", "*0#D")
def scan():
    for r, row in enumerate(rows):
        row.value(1)
        for c, column in enumerate(columns):
            if column.value():
                row.value(0)
                return KEYS[r][c]
        row.value(0)
last = None
while True:
    key = scan()
    if key != last and key is not None:
        print(key)
    last = key
    PAUSE
"""
LOW = """
rows = [Pin(n, Pin.OUT, value=1) for n in (2, 3, 4, 5)]
columns = [Pin(n, Pin.IN, Pin.PULL_UP) for n in COLUMNS]
while True:
    for r, row in enumerate(rows):
        row.value(0)
        for c, column in enumerate(columns):
            if column.value() == 0:
                print(("123A", "456B", "789C", "*0#D")[r][c])
                while column.value() == 0:
                    time.sleep_ms(10)
        row.value(1)
    PAUSE
"""
OPENED = """
pins, KEYS = (2, 3, 4, 5), ("123A", "456B", "789C", "*0#D")
columns = [Pin(n, Pin.IN, Pin.PULL_UP) for n in COLUMNS]
for n in pins:
    Pin(n, Pin.IN)
last = None
while True:
    key = None
    for r, n in enumerate(pins):
        row = Pin(n, Pin.OUT, value=0)
        for c, column in enumerate(columns):
            if not column.value():
                key = KEYS[r][c]
        row.init(Pin.IN)
    if key and key != last:
        print(key)
    last = key
    PAUSE
"""


@pytest.mark.parametrize("pause", ["pass", "time.sleep_ms(20)", "time.sleep(0.1)"])
@pytest.mark.parametrize("program", [SCAN, LOW, OPENED])
def test_a_keypad_tells_its_keys(program, pause):
    device = (
        "- keypad: {rows: [2, 3, 4, 5], columns: [6, 7, 8, 9], pressed: [[1, '1'], [2, 5], [3, '#'], [4, D]], for: 0.3}"
    )
    result = play(program.replace("COLUMNS", "(6, 7, 8, 9)").replace("PAUSE", pause), device)
    assert result.output == ["1", "5", "#", "D"]
    assert noted(result) == [("keypad", key) for key in "15#D"] and len(result.log) == 8


def test_a_keypad_of_twelve_keys_has_no_letters():
    device = "- keypad: {rows: [2, 3, 4, 5], columns: [6, 7, 8], pressed: [[1, 0], [2, '*']]}"
    assert play(SCAN.replace("COLUMNS", "(6, 7, 8)").replace("PAUSE", "time.sleep_ms(20)"), device).output == ["0", "*"]


# --- what the board drives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize(
    "program",
    [
        "s = PWM(Pin(15))\ns.freq(50)\nfor us in (500, 1500, 2500):\n    s.duty_ns(us * 1000)\n    time.sleep(0.5)",
        "s = PWM(Pin(15), freq=50)\nfor us in (500, 1500, 2500):\n    s.duty_u16(us * 65535 // 20000)\n    time.sleep(0.5)",
        "s = Pin(15, Pin.OUT)\nfor us in (500, 1500, 2500):\n    for _ in range(20):\n        s.on()\n        time.sleep_us(us)\n        s.off()\n"
        "        time.sleep_us(20000 - us)",
    ],
)
def test_a_servo_turns_to_its_angle(board, program):
    assert told(play(program, "- servo: {pin: 15}", board)) == [0, 90, 180]


def test_a_servo_follows_an_old_esp32_program_and_no_wrong_frequency():
    program = "s = PWM(Pin(15), freq=50, duty=26)\nfor duty in (26, 77, 128):\n    s.duty(duty)\n    time.sleep(1)"
    assert told(play(program, "- servo: {pin: 15}", "esp32")) == pytest.approx([0, 90, 180], abs=1)
    assert told(play("PWM(Pin(15), freq=1000, duty_ns=500_000)", "- servo: {pin: 15}")) == []


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize(
    ("program", "speeds"),
    [
        (
            "a, b = Pin(2, Pin.OUT), Pin(3, Pin.OUT)\na.on()\na.off()\nb.on()\na.on()\na.off()\nb.off()",
            [1, 0, -1, 0, -1, 0],
        ),
        (
            "a, b = PWM(Pin(2), freq=1000, duty_u16=0), Pin(3, Pin.OUT)\na.duty_u16(65535)\na.duty_u16(0)\nb.on()\nb.off()",
            [1, 0, -1, 0],
        ),
    ],
)
def test_a_motor_turns_as_its_bridge_is_driven(board, program, speeds):
    assert told(play(program, "- hbridge: {forward: 2, backward: 3}", board)) == speeds


def test_a_motor_is_as_fast_as_its_enable_pin_lets_it_be():
    program = (
        "a, b = Pin(2, Pin.OUT, value=1), Pin(3, Pin.OUT, value=0)\ne = PWM(Pin(4), freq=1000, duty_u16=0)\n"
        "e.duty_u16(32768)\ne.duty_u16(65535)\na.off()\nb.on()\ne.deinit()"
    )
    assert told(play(program, "- hbridge: {forward: 2, backward: 3, enable: 4}")) == pytest.approx(
        [0.5, 1, 0, -1, 0], abs=0.001
    )


FULL = "[(1, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 1), (1, 0, 0, 1)]"
WAVE = "[(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]"
HALF = (
    "[(1, 0, 0, 0), (1, 1, 0, 0), (0, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 0), (0, 0, 1, 1), (0, 0, 0, 1), (1, 0, 0, 1)]"
)


@pytest.mark.parametrize(
    ("sequence", "count", "step"), [(FULL, 40, 1), (WAVE, 40, 1), (HALF, 40, 0.5), (f"list(reversed({FULL}))", 40, -1)]
)
def test_a_stepper_goes_step_by_step(sequence, count, step):
    program = f"""
pins = [Pin(n, Pin.OUT) for n in (2, 3, 4, 5)]
sequence = {sequence}
for n in range({count} + 1):
    for pin, level in zip(pins, sequence[n % len(sequence)]):
        pin.value(level)
    time.sleep_ms(2)
"""
    assert told(play(program, "- stepper: {coils: [2, 3, 4, 5]}")) == [step * n for n in range(1, count + 1)]


def test_a_stepper_on_a_driver_goes_with_its_pulses():
    program = """
step, direction = Pin(2, Pin.OUT), Pin(3, Pin.OUT)
for way, count in ((1, 3), (0, 5)):
    direction.value(way)
    for _ in range(count):
        step.on()
        time.sleep_us(5)
        step.off()
        time.sleep_us(500)
"""
    assert told(play(program, "- stepper: {step: 2, direction: 3}")) == [1, 2, 3, 2, 1, 0, -1, -2]


@pytest.mark.parametrize(
    ("program", "tones"),
    [
        (
            "b = PWM(Pin(15))\nb.duty_u16(32768)\nfor f in (440, 523):\n    b.freq(f)\n    time.sleep(0.2)\nb.duty_u16(0)",
            [440, 523, 0],
        ),
        ("b = PWM(Pin(15), freq=880, duty_u16=1000)\ntime.sleep(0.2)\nb.deinit()", [880, 0]),
        (
            "b = Pin(15, Pin.OUT)\nfor _ in range(100):\n    b.on()\n    time.sleep_us(998)\n    b.off()\n    time.sleep_us(998)\ntime.sleep(1)",
            [500, 0],
        ),
        ("b = Pin(15, Pin.OUT)\nb.on()\ntime.sleep(1)\nb.off()", []),
    ],
)
def test_a_buzzer_sounds_its_tones(program, tones):
    assert told(play(program, "- buzzer: {pin: 15}")) == tones


def test_an_active_buzzer_sounds_where_it_is_on():
    assert told(play("b = Pin(15, Pin.OUT)\nb.on()\ntime.sleep(1)\nb.off()", "- buzzer: {pin: 15, active: true}")) == [
        1,
        0,
    ]


@pytest.mark.parametrize(("active", "closed"), [("high", [True, False]), ("low", [True, False, True])])
def test_a_relay_closes_at_its_level(active, closed):
    program = "r = Pin(15, Pin.OUT)\nr.on()\ntime.sleep(1)\nr.off()"
    assert told(play(program, f"- relay: {{pin: 15, active: {active}}}")) == closed


@pytest.mark.parametrize("board", ["pico", "esp32"])
def test_a_wire_carries_what_is_driven(board):
    program = """
out, into = Pin(2, Pin.OUT), Pin(4, Pin.IN, Pin.PULL_DOWN)
for level in (1, 0, 1):
    out.value(level)
    print(into.value())
pwm = PWM(out, freq=1000, duty_u16=50000)
print(into.value())
pwm.duty_u16(10000)
print(into.value())
out.init(Pin.IN)
print(into.value())
"""
    assert play(program, "- wire: {from: 2, to: 4}", board).output == ["1", "0", "1", "1", "0", "0"]


def test_a_wire_lets_a_program_measure_its_own_pulse():
    program = (
        "out = Pin(2, Pin.OUT)\nt = Timer(period=10, callback=lambda t: out.toggle())\nprint(time_pulse_us(Pin(3), 1))"
    )
    assert play(program, "- wire: {from: 2, to: 3}").output == [
        "-2"
    ]  # the handler waits until the measuring is over, as on a board
    program = (
        "Pin(3, Pin.IN).irq(lambda p: print(p.value()), Pin.IRQ_RISING)\nout = Pin(2, Pin.OUT)\nout.on()\nout.off()"
    )
    assert play(program, "- wire: {from: 2, to: 3}").output == ["1"]


# --- scripts that cannot be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("potentiometer: {pin: 26, position: 1.5}", "1.5 is not between 0 and 1"),
        ("potentiometer: {pin: 5, position: 0.5}", "pin 5 of a Raspberry Pi Pico cannot measure volts; these can: 26"),
        ("tmp36: {pin: 26, celsius: 300}", "300 is not between -40 and 125"),
        ("hcsr04: {trigger: 3, echo: 2, distance: -1}", "-1 is no distance"),
        ("keypad: {rows: [2, 3], columns: [4, 5], pressed: [[1, '9']]}", "there is no key 9; there are 1 2 4 5"),
        (
            "keypad: {rows: [2, 3], columns: [4, 5], pressed: [['1', '5']]}",
            "pressed.0.0: input should be a valid number, not '1'",
        ),
        (
            "keypad: {rows: [2, 3], columns: [4, 5], pressed: [[1, '5', 2]]}",
            r"must be \[time, value\], not \[1, '5', 2\]",
        ),
        ("keypad: {rows: [2, 3], columns: [4, 5], pressed: [7]}", r"must be \[time, value\], not 7"),
        ("encoder: {a: 2, b: 3, turns: [[1, 0.5]]}", "an encoder turns by whole clicks"),
        ("encoder: {a: 2, b: 3, turns: [], pressed: [1]}", "it has no button"),
        ("joystick: {x: 26, y: 27, pressed: [1]}", "it has no button"),
        ("stepper: {step: 2}", "give four of them, or step and direction instead"),
        ("stepper: {coils: [2, 3, 4, 5], step: 6}", "give four of them, or step and direction instead"),
        ("line_sensor: {pins: [2, 3], sees: [[0, [1]]]}", "each step needs 2 values, one a pin"),
        ("line_sensor: {pins: [2], sees: []}", "at least 1 item"),
        ("wire: {from: 2, to: 31}", "a pico has no pin 31"),
    ],
)
def test_a_script_that_cannot_be_is_refused(device, said):
    with pytest.raises(UserError, match=said):
        play("pass", f"- {device}")


# --- polling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", ["pico", "esp32"])
def test_a_loop_that_only_reads_the_clock_keeps_time(board):
    program = """
led = Pin(15, Pin.OUT)
last = time.ticks_ms()
while True:
    if time.ticks_diff(time.ticks_ms(), last) >= 500:
        last = time.ticks_ms()
        led.toggle()
"""
    times = [time for time, _ in switched(play(program, board=board), 15)]
    assert len(times) == 9 and all(after - before == pytest.approx(500, rel=0.025) for before, after in pairwise(times))
