"""The simulated board's buses: I2C, SPI and 1-Wire as programs use and misuse them, against scripted devices."""

import struct
from pathlib import Path

import pytest
import yaml

from pipeline.board.board import Board
from pipeline.board.boards import load
from pipeline.board.inputs import parse
from pipeline.board.run import run

EXAMPLE = Path(__file__).parents[1] / "corpora" / "robo-examples" / "i2c_imu.py"
I2C = "from machine import I2C, SoftI2C, Pin\nimport time\ni2c = I2C(0, scl=Pin(5), sda=Pin(4), freq=400_000)\n"


def play(program, devices="[]", board="pico", seconds=5.0, errors=()):
    """A run against a list of devices in YAML."""
    result = run(program, board, parse(yaml.safe_load(devices), board, "inputs"), seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], list(errors))
    return result


def events(result, what):
    return [(event.where, event.value) for event in result.log if event.what == what]


# --- I2C --------------------------------------------------------------------------------------------------------------


def test_the_example_of_the_corpus_reads_the_sensor():
    device = "- mpu6050: {acceleration: [[0, [0, 0, 1]], [0.5, [0.5, -1, 0]]], rotation: [0, 10, [[0, 0], [0.5, 250]]]}"
    result = play(EXAMPLE.read_text(), device, seconds=1.0)
    assert result.output[0] == "g: (0.0, 0.0, 1.0) deg/s: (0.0, 10.0, 0.0)"
    assert result.output[-1] == "g: (0.5, -1.0, 0.0) deg/s: (0.0, 10.0, 250.0)"
    assert events(result, "i2c")[:3] == [
        (0, ("scan", None, b"\x68")),
        (0, ("write", 0x68, b"\x6b\0")),
        (0, ("write", 0x68, b"\x3b")),
    ]
    assert events(result, "i2c")[3] == (
        0,
        ("read", 0x68, struct.pack(">7h", 0, 0, 16384, round((25 - 36.53) * 340), 0, 1310, 0)),
    )


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
    result = play(
        f"from machine import I2C, SoftI2C, Pin\ni2c = {made}\nprint(i2c)\nprint(i2c.scan())",
        "- eeprom: {}\n- ds3231: {}",
        board,
    )
    assert result.output == [shown, "[80, 104]"]


@pytest.mark.parametrize(
    ("board", "made", "error"),
    [
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
    ],
)
def test_a_bus_is_refused_as_the_board_does(board, made, error):
    play(
        f"from machine import I2C, SPI, SoftI2C, SoftSPI, UART, Pin\n{made}", board=board, errors=[f"{error} (line 2)"]
    )


@pytest.mark.parametrize(
    ("board", "made", "number"),
    [
        ("pico", "I2C(0)", 5),
        ("esp32", "I2C(0)", 19),
        ("pico", "SoftI2C(Pin(5), Pin(4))", 19),
        ("esp32", "SoftI2C(Pin(5), Pin(4))", 19),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        "readfrom(0x68, 1)",
        "writeto(0x68, b'1')",
        "readfrom_mem(0x68, 0, 1)",
        "writeto_mem(0x68, 0, b'1')",
        "writevto(0x68, (b'1', b'2'))",
    ],
)
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


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ("I2C(0, scl=Pin(5), sda=Pin(4))", "[104]"),
        ("SoftI2C(scl=Pin(5), sda=Pin(4))", "[104]"),
        ("SoftI2C(scl=Pin(4), sda=Pin(5))", "[]"),
        ("I2C(0, scl=Pin(9), sda=Pin(8))", "[]"),
        ("I2C(1)", "[]"),
    ],
)
def test_a_chip_with_wires_answers_on_its_own_pins_alone(made, found):
    assert play(f"from machine import I2C, SoftI2C, Pin\nprint({made}.scan())", WIRED).output == [found]


def test_a_bus_is_lost_when_its_pin_becomes_an_output():
    assert play(I2C + "print(i2c.scan())\nPin(4, Pin.OUT)\nprint(i2c.scan())", WIRED).output == ["[104]", "[]"]


def test_a_transfer_lasts_as_long_as_its_bits_and_lets_interrupts_in():
    program = (
        I2C.replace("400_000", "100_000")
        + """
start = time.ticks_us()
Pin(14, Pin.IN, Pin.PULL_UP).irq(lambda pin: print(time.ticks_ms()), Pin.IRQ_FALLING)
i2c.writeto(0x50, b"\\0\\0" + bytes(998))
print(time.ticks_diff(time.ticks_us(), start))
"""
    )
    pressed, took = play(program, "- eeprom: {page: 256}\n- button: {pin: 14, pressed: [0.03]}").output
    assert pressed == "30"
    assert (
        90_000 < int(took) < 94_000
    )  # 1001 bytes of nine bits, 10 us each; a question after a wait takes a thirty-second part of it


def test_every_way_to_move_bytes_reaches_the_same_memory():
    program = (
        I2C
        + """
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
    )
    result = play(program, "- eeprom: {holds: [1, 2, 3]}")
    assert result.output == [
        "7",
        "4",
        "b'hello!??'",
        "bytearray(b'\\xffhe')",
        "b'he' b'll'",
        "bytearray(b'o!?') 4096",
        *["I2C operation not supported"] * 3,
    ]


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


@pytest.mark.parametrize(
    ("made", "bus"),
    [
        ("SPI(0)", 0),
        ("SPI(0, 1_000_000, sck=Pin(18), mosi=Pin(19), miso=Pin(16))", 0),
        (
            "SPI(0, baudrate=400000, polarity=0, phase=0, bits=8, firstbit=SPI.MSB, sck=Pin(18), mosi=Pin(19), miso=Pin(16))",
            0,
        ),
        ("SoftSPI(baudrate=100_000, sck=Pin(18), mosi=Pin(19), miso=Pin(16))", "18/19"),
    ],
)
def test_a_chip_on_spi_answers_while_it_is_selected(made, bus):
    result = play(FLASH.replace("MADE", made), PEER)
    assert result.output == [
        "b'\\xef@\\x18'",
        "b'\\x02'",
        "b'\\x00\\x00'",
        "bytearray(b'\\x00\\xef@\\x18')",
        "bytearray(b'\\x00\\x00\\x00\\x00')",
    ]
    assert events(result, "spi")[:2] == [(bus, ("write", b"\x9f")), (bus, ("read", b"\xef\x40\x18"))]
    assert (bus, ("write", b"\xff" * 4)) not in events(result, "spi")


@pytest.mark.parametrize("made", ["SPI(0, sck=Pin(2), mosi=Pin(3), miso=Pin(4))", "SPI(0, miso=None)", "SPI(1)"])
def test_a_chip_on_spi_is_silent_on_other_pins(made):
    assert play(FLASH.replace("MADE", made), PEER).output[0] == "b'\\x00\\x00\\x00'"


def test_a_wire_from_mosi_to_miso_gives_back_what_was_sent():
    program = """
from machine import SPI, Pin
spi = SPI(1, 8_000_000)
buf = bytearray(3)
spi.write_readinto(b"abc", buf)
print(buf, spi)
spi.write_readinto(b"a", buf)
"""
    result = play(program, "- spi_peer: {echo: true}", errors=["ValueError: buffers must be the same length (line 7)"])
    assert result.output == [
        "bytearray(b'abc') SPI(1, baudrate=8000000, polarity=0, phase=0, bits=8, sck=10, mosi=11, miso=8)"
    ]


def test_a_closed_spi_is_no_bus_on_an_esp32():
    program = "from machine import SPI\nspi = SPI(2, baudrate=500000)\nprint(spi)\nspi.deinit()\nspi.write(b'1')"
    result = play(program, board="esp32", errors=["OSError: transfer on deinitialized SPI (line 5)"])
    assert result.output == [
        "SPI(id=2, baudrate=500000, polarity=0, phase=0, bits=8, firstbit=0, sck=18, mosi=23, miso=19)"
    ]


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
    result = play(
        ROOMS.replace("WAIT", "750"),
        "- ds18b20: {pin: 15, temperature: 21.5}\n- ds18b20: {pin: 15, temperature: -10.125, serial: 99}",
    )
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
    result = play(
        program, "- ds18b20: {pin: 15, temperature: 12.7, serial: 258}"
    )  # in half degrees at nine bits, which takes 94 ms
    assert result.output == [
        "True",
        "40 bytearray(b'\\x02\\x01\\x00\\x00\\x00\\x00') 0 True",
        "True",
        "12.5 0",
        "False 255",
    ]


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


@pytest.mark.parametrize(
    ("kind", "device", "pause", "said"),
    [
        (
            "DHT22",
            "dht22: {pin: 16, temperature: [[0, 23.4], [3, -5.6]], humidity: 45.1}",
            2,
            ["23.4 45.1", "23.4 45.1", "-5.6 45.1"],
        ),
        (
            "DHT11",
            "dht11: {pin: 16, temperature: [[0, 23.4], [1, 25]], humidity: 45}",
            1,
            ["23 45", "25 45", "25 45", "25 45"],
        ),
        (
            "DHT22",
            "dht22: {pin: 16, temperature: [[0, 20], [1, 30]]}",
            0.5,
            ["20.0 45.0"] * 3 + ["30.0 45.0"] * 3,
        ),  # asked too often
        ("DHT22", "dht22: {pin: 17}", 2, ["error 110"] * 3),
        (
            "DHT22",
            "dht22: {pin: 16, plugged: [[0, 1], [2, 0], [4, 1]]}",
            2,
            ["22.0 45.0", "error 110", "22.0 45.0"],
        ),  # a loose contact
        (
            "DHT22",
            "dht22: {pin: 16, temperature: [[0, 20], [1, 30]]}",
            1.72,
            ["20.0 45.0", "30.0 45.0"],
        ),  # 7 ms too early
        ("DHT22", "dht11: {pin: 16, temperature: 20, humidity: 50}", 2, ["512.0 1280.0"] * 3),  # the wrong class
    ],
)
def test_a_dht_tells_the_weather(kind, device, pause, said):
    result = play(WEATHER.replace("KIND", kind).replace("PAUSE", str(pause)), f"- {device}")
    assert result.output[: len(said)] == said


def test_a_dht_that_is_missing_is_told_with_the_ports_number():
    assert play(WEATHER.replace("KIND", "DHT11").replace("PAUSE", "9"), board="esp32").output == ["error 116"]


# --- a program that talks past the firmware ---------------------------------------------------------------------------

OURS = sorted(
    name
    for name in Board(load("pico"), 1.0).operations
    if name.startswith(("i2c.", "spi.", "uart.", "onewire.", "dht."))
)


@pytest.mark.parametrize("operation", OURS)
@pytest.mark.parametrize(
    "arguments", ["", "0", "0,", "9,9", "0,-1", "0,99999999999", "0,80,99999999999", "0,1,1,1,1,1,1,1,1,1", "x,zz,zz"]
)
def test_nonsense_to_the_hardware_is_refused(operation, arguments):
    program = f"""
from _hw import call
try:
    call({operation!r}, {arguments!r})
except Exception:
    pass
print("through")
"""
    assert (
        "through"
        in play(
            program,
            "- eeprom: {}\n- spi_peer: {}\n- uart_peer: {}\n- ds18b20: {pin: 0}\n- dht11: {pin: 1}",
            seconds=10**6,
        ).output
    )
