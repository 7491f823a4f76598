"""A BME280 over I2C: `values` are temperature, pressure and humidity, measured anew, as texts with their units."""
from struct import unpack
import time

_COEFFICIENTS = 0x88
_HUMIDITY_COEFFICIENTS = 0xE1
_MODE_HUMIDITY = 0xF2
_STATUS = 0xF3
_MODE = 0xF4
_DATA = 0xF7
_MEASURING = 8
_FORCED = 1


class BME280:
    def __init__(self, mode=1, address=0x76, i2c=None, **kwargs):
        if i2c is None:
            raise ValueError("An I2C object is required.")
        self.i2c = i2c
        self.address = address
        self.mode = mode            # of oversampling, 1 to 5
        self._tp = unpack("<HhhHhhhhhhhhBB", self._read(_COEFFICIENTS, 26))
        h2, h3, e4, e5, e6, h6 = unpack("<hBbBbb", self._read(_HUMIDITY_COEFFICIENTS, 7))
        self._h = (h2, h3, e4 << 4 | e5 & 15, e6 << 4 | e5 >> 4, h6)

    def _read(self, register, count):
        return self.i2c.readfrom_mem(self.address, register, count)

    def _write(self, register, value):
        self.i2c.writeto_mem(self.address, register, bytes((value,)))

    def read_compensated_data(self):
        """Degrees Celsius, pascals and percent."""
        self._write(_MODE_HUMIDITY, self.mode)
        self._write(_MODE, self.mode << 5 | self.mode << 2 | _FORCED)
        time.sleep_ms(2)
        while self._read(_STATUS, 1)[0] & _MEASURING:
            time.sleep_ms(2)
        data = self._read(_DATA, 8)
        raw_p = (data[0] << 16 | data[1] << 8 | data[2]) >> 4
        raw_t = (data[3] << 16 | data[4] << 8 | data[5]) >> 4
        raw_h = data[6] << 8 | data[7]
        t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, _, h1 = self._tp
        h2, h3, h4, h5, h6 = self._h
        part = raw_t / 131072 - t1 / 8192
        fine = (raw_t / 16384 - t1 / 1024) * t2 + part * part * t3
        a = fine / 2 - 64000
        b = (a * a * p6 / 32768 + a * p5 * 2) / 4 + p4 * 65536
        scale = (1 + (p3 * a * a / 524288 + p2 * a) / 524288 / 32768) * p1
        p = (1048576 - raw_p - b / 4096) * 6250 / scale
        p += (p9 * p * p / 2147483648 + p * p8 / 32768 + p7) / 16
        a = fine - 76800
        h = (raw_h - (h4 * 64 + h5 / 16384 * a)) * (h2 / 65536 * (1 + h6 / 67108864 * a * (1 + h3 / 67108864 * a)))
        h = max(0.0, min(100.0, h * (1 - h1 * h / 524288)))
        return fine / 5120, p, h

    @property
    def values(self):
        t, p, h = self.read_compensated_data()
        return "%.2fC" % t, "%.2fhPa" % (p / 100), "%.2f%%" % h
