"""Volts to numbers, and on an ESP32 numbers to volts. Logged: ("dac", pin, 0 to 255).

A pin that no sensor drives reads as what it is digitally. The temperature sensor inside says 25 °C unless a device says otherwise. The
converters have no noise, and the ESP32's is straight to its end; the real one bends there.
"""

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

REFERENCE = 3.3  # volts
TEMPERATURE = "temperature"  # the pin that the board's file gives the sensor's channel
BITS = range(9, 13)
FULL_SCALE = (0.95, 1.25, 1.75, REFERENCE)  # volts, by the ESP32's attenuation: 0, 2.5, 6 and 11 dB
DAC = (25, 26)


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.celsius = 25.0
        self.volts: dict[PinName, float] = {}
        self.seen: dict[PinName, int] = {}
        self.attenuation: dict[PinName, int] = {}
        self.bits: dict[bool, int] = {}  # of the ESP32's two blocks
        self.operations = {
            "adc.new": self._new,
            "adc.u16": self._u16,
            "adc.read": self._read,
            "adc.uv": self._microvolts,
            "adc.atten": self._attenuate,
            "adc.width": self._width,
            "celsius": lambda _: str(round(self.celsius)),
            "dac.new": self._dac,
            "dac.write": self._write,
        }

    def drive(self, name: PinName, volts: float) -> None:
        """A device puts so many volts on the pin; read digitally, half of what the board runs on is high."""
        self.volts[name] = min(REFERENCE, max(0.0, volts))
        self.board.gpio.drive(name, int(self.volts[name] >= REFERENCE / 2), logged=False)

    # --- converting ---------------------------------------------------------------------------------------------------

    def measure(self, name: PinName) -> float:
        """The volts on a pin now."""
        if name == TEMPERATURE:
            return 0.706 - (self.celsius - 27) * 0.001721  # RP2040 data sheet, 4.9.5
        pin = self.board.gpio.pin(name)
        if name in self.volts and pin.output() is None:
            return self.volts[name]
        return REFERENCE * pin.level()

    def _sample(self, arguments: str) -> tuple[PinName, float, float]:
        """(pin, its volts, the volts of the highest number); takes its time."""
        name = arguments if arguments == TEMPERATURE else self.board.gpio.of(arguments).name
        self.board.poll(10 if self.board.spec.port == "rp2" else 40)
        volts = self.measure(name)
        full = REFERENCE if self.board.spec.port == "rp2" else FULL_SCALE[self.attenuation.get(name, 3)]
        if (raw := self._raw(volts, full, 12)) != self.seen.get(name):
            self.seen[name] = raw
            self.board.changed()
        return name, volts, full

    def _raw(self, volts: float, full: float, bits: int) -> int:
        return min(2**bits - 1, int(volts / full * 2**bits + 1e-6))

    def _width_of(self, name: PinName) -> int:
        return self.bits.get(self._block(name), 12)

    def _block(self, name: PinName) -> bool:
        """Whether a pin of the ESP32 belongs to its first converter."""
        return name in range(32, 40)

    # --- for the program ----------------------------------------------------------------------------------------------

    def _new(self, arguments: str) -> str:
        """A number or `=` and a pin: the answer is the pin that is measured. A number is a channel's on an rp2 before it is a pin's."""
        board, spec = self.board, self.board.spec
        if spec.port == "rp2" and arguments in spec.adc:
            return str(spec.adc[arguments])
        pin = board.gpio.of(arguments.removeprefix("="))
        if pin.name not in spec.adc.values():
            raise Refused("ValueError", "Pin doesn't have ADC capabilities" if spec.port == "rp2" else "invalid pin")
        board.gpio.claim(pin.name)
        pin.pull = "none"
        return str(pin.name)

    def _u16(self, arguments: str) -> str:
        name, volts, full = self._sample(arguments)
        bits = self._width_of(name)
        raw = self._raw(volts, full, bits)
        return str(raw << 16 - bits | raw >> 2 * bits - 16)

    def _read(self, arguments: str) -> str:
        name, volts, full = self._sample(arguments)
        return str(self._raw(volts, full, self._width_of(name)))

    def _microvolts(self, arguments: str) -> str:
        _, volts, full = self._sample(arguments)
        return str(round(min(volts, full) * 1000) * 1000)  # the calibration knows whole millivolts

    def _attenuate(self, arguments: str) -> None:
        name, _, attenuation = arguments.partition(",")
        if int(attenuation) not in range(len(FULL_SCALE)):
            raise Refused("ValueError", "invalid attenuation")
        self.attenuation[self.board.gpio.of(name).name] = int(attenuation)

    def _width(self, arguments: str) -> None:
        name, _, bits = arguments.partition(",")
        if int(bits) not in BITS:
            raise Refused("ValueError", "invalid bit-width")
        self.bits[self._block(self.board.gpio.of(name).name)] = int(bits)

    def _dac(self, arguments: str) -> str:
        pin = self.board.gpio.of(arguments)
        if pin.name not in DAC:
            raise Refused("ValueError", "invalid Pin for DAC")
        self.board.gpio.claim(pin.name)
        return str(pin.name)

    def _write(self, arguments: str) -> None:
        """PIN,value"""
        name, _, value = arguments.partition(",")
        if int(value) not in range(256):
            raise Refused("ValueError", "value out of range")
        self.board.poll()
        self.board.note("dac", self.board.gpio.of(name).name, int(value))
