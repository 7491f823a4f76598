"""rp2: what a program asks of the chip itself. There is no PIO."""
from _hw import call as _call

_country = "XX"


def bootsel_button():
    _call("tick")
    return 0


def country(code=None):
    global _country
    if code is None:
        return _country
    if len(code) != 2:
        raise ValueError
    _country = code
