"""The converter from volts to numbers. A pin that nobody drives reads 0; the temperature sensor inside reads 25 °C unless a device says."""

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

REFERENCE = 3.3             # volts
TEMPERATURE = "temperature"


class Peripheral:
    def __init__(self, board: Board):
        self.board, self.volts, self.seen = board, {}, {}
        self.celsius = 25.0
        self.operations = {"adc": self._adc, "adc.uv": self._microvolts, "celsius": lambda _: repr(self.celsius)}

    def drive(self, name: PinName, volts: float) -> None:
        """A device puts so many volts on the pin."""
        self.volts[name] = min(REFERENCE, max(0.0, volts))

    def _adc(self, arguments: str) -> str:
        """The channel's pin; arguments are a number or a pin's name, and whether it was given as a pin."""
        name, _, as_pin = arguments.partition(",")
        spec = self.board.spec
        found = spec.adc.get(name) if not as_pin else None
        pin = spec.pin(name) if found is None else found
        if found is None and pin not in spec.adc.values():
            raise Refused("ValueError", "Pin doesn't have ADC capabilities" if spec.port == "rp2" else "invalid pin")
        return str(pin if found is None else found)

    def _microvolts(self, arguments: str) -> str:
        name: PinName = arguments if arguments == TEMPERATURE else self.board.spec.pin(arguments)
        self.board.poll(10)
        if name == TEMPERATURE:
            volts = 0.706 - (self.celsius - 27) * 0.001721      # RP2040 data sheet, 4.9.5
        else:
            volts = self.volts.get(name, REFERENCE if self.board.gpio.pin(name).pull == "up" else 0.0)
        if self.seen.get(name) != volts:
            self.seen[name] = volts
            self.board.changed()
        return str(round(volts * 1_000_000))
