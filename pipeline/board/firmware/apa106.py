"""APA106 lights, which take red first."""
from neopixel import NeoPixel


class APA106(NeoPixel):
    ORDER = (0, 1, 2, 3)
    _wire = "rgbw"
