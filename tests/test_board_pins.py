"""The simulated board's pins and what sits on them: PWM, converters, timers, clock and watchdog, on each port as it is there."""

import pytest
import yaml

from pipeline.board.board import Board
from pipeline.board.boards import load
from pipeline.board.inputs import parse
from pipeline.board.run import run

MACHINE = "from machine import *\nimport machine, time\n"
BOARDS = ("pico", "pico_w", "esp32")


def play(program, devices="[]", board="pico", seconds=5.0, errors=(), stopped=None):
    result = run(MACHINE + program, board, parse(yaml.safe_load(devices), board, "inputs"), seconds)
    assert ([str(error).partition(" (line")[0] for error in result.errors], result.stopped, result.lacks) == (
        list(errors),
        stopped,
        [],
    )
    return result


def logged(result, *kinds):
    return [tuple(event) for event in result.log if event.what in kinds]


def values(result, kind):
    return [event.value for event in result.log if event.what == kind]


# --- pins -------------------------------------------------------------------------------------------------------------

OUT = [0, 1, 0, 1, 0]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize(
    ("program", "levels"),
    [
        ("p = Pin(2, Pin.OUT)\np.value(1)\np.value(0)\np(1)\np(False)", OUT),
        ("p = Pin(2, Pin.OUT)\np.on()\np.off()\np.toggle()\np.toggle()", OUT),
        ("p = Pin(2, mode=Pin.OUT, value=1)\np.init(Pin.OUT)\nprint(p.value())", [1]),
        ("p = Pin(2)\np.value(1)\np.init(Pin.OUT)", [1]),  # the latch keeps what was written before
        ("p = Pin(2, Pin.OUT)\np.on()\np.init(Pin.IN)\np.off()\np.init(Pin.OUT)", [0, 1, None, 0]),
        ("p = Pin(2, Pin.OPEN_DRAIN, value=0)\np.on()\np.off()", [0, None, 0]),
        (
            "p = Signal(Pin(2, Pin.OUT), invert=True)\np.on()\np.off()\np.value(1)\np.value(0)\nprint(p.value())",
            [0, 1, 0, 1],
        ),
        ("p = Signal(2, Pin.OUT, value=1, invert=True)\nprint(p.value(), p())", [0]),
        ("p = Signal(2, Pin.OUT)\np.on()\nprint(p.value())", [0, 1]),
        ("p = Pin(2, Pin.OUT)\nq = Pin(2)\nq.on()\nprint(p == q, p != Pin(3), {p: 5}[q], p.value())", [0, 1]),
    ],
)
def test_an_output_is_what_the_program_makes_it(board, program, levels):
    assert values(play(program, board=board), "pin") == levels


@pytest.mark.parametrize(
    ("board", "program", "printed"),
    [
        (
            "pico",
            "print(Pin(5).value(), Pin(5, Pin.IN).value(), Pin(5, Pin.IN, Pin.PULL_UP).value(), Pin(5, Pin.IN, Pin.PULL_DOWN)())",
            "0 0 1 0",
        ),
        (
            "esp32",
            "print(Pin(5).value(), Pin(5, Pin.IN).value(), Pin(5, Pin.IN, Pin.PULL_UP).value(), Pin(5, Pin.IN, pull=Pin.PULL_DOWN)())",
            "0 0 1 0",
        ),
        (
            "pico",
            "p = Pin(5, Pin.IN, Pin.PULL_UP)\np.init(Pin.IN)\nprint(p.value())",
            "0",
        ),  # an rp2 takes the pull away
        ("esp32", "p = Pin(5, Pin.IN, Pin.PULL_UP)\np.init(Pin.IN)\nprint(p.value())", "1"),
        ("esp32", "p = Pin(5, Pin.IN, Pin.PULL_UP)\np.init(pull=None)\nprint(p.value())", "0"),
        (
            "pico",
            "print(Pin('LED'), Pin('GP3'), Pin('GPIO4', Pin.OUT), Pin(5, Pin.IN, Pin.PULL_UP), Pin(6, Pin.OPEN_DRAIN))",
            "Pin(GPIO25, mode=ALT, pull=PULL_DOWN, alt=31) Pin(GPIO3, mode=ALT, pull=PULL_DOWN, alt=31) Pin(GPIO4, mode=OUT) "
            "Pin(GPIO5, mode=IN, pull=PULL_UP) Pin(GPIO6, mode=OPEN_DRAIN)",
        ),
        ("pico_w", "print(Pin('LED', Pin.OUT))", "Pin(WL_GPIO0, mode=OUT)"),
        (
            "esp32",
            "print(Pin(2), Pin(4, Pin.OUT), Pin(5, Pin.IN, Pin.PULL_UP))",
            "Pin(2, mode=Pin.IN) Pin(4, mode=Pin.OUT) Pin(5, mode=Pin.IN, pull=Pin.PULL_UP)",
        ),
        (
            "pico",
            "print(Pin.board.LED == Pin(25), Pin.board.GP3 == Pin.cpu.GPIO3, hasattr(Pin.board, 'GP99'))",
            "True True False",
        ),
        (
            "pico",
            "print(Pin.IN, Pin.OUT, Pin.OPEN_DRAIN, Pin.PULL_UP, Pin.PULL_DOWN, Pin.IRQ_FALLING, Pin.IRQ_RISING)",
            "0 1 2 1 2 4 8",
        ),
        (
            "esp32",
            "print(Pin.IN, Pin.OUT, Pin.OPEN_DRAIN, Pin.PULL_UP, Pin.PULL_DOWN, Pin.IRQ_FALLING, Pin.IRQ_RISING)",
            "1 3 7 2 1 2 1",
        ),
        (
            "pico",
            "print(hasattr(Pin, 'low'), hasattr(Pin, 'mode'), hasattr(PWM, 'duty'), hasattr(ADC, 'read'), hasattr(machine, 'DAC'))",
            "True False False False False",
        ),
        (
            "esp32",
            "print(hasattr(Pin, 'low'), hasattr(Pin, 'mode'), hasattr(PWM, 'duty'), hasattr(ADC, 'read'), hasattr(machine, 'DAC'))",
            "False False True True True",
        ),
    ],
)
def test_a_pin_reads_and_prints_as_on_its_port(board, program, printed):
    assert play(program, board=board).output == [printed]


@pytest.mark.parametrize(
    ("board", "program", "error"),
    [
        ("pico", "Pin(31)", "ValueError: invalid pin"),
        ("pico", "Pin(-1)", "ValueError: invalid pin"),
        ("pico", "Pin('LDE')", 'ValueError: unknown named pin "LDE"'),
        ("pico", "Pin('15')", 'ValueError: unknown named pin "15"'),
        ("pico", "Pin(2.0)", "TypeError: can't convert float to int"),
        ("pico", "Pin(2, Pin.OUT, drive=1)", "TypeError: extra keyword arguments given"),
        ("pico", "Pin(2).irq(lambda p: 0, wake=1)", "TypeError: extra keyword arguments given"),
        ("pico_w", "Pin('LED').irq(lambda p: 0)", "ValueError: expecting a regular GPIO Pin"),
        ("pico_w", "Pin('LED', Pin.IN, Pin.PULL_UP)", "ValueError: pulls are not supported for external pins"),
        ("esp32", "Pin(6)", "ValueError: invalid pin"),
        ("esp32", "Pin('GPIO2')", "ValueError: invalid pin"),
        ("esp32", "Pin('LED')", "ValueError: invalid pin"),
        ("esp32", "Pin(34, Pin.OUT)", "ValueError: pin can only be input"),
        ("esp32", "Pin(2, Pin.OUT, alt=1)", "TypeError: extra keyword arguments given"),
        ("esp32", "Pin(2).irq(lambda p: 0, hard=True)", "TypeError: extra keyword arguments given"),
    ],
)
def test_a_wrong_pin_is_told_as_on_its_port(board, program, error):
    play(program, board=board, errors=[error])


@pytest.mark.parametrize("board", ["pico", "esp32"])
@pytest.mark.parametrize(
    ("trigger", "edges"),
    [("Pin.IRQ_FALLING", "f"), ("Pin.IRQ_RISING", "r"), ("Pin.IRQ_FALLING | Pin.IRQ_RISING", "fr")],
)
def test_an_interrupt_comes_at_its_edges(board, trigger, edges):
    program = f"""
button = Pin(14, Pin.IN, Pin.PULL_UP)
def pressed(pin):
    print(time.ticks_ms(), pin == button, pin.value())
button.irq(handler=pressed, trigger={trigger})
"""
    said = [("f", "1000 True 0"), ("r", "1200 True 1"), ("f", "2000 True 0"), ("r", "2200 True 1")]
    assert play(program, "- button: {pin: 14, pressed: [1, 2]}", board).output == [
        text for edge, text in said if edge in edges
    ]


def test_an_interrupt_can_be_asked_changed_and_taken_away():
    program = """
def pressed(pin):
    print("pressed", irq.flags() == Pin.IRQ_FALLING)
button = Pin(14, Pin.IN, Pin.PULL_UP)
irq = button.irq(pressed, Pin.IRQ_FALLING)
time.sleep(1.5)
print(irq.trigger() == Pin.IRQ_FALLING, button.irq() is irq)
irq.trigger(Pin.IRQ_RISING)
time.sleep(0.55)
irq.trigger(Pin.IRQ_FALLING)
time.sleep(1)
button.irq(handler=None)
"""
    result = play(program, "- button: {pin: 14, pressed: [1, 2, 2.5, 4]}")
    assert result.output == ["pressed True", "True True", "pressed True"]


def test_an_interrupts_error_is_told_and_the_program_goes_on():
    program = """
button = Pin(14, Pin.IN, Pin.PULL_UP)
button.irq(lambda pin: 1 / 0, Pin.IRQ_FALLING)
time.sleep(3)
print("on")
"""
    result = play(program, "- button: {pin: 14, pressed: [1, 2]}", errors=["ZeroDivisionError: divide by zero"] * 2)
    assert result.output == ["on"] and [error.time for error in result.errors] == [1_000_000, 2_000_000]


@pytest.mark.parametrize("board", ["pico", "esp32"])
def test_interrupts_wait_where_they_are_switched_off(board):
    program = """
button = Pin(14, Pin.IN, Pin.PULL_UP)
button.irq(lambda pin: print("handled", time.ticks_ms()), Pin.IRQ_FALLING)
state = disable_irq()
inner = disable_irq()
time.sleep(1.5)
enable_irq(inner)
time.sleep(0.5)
print("now")
enable_irq(state)
print("on")
"""
    assert play(program, "- button: {pin: 14, pressed: [1]}", board).output == ["now", "handled 2000", "on"]


# --- PWM --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "program", "states"),
    [
        (
            "pico",
            "p = PWM(Pin(15))\np.freq(1000)\np.duty_u16(32768)\np.duty_u16(0)\np.duty_u16(65535)",
            [(1000, 0.5), (1000, 0), (1000, 1)],
        ),
        ("pico", "PWM(15, freq=50, duty_ns=1_500_000)", [(50, 0.075)]),
        ("pico", "p = PWM(Pin(15), 1000)\np.duty_u16(65535 // 4)\np.freq(500)", [(1000, 0.24998), (500, 0.24998)]),
        ("pico", "p = PWM(15, freq=100, duty_ns=1_000_000)\np.freq(200)", [(100, 0.1), (200, 0.2)]),  # nanoseconds stay
        ("pico", "PWM(15, freq=1000, duty_u16=16384, invert=True)", [(1000, 0.75)]),
        ("pico", "PWM(15).duty_u16(30000)", []),  # it was told no frequency
        ("pico", "PWM(15).freq(1000)", []),  # nor a duty
        (
            "pico",
            "p = PWM(15, freq=1000, duty_u16=16384)\np.deinit()\np.duty_u16(16384)",
            [(1000, 0.25), None, (1000, 0.25)],
        ),
        ("pico", "p = PWM(15, freq=1000, duty_u16=16384)\nPin(15, Pin.OUT)", [(1000, 0.25), None]),
        ("pico", "p = PWM(15, freq=1000)\np.duty_u16(-1)\np.duty_u16(70000)", [(1000, 0), (1000, 1)]),
        ("esp32", "p = PWM(Pin(15))\np.freq(1000)\np.duty(512)\np.duty(1023)", [(5000, 0.5), (1000, 0.5), (1000, 1)]),
        ("esp32", "PWM(Pin(15), freq=50, duty=77)", [(50, 0.0752)]),
        ("esp32", "PWM(15, freq=50, duty_ns=1_500_000)", [(50, 0.075)]),
        (
            "esp32",
            "p = PWM(Pin(15), 1000, duty_u16=0)\np.duty_u16(65535)\np.init(freq=2000, duty=0)",
            [(1000, 0), (1000, 1), (2000, 0)],
        ),
        ("esp32", "p = PWM(15, freq=1000, duty=256)\np.deinit()", [(1000, 0.25), None]),
        ("pico", "p = PWM(4, freq=1000, duty_u16=16384)\nI2C(0, scl=Pin(5), sda=Pin(4))", [(1000, 0.25), None]),
        ("esp32", "p = PWM(25, freq=1000, duty=256)\nDAC(25)", [(1000, 0.25), None]),
        ("esp32", "PWM(15, freq=20_000_000, duty_u16=20000)", [(20_000_000, 0.25)]),  # two bits are left
    ],
)
def test_pwm_is_logged_as_it_changes(board, program, states):
    assert values(play(program, board=board), "pwm") == states


@pytest.mark.parametrize(
    ("board", "program", "printed"),
    [
        (
            "pico",
            "p = PWM(15)\nprint(p.freq(), p.duty_u16(), p.duty_ns(), p)",
            "0 0 0 <PWM slice=7 channel=1 invert=0>",
        ),
        (
            "pico",
            "p = PWM(15, freq=1000, duty_u16=30000)\nprint(p.freq(), p.duty_u16(), p.duty_ns())",
            "1000 30000 457777",
        ),
        (
            "pico",
            "p = PWM(15, freq=50, duty_ns=1_500_000)\nprint(p.freq(), p.duty_u16(), p.duty_ns())",
            "50 4915 1500005",
        ),
        (
            "pico",
            "p = PWM(15, freq=300_000, duty_u16=1000)\nprint(p.freq(), p.duty_u16())",
            "299760 943",
        ),  # as fine as its counter is
        (
            "esp32",
            "p = PWM(15)\nprint(p.freq(), p.duty(), p.duty_u16(), p.duty_ns(), p)",
            "5000 512 32768 100000 PWM(Pin(15), freq=5000, duty_u16=32768)",
        ),
        (
            "esp32",
            "p = PWM(15, freq=50, duty=77)\nprint(p.freq(), p.duty(), p.duty_u16(), p.duty_ns())",
            "50 77 4928 1503906",
        ),
        ("esp32", "p = PWM(15, freq=1000)\np.duty(1023)\nprint(p.duty(), p.duty_u16())", "1023 65535"),
        ("esp32", "p = PWM(15, freq=40_000, duty_u16=1023)\nprint(p.duty_u16())", "960"),
    ],
)
def test_pwm_reads_back_what_its_counter_holds(board, program, printed):
    assert play(program, board=board).output == [printed]


@pytest.mark.parametrize(
    ("board", "program", "error"),
    [
        ("pico", "PWM(15).freq(7)", "ValueError: freq too small"),
        ("pico", "PWM(15, freq=0)", "ValueError: freq too small"),
        ("pico", "PWM(15).freq(62_500_001)", "ValueError: freq too large"),
        ("pico", "PWM(15).duty_u16(65535 / 2)", "TypeError: can't convert float to int"),
        ("pico", "PWM(15, freq=1000, duty=512)", "TypeError: extra keyword arguments given"),
        ("pico", "PWM(15).duty(512)", "AttributeError: 'PWM' object has no attribute 'duty'"),
        ("pico", "PWM(30)", "ValueError: invalid pin"),
        ("pico_w", "PWM(Pin('LED'))", "ValueError: expecting a regular GPIO Pin"),
        ("esp32", "PWM(15, freq=0)", "ValueError: frequency must be from 1Hz to 40MHz"),
        ("esp32", "PWM(15).freq(40_000_001)", "ValueError: frequency must be from 1Hz to 40MHz"),
        ("esp32", "PWM(15).duty(1024)", "ValueError: duty must be from 0 to 1023"),
        ("esp32", "PWM(15).duty_u16(65536)", "ValueError: duty_u16 must be from 0 to 65536"),
        ("esp32", "PWM(15, freq=50).duty_ns(21_000_000)", "ValueError: duty_ns must be from 0 to 20000000 ns"),
        ("esp32", "p = PWM(15)\np.deinit()\np.duty(5)", "RuntimeError: PWM is inactive"),
        ("esp32", "PWM(34)", "OSError: (-258, 'ESP_ERR_INVALID_ARG')"),
        (
            "esp32",
            "for n, pin in enumerate((2, 4, 5, 12, 13, 14, 15, 16, 17)): PWM(pin, freq=100 + n)",
            "RuntimeError: out of PWM timers:8",
        ),
    ],
)
def test_wrong_pwm_is_told_as_on_its_port(board, program, error):
    play(program, board=board, errors=[error])


def test_two_pins_of_an_rp2s_slice_share_their_frequency_and_their_end():
    program = "a = PWM(14, freq=1000, duty_u16=0)\nb = PWM(15, freq=2000, duty_u16=65535)\nother = PWM(13, freq=1000, duty_u16=0)\nb.deinit()"
    assert [event[2:] for event in logged(play(program), "pwm")] == [
        (14, (1000, 0)),
        (14, (2000, 0)),
        (15, (2000, 1)),
        (13, (1000, 0)),
        (14, None),
        (15, None),
    ]


def test_a_pin_of_an_rp2_has_the_same_pwm_as_the_one_sixteen_further():
    assert [
        event[2:] for event in logged(play("a = PWM(0, freq=1000, duty_u16=0)\nb = PWM(16)\nb.duty_u16(65535)"), "pwm")
    ] == [(0, (1000, 0)), (16, (1000, 0)), (0, (1000, 1)), (16, (1000, 1))]


def test_on_an_esp32_each_pin_has_its_own_frequency():
    assert [
        event[2:]
        for event in logged(play("PWM(14, freq=1000, duty=0)\nPWM(15, freq=2000, duty=0)", board="esp32"), "pwm")
    ] == [(14, (1000, 0)), (15, (2000, 0))]


# --- converters -------------------------------------------------------------------------------------------------------


def at(volts):
    return f"- analog: {{pin: PIN, volts: {volts}}}"


@pytest.mark.parametrize(
    ("program", "volts", "printed"),
    [
        ("print(ADC(26).read_u16())", 0, 0),
        ("print(ADC(Pin(26)).read_u16())", 3.3, 65535),
        ("print(ADC(0).read_u16())", 1.65, 32776),
        ("print(ADC('GP26').read_u16())", 1.1, 21845),
        ("print(ADC(26))", 0, "<ADC channel=0>"),
        ("print(ADC(ADC.CORE_TEMP))", 0, "<ADC channel=4>"),
        ("print(Pin(26, Pin.IN).value())", 2.5, 1),
        ("print(Pin(26, Pin.IN).value())", 1.0, 0),
    ],
)
def test_a_picos_converter_measures_the_volts_on_its_pin(program, volts, printed):
    assert play(program, at(volts).replace("PIN", "26")).output == [str(printed)]


@pytest.mark.parametrize(
    ("setting", "full"),
    [
        ("", 3.3),
        (", atten=ADC.ATTN_11DB", 3.3),
        (", atten=ADC.ATTN_6DB", 1.75),
        (", atten=ADC.ATTN_2_5DB", 1.25),
        (", atten=ADC.ATTN_0DB", 0.95),
    ],
)
def test_an_esp32s_converter_measures_up_to_what_its_attenuation_lets_through(setting, full):
    program = f"a = ADC(Pin(34){setting})\nprint(a.read(), a.read_u16(), a.read_uv())"
    half = full / 2
    assert play(program, at(half).replace("PIN", "34"), "esp32").output == [f"2048 32776 {round(half * 1000) * 1000}"]
    assert play(program, at(3.3).replace("PIN", "34"), "esp32").output == [f"4095 65535 {round(full * 1_000_000)}"]


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("a = ADC(34)\na.width(ADC.WIDTH_9BIT)\nprint(a.read(), a.read_u16())", "256 32832"),
        (
            "a = ADC(34)\na.atten(ADC.ATTN_0DB)\nprint(a.read())\na.init(atten=ADC.ATTN_11DB)\nprint(a.read(), a)",
            "4095\n2048 ADC(Pin(34))",
        ),
    ],
)
def test_an_esp32s_converter_can_be_set(program, printed):
    assert "\n".join(play(program, at(1.65).replace("PIN", "34"), "esp32").output) == printed


@pytest.mark.parametrize(
    ("board", "program", "error"),
    [
        ("pico", "ADC(15)", "ValueError: Pin doesn't have ADC capabilities"),
        ("pico", "ADC(Pin(2))", "ValueError: Pin doesn't have ADC capabilities"),
        ("pico", "ADC(5)", "ValueError: Pin doesn't have ADC capabilities"),
        ("pico", "ADC(40)", "ValueError: invalid pin"),
        ("pico", "ADC(26, atten=3)", "TypeError: extra keyword arguments given"),
        ("pico", "ADC(26).read()", "AttributeError: 'ADC' object has no attribute 'read'"),
        ("esp32", "ADC(Pin(5))", "ValueError: invalid pin"),
        ("esp32", "ADC(34).atten(4)", "ValueError: invalid attenuation"),
        ("esp32", "ADC(34).width(13)", "ValueError: invalid bit-width"),
        ("esp32", "DAC(Pin(5))", "ValueError: invalid Pin for DAC"),
        ("esp32", "DAC(Pin(25)).write(256)", "ValueError: value out of range"),
        ("esp32", "TouchPad(Pin(5))", "ValueError: invalid pin for touchpad"),
    ],
)
def test_a_wrong_converter_is_told_as_on_its_port(board, program, error):
    play(program, board=board, errors=[error])


@pytest.mark.parametrize("board", ["pico", "pico_w"])
@pytest.mark.parametrize(
    ("devices", "celsius"),
    [("[]", 25.0), ("- internal_temperature: {celsius: 41}", 41.0), ("- internal_temperature: {celsius: -3}", -3.0)],
)
def test_a_picos_own_sensor_tells_its_temperature(board, devices, celsius):
    program = """
sensor = ADC(4)
volts = sensor.read_u16() * 3.3 / 65535
print(27 - (volts - 0.706) / 0.001721)
"""
    assert float(play(program, devices, board).output[0]) == pytest.approx(
        celsius, abs=0.5
    )  # its numbers are half a degree apart


def test_an_esp32s_own_sensor_tells_its_temperature_in_fahrenheit():
    assert play(
        "import esp32\nprint(esp32.raw_temperature())", "- internal_temperature: {celsius: 40}", "esp32"
    ).output == ["104"]


def test_a_pin_without_a_sensor_reads_as_what_it_is_digitally():
    program = "p = Pin(26, Pin.OUT, value=1)\nprint(ADC(26).read_u16())\np.init(Pin.OUT)\nprint(ADC(0).read_u16())"
    assert play(program).output == ["0", "65535"]


def test_what_the_dac_puts_out_is_logged():
    assert logged(play("d = DAC(Pin(25))\nd.write(128)\nd.write(0)", board="esp32"), "dac") == [
        (3, "dac", 25, 128),
        (5, "dac", 25, 0),
    ]


# --- timers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "made", "times"),
    [
        ("pico", "Timer(freq=2.5, callback=tick)", [400, 800, 1200, 1600]),
        ("pico", "Timer(-1, period=500, mode=Timer.PERIODIC, callback=tick)", [500, 1000, 1500]),
        ("pico", "Timer().init(period=700, mode=Timer.ONE_SHOT, callback=tick)", [700]),
        ("pico", "Timer(period=3, tick_hz=4, callback=tick)", [750, 1500]),
        ("esp32", "Timer(0).init(freq=2.5, mode=Timer.PERIODIC, callback=tick)", [400, 800, 1200, 1600]),
        ("esp32", "Timer(3).init(period=500, callback=tick)", [500, 1000, 1500]),
        ("esp32", "Timer(-1, mode=Timer.ONE_SHOT, period=700, callback=tick)", [700]),
        ("pico", "Timer(period=-1, callback=tick)", []),
        ("esp32", "Timer(0, period=-500, callback=tick)", []),
    ],
)
def test_a_timer_calls_when_it_is_due(board, made, times):
    printed = play(
        f"def tick(timer):\n    print(time.ticks_ms(), isinstance(timer, Timer))\n{made}", board=board, seconds=1.9
    ).output
    assert printed == [f"{time} True" for time in times]


def test_a_timers_edges_are_exact_over_a_long_time():
    result = play(
        "led = Pin(15, Pin.OUT)\nTimer(freq=2.5, callback=lambda t: led.toggle())\nwhile True:\n    time.sleep(0.013)",
        seconds=20,
    )
    times = [event.time for event in result.log if event.what == "pin"][1:]
    assert len(times) == 49 and all(abs(time - times[0] - number * 400_000) <= 20 for number, time in enumerate(times))


def test_a_timer_can_be_set_anew_and_taken_away():
    program = """
t = Timer()
t.init(period=100, callback=lambda t: print("a", time.ticks_ms()))
time.sleep_ms(250)
t.init(period=300, callback=lambda t: print("b", time.ticks_ms()))
time.sleep_ms(700)
t.deinit()
t.deinit()
"""
    assert play(program).output == ["a 100", "a 200", "b 550", "b 850"]


def test_two_timers_run_side_by_side():
    program = "Timer(period=300, callback=lambda t: print('a'))\nTimer(period=500, callback=lambda t: print('b'))"
    assert play(program, seconds=1.1).output == ["a", "b", "a", "a", "b"]


def test_a_number_is_one_timer_on_an_esp32():
    program = "Timer(1).init(period=100, callback=lambda t: print('a'))\nTimer(1).init(period=400, callback=lambda t: print('b', t.value()))"
    assert play(program, board="esp32", seconds=1).output == ["b 0", "b 0"]


@pytest.mark.parametrize(
    ("board", "program", "error"),
    [
        ("pico", "Timer(0)", "ValueError: Timer doesn't exist"),
        ("pico", "Timer(-1, period=0.5)", "TypeError: can't convert float to int"),
        ("pico", "Timer(freq=0)", "ZeroDivisionError: divide by zero"),
        ("esp32", "Timer(4)", "ValueError: Timer(4) doesn't exist, there are only 4 hardware timers"),
        ("esp32", "Timer(0, period=0)", "ValueError: Timer period is too short for this timer"),
        ("esp32", "Timer(0, period=5, hard=True)", "ValueError: hard Timers are not implemented"),
    ],
)
def test_a_wrong_timer_is_told_as_on_its_port(board, program, error):
    play(program, board=board, errors=[error])


@pytest.mark.parametrize("board", ["pico", "esp32"])
def test_what_is_scheduled_waits_for_the_handler(board):
    program = """
import micropython
micropython.alloc_emergency_exception_buf(100)
def later(n):
    print("later", n)
def tick(timer):
    for n in range(2):
        micropython.schedule(later, n)
    print("tick")
Timer(0 if hasattr(PWM, "duty") else -1).init(mode=Timer.ONE_SHOT, period=100, callback=tick)
time.sleep(1)
micropython.schedule(later, "at once")
print("end")
"""
    assert play(program, board=board).output == ["tick", "later 0", "later 1", "later at once", "end"]


def test_no_more_than_eight_can_be_scheduled():
    program = "import micropython\ndisable_irq()\nfor n in range(9):\n    micropython.schedule(print, n)"
    play(program, errors=["RuntimeError: schedule queue full"])


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "printed"),
    [
        ("pico", ["(2021, 1, 1, 4, 0, 0, 0, 0)", "(2025, 12, 25, 3, 0, 0, 1, 0) (2025, 12, 25, 0, 0, 1)"]),
        ("esp32", ["(2000, 1, 1, 5, 0, 0, 0, 0)", "(2025, 12, 25, 3, 0, 0, 1, 250) (2025, 12, 25, 0, 0, 1)"]),
    ],
)
def test_the_calendar_goes_on_from_what_it_is_set_to(board, printed):
    program = """
rtc = RTC()
def now():
    return rtc.datetime()[:7] + (rtc.datetime()[7] // 1000,)
print(now())
rtc.datetime((2025, 12, 24, 2, 23, 59, 58, 250_000))
time.sleep(3)
print(now(), time.localtime()[:6])
"""
    assert play(program, board=board).output == printed


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("RTC().init((2025, 6, 1, 12, 30, 15, 0, 0))\nprint(RTC().datetime()[:7])", "(2025, 6, 1, 6, 12, 30, 15)"),
        (
            "r = RTC()\nprint(r.memory())\nr.memory(b'abc')\nprint(RTC().memory())\nr.memory('de')\nprint(r.memory())",
            "b''\nb'abc'\nb'de'",
        ),
    ],
)
def test_an_esp32s_clock_can_more(program, printed):
    assert "\n".join(play(program, board="esp32").output) == printed


@pytest.mark.parametrize(
    ("board", "program", "error"),
    [
        ("pico", "RTC().datetime((2025, 12, 24))", "ValueError: requested length 8 but object has length 3"),
        ("pico", "RTC().datetime(2025)", "TypeError: object 'int' isn't a tuple or list"),
        ("esp32", "RTC().memory(bytes(2049))", "ValueError: buffer too long"),
        ("pico", "WDT(timeout=9000)", "ValueError: timeout exceeds 8388"),
        ("pico", "WDT(1)", "ValueError: WDT(1) doesn't exist"),
        ("esp32", "WDT(timeout=0)", "ValueError: WDT timeout too short"),
        ("pico", "freq(1)", "ValueError: cannot change frequency"),
        ("esp32", "freq(100_000_000)", "ValueError: frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz"),
        ("pico", "time_pulse_us(Pin(2), 1, 0.5)", "TypeError: can't convert float to int"),
        ("pico", "bitstream(Pin(2), 1, (1, 1, 1, 1), b'')", "ValueError: encoding"),
    ],
)
def test_wrong_use_of_the_clock_is_told_as_on_its_port(board, program, error):
    play(program, board=board, errors=[error])


# --- watchdog, sleep, reset -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", ["pico", "esp32"])
def test_a_watchdog_bites_where_it_is_not_fed(board):
    program = "dog = WDT(timeout=2000)\nfor _ in range(3):\n    time.sleep(1)\n    dog.feed()\nwhile True:\n    pass"
    result = play(program, board=board, seconds=20, stopped="the watchdog was not fed and reset the board")
    assert [event.where for event in result.log] == ["start"] + ["feed"] * 3 + ["bite"]
    assert result.log[-1].time == pytest.approx(5_000_000, abs=100)


def test_a_watchdog_that_is_fed_all_the_time_bites_nobody():
    result = play(
        "dog = WDT(timeout=100)\nb = Pin(14, Pin.IN, Pin.PULL_UP)\nwhile True:\n    b.value()\n    dog.feed()",
        seconds=60,
    )
    assert {event.where for event in result.log} == {"start", "feed"} and result.end == 60_000_000


@pytest.mark.parametrize(
    ("program", "what", "value", "stopped"),
    [
        ("deepsleep(5000)", "sleep", "deep", "it went into deep sleep"),
        ("deepsleep()", "sleep", "deep", "it went into deep sleep"),
        ("reset()", "reset", "", "it reset the board"),
        ("soft_reset()", "reset", "", "it reset the board"),
    ],
)
def test_a_reset_or_deep_sleep_ends_the_run(program, what, value, stopped):
    result = play(f"time.sleep(1)\n{program}\nprint('never')", stopped=stopped)
    assert [(event.what, event.where) for event in result.log] == [(what, value)] and result.log[
        -1
    ].time // 1000 == 1000


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("esp32.wake_on_ext0(pin=Pin(33), level=esp32.WAKEUP_ANY_HIGH)", [("ext0", ((33,), 1))]),
        ("esp32.wake_on_ext1([Pin(2), Pin(4)], esp32.WAKEUP_ALL_LOW)", [("ext1", ((2, 4), 0))]),
        ("Pin(14).irq(trigger=Pin.WAKE_LOW, wake=DEEPSLEEP)", [("ext0", ((14,), 0))]),
        ("esp32.wake_on_ext0(Pin(33), True)\nesp32.wake_on_ext0(None)", []),
    ],
)
def test_a_deep_sleep_tells_which_pins_wake_it(program, expected):
    result = play(f"import esp32\n{program}\ndeepsleep()", board="esp32", stopped="it went into deep sleep")
    assert [(event.where, event.value) for event in result.log if event.what == "wake"] == expected


@pytest.mark.parametrize(
    ("pin", "error"), [("33", "ValueError: expecting a pin"), ("Pin(5)", "ValueError: invalid pin")]
)
def test_only_a_pin_that_stays_awake_can_wake_it(pin, error):
    play(f"import esp32\nesp32.wake_on_ext0({pin}, True)", board="esp32", errors=[error])


@pytest.mark.parametrize("board", ["pico", "esp32"])
def test_a_light_sleep_lasts_as_long_as_it_is_told(board):
    result = play("lightsleep(1500)\nprint(time.ticks_ms())", board=board)
    assert (logged(result, "sleep")[0][2:], result.output) == (("light", 1500), ["1500"])


@pytest.mark.parametrize(
    ("board", "printed"),
    [
        ("pico", "125000000 133000000 8 True"),
        ("pico_w", "125000000 133000000 8 True"),
        ("esp32", "160000000 240000000 6 True"),
    ],
)
def test_the_processor_tells_of_itself(board, printed):
    hertz = printed.split()[1]
    program = (
        f"before = freq()\nfreq({hertz})\nprint(before, freq(), len(unique_id()), reset_cause() == PWRON_RESET)\nidle()"
    )
    assert play(program, board=board).output == [printed]


# --- pulses and pixels ------------------------------------------------------------------------------------------------

PULSE = "- digital: {pin: 2, level: [[0, 0], [0.5, 1], [0.500583, 0], [0.501, 1]]}"


@pytest.mark.parametrize(
    ("pulse", "printed"),
    [
        ("2, 1", "583"),
        ("Pin(2), 1, 600_000", "583"),
        ("Pin(2), 1, 100_000", "-2"),
        ("Pin(2), 1, 500", "-2"),
        ("Pin(2), 0, 100", "-1"),
    ],
)
def test_a_pulse_is_measured_to_the_microsecond(pulse, printed):
    assert play(f"print(time_pulse_us({pulse}))", PULSE).output == [printed]


def test_a_pulse_that_does_not_end_is_told():
    assert play("time.sleep(0.6)\nprint(time_pulse_us(2, 1, 1000))", PULSE).output == ["-1"]


def test_pulses_made_by_hand_are_as_long_as_they_are_meant_to_be():
    program = "p = Pin(2, Pin.OUT)\nfor us in (10, 100, 1500, 20000):\n    p.on()\n    time.sleep_us(us)\n    p.off()\n    time.sleep_ms(5)"
    times = [event.time for event in play(program).log if event.what == "pin"]
    assert [end - start for start, end in zip(times[1::2], times[2::2], strict=True)] == pytest.approx(
        [10, 100, 1500, 20000], abs=5
    )


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (
            "n = NeoPixel(Pin(4), 3)\nn[0] = (255, 0, 0)\nn[-1] = (0, 0, 255)\nn.write()\nprint(n[0], len(n), n[2], n.n)",
            [(RED, (0, 0, 0), BLUE)],
        ),
        (
            "n = NeoPixel(Pin(4), 2)\nn.fill((1, 2, 3))\nn.write()\nn.fill((0, 0, 0))\nn.write()",
            [((1, 2, 3),) * 2, ((0, 0, 0),) * 2],
        ),
        ("n = NeoPixel(Pin(4), 2, bpp=4)\nn[1] = (1, 2, 3, 4)\nn.write()", [((0, 0, 0, 0), (1, 2, 3, 4))]),
        (
            "n = NeoPixel(Pin(4), 1, timing=0)\nn.ORDER = (0, 1, 2)\nn[0] = (1, 2, 3)\nn.write()",
            [((2, 1, 3),)],
        ),  # the lights take green first
        (
            "p = Pin(4, Pin.OUT)\nbitstream(p, 0, (400, 850, 800, 450), bytes([2, 1, 3, 5, 4, 6]))",
            [((1, 2, 3), (4, 5, 6))],
        ),
    ],
)
def test_pixels_are_logged_as_colours(board, program, shown):
    result = play(f"from neopixel import NeoPixel\n{program}", board=board)
    assert [(event.where, event.value) for event in result.log if event.what == "pixels"] == [
        (4, colours) for colours in shown
    ]


def test_an_apa106_takes_red_first():
    assert values(
        play("from apa106 import APA106\na = APA106(Pin(4), 1)\na[0] = (1, 2, 3)\na.write()", board="esp32"), "pixels"
    ) == [((1, 2, 3),)]


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("NeoPixel(Pin(4), 3)[3] = (1, 2, 3)", "IndexError: bytearray index out of range"),
        ("NeoPixel(Pin(4), 3)[0] = (1, 2)", "IndexError: tuple index out of range"),
        ("NeoPixel(4, 3)", "AttributeError: 'int' object has no attribute 'init'"),
    ],
)
def test_wrong_pixels_are_told(program, error):
    play(f"from neopixel import NeoPixel\n{program}", errors=[error])


# --- the other modules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "program", "printed"),
    [
        (
            "pico",
            "import os\nu = os.uname()\nprint(u.sysname, u.machine, u[0])",
            "rp2 Raspberry Pi Pico with RP2040 rp2",
        ),
        ("esp32", "import os\nprint(os.uname().sysname, os.uname().machine)", "esp32 Generic ESP32 module with ESP32"),
        (
            "pico",
            "import os\nwith open('a.txt', 'w') as f: f.write('x')\nprint(sorted(os.listdir()), os.stat('a.txt')[6], len(list(os.ilistdir('/'))))",
            "['a.txt', 'main.py'] 1 2",
        ),
        ("pico", "import os\ns = os.statvfs('/')\nprint(s[0] * s[3] > 500_000, len(os.urandom(8)))", "True 8"),
        ("pico", "import rp2\nprint(rp2.bootsel_button())", "0"),
        ("pico_w", "import rp2\nrp2.country('DE')\nprint(rp2.country())", "DE"),
        (
            "pico",
            "from micropython import const\nX = const(5)\n@micropython.native\ndef f(): return X\nprint(f())",
            "5",
        ),
        ("esp32", "import esp\nesp.osdebug(None)\nprint(esp.flash_size())", "4194304"),
        (
            "esp32",
            "import esp32\nn = esp32.NVS('a')\nn.set_i32('x', 5)\nn.commit()\nprint(esp32.NVS('a').get_i32('x'))",
            "5",
        ),
        (
            "esp32",
            "import esp32\nn = esp32.NVS('a')\nn.set_blob('x', b'abc')\nb = bytearray(8)\nprint(n.get_blob('x', b), bytes(b[:3]))",
            "3 b'abc'",
        ),
    ],
)
def test_the_boards_own_modules_answer(board, program, printed):
    assert play(program, board=board).output == [printed]


def test_what_is_not_stored_is_told_as_on_an_esp32():
    play(
        "import esp32\nesp32.NVS('a').get_i32('x')", board="esp32", errors=["OSError: (-4354, 'ESP_ERR_NVS_NOT_FOUND')"]
    )


# --- a program that talks past the firmware ---------------------------------------------------------------------------

OPERATIONS = sorted(
    name
    for name in Board(load("esp32"), 1.0).operations
    if name.split(".")[0]
    in {
        "pin",
        "read",
        "write",
        "toggle",
        "pwm",
        "adc",
        "dac",
        "touch",
        "timer",
        "rtc",
        "wdt",
        "pulse",
        "pixels",
        "irq",
        "freq",
        "serial",
        "uname",
        "flash",
        "schedule",
        "celsius",
    }
)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "0",
        "0,",
        "2,9",
        "2,-1",
        "2,99999999999",
        "2,80,99999999999",
        "2,1,1,1,1",
        "x,zz,zz",
        "26,50,u16,-1,-",
        "LED",
    ],
)
def test_nonsense_to_the_hardware_is_refused_or_harmless(operation, arguments):
    program = f"from _hw import call\ntry:\n    call({operation!r}, {arguments!r})\nexcept Exception:\n    pass\nprint('through')"
    result = run(program, "pico", [], seconds=10**6)
    assert "through" in result.output and not result.errors
