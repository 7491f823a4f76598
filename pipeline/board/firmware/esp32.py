"""esp32: what a program asks of the chip itself. Of what wakes it only pins are taken note of: the run ends when it sleeps deeply."""
from _hw import call as _call

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
HEAP_EXEC = 1
HEAP_DATA = 4
_stored = {}


def raw_temperature():
    return round(int(_call("celsius")) * 1.8 + 32)      # in Fahrenheit


def _wake(source, pins, level):
    from machine import Pin
    if not all(isinstance(pin, Pin) for pin in pins):
        raise ValueError("expecting a pin")
    _call("wake", "%s,%s,%d" % (source, " ".join(pin._id for pin in pins), bool(level)))


def wake_on_ext0(pin=None, level=False):
    _wake("ext0", () if pin is None else (pin,), level)


def wake_on_ext1(pins=None, level=False):
    _wake("ext1", pins or (), level)


def wake_on_gpio(pins=None, level=False):       # from light sleep only
    pass


def wake_on_touch(wake):
    pass


wake_on_ulp = wake_on_touch


def idf_heap_info(capabilities):
    return [(113840, 68000, 55296, 60000)]


class NVS:
    def __init__(self, namespace):
        self._values = _stored.setdefault(namespace, {})

    def _get(self, key, kind):
        value = self._values.get(key)
        if not isinstance(value, kind):
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return value

    def set_i32(self, key, value):
        self._values[key] = value

    def get_i32(self, key):
        return self._get(key, int)

    def set_blob(self, key, value):
        self._values[key] = value.encode() if isinstance(value, str) else bytes(value)

    def get_blob(self, key, buffer):
        value = self._get(key, bytes)
        if len(buffer) < len(value):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[:len(value)] = value
        return len(value)

    def erase_key(self, key):
        self._get(key, (int, bytes))
        del self._values[key]

    def commit(self):
        pass
