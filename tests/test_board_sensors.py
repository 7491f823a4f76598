"""The simulated board's further chips, by the drivers that people write for them: servos, clocks, memories, converters, a text display."""

import pytest
import yaml

from pipeline.board.inputs import parse
from pipeline.board.run import run
from pipeline.core.errors import UserError

I2C = "from machine import I2C, Pin\nimport time\ni2c = I2C(0, scl=Pin(5), sda=Pin(4), freq=400_000)\n"


def play(program, devices="[]", board="pico", seconds=5.0, errors=()):
    result = run(program, board, parse(yaml.safe_load(devices), board, "inputs"), seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], list(errors))
    return result


def noted(result, device):
    return [event.value for event in result.log if event.what == "device" and event.where == device]


def shown(result):
    return [event.value for event in result.log if event.what == "display"]


# --- PCA9685 ----------------------------------------------------------------------------------------------------------

PCA9685 = (
    I2C
    + """
import ustruct
class PCA9685:
    def __init__(self, i2c, address=0x40):
        self.i2c, self.address = i2c, address
        self.i2c.writeto_mem(self.address, 0x00, b"\\x00")
    def freq(self, freq):
        prescale = int(25000000.0 / 4096.0 / freq + 0.5) - 1
        old = self.i2c.readfrom_mem(self.address, 0x00, 1)[0]
        self.i2c.writeto_mem(self.address, 0x00, bytes([old & 0x7F | 0x10]))
        self.i2c.writeto_mem(self.address, 0xFE, bytes([prescale]))
        self.i2c.writeto_mem(self.address, 0x00, bytes([old]))
        time.sleep_us(5)
        self.i2c.writeto_mem(self.address, 0x00, bytes([old | 0xA1]))
    def duty(self, index, value):
        on, off = (0, 4096) if value == 0 else (4096, 0) if value == 4095 else (0, value)
        self.i2c.writeto_mem(self.address, 0x06 + 4 * index, ustruct.pack("<HH", on, off))
pca = PCA9685(i2c)
pca.freq(50)
"""
)


def test_a_pca9685_turns_servos():
    program = PCA9685 + "pca.duty(0, 307)\npca.duty(15, 4095)\npca.duty(0, 0)\n"
    result = play(program, "- pca9685: {}")
    assert noted(result, "pca9685") == [(0, 50.03, round(307 / 4096, 5)), (15, 50.03, 1.0), (0, 50.03, 0.0)]


def test_a_pca9685_is_found_at_its_own_address_and_at_the_one_for_all():
    assert play(I2C + "print(i2c.scan())\ni2c.writeto(0x40, b'\\0\\0')\nprint(i2c.scan())", "- pca9685: {}").output == [
        "[64, 112]",
        "[64]",
    ]


SLIPS = [
    (
        "i2c.writeto_mem(0x40, 0xFE, bytes([121]))\npca.duty(1, 2048)",
        [(1, 50.03, 0.5)],
        "prescale set awake changes nothing",
    ),
    ("i2c.writeto_mem(0x40, 0, b'\\x30')\npca.duty(1, 2048)", [], "asleep it puts out nothing"),
    (
        "i2c.writeto_mem(0x40, 0, b'\\x01')\npca.duty(1, 2048)",
        [],
        "without counting on, all four bytes go into one register",
    ),
    (
        "pca.duty(1, 2048)\npca.freq(100)",
        [(1, 50.03, 0.5), (1, 50.03, 0.0), (1, 100.06, 0.5)],
        "asleep, then restarted",
    ),
    (
        "pca.duty(1, 2048)\ni2c.writeto(0x40, b'\\0\\x30')\ni2c.writeto(0x40, b'\\0\\x20')\nprint(i2c.readfrom_mem(0x40, 0, 1)[0])",
        [(1, 50.03, 0.5), (1, 50.03, 0.0)],
        "awake again it waits for its restart",
    ),
    ("i2c.writeto_mem(0x40, 0xFA, b'\\0\\0\\0\\x04')", [(n, 50.03, 0.25) for n in range(16)], "all at once"),
]


@pytest.mark.parametrize(("rest", "notes"), [slip[:2] for slip in SLIPS], ids=[slip[2] for slip in SLIPS])
def test_a_pca9685_minds_its_modes(rest, notes):
    assert noted(play(PCA9685 + rest, "- pca9685: {}"), "pca9685") == notes


# --- DS3231 and EEPROM ------------------------------------------------------------------------------------------------

CLOCK = (
    I2C
    + """
def bcd(value):
    return (value >> 4) * 10 + (value & 15)
def now():
    s, m, h, w, d, mo, y = i2c.readfrom_mem(0x68, 0, 7)
    return "20%02d-%02d-%02d %02d:%02d:%02d" % (bcd(y), bcd(mo), bcd(d), bcd(h & 0x3F), bcd(m), bcd(s)), w
"""
)


def test_a_ds3231_goes_on_over_the_end_of_february():
    result = play(
        CLOCK + "for n in range(3):\n    print(*now())\n    time.sleep(1)", "- ds3231: {time: '2024-02-28 23:59:59'}"
    )
    assert result.output == ["2024-02-28 23:59:59 3", "2024-02-29 00:00:00 4", "2024-02-29 00:00:01 4"]


def test_a_ds3231_is_set_and_keeps_the_twelve_hours():
    program = (
        CLOCK
        + """
i2c.writeto_mem(0x68, 0, bytes([0x58, 0x59, 0x71, 7, 0x31, 0x12, 0x24]))
time.sleep_ms(2500)
print(i2c.readfrom_mem(0x68, 0, 7))
i2c.writeto_mem(0x68, 0, b"\\x30")
time.sleep_ms(900)
print(now()[0][-2:])
t = i2c.readfrom_mem(0x68, 0x11, 2)
print(t[0] + (t[1] >> 6) / 4, i2c.readfrom_mem(0x68, 0x0E, 1))
i2c.writeto_mem(0x68, 4, b"\\x31\\x02")
time.sleep(2)
print(now()[0])
"""
    )
    result = play(program, "- ds3231: {temperature: 21.3}", seconds=10.0)
    midnight = bytes([0x00, 0x00, 0x52, 1, 0x01, 0x01, 0x25])  # two seconds after 11:59:58 at night of a Sunday, in BCD
    assert result.output == [str(midnight), "30", "21.25 b'\\x1c'", "2025-02-31 12:00:30"]


def test_an_eeprom_keeps_to_its_pages():
    program = (
        I2C
        + """
i2c.writeto(0x50, b"\\0\\x1e" + b"abcd")
time.sleep_ms(5)
print(i2c.readfrom_mem(0x50, 0x1c, 6, addrsize=16), i2c.readfrom_mem(0x50, 0, 3, addrsize=16), i2c.readfrom_mem(0x50, 4095, 2, addrsize=16))
"""
    )
    assert play(program, "- eeprom: {holds: [1, 2, 3]}").output == ["b'\\xff\\xffab\\xff\\xff' b'cd\\x03' b'\\xffc'"]


# --- LCD --------------------------------------------------------------------------------------------------------------

LCD = (
    I2C
    + """
class LCD:
    def __init__(self, i2c, address=0x27):
        self.i2c, self.address, self.light = i2c, address, 8
        time.sleep_ms(20)
        for nibble in (0x30, 0x30, 0x30, 0x20):
            self.put(nibble)
            time.sleep_ms(5)
        for command in (0x28, 0x0C, 0x06, 0x01):
            self.send(command, 0)
        time.sleep_ms(2)
    def put(self, byte):
        self.i2c.writeto(self.address, bytes([byte | self.light | 4]))
        self.i2c.writeto(self.address, bytes([byte | self.light]))
    def send(self, byte, rs):
        self.put(byte & 0xF0 | rs)
        self.put(byte << 4 & 0xF0 | rs)
    def move(self, column, row):
        self.send(0x80 | (0x00, 0x40, 0x14, 0x54)[row] + column, 0)
    def write(self, text):
        for character in text:
            self.send(ord(character), 1)
lcd = LCD(i2c)
"""
)
TEMPERATURE = """
lcd.write("Temp: 21.5 \\xdfC")
lcd.move(4, 1)
lcd.write("Hi there")
time.sleep(1)
lcd.send(0x01, 0)
lcd.write("two")
"""


def test_a_text_display_shows_its_rows():
    result = play(LCD + TEMPERATURE, "- lcd1602: {}")
    assert shown(result) == [("Temp: 21.5 °C", "    Hi there"), ("two", "")]
    assert noted(result, "lcd1602") == [("backlight", 1)]


MOVES = [
    ("lcd.write('0123456789abcdefXYZ')", ("0123456789abcdef", "")),  # it goes on where nobody sees it
    ("lcd.write('x' * 40 + 'next')", ("x" * 16, "next")),
    ("lcd.write('abcdef')\nlcd.send(0x18, 0)\nlcd.send(0x18, 0)\nlcd.send(0x1C, 0)", ("bcdef", "")),
    ("lcd.send(0x04, 0)\nlcd.move(3, 0)\nlcd.write('abcd')", ("dcba", "")),
    ("lcd.write('abc')\nlcd.send(0x10, 0)\nlcd.write('X')\nlcd.send(0x02, 0)\nlcd.write('Y')", ("YbX", "")),
    ("lcd.send(0x40, 0)\nlcd.write('abcdefgh')\nlcd.move(0, 1)\nlcd.send(0, 1)\nlcd.write('own')", ("", "?own")),
    ("lcd.write('gone')\ntime.sleep(1)\nlcd.send(0x08, 0)", ("", "")),
    ("lcd.write('lit')\nlcd.light = 0\nlcd.write('!')", ("lit!", "")),
]


@pytest.mark.parametrize(("done", "rows"), MOVES)
def test_a_text_display_minds_its_cursor(done, rows):
    assert shown(play(LCD + done, "- lcd1602: {}"))[-1] == rows


def test_a_text_display_of_four_rows_and_one_at_another_address():
    program = (
        LCD.replace("0x27", "0x3F") + "for row in range(4):\n    lcd.move(row, row)\n    lcd.write('row %d' % row)\n"
    )
    assert shown(play(program, "- lcd1602: {address: 0x3F, columns: 20, rows: 4}")) == [
        ("row 0", " row 1", "  row 2", "   row 3")
    ]
    play(program, "- lcd1602: {}", errors=["OSError: [Errno 5] EIO (line 16)"])


def test_a_text_display_on_six_pins():
    program = """
from machine import Pin
import time
rs, enable = Pin(16, Pin.OUT), Pin(17, Pin.OUT)
data = [Pin(n, Pin.OUT) for n in (18, 19, 20, 21)]
def nibble(value):
    for n, pin in enumerate(data):
        pin.value(value >> n & 1)
    enable.on()
    time.sleep_us(1)
    enable.off()
    time.sleep_us(100)
def send(byte, kind):
    rs.value(kind)
    nibble(byte >> 4)
    nibble(byte & 15)
for value in (3, 3, 3, 2):
    nibble(value)
    time.sleep_ms(5)
for command in (0x28, 0x0C, 0x06, 0x01):
    send(command, 0)
    time.sleep_ms(2)
for character in "by wire":
    send(ord(character), 1)
"""
    assert shown(play(program, "- lcd1602: {rs: 16, enable: 17, data: [18, 19, 20, 21]}")) == [("by wire", "")]
    with pytest.raises(UserError, match=r"lcd1602\.rs: without a backpack it needs"):
        parse([{"lcd1602": {"rs": 16}}], "pico", "inputs")


# --- light, air and voltage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "wait", "steps"), [(0x10, 180, 300), (0x20, 180, 300), (0x21, 180, 600), (0x13, 30, 300), (0x10, 50, 0)]
)
def test_a_bh1750_measures_light(command, wait, steps):
    program = (
        I2C
        + f"""
i2c.writeto(0x23, b"\\x01")
i2c.writeto(0x23, bytes([{command}]))
time.sleep_ms({wait})
data = i2c.readfrom(0x23, 2)
print(data[0] << 8 | data[1])
"""
    )
    assert play(program, "- bh1750: {light: 250}").output == [str(steps)]


def test_a_bh1750_follows_the_light_only_while_it_goes_on_measuring():
    read = "data = i2c.readfrom(0x23, 2)\nprint(round((data[0] << 8 | data[1]) / 1.2))\n"
    program = I2C + "i2c.writeto(0x23, b'\\xNN')\ntime.sleep_ms(200)\n" + read + "time.sleep(1)\n" + read
    assert play(program.replace("NN", "10"), "- bh1750: {light: [[0, 100], [0.5, 900]]}").output == ["100", "900"]
    assert play(program.replace("NN", "20"), "- bh1750: {light: [[0, 100], [0.5, 900]]}").output == ["100", "100"]


def test_an_aht20_measures_when_told_to():
    program = (
        I2C
        + """
print(i2c.readfrom(0x38, 1)[0] & 8)
i2c.writeto(0x38, b"\\xbe\\x08\\x00")
time.sleep_ms(10)
i2c.writeto(0x38, b"\\xac\\x33\\x00")
waited = 0
while i2c.readfrom(0x38, 1)[0] & 0x80:
    time.sleep_ms(5)
    waited += 5
d = i2c.readfrom(0x38, 7)
crc = 0xFF
for byte in d[:6]:
    crc ^= byte
    for _ in range(8):
        crc = (crc << 1 ^ 0x31) & 0xFF if crc & 0x80 else crc << 1
print(waited, hex(d[0]), crc == d[6])
print(((d[1] << 16 | d[2] << 8 | d[3]) >> 4) * 100 / 2 ** 20, ((d[3] & 15) << 16 | d[4] << 8 | d[5]) * 200 / 2 ** 20 - 50)
"""
    )
    result = play(program, "- aht20: {temperature: -7.5, humidity: 61}")
    assert result.output[:2] == ["0", "80 0x18 True"]
    assert [float(value) for value in result.output[2].split()] == pytest.approx([61, -7.5], abs=0.01)


@pytest.mark.parametrize(
    ("config", "scale", "volts"), [(0xC3, 4.096, 1.5), (0xD5, 2.048, 2.048), (0x83, 4.096, 1.0), (0xE1, 6.144, 0.0)]
)
def test_an_ads1115_measures_voltages(config, scale, volts):
    program = (
        I2C
        + f"""
i2c.writeto_mem(0x48, 1, bytes([{config}, 0x83]))
while not i2c.readfrom_mem(0x48, 1, 2)[0] & 0x80:
    time.sleep_ms(1)
data = i2c.readfrom_mem(0x48, 0, 2)
print((data[0] << 8 | data[1]) * {scale} / 32768, time.ticks_ms())
"""
    )
    shown, took = (
        play(program, "- ads1115: {a0: 1.5, a1: 3, a2: 0}".replace("a1: 3", "a1: 3" if config != 0x83 else "a1: 0.5"))
        .output[0]
        .split()
    )
    assert float(shown) == pytest.approx(volts, abs=0.001)
    assert 8 <= int(took) <= 11  # at 128 a second


def test_an_ads1115_that_goes_on_follows_what_happens():
    program = (
        I2C
        + """
i2c.writeto(0x48, b"\\x01\\x42\\xe3")
for n in range(3):
    time.sleep(1)
    data = i2c.readfrom_mem(0x48, 0, 2)
    print(round((data[0] << 8 | data[1]) * 4.096 / 32768, 2))
"""
    )
    assert play(program, "- ads1115: {a0: [[0, 1], [1.5, 2], [2.5, 3]]}").output == ["1.0", "2.0", "3.0"]


def test_an_mcp3008_measures_voltages():
    program = """
from machine import SPI, Pin
spi = SPI(0, baudrate=1_000_000, sck=Pin(18), mosi=Pin(19), miso=Pin(16))
cs = Pin(17, Pin.OUT, value=1)
def read(channel):
    buf = bytearray(3)
    cs(0)
    spi.write_readinto(bytes([1, 8 + channel << 4, 0]), buf)
    cs(1)
    return (buf[1] & 3) << 8 | buf[2]
print(read(0), read(3), read(7), read(0))
"""
    result = play(program, "- mcp3008: {select: 17, inputs: {'0': 1.65, '3': 3.3, '7': [[0, 0.5]]}}")
    assert result.output == ["512 1023 155 512"]
    with pytest.raises(UserError, match="inputs: 8: they are called 0 to 7"):
        parse([{"mcp3008": {"inputs": {"8": 1.0}}}], "pico", "inputs")
