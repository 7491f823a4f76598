"""The simulated board's UARTs, as programs use them, against a peer who speaks at times and answers."""

from ast import literal_eval

import pytest
import yaml

from pipeline.board.hardware.uart import Format, heard
from pipeline.board.inputs import parse
from pipeline.board.run import run
from pipeline.core.errors import UserError

UART = "from machine import UART, Pin\nimport time\n"


def play(program, devices="[]", board="pico", seconds=5.0, errors=()):
    """A run against a list of devices in YAML."""
    result = run(program, board, parse(yaml.safe_load(devices), board, "inputs"), seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], list(errors))
    return result


def events(result, what):
    return [(event.where, event.value) for event in result.log if event.what == what]


ASK = (
    UART
    + """
uart = MADE
uart.write("PING\\n")
while not uart.any():
    pass
time.sleep_ms(20)
print(uart.any(), uart.readline(), uart.read(), uart.any())
"""
)


@pytest.mark.parametrize(
    ("board", "made", "number"),
    [
        ("pico", "UART(0, 9600)", 0),
        ("pico", "UART(1, baudrate=9600, tx=Pin(4), rx=Pin(5))", 1),
        ("pico", "UART(0, 9600, bits=8, parity=None, stop=1)", 0),
        ("esp32", "UART(2, 9600)", 2),
        ("esp32", "UART(1, baudrate=9600, tx=4, rx=5, timeout=10)", 1),
    ],
)
def test_a_peer_answers_over_a_uart(board, made, number):
    result = play(ASK.replace("MADE", made), '- uart_peer: {answers: {"PING\\n": "PONG\\n"}}', board)
    assert result.output == ["5 b'PONG\\n' None 0"]
    assert events(result, "uart") == [(number, ("sent", b"PING\n")), (number, ("received", b"PONG\n"))]
    times = [event.time for event in result.log if event.what == "uart"]
    assert (
        1_000 + 10 * 1_041 <= times[1] - times[0] <= 1_000 + 10 * 1_045
    )  # ten characters of ten bits each, and the peer's moment


def test_a_peer_on_other_pins_is_not_heard():
    device = '- uart_peer: {tx: 4, rx: 5, sends: [[0.1, "hi"]], answers: {"a": "b"}}'
    program = UART + "uart = UART(MADE)\nuart.write('a')\ntime.sleep(0.5)\nprint(uart.read())"
    assert play(program.replace("MADE", "0, 9600"), device).output == ["None"]
    assert play(program.replace("MADE", "1, 9600"), device).output == ["b'bhi'"]
    assert play(program.replace("MADE", "1, 9600, tx=Pin(5), rx=Pin(4)"), device, "esp32").output == ["None"]  # crossed
    assert play(program.replace("MADE", "1, 9600, tx=Pin(4), rx=Pin(5)"), device, "esp32").output == ["b'bhi'"]


@pytest.mark.parametrize("baudrate", [4800, 19200, 115200])
def test_the_wrong_baud_rate_gives_garbage(baudrate):
    program = (
        UART
        + f"uart = UART(0, {baudrate})\nwhile True:\n    if uart.any():\n        print(uart.read())\n    time.sleep_ms(100)"
    )
    result = play(program, "- uart_peer: {baudrate: 9600, sends: [[0.5, 'hello world']]}", seconds=1.0)
    assert result.output and "hello" not in result.output[0]
    assert b"hello" not in b"".join(value[1] for _, value in events(result, "uart"))


def test_a_receiver_samples_the_line():
    told = Format(9600)
    assert bytes(byte for _, byte in heard(b"hello", told, Format(9700))) == b"hello"
    assert [byte for _, byte in heard(b"U", Format(4800), told)] == [0x66, 0xE6]  # 0 1 0 1 ..., each bit taken for two
    assert [byte for _, byte in heard(b"\0", Format(9600), Format(19200))] == [0]  # one long low
    assert heard(b"ab", told, told) == [(1041, 97), (2083, 98)]


@pytest.mark.parametrize(
    ("asked", "said", "at"),
    [
        ("uart.read()", None, 100),  # nothing waits: the default
        ("uart.readline()", None, 100),
        ("UART(0, 9600, timeout=1000).readline()", "b'one\\n'", 504),
        ("UART(0, 9600, timeout=1000).read(3)", "b'one'", 503),
        ("UART(0, 9600, timeout=100).read(3)", None, 200),
        ("UART(0, 9600, timeout=1000).read()", "b'one\\ntwo'", 509),
    ],
)
def test_a_read_waits_as_long_as_it_was_told(asked, said, at):
    program = UART + f"uart = UART(0, 9600)\ntime.sleep_ms(100)\nprint({asked}, time.ticks_ms())"
    text, _, when = play(program, '- uart_peer: {sends: [[0.5, "one\\ntwo"]]}').output[0].rpartition(" ")
    assert text == str(said)
    assert at <= int(when) <= at + 6


@pytest.mark.parametrize(
    ("board", "baudrate", "lines"),
    [
        ("pico", 115200, ["b'left\\n'", "b'right\\n'"]),
        ("pico", 600, None),  # the next byte takes longer
        ("esp32", 115200, None),
    ],
)
def test_a_pico_without_a_timeout_still_waits_to_the_end_of_a_millisecond(board, baudrate, lines):
    """Its code compares whole milliseconds, so that the line of a fast sender comes in one piece when its first byte was seen."""
    program = UART + f"uart = UART(1, {baudrate})\nwhile True:\n    if uart.any():\n        print(uart.readline())\n"
    peer = f'- uart_peer: {{baudrate: {baudrate}, sends: [[0.5002, "left\\n"], [1.0002, "right\\n"]]}}'
    said = play(program, peer, board).output
    assert said == lines if lines else len(said) > 2 and b"".join(map(literal_eval, said)) == b"left\nright\n"


def test_an_interrupt_comes_in_a_read_that_waits():
    program = (
        UART
        + """
Pin(14, Pin.IN, Pin.PULL_UP).irq(lambda pin: print("pressed", time.ticks_ms()), Pin.IRQ_FALLING)
uart = UART(0, 9600, timeout=2000)
print(uart.readline(), time.ticks_ms())
"""
    )
    result = play(program, '- uart_peer: {sends: [[1.5, "x\\n"]]}\n- button: {pin: 14, pressed: [0.5, 1.0]}')
    assert result.output[:2] == ["pressed 500", "pressed 1000"]
    assert result.output[2].startswith("b'x\\n' 150")


def test_what_finds_no_room_is_lost():
    program = UART + "uart = UART(0, 115200, rxbuf=64)\ntime.sleep(1)\nprint(uart.any(), len(uart.read()), uart.any())"
    result = play(program, f'- uart_peer: {{baudrate: 115200, sends: [[0.1, "{"x" * 200}"]]}}')
    assert result.output == ["96 96 0"]  # the buffer and the hardware's own 32


def test_readinto_and_the_end_of_sending():
    program = (
        UART
        + """
uart = UART(0, 9600)
print(uart.write(b"0123456789"), uart.txdone(), time.ticks_ms())
uart.flush()
print(uart.txdone(), time.ticks_ms())
time.sleep_ms(100)
buf = bytearray(4)
print(uart.readinto(buf), bytes(buf), uart.readinto(buf, 2), bytes(buf), uart.read(2), uart.read(), uart.readinto(buf))
print(uart)
"""
    )
    result = play(program, "- uart_peer: {echo: true}")
    assert result.output == [
        "10 False 0",
        "True 10",
        "4 b'0123' 2 b'4523' b'67' b'89' None",
        "UART(0, baudrate=9600, bits=8, parity=None, stop=1, tx=0, rx=1, txbuf=256, rxbuf=256, timeout=0, timeout_char=2)",
    ]


def test_an_interrupt_tells_of_a_message_that_came():
    program = (
        UART
        + """
def came(port):
    print(port.read(), time.ticks_ms())
uart = UART(1, 9600)
uart.irq(came, UART.IRQ_RXIDLE)
time.sleep(2)
uart.irq(None)
time.sleep(1)
"""
    )
    result = play(program, '- uart_peer: {uart: 1, sends: [[0.5, "abc"], [1.0, "de"], [2.5, "f"]]}')
    assert [line.rpartition(" ")[0] for line in result.output] == ["b'abc'", "b'de'"]
    assert [int(line.rpartition(" ")[2]) for line in result.output] == pytest.approx([508, 1007], abs=2)


def test_a_uart_can_be_polled():
    program = (
        UART
        + """
import select
uart = UART(0, 9600)
poll = select.poll()
poll.register(uart, select.POLLIN)
while not poll.poll(100):
    print("nothing", time.ticks_ms() // 100)
print(uart.read(1))
"""
    )
    assert play(program, "- uart_peer: {sends: [[0.25, [200, 10]]]}").output[-1] == "b'\\xc8'"


@pytest.mark.parametrize(
    "fault",
    [
        "sends: [[0.5]]",
        "sends: [[a, b]]",
        "sends: [[1, 2]]",
        "sends: [[2, x], [1, y]]",
        "answers: {'': x}",
        "baudrate: 5",
    ],
)
def test_a_script_that_makes_no_sense_is_refused(fault):
    with pytest.raises(UserError, match=f"uart_peer.{fault.split(':')[0]}"):
        parse(yaml.safe_load(f"- uart_peer: {{{fault}}}"), "pico", "inputs")
