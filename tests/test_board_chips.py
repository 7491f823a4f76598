"""The simulated board's chips, by the drivers that people write for them."""

import pytest
import yaml

from pipeline.board.devices._bosch import fine, pascal, percent, raw
from pipeline.board.devices._font import glyphs, read
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


def pictures(result):
    return [event.value for event in result.log if event.what == "display"]


def shown(result):
    """The text of each picture, without its empty rows."""
    return [tuple(row for row in rows if row) for rows in pictures(result)]


# --- MPU6050 ----------------------------------------------------------------------------------------------------------


def word(register, scale):
    return f"""
data = i2c.readfrom_mem(0x68, {register}, 2)
value = data[0] << 8 | data[1]
print((value - 65536 if value > 32767 else value) / {scale})
"""


@pytest.mark.parametrize(
    ("setting", "scale", "shows"), [(0x00, 16384, 0.5), (0x08, 8192, 0.5), (0x10, 4096, 0.5), (0x18, 2048, 0.5)]
)
def test_an_mpu6050_measures_in_its_range(setting, scale, shows):
    program = (
        I2C
        + f"i2c.writeto_mem(0x68, 0x6B, b'\\0')\ni2c.writeto_mem(0x68, 0x1C, bytes([{setting}]))\n"
        + word(0x3F, scale)
    )
    assert play(program, "- mpu6050: {acceleration: [0, 0, 0.5]}").output == [str(shows)]


def test_an_mpu6050_clips_what_its_range_does_not_hold():
    wake = I2C + "i2c.writeto(0x68, b'\\x6b\\0')\n"
    assert play(wake + word(0x3B, 16384.0), "- mpu6050: {acceleration: [-3, 0, 0]}").output == ["-2.0"]
    assert play(
        wake + "i2c.writeto(0x68, b'\\x1b\\x18')\n" + word(0x47, 16.4), "- mpu6050: {rotation: [0, 0, 300]}"
    ).output == ["300.0"]


def test_an_mpu6050_asleep_shows_nothing_and_then_what_it_last_saw():
    program = (
        I2C
        + "print(i2c.readfrom_mem(0x68, 0x75, 1), i2c.readfrom_mem(0x68, 0x6B, 1))\n"
        + word(0x3F, 16384)
        + """
i2c.writeto_mem(0x68, 0x6B, b"\\x01")
time.sleep(1)
i2c.writeto_mem(0x68, 0x6B, b"\\x40")
time.sleep(1)
"""
        + word(0x3F, 16384)
        + "i2c.writeto_mem(0x68, 0x6B, b'\\x80')\n"
        + word(0x3F, 16384)
    )
    result = play(program, "- mpu6050: {acceleration: [[0, [0, 0, 1]], [1.5, [0, 0, -1]]]}")
    assert result.output == ["b'h' b'@'", "0.0", "1.0", "0.0"]


def test_an_mpu6050_tells_its_temperature_at_the_other_address():
    program = (
        I2C.replace("0x68", "0x69") + "i2c.writeto_mem(0x69, 0x6B, b'\\0')\n" + word(0x41, 340).replace("0x68", "0x69")
    )
    assert float(play(program, "- mpu6050: {address: 0x69, temperature: 31.5}").output[0]) + 36.53 == pytest.approx(
        31.5, abs=0.01
    )


# --- BME280 -----------------------------------------------------------------------------------------------------------

# As the datasheet has it for whole numbers, which nearly all drivers take over.
BME280 = (
    I2C
    + """
from ustruct import unpack, unpack_from
class BME280:
    def __init__(self, i2c, address=0x76, mode=MODE):
        self.i2c, self.address, self.mode = i2c, address, mode
        a = i2c.readfrom_mem(address, 0x88, 26)
        b = i2c.readfrom_mem(address, 0xE1, 7)
        (self.T1, self.T2, self.T3, self.P1, self.P2, self.P3, self.P4, self.P5, self.P6, self.P7, self.P8, self.P9,
         _, self.H1) = unpack("<HhhHhhhhhhhhBB", a)
        self.H2, self.H3 = unpack("<hB", b)
        self.H4 = unpack_from("<b", b, 3)[0] << 4 | b[4] & 0xF
        self.H5 = unpack_from("<b", b, 5)[0] << 4 | b[4] >> 4
        self.H6 = unpack_from("<b", b, 6)[0]
        i2c.writeto_mem(address, 0xF2, b"\\x01")
        if mode == 3:
            i2c.writeto_mem(address, 0xF4, bytes([1 << 5 | 1 << 2 | 3]))
            time.sleep_ms(20)

    def read(self):
        if self.mode == 1:
            self.i2c.writeto_mem(self.address, 0xF4, bytes([1 << 5 | 1 << 2 | 1]))
            while self.i2c.readfrom_mem(self.address, 0xF3, 1)[0] & 8:
                time.sleep_ms(1)
        d = self.i2c.readfrom_mem(self.address, 0xF7, 8)
        p, t, h = d[0] << 12 | d[1] << 4 | d[2] >> 4, d[3] << 12 | d[4] << 4 | d[5] >> 4, d[6] << 8 | d[7]
        v1 = ((t >> 3) - (self.T1 << 1)) * self.T2 >> 11
        v2 = (((t >> 4) - self.T1) * ((t >> 4) - self.T1) >> 12) * self.T3 >> 14
        fine = v1 + v2
        temperature = fine * 5 + 128 >> 8
        v1 = fine - 128000
        v2 = v1 * v1 * self.P6 + (v1 * self.P5 << 17) + (self.P4 << 35)
        v1 = (v1 * v1 * self.P3 >> 8) + (v1 * self.P2 << 12)
        v1 = ((1 << 47) + v1) * self.P1 >> 33
        q = 1048576 - p
        q = ((q << 31) - v2) * 3125 // v1
        v1 = self.P9 * (q >> 13) * (q >> 13) >> 25
        v2 = self.P8 * q >> 19
        pressure = (q + v1 + v2 >> 8) + (self.P7 << 4)
        x = fine - 76800
        x = (((h << 14) - (self.H4 << 20) - self.H5 * x + 16384) >> 15) * (((((x * self.H6 >> 10) * ((x * self.H3 >> 11) + 32768) >> 10)
            + 2097152) * self.H2 + 8192) >> 14)
        x = x - (((x >> 15) * (x >> 15) >> 7) * self.H1 >> 4)
        x = 0 if x < 0 else 419430400 if x > 419430400 else x
        return temperature / 100, pressure / 25600, (x >> 12) / 1024
bme = BME280(i2c)
print(i2c.readfrom_mem(0x76, 0xD0, 1)[0])
while True:
    print(*bme.read())
    time.sleep(1)
"""
)


@pytest.mark.parametrize("mode", [1, 3])
@pytest.mark.parametrize(
    ("temperature", "pressure", "humidity"), [(22, 1013.25, 45), (-39.5, 310, 3), (84, 1090, 97), (0, 500.5, 50)]
)
def test_a_driver_gets_back_what_a_bme280_measures(mode, temperature, pressure, humidity):
    device = f"- bme280: {{temperature: {temperature}, pressure: {pressure}, humidity: {humidity}}}"
    result = play(BME280.replace("MODE", str(mode)), device, seconds=0.5)
    assert result.output[0] == "96"
    assert [float(value) for value in result.output[1].split()] == pytest.approx(
        [temperature, pressure, humidity], abs=0.1
    )


@pytest.mark.parametrize(
    ("temperature", "pressure", "humidity"), [(21.5, 1005.2, 43.1), (-39.5, 310, 3), (84, 1090, 97), (0, 500.5, 50)]
)
def test_the_installed_driver_gets_back_what_a_bme280_measures(temperature, pressure, humidity):
    device = f"- bme280: {{temperature: {temperature}, pressure: {pressure}, humidity: {humidity}, address: 0x77}}"
    result = play(
        I2C
        + "import bme280\nbme = bme280.BME280(i2c=i2c, address=0x77)\nprint(bme.values)\ntime.sleep(1)\nprint(bme.values)\n",
        device,
    )
    assert result.output == [f"('{temperature:.2f}C', '{pressure:.2f}hPa', '{humidity:.2f}%')"] * 2


@pytest.mark.parametrize("mode", [1, 3])
def test_a_bme280_follows_what_happens(mode):
    result = play(BME280.replace("MODE", str(mode)), "- bme280: {temperature: [[0, 20], [1.5, 30.25]]}")
    assert [round(float(line.split()[0]), 2) for line in result.output[1:]] == [20.0, 20.0, 30.25, 30.25, 30.25]


def test_a_bme280_that_nobody_started_has_no_values():
    program = (
        I2C
        + """
print(i2c.readfrom_mem(0x76, 0xF7, 8))
i2c.writeto_mem(0x76, 0xF4, b"\\x25")
print(i2c.readfrom_mem(0x76, 0xF3, 1), i2c.readfrom_mem(0x76, 0xF7, 3))
time.sleep_ms(10)
print(i2c.readfrom_mem(0x76, 0xF3, 1), i2c.readfrom_mem(0x76, 0xF4, 1), i2c.readfrom_mem(0x76, 0xFD, 2))
i2c.writeto_mem(0x76, 0xE0, b"\\xb6")
print(i2c.readfrom_mem(0x76, 0xF4, 1), i2c.readfrom_mem(0x76, 0xF7, 3))
"""
    )
    result = play(program, "- bme280: {}")  # its humidity was never switched on
    assert result.output == [
        "b'\\x80\\x00\\x00\\x80\\x00\\x00\\x80\\x00'",
        "b'\\x08' b'\\x80\\x00\\x00'",
        "b'\\x00' b'$' b'\\x80\\x00'",
        "b'\\x00' b'\\x80\\x00\\x00'",
    ]


def test_a_bmp280_says_who_it_is():
    program = (
        I2C
        + """
print(i2c.readfrom_mem(0x77, 0xD0, 1)[0])
i2c.writeto_mem(0x77, 0xF4, b"\\x27")
time.sleep_ms(50)
print(i2c.readfrom_mem(0x77, 0xFA, 3))
"""
    )
    raw_temperature = raw(25.0, 101325.0, 0.0)[0] << 4
    assert play(program, "- bmp280: {address: 0x77, temperature: 25}").output == [
        "88",
        str(raw_temperature.to_bytes(3, "big")),
    ]


def test_raw_values_stand_for_what_they_were_made_from():
    t, p, h = raw(25.08, 100_653.27, 33.3)
    assert fine(t) / 5120 == pytest.approx(25.08, abs=0.005)
    assert pascal(p, fine(t)) == pytest.approx(100_653.27, abs=0.5)
    assert percent(h, fine(t)) == pytest.approx(33.3, abs=0.01)
    assert fine(519888) == pytest.approx(128422, abs=1)  # the datasheet's own example
    assert pascal(415148, fine(519888)) == pytest.approx(100653.27, abs=0.5)


# --- SSD1306 ----------------------------------------------------------------------------------------------------------

HELLO = (
    I2C
    + """
import ssd1306
oled = ssd1306.SSD1306_I2C(128, 64, i2c)
oled.text("Hello, World!", 0, 0)
oled.text("T: 21.5 C", 10, 20)
oled.text("ok", 112, 56, 1)
oled.show()
"""
)


def test_a_display_shows_text_at_any_place():
    result = play(HELLO, "- ssd1306: {}")
    assert pictures(result) == [("Hello, World!", "", "T: 21.5 C", "", "", "", "", "ok")]
    data = max((event.value[2] for event in result.log if event.what == "i2c"), key=len)
    assert len(data) == 1025 and data[0] == 0x40


def test_a_display_that_is_missing_or_elsewhere_is_an_error():
    play(HELLO, errors=["OSError: [Errno 5] EIO (line 6)"])
    play(HELLO, "- ssd1306: {address: 0x3D}", errors=["OSError: [Errno 5] EIO (line 6)"])
    assert shown(play(HELLO.replace("64, i2c", "64, i2c, 0x3D"), "- ssd1306: {address: 0x3D}"))


SCREENS = [
    (
        "oled.fill(0)\noled.fill_rect(0, 0, 128, 8, 1)\noled.text('MENU', 40, 0, 0)\noled.text('Start', 0, 12)",
        ("MENU", "Start"),
    ),
    (
        "oled.text('quay jpg', 0, 0)\noled.text('_-=+.,:;', 0, 8)\noled.text('ace', 0, 16)",
        ("quay jpg", "_-=+.,:;", "ace"),
    ),
    ("oled.text('A', 0, 3)\noled.text('B', 100, 3)", ("A            B",)),
    ("oled.rect(0, 0, 128, 64, 1)\noled.text('in a frame', 8, 28)", ("in a frame",)),
    ("oled.hline(0, 9, 128, 1)\noled.text('title', 0, 0)\noled.text('body', 0, 11)", ("title", "body")),
    ("oled.text('too wide for this glass', 0, 0)", ("too wide for thi",)),
    ("oled.invert(1)\noled.text('dark', 0, 0)", ("dark",)),
    ("oled.text('turned', 0, 0)\noled.rotate(True)", ("turned",)),
    ("oled.text('mirror', 0, 0)\noled.write_cmd(0xA0)", ("o  i",)),  # what looks the same in a mirror
    ("oled.text('up', 0, 24)\noled.write_cmd(0x40 | 16)", ("up",)),
    ("oled.text('dim', 0, 0)\noled.contrast(5)", ("dim",)),
    ("oled.ellipse(64, 32, 30, 20, 1)\noled.line(0, 0, 127, 63, 1)", ()),
    ("oled.text('last row', 0, 56)", ("last row",)),
]


@pytest.mark.parametrize(("drawn", "seen"), SCREENS)
def test_a_display_is_read_as_a_person_would(drawn, seen):
    program = I2C + f"import ssd1306\noled = ssd1306.SSD1306_I2C(128, 64, i2c)\n{drawn}\noled.show()\n"
    assert shown(play(program, "- ssd1306: {}"))[-1] == seen


def test_a_display_notes_its_pixels():
    program = (
        I2C
        + """
import ssd1306
oled = ssd1306.SSD1306_I2C(128, 32, i2c)
oled.pixel(2, 9, 1)
oled.vline(127, 0, 8, 1)
oled.show()
oled.poweroff()
"""
    )
    notes = [event.value for event in play(program, "- ssd1306: {height: 32}").log if event.what == "picture"]
    lit = bytearray(128 * 4)
    lit[2 * 4 + 1], lit[127 * 4] = 0b10, 0xFF
    assert notes == [(32, bytes(lit)), (32, bytes(128 * 4))]


@pytest.mark.parametrize(
    ("asked", "there", "line"),
    [
        (32, 64, lambda row: 2 * row),  # in every second line of the glass
        (64, 32, lambda row: row // 2 if row % 2 == 0 else None),  # every second row; the others are beyond the glass
    ],
)
def test_a_display_of_another_height_shows_no_text(asked, there, line):
    program = (
        I2C
        + f"""
import ssd1306
oled = ssd1306.SSD1306_I2C(128, {asked}, i2c)
oled.text("T", 0, 0)
for y in range(8, 14):
    oled.pixel(100, y, 1)
oled.show()
"""
    )
    result = play(program, f"- ssd1306: {{height: {there}}}")
    assert shown(result) == [()]
    height, picture = next(event.value for event in result.log if event.what == "picture")
    column = int.from_bytes(picture[100 * height // 8 : 101 * height // 8], "little")
    assert height == there
    assert column == sum(1 << line(row) for row in range(8, 14) if line(row) is not None)


def test_every_character_is_read():
    rows = ["".join(map(chr, range(first, min(first + 16, 127)))) for first in range(32, 127, 16)]
    program = (
        I2C
        + f"""
import ssd1306
oled = ssd1306.SSD1306_I2C(128, 64, i2c)
for y, row in enumerate({rows}):
    oled.text(row, 0, y * 10)
oled.show()
"""
    )
    assert shown(play(program, "- ssd1306: {}")) == [tuple(row.strip() for row in rows)]
    assert len(glyphs()) == 2 * 94


def test_a_display_notes_what_changes_and_when_it_is_off():
    program = (
        HELLO
        + """
oled.show()
oled.fill(0)
oled.text("two", 0, 0)
oled.show()
oled.poweroff()
oled.poweron()
oled.contrast(1)
oled.invert(True)
"""
    )
    result = play(program, "- ssd1306: {}")
    assert shown(result) == [("Hello, World!", "T: 21.5 C", "ok"), ("two",), (), ("two",)]
    assert noted(result, "ssd1306") == [("contrast", 255), ("contrast", 1), ("inverted", 1)]


@pytest.mark.parametrize("missing", ["0x8D, 0x14, ", "0xAF, "])
def test_a_display_without_its_charge_pump_or_switched_off_stays_dark(missing):
    program = (
        I2C
        + """
import framebuf
buf = bytearray(1024)
picture = framebuf.FrameBuffer(buf, 128, 64, framebuf.MONO_VLSB)
picture.text("by hand", 0, 0)
i2c.writeto(0x3C, bytes([0x00, 0xAE, 0x20, 0x02, 0xA1, 0xC8, 0x8D, 0x14, 0xAF, ]))
for page in range(8):
    i2c.writeto(0x3C, bytes([0x80, 0xB0 | page, 0x80, 0x00, 0x80, 0x10, 0x40]) + buf[128 * page:128 * page + 128])
"""
    )
    assert shown(play(program, "- ssd1306: {}")) == [("by hand",)]  # one picture, though it came in eight pieces
    assert shown(play(program.replace(missing, ""), "- ssd1306: {}")) == []


def test_a_display_writes_down_its_columns_where_it_is_told_to():
    program = (
        I2C
        + """
import framebuf
buf = bytearray(1024)
picture = framebuf.FrameBuffer(buf, 128, 64, framebuf.MONO_VLSB)
picture.text("upright", 0, 8)
i2c.writeto(0x3C, bytes([0x00, 0x8D, 0x14, 0xAF, 0x20, 0x01, 0x21, 0, 127, 0x22, 0, 7]))
i2c.writeto(0x3C, b"\\x40" + bytes(buf[128 * page + column] for column in range(128) for page in range(8)))
"""
    )
    assert shown(play(program, "- ssd1306: {}")) == [("upright",)]


def test_a_small_display_and_one_over_spi():
    small = HELLO.replace("128, 64", "128, 32").replace("112, 56", "112, 24").replace("10, 20", "10, 10")
    assert shown(play(small, "- ssd1306: {height: 32}")) == [("Hello, World!", "T: 21.5 C", "ok")]
    program = """
from machine import SPI, Pin
import ssd1306
spi = SPI(0, baudrate=8_000_000, sck=Pin(18), mosi=Pin(19))
oled = ssd1306.SSD1306_SPI(128, 64, spi, dc=Pin(20), res=Pin(21), cs=Pin(17))
oled.text("over SPI", 0, 0)
oled.show()
"""
    assert shown(play(program, "- ssd1306: {dc: 20, cs: 17}")) == [("over SPI",)]
    assert shown(play(program, "- ssd1306: {dc: 20, cs: 13}")) == []
    with pytest.raises(UserError, match=r"ssd1306\.cs: a display over SPI needs dc"):
        parse([{"ssd1306": {"cs": 17}}], "pico", "inputs")


def test_a_picture_of_noise_is_read_quickly_and_without_harm():
    noise = [hash((n, 7)) & (1 << 64) - 1 for n in range(128)]
    assert all(isinstance(text, str) for text in read(noise, 64))
    assert read([0] * 128, 64) == read([(1 << 64) - 1] * 128, 64) == ("",) * 8


@pytest.mark.parametrize("board", ["pico", "pico_w", "esp32"])
def test_each_board_has_the_drivers_that_come_with_it(board):
    program = """
from machine import SoftI2C, Pin
import dht, ds18x20, onewire, ssd1306, time
sensor = dht.DHT22(Pin(13))
sensor.measure()
rooms = ds18x20.DS18X20(onewire.OneWire(Pin(14)))
rooms.convert_temp()
time.sleep_ms(750)
oled = ssd1306.SSD1306_I2C(128, 32, SoftI2C(scl=Pin(5), sda=Pin(4)))
oled.text("%.1f %.1f" % (sensor.temperature(), rooms.read_temp(rooms.scan()[0])), 0, 0)
oled.show()
"""
    result = play(
        program,
        "- ssd1306: {height: 32}\n- dht22: {pin: 13, temperature: 19.5}\n- ds18b20: {pin: 14, temperature: 4.5}",
        board,
    )
    assert shown(result) == [("19.5 4.5",)]
