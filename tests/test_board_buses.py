"""The simulated board's buses: I2C, SPI, UART and 1-Wire as programs use and misuse them, against scripted devices."""

import struct
from pathlib import Path

import pytest
import yaml

from pipeline.board.board import Board
from pipeline.board.boards import load
from pipeline.board.hardware.uart import Format, heard
from pipeline.board.inputs import parse
from pipeline.board.run import run

EXAMPLE = Path(__file__).parents[1] / "corpora" / "robo-examples" / "i2c_imu.py"
I2C = "from machine import I2C, SoftI2C, Pin\nimport time\ni2c = I2C(0, scl=Pin(5), sda=Pin(4), freq=400_000)\n"
UART = "from machine import UART, Pin\nimport time\n"


def play(program, devices="[]", board="pico", seconds=5.0, errors=()):
    """A run against a list of devices in YAML."""
    result = run(program, board, parse(yaml.safe_load(devices), board, "inputs"), seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], list(errors))
    return result


def events(result, what):
    return [(event.where, event.value) for event in result.log if event.what == what]


# --- I2C --------------------------------------------------------------------------------------------------------------

def test_the_example_of_the_corpus_reads_the_sensor():
    result = play(EXAMPLE.read_text(), "- mpu6050: {acceleration: [[0, [0, 0, 1]], [0.5, [0.5, -1, 0]]], rotation: [0, 10, [[0, 0], [0.5, 250]]]}", seconds=1.0)
    assert result.output[0] == "g: (0.0, 0.0, 1.0) deg/s: (0.0, 10.0, 0.0)"
    assert result.output[-1] == "g: (0.5, -1.0, 0.0) deg/s: (0.0, 10.0, 250.0)"
    assert events(result, "i2c")[:3] == [(0, ("scan", None, b"\x68")), (0, ("write", 0x68, b"\x6b\0")), (0, ("write", 0x68, b"\x3b"))]
    assert events(result, "i2c")[3] == (0, ("read", 0x68, struct.pack(">7h", 0, 0, 16384, round((25 - 36.53) * 340), 0, 1310, 0)))


def test_the_example_says_that_the_sensor_is_missing():
    play(EXAMPLE.read_text(), errors=["OSError: no MPU6050 on the bus (line 31)"])


FORMS = [
    ("pico", "I2C(0)", "I2C(0, freq=399361, scl=5, sda=4, timeout=50000)"),
    ("pico", "I2C(1, scl=Pin(15), sda=Pin(14), freq=100000)", "I2C(1, freq=100000, scl=15, sda=14, timeout=50000)"),
    ("pico", "I2C(0, scl=1, sda=0)", "I2C(0, freq=399361, scl=1, sda=0, timeout=50000)"),
    ("pico", "I2C(id=1)", "I2C(1, freq=399361, scl=7, sda=6, timeout=50000)"),
    ("pico", "SoftI2C(scl=Pin(3), sda=Pin(2), freq=100000)", "SoftI2C(scl=3, sda=2, freq=100000)"),
    ("pico", "SoftI2C(Pin(3), Pin(2))", "SoftI2C(scl=3, sda=2, freq=500000)"),
    ("esp32", "I2C(0)", "I2C(0, scl=18, sda=19, freq=400000, timeout=50000)"),
    ("esp32", "I2C(0, scl=Pin(22), sda=Pin(21), freq=100000)", "I2C(0, scl=22, sda=21, freq=100000, timeout=50000)"),
    ("esp32", "I2C(scl=Pin(22), sda=Pin(21))", "I2C(0, scl=22, sda=21, freq=400000, timeout=50000)"),
]


@pytest.mark.parametrize(("board", "made", "shown"), FORMS)
def test_a_bus_is_made_as_the_port_allows_and_finds_what_is_there(board, made, shown):
    result = play(f"from machine import I2C, SoftI2C, Pin\ni2c = {made}\nprint(i2c)\nprint(i2c.scan())", "- eeprom: {}\n- ds3231: {}", board)
    assert result.output == [shown, "[80, 104]"]


@pytest.mark.parametrize(("board", "made", "error"), [
    ("pico", "I2C(0, scl=Pin(4), sda=Pin(5))", "ValueError: bad SCL pin"),
    ("pico", "I2C(0, scl=Pin(5), sda=Pin(6))", "ValueError: bad SDA pin"),
    ("pico", "I2C(1, scl=Pin(5), sda=Pin(4))", "ValueError: bad SCL pin"),
    ("pico", "I2C(2)", "ValueError: I2C(2) doesn't exist"),
    ("pico", "SoftI2C(scl=Pin(31), sda=Pin(4))", "ValueError: invalid pin"),
    ("esp32", "I2C(2)", "ValueError: I2C(2) doesn't exist"),
    ("esp32", "I2C(0, scl=Pin(34), sda=Pin(21))", "ValueError: pin can only be input"),
    ("pico", "SPI(0, sck=Pin(19), mosi=Pin(18))", "ValueError: bad SCK pin"),
    ("pico", "SPI(1, sck=Pin(10), mosi=Pin(11), miso=Pin(16))", "ValueError: bad MISO pin"),
    ("pico", "SPI(2)", "ValueError: SPI(2) doesn't exist"),
    ("pico", "SPI(0, firstbit=SPI.LSB)", "NotImplementedError: LSB"),
    ("esp32", "SPI(0)", "ValueError: SPI(0) doesn't exist"),
    ("pico", "SoftSPI(sck=Pin(2), mosi=Pin(3))", "ValueError: must specify all of sck/mosi/miso"),
    ("pico", "UART(0, 9600, tx=Pin(1), rx=Pin(0))", "ValueError: bad TX pin"),
    ("pico", "UART(1, 9600, tx=Pin(4), rx=Pin(1))", "ValueError: bad RX pin"),
    ("pico", "UART(2)", "ValueError: UART(2) doesn't exist"),
    ("esp32", "UART(3)", "ValueError: UART(3) does not exist"),
])
def test_a_bus_is_refused_as_the_board_does(board, made, error):
    play(f"from machine import I2C, SPI, SoftI2C, SoftSPI, UART, Pin\n{made}", board=board, errors=[f"{error} (line 2)"])


@pytest.mark.parametrize(("board", "made", "number"), [
    ("pico", "I2C(0)", 5), ("esp32", "I2C(0)", 19), ("pico", "SoftI2C(scl=Pin(5), sda=Pin(4))", 19), ("esp32", "SoftI2C(scl=Pin(5), sda=Pin(4))", 19)])
@pytest.mark.parametrize("asked", ["readfrom(0x68, 1)", "writeto(0x68, b'1')", "readfrom_mem(0x68, 0, 1)", "writeto_mem(0x68, 0, b'1')",
                                   "writevto(0x68, (b'1', b'2'))"])
def test_where_no_chip_answers_the_error_is_the_ports(board, made, number, asked):
    program = f"""
from machine import I2C, SoftI2C, Pin
i2c = {made}
try:
    i2c.{asked}
except OSError as error:
    print(error.errno)
"""
    assert play(program, "- eeprom: {}", board).output == [str(number)]


WIRED = "- ds3231: {scl: 5, sda: 4, time: '2024-02-28 23:59:58'}"


@pytest.mark.parametrize(("made", "found"), [
    ("I2C(0, scl=Pin(5), sda=Pin(4))", "[104]"),
    ("SoftI2C(scl=Pin(5), sda=Pin(4))", "[104]"),
    ("SoftI2C(scl=Pin(4), sda=Pin(5))", "[]"),
    ("I2C(0, scl=Pin(9), sda=Pin(8))", "[]"),
    ("I2C(1)", "[]"),
])
def test_a_chip_with_wires_answers_on_its_own_pins_alone(made, found):
    assert play(f"from machine import I2C, SoftI2C, Pin\nprint({made}.scan())", WIRED).output == [found]


def test_a_bus_is_lost_when_its_pin_becomes_an_output():
    assert play(I2C + "print(i2c.scan())\nPin(4, Pin.OUT)\nprint(i2c.scan())", WIRED).output == ["[104]", "[]"]


def test_a_transfer_lasts_as_long_as_its_bits_and_lets_interrupts_in():
    program = I2C.replace("400_000", "100_000") + """
start = time.ticks_us()
Pin(14, Pin.IN, Pin.PULL_UP).irq(lambda pin: print(time.ticks_ms()), Pin.IRQ_FALLING)
i2c.writeto(0x50, b"\\0\\0" + bytes(998))
print(time.ticks_diff(time.ticks_us(), start))
"""
    pressed, took = play(program, "- eeprom: {page: 256}\n- button: {pin: 14, pressed: [0.03]}").output
    assert pressed == "30"
    assert 90_000 < int(took) < 92_000      # 1001 bytes of nine bits, 10 us each


def test_every_way_to_move_bytes_reaches_the_same_memory():
    program = I2C + """
def wait():
    while True:
        try:
            i2c.writeto(80, b"")
            return
        except OSError:
            time.sleep_ms(1)
print(i2c.writeto(80, b"\\x00\\x10hello"))
wait()
i2c.writeto_mem(80, 0x15, b"!", addrsize=16)
wait()
print(i2c.writevto(80, [b"\\x00", bytearray(b"\\x16"), memoryview(b"??")]))
wait()
print(i2c.readfrom_mem(80, 0x10, 8, addrsize=16))
buf = bytearray(3)
i2c.readfrom_mem_into(80, 0x0F, buf, addrsize=16)
print(buf)
i2c.writeto(80, b"\\x00\\x10", False)
print(i2c.readfrom(80, 2), i2c.readfrom(80, 2))
i2c.readfrom_into(80, buf)
print(buf, len(i2c.readfrom_mem(80, 0, 4096, addrsize=16)))
for refused in (i2c.start, i2c.stop, i2c.init):
    try:
        refused()
    except OSError as error:
        print(error)
"""
    result = play(program, "- eeprom: {holds: [1, 2, 3]}")
    assert result.output == ["7", "4", "b'hello!??'", "bytearray(b'\\xffhe')",
                             "b'he' b'll'", "bytearray(b'o!?') 4096", *["I2C operation not supported"] * 3]


def test_a_programs_own_bus_works_byte_by_byte():
    program = """
from machine import SoftI2C, Pin
i2c = SoftI2C(scl=Pin(5), sda=Pin(4))
i2c.start()
print(i2c.write(bytes([80 << 1, 0, 0])))
i2c.start()
print(i2c.write(bytes([80 << 1 | 1])))
buf = bytearray(3)
i2c.readinto(buf)
i2c.stop()
print(buf)
i2c.start()
print(i2c.write(bytes([81 << 1, 0])))
i2c.stop()
"""
    result = play(program, "- eeprom: {holds: [7, 8, 9]}")
    assert result.output == ["3", "1", "bytearray(b'\\x07\\x08\\t')", "0"]
    assert events(result, "i2c") == [("5/4", ("write", 80, b"\0\0")), ("5/4", ("read", 80, b"\x07\x08\x09"))]


# --- SPI --------------------------------------------------------------------------------------------------------------

FLASH = """
from machine import SPI, SoftSPI, Pin
cs = Pin(17, Pin.OUT, value=1)
spi = MADE
def ask(command, count):
    cs(0)
    spi.write(command)
    data = spi.read(count)
    cs(1)
    return data
print(ask(b"\\x9f", 3))
print(ask(b"\\x05", 1))
print(spi.read(2))
sent, back = b"\\x9f\\0\\0\\0", bytearray(4)
cs.value(0)
spi.write_readinto(sent, back)
cs.value(1)
print(back)
spi.readinto(back, 0xFF)
print(back)
"""
PEER = "- spi_peer: {select: 17, sck: 18, mosi: 19, miso: 16, answers: {'9F': 'EF4018', '05': '02'}}"


@pytest.mark.parametrize(("made", "bus"), [
    ("SPI(0)", 0), ("SPI(0, 1_000_000, sck=Pin(18), mosi=Pin(19), miso=Pin(16))", 0),
    ("SPI(0, baudrate=400000, polarity=0, phase=0, bits=8, firstbit=SPI.MSB, sck=Pin(18), mosi=Pin(19), miso=Pin(16))", 0),
    ("SoftSPI(baudrate=100_000, sck=Pin(18), mosi=Pin(19), miso=Pin(16))", "18/19"),
])
def test_a_chip_on_spi_answers_while_it_is_selected(made, bus):
    result = play(FLASH.replace("MADE", made), PEER)
    assert result.output == ["b'\\xef@\\x18'", "b'\\x02'", "b'\\x00\\x00'", "bytearray(b'\\x00\\xef@\\x18')", "bytearray(b'\\x00\\x00\\x00\\x00')"]
    assert events(result, "spi")[:2] == [(bus, ("write", b"\x9f")), (bus, ("read", b"\xef\x40\x18"))]
    assert (bus, ("write", b"\xff" * 4)) not in events(result, "spi")


@pytest.mark.parametrize("made", ["SPI(0, sck=Pin(2), mosi=Pin(3), miso=Pin(4))", "SPI(0, miso=None)", "SPI(1)"])
def test_a_chip_on_spi_is_silent_on_other_pins(made):
    assert play(FLASH.replace("MADE", made), PEER).output[0] == "b'\\x00\\x00\\x00'"


def test_a_wire_from_mosi_to_miso_gives_back_what_was_sent():
    program = "from machine import SPI, Pin\nspi = SPI(1, 8_000_000)\nb = bytearray(3)\nspi.write_readinto(b'abc', b)\nprint(b, spi)\nspi.write_readinto(b'a', b)"
    result = play(program, "- spi_peer: {echo: true}", errors=["ValueError: buffers must be the same length (line 6)"])
    assert result.output == ["bytearray(b'abc') SPI(1, baudrate=8000000, polarity=0, phase=0, bits=8, sck=10, mosi=11, miso=8)"]


def test_a_closed_spi_is_no_bus_on_an_esp32():
    program = "from machine import SPI\nspi = SPI(2, baudrate=500000)\nprint(spi)\nspi.deinit()\nspi.write(b'1')"
    result = play(program, board="esp32", errors=["OSError: transfer on deinitialized SPI (line 5)"])
    assert result.output == ["SPI(id=2, baudrate=500000, polarity=0, phase=0, bits=8, firstbit=0, sck=18, mosi=23, miso=19)"]


# --- UART -------------------------------------------------------------------------------------------------------------

ASK = UART + """
uart = MADE
uart.write("PING\\n")
while not uart.any():
    pass
time.sleep_ms(20)
print(uart.any(), uart.readline(), uart.read(), uart.any())
"""


@pytest.mark.parametrize(("board", "made", "number"), [
    ("pico", "UART(0, 9600)", 0), ("pico", "UART(1, baudrate=9600, tx=Pin(4), rx=Pin(5))", 1), ("pico", "UART(0, 9600, bits=8, parity=None, stop=1)", 0),
    ("esp32", "UART(2, 9600)", 2), ("esp32", "UART(1, baudrate=9600, tx=4, rx=5, timeout=10)", 1)])
def test_a_peer_answers_over_a_uart(board, made, number):
    result = play(ASK.replace("MADE", made), '- uart_peer: {answers: {"PING\\n": "PONG\\n"}}', board)
    assert result.output == ["5 b'PONG\\n' None 0"]
    assert events(result, "uart") == [(number, ("sent", b"PING\n")), (number, ("received", b"PONG\n"))]
    times = [event.time for event in result.log if event.what == "uart"]
    assert 1_000 + 10 * 1_041 <= times[1] - times[0] <= 1_000 + 10 * 1_045      # ten characters of ten bits each, and the peer's moment


def test_a_peer_on_other_pins_is_not_heard():
    device = '- uart_peer: {tx: 4, rx: 5, sends: [[0.1, "hi"]], answers: {"a": "b"}}'
    program = UART + "uart = UART(MADE)\nuart.write('a')\ntime.sleep(0.5)\nprint(uart.read())"
    assert play(program.replace("MADE", "0, 9600"), device).output == ["None"]
    assert play(program.replace("MADE", "1, 9600"), device).output == ["b'bhi'"]
    assert play(program.replace("MADE", "1, 9600, tx=Pin(5), rx=Pin(4)"), device, "esp32").output == ["None"]      # crossed
    assert play(program.replace("MADE", "1, 9600, tx=Pin(4), rx=Pin(5)"), device, "esp32").output == ["b'bhi'"]


@pytest.mark.parametrize("baudrate", [4800, 19200, 115200])
def test_the_wrong_baud_rate_gives_garbage(baudrate):
    program = UART + f"uart = UART(0, {baudrate})\nwhile True:\n    if uart.any():\n        print(uart.read())\n    time.sleep_ms(100)"
    result = play(program, "- uart_peer: {baudrate: 9600, sends: [[0.5, 'hello world']]}", seconds=1.0)
    assert result.output and "hello" not in result.output[0]
    assert b"hello" not in b"".join(value[1] for _, value in events(result, "uart"))


def test_a_receiver_samples_the_line():
    told = Format(9600)
    assert bytes(byte for _, byte in heard(b"hello", told, Format(9700))) == b"hello"
    assert [byte for _, byte in heard(b"U", Format(4800), told)] == [0x66, 0xE6]        # 0 1 0 1 ..., each bit taken for two
    assert [byte for _, byte in heard(b"\0", Format(9600), Format(19200))] == [0]       # one long low
    assert heard(b"ab", told, told) == [(1041, 97), (2083, 98)]


@pytest.mark.parametrize(("asked", "said", "at"), [
    ("uart.read()", None, 100),                                 # nothing waits: the default
    ("uart.readline()", None, 100),
    ("UART(0, 9600, timeout=1000).readline()", "b'one\\n'", 504),
    ("UART(0, 9600, timeout=1000).read(3)", "b'one'", 503),
    ("UART(0, 9600, timeout=100).read(3)", None, 200),
    ("UART(0, 9600, timeout=1000).read()", "b'one\\ntwo'", 509),
])
def test_a_read_waits_as_long_as_it_was_told(asked, said, at):
    program = UART + f"uart = UART(0, 9600)\ntime.sleep_ms(100)\nprint({asked}, time.ticks_ms())"
    text, _, when = play(program, '- uart_peer: {sends: [[0.5, "one\\ntwo"]]}').output[0].rpartition(" ")
    assert text == str(said)
    assert at <= int(when) <= at + 6


def test_an_interrupt_comes_in_a_read_that_waits():
    program = UART + """
Pin(14, Pin.IN, Pin.PULL_UP).irq(lambda pin: print("pressed", time.ticks_ms()), Pin.IRQ_FALLING)
uart = UART(0, 9600, timeout=2000)
print(uart.readline(), time.ticks_ms())
"""
    result = play(program, '- uart_peer: {sends: [[1.5, "x\\n"]]}\n- button: {pin: 14, pressed: [0.5, 1.0]}')
    assert result.output[:2] == ["pressed 500", "pressed 1000"]
    assert result.output[2].startswith("b'x\\n' 150")


def test_what_finds_no_room_is_lost():
    program = UART + "uart = UART(0, 115200, rxbuf=64)\ntime.sleep(1)\nprint(uart.any(), len(uart.read()), uart.any())"
    result = play(program, f'- uart_peer: {{baudrate: 115200, sends: [[0.1, "{"x" * 200}"]]}}')
    assert result.output == ["96 96 0"]         # the buffer and the hardware's own 32


def test_readinto_and_the_end_of_sending():
    program = UART + """
uart = UART(0, 9600)
print(uart.write(b"0123456789"), uart.txdone(), time.ticks_ms())
uart.flush()
print(uart.txdone(), time.ticks_ms())
time.sleep_ms(100)
buf = bytearray(4)
print(uart.readinto(buf), bytes(buf), uart.readinto(buf, 2), bytes(buf), uart.read(2), uart.read(), uart.readinto(buf))
print(uart)
"""
    result = play(program, "- uart_peer: {echo: true}")
    assert result.output == ["10 False 0", "True 10", "4 b'0123' 2 b'4523' b'67' b'89' None",
                             "UART(0, baudrate=9600, bits=8, parity=None, stop=1, tx=0, rx=1, txbuf=256, rxbuf=256, timeout=0, timeout_char=2)"]


def test_an_interrupt_tells_of_a_message_that_came():
    program = UART + """
def came(port):
    print(port.read(), time.ticks_ms())
uart = UART(1, 9600)
uart.irq(came, UART.IRQ_RXIDLE)
time.sleep(2)
uart.irq(None)
time.sleep(1)
"""
    result = play(program, '- uart_peer: {uart: 1, sends: [[0.5, "abc"], [1.0, "de"], [2.5, "f"]]}')
    assert [line.rpartition(" ")[0] for line in result.output] == ["b'abc'", "b'de'"]
    assert [int(line.rpartition(" ")[2]) for line in result.output] == pytest.approx([506, 1005], abs=2)


def test_a_uart_can_be_polled():
    program = UART + """
import select
uart = UART(0, 9600)
poll = select.poll()
poll.register(uart, select.POLLIN)
while not poll.poll(100):
    print("nothing", time.ticks_ms() // 100)
print(uart.read(1))
"""
    assert play(program, "- uart_peer: {sends: [[0.25, [200, 10]]]}").output[-1] == "b'\\xc8'"


# --- 1-Wire -----------------------------------------------------------------------------------------------------------

ROOMS = """
import machine, onewire, ds18x20, time
bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(15)))
roms = bus.scan()
print(len(roms), [rom[0] for rom in roms])
bus.convert_temp()
time.sleep_ms(WAIT)
for rom in roms:
    print(bus.read_temp(rom))
"""


def test_thermometers_share_a_pin():
    result = play(ROOMS.replace("WAIT", "750"), "- ds18b20: {pin: 15, temperature: 21.5}\n- ds18b20: {pin: 15, temperature: -10.125, serial: 99}")
    assert sorted(result.output) == ["-10.125", "2 [40, 40]", "21.5"]


def test_a_thermometer_says_85_until_it_has_measured():
    assert play(ROOMS.replace("WAIT", "300"), "- ds18b20: {pin: 15, temperature: 21.5}").output[1:] == ["85.0"]


@pytest.mark.parametrize("devices", ["[]", "- ds18b20: {pin: 14}"])
def test_without_a_thermometer_there_is_an_error(devices):
    assert play(ROOMS, devices, errors=["OneWireError (line 6)"]).output == ["0 []"]


def test_the_bytes_of_the_wire():
    program = """
from machine import Pin
from onewire import OneWire
import time
ow = OneWire(Pin(15))
print(ow.reset())
ow.writebyte(0x33)
rom = bytearray(8)
ow.readinto(rom)
print(rom[0], rom[1:7], ow.crc8(rom), rom == ow.scan()[0])
ow.reset()
ow.writebyte(ow.SKIP_ROM)
ow.write(b"\\x4e\\x00\\x00\\x1f")
ow.reset()
ow.writebyte(ow.SKIP_ROM)
start = time.ticks_ms()
for bit in (0, 0, 1, 0, 0, 0, 1, 0):
    ow.writebit(bit)
while not ow.readbit():
    pass
print(90 < time.ticks_diff(time.ticks_ms(), start) < 105)
ow.select_rom(rom)
ow.writebyte(0xBE)
print(ow.readbyte() / 16, ow.readbyte())
print(OneWire(Pin(2)).reset(), OneWire(Pin(2)).readbyte())
"""
    result = play(program, "- ds18b20: {pin: 15, temperature: 12.7, serial: 258}")      # in half degrees at nine bits, which takes 94 ms
    assert result.output == ["True", "40 bytearray(b'\\x02\\x01\\x00\\x00\\x00\\x00') 0 True", "True", "12.5 0", "False 255"]


# --- DHT --------------------------------------------------------------------------------------------------------------

WEATHER = """
import dht, time
from machine import Pin
sensor = dht.KIND(Pin(16))
while True:
    try:
        sensor.measure()
        print(sensor.temperature(), sensor.humidity())
    except OSError as error:
        print("error", error.errno)
    time.sleep(PAUSE)
"""


@pytest.mark.parametrize(("kind", "device", "pause", "said"), [
    ("DHT22", "dht22: {pin: 16, temperature: [[0, 23.4], [3, -5.6]], humidity: 45.1}", 2, ["23.4 45.1", "23.4 45.1", "-5.6 45.1"]),
    ("DHT11", "dht11: {pin: 16, temperature: [[0, 23.4], [1, 25]], humidity: 45}", 1, ["23 45", "25 45", "25 45", "25 45"]),
    ("DHT22", "dht22: {pin: 16, temperature: [[0, 20], [1, 30]]}", 0.5, ["20.0 45.0"] * 3 + ["30.0 45.0"] * 3),       # asked too often
    ("DHT22", "dht22: {pin: 17}", 2, ["error 110"] * 3),
    ("DHT22", "dht11: {pin: 16, temperature: 20, humidity: 50}", 2, ["512.0 1280.0"] * 3),                               # the wrong class
])
def test_a_dht_tells_the_weather(kind, device, pause, said):
    result = play(WEATHER.replace("KIND", kind).replace("PAUSE", str(pause)), f"- {device}")
    assert result.output[:len(said)] == said


def test_a_dht_that_is_missing_is_told_with_the_ports_number():
    assert play(WEATHER.replace("KIND", "DHT11").replace("PAUSE", "9"), board="esp32").output == ["error 116"]


# --- a program that talks past the firmware ---------------------------------------------------------------------------

@pytest.mark.parametrize("operation", sorted(name for name in Board(load("pico"), 1.0).operations if name.startswith(("i2c", "spi", "uart", "onewire", "dht"))))
@pytest.mark.parametrize("arguments", ["", "0", "0,", "9,9", "0,-1", "0,99999999999", "0,80,99999999999", "0,1,1,1,1,1,1,1,1,1", "x,zz,zz"])
def test_nonsense_to_the_hardware_is_refused(operation, arguments):
    program = f"""
from _hw import call
try:
    call({operation!r}, {arguments!r})
except Exception:
    pass
print("through")
"""
    assert "through" in play(program, "- eeprom: {}\n- spi_peer: {}\n- uart_peer: {}\n- ds18b20: {pin: 0}\n- dht11: {pin: 1}", seconds=10**6).output
