"""BME280 and BMP280: raw values that a driver's compensation turns back into what the script says, with the coefficients of such a chip.

The datasheet gives temperature, pressure and humidity as functions of the raw values. All three only rise or only fall, so the raw value
for a wanted one is found by halving.
"""

from bisect import bisect_left
from functools import lru_cache

from pipeline.board.devices._i2c import Registers

T = (27504, 26435, -1000)
P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
H = (75, 362, 0, 313, 50, 30)
CALIBRATION, HUMIDITY_1, ID, CALIBRATION_2, RESET = 0x88, 0xA1, 0xD0, 0xE1, 0xE0
CTRL_HUM, STATUS, CTRL_MEAS, CONFIG, DATA = 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
RESET_WORD, MEASURING = 0xB6, 0x08
SKIPPED, SKIPPED_HUMIDITY = 0x80000, 0x8000
NORMAL = 3


def fine(raw: float) -> float:
    """The datasheet's t_fine; a 5120th of it is degrees Celsius."""
    part = raw / 131072 - T[0] / 8192
    return (raw / 16384 - T[0] / 1024) * T[1] + part * part * T[2]


def pascal(raw: float, t_fine: float) -> float:
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = P
    a = t_fine / 2 - 64000
    b = (a * a * p6 / 32768 + a * p5 * 2) / 4 + p4 * 65536
    scale = (1 + (p3 * a * a / 524288 + p2 * a) / 524288 / 32768) * p1
    p = (1048576 - raw - b / 4096) * 6250 / scale
    return p + (p9 * p * p / 2147483648 + p * p8 / 32768 + p7) / 16


def percent(raw: float, t_fine: float) -> float:
    h1, h2, h3, h4, h5, h6 = H
    a = t_fine - 76800
    h = (raw - (h4 * 64 + h5 / 16384 * a)) * (h2 / 65536 * (1 + h6 / 67108864 * a * (1 + h3 / 67108864 * a)))
    return h * (1 - h1 * h / 524288)


@lru_cache(maxsize=256)
def raw(temperature: float, pressure: float, humidity: float) -> tuple[int, int, int]:
    """Raw temperature, pressure and humidity for degrees Celsius, pascals and percent: those that give this or the least bit more."""
    t = bisect_left(range(1 << 20), temperature * 5120, key=fine)
    t_fine = fine(t)
    p = bisect_left(range(1 << 20), -pressure, key=lambda raw: -pascal(raw, t_fine)) - 1
    h = bisect_left(range(1 << 16), humidity, key=lambda raw: percent(raw, t_fine))
    return t, p, h


def coefficients() -> dict[int, int]:
    """The registers that a driver reads them from."""
    held = {}
    for number, value in enumerate((*T, *P)):
        held |= dict(enumerate((value & 0xFFFF).to_bytes(2, "little"), CALIBRATION + 2 * number))
    h1, h2, h3, h4, h5, h6 = H
    rest = (h2 & 0xFF, h2 >> 8 & 0xFF, h3, h4 >> 4 & 0xFF, h4 & 15 | (h5 & 15) << 4, h5 >> 4 & 0xFF, h6 & 0xFF)
    return held | {HUMIDITY_1: h1} | dict(enumerate(rest, CALIBRATION_2))


class Chip(Registers):
    """`measure` gives degrees Celsius, pascals and percent at a time; `humid` says whether it is a BME280."""

    def __init__(self, board, address, measure, humid: bool):
        self.fresh = {
            register: value for register, value in coefficients().items() if humid or register < HUMIDITY_1
        } | {ID: 0x60 if humid else 0x58}
        super().__init__(board, address, self.fresh)
        self.measure, self.humid = measure, humid
        self.restart()

    def restart(self):
        self.held = dict(self.fresh)
        self.oversampling = (0, 0, 0)  # temperature, pressure, humidity: those that are in force
        self.ready: int | None = None  # when the measurement that runs is through
        self.data = (SKIPPED, SKIPPED, SKIPPED_HUMIDITY)

    def latch(self):
        """Takes what was measured by now."""
        if self.ready is None or self.board.now < self.ready:
            return
        normal = self.get(CTRL_MEAS) & 3 == NORMAL
        values = raw(*self.measure(self.board.now if normal else self.ready))
        self.data = tuple(
            value if on else skipped
            for value, on, skipped in zip(values, self.oversampling, (SKIPPED, SKIPPED, SKIPPED_HUMIDITY), strict=True)
        )
        if not normal:
            self.ready = None
            self.held[CTRL_MEAS] &= ~3  # back to sleep

    def get(self, register):
        t, p, h = self.data
        data = bytes((p >> 12, p >> 4 & 0xFF, (p & 15) << 4, t >> 12, t >> 4 & 0xFF, (t & 15) << 4, h >> 8, h & 0xFF))
        if DATA <= register < DATA + (8 if self.humid else 6):
            return data[register - DATA]
        if register == STATUS:
            return MEASURING if self.ready is not None and self.board.now < self.ready else 0
        return super().get(register)

    def set(self, register, value):
        if register == RESET and value == RESET_WORD:
            self.restart()
        elif register in (CTRL_HUM, CTRL_MEAS, CONFIG):
            self.latch()
            self.held[register] = value
            if register == CTRL_MEAS:
                self.begin()

    def begin(self):
        """A write to CTRL_MEAS puts all settings in force and, by its mode, measures once, on and on, or no more."""
        control = self.held[CTRL_MEAS]
        self.oversampling = (control >> 5, control >> 2 & 7, self.get(CTRL_HUM) & 7 if self.humid else 0)
        times = [
            2.3 * (1 << min(n, 5) - 1) + (0.575 if number else 0) for number, n in enumerate(self.oversampling) if n
        ]
        self.ready = self.board.now + round(1000 * (1.25 + sum(times))) if control & 3 else None

    def write(self, data):
        """Registers and values by turns: it does not count on by itself when written."""
        if data:
            self.at = data[0]
        for register, value in zip(data[:1] + data[2::2], data[1::2], strict=False):
            self.set(register, value)
