"""SPI: the buses of the board and those that a program makes of pins (SoftSPI), and the chips that hear them while their select pin is low.

Logged: ("spi", bus, ("write" or "read", bytes)); a transfer both ways is a write and a read. A bus is its number, one of a program's own
"sck/mosi".
"""

from dataclasses import dataclass, field

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName
from pipeline.board.hardware.i2c import ANSWER, bytes_wanted, wires

OVERHEAD = 8  # microseconds that MicroPython takes for a transfer besides its bits
FASTEST = 80_000_000  # hertz
NOTHING = 0x00  # what is read where no chip drives the line
SETTINGS = {"baudrate": 1_000_000, "polarity": 0, "phase": 0, "bits": 8, "order": "msb"}


class Target:
    """What devices derive from to be on the bus."""

    def select(self) -> None:
        """Its select pin went low: a new transaction."""

    def transfer(self, data: bytes) -> bytes:
        """Takes what the board sends and gives as many bytes, which go the other way at the same time."""
        raise NotImplementedError


@dataclass
class Bus:
    key: str
    soft: bool
    pins: dict[str, PinName | None] = field(default_factory=dict)
    settings: dict[str, int | str] = field(default_factory=lambda: dict(SETTINGS))
    open: bool = True

    @property
    def where(self) -> int | str:
        return self.key if self.soft else int(self.key)


@dataclass
class Wired:
    target: Target
    select: PinName | None
    pins: dict[str, PinName]  # of those that its script names


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.buses: dict[str, Bus] = {}
        self.wired: list[Wired] = []
        self._rest = b""
        self.operations = {
            "spi.init": self._init,
            "spi.show": self._show,
            "spi.deinit": self._deinit,
            "spi.write": self._write,
            "spi.read": self._read,
            "spi.both": self._both,
            "spi.rest": lambda _: self._answer(self._rest),
        }

    def attach(self, target: Target, select: PinName | None, pins: dict[str, PinName]) -> None:
        """Connects a chip, with its select pin (None: tied low), and where its script names them its pins sck, mosi and miso."""
        self.wired.append(Wired(target, select, pins))
        if select is not None:
            self.board.gpio.watch(select, lambda level: target.select() if level == 0 else None)

    # --- setting up ---------------------------------------------------------------------------------------------------

    def _init(self, arguments: str) -> str:
        key, *rest = arguments.split(",")
        values, given = (
            dict(zip(SETTINGS, rest, strict=False)),
            dict(zip(("sck", "mosi", "miso"), rest[5:], strict=True)),
        )
        soft = not key.isdigit()
        if not soft and f"spi{key}" not in self.board.spec.buses:
            raise Refused("ValueError", f"SPI({key}) doesn't exist")
        if values["order"] == "lsb" and self.board.spec.port == "rp2" and not soft:
            raise Refused("NotImplementedError", "LSB")
        before = self.buses.get(key) or Bus(key, soft)
        unused = {
            part for part, text in given.items() if text == "none" and (part == "miso" or self.board.spec.port != "rp2")
        }
        kept = {part: str(pin) for part, pin in before.pins.items() if pin is not None}
        wanted = {
            part: kept.get(part, "") if text in ("", "none") else text
            for part, text in given.items()
            if part not in unused
        }
        pins = dict.fromkeys(unused) | wires(self.board, "" if soft else f"spi{key}", wanted)
        settings = before.settings | {
            name: text if name == "order" else int(text) for name, text in values.items() if text != ""
        }
        bus = Bus(f"{pins['sck']}/{pins['mosi']}" if soft else key, soft, pins, settings)
        self.buses[bus.key] = bus
        self.board.advance(self.board.now + OVERHEAD)
        return bus.key

    def _show(self, key: str) -> str:
        bus = self.buses[key]
        pins = ", ".join(f"{part}={bus.pins[part]}" for part in ("sck", "mosi", "miso"))
        text = ", ".join(f"{name}={bus.settings[name]}" for name in ("baudrate", "polarity", "phase", "bits"))
        if bus.soft:
            return f"SoftSPI({text.rpartition(',')[0]}, firstbit=0, {pins})"
        return (
            f"SPI({key}, {text}, {pins})"
            if self.board.spec.port == "rp2"
            else f"SPI(id={key}, {text}, firstbit=0, {pins})"
        )

    def _deinit(self, key: str) -> None:
        self.buses[key].open = self.board.spec.port == "rp2" or self.buses[key].soft  # where it changes nothing

    # --- transfers ----------------------------------------------------------------------------------------------------

    def _transfer(self, bus: Bus, data: bytes) -> bytes:
        if not bus.open:
            raise Refused("OSError", "transfer on deinitialized SPI")
        self.board.sleep(OVERHEAD + 8 * len(data) * 1_000_000 // max(1, min(FASTEST, int(bus.settings["baudrate"]))))
        heard = [wired.target.transfer(data) for wired in self.wired if self._hears(wired, bus)]
        if not heard or bus.pins["miso"] is None:
            return bytes([NOTHING]) * len(data)
        return bytes(max(column) for column in zip(*heard, strict=True))

    def _hears(self, wired: Wired, bus: Bus) -> bool:
        gpio = self.board.gpio
        ours = all(gpio.pin(pin).mode == "alt" for pin in (bus.pins["sck"], bus.pins["mosi"]) if pin is not None)
        selected = wired.select is None or gpio.pin(wired.select).driven() == 0
        return ours and selected and all(bus.pins[part] == pin for part, pin in wired.pins.items())

    def _write(self, arguments: str) -> None:
        key, data = arguments.split(",")
        bus, data = self.buses[key], bytes.fromhex(data)
        self.board.note("spi", bus.where, ("write", data))
        self._transfer(bus, data)

    def _read(self, arguments: str) -> str:
        key, count, fill = arguments.split(",")
        bus = self.buses[key]
        data = self._transfer(bus, bytes([int(fill) & 255]) * bytes_wanted(count))
        self.board.note("spi", bus.where, ("read", data))
        return self._answer(data)

    def _both(self, arguments: str) -> str:
        key, data = arguments.split(",")
        bus, data = self.buses[key], bytes.fromhex(data)
        self.board.note("spi", bus.where, ("write", data))
        data = self._transfer(bus, data)
        self.board.note("spi", bus.where, ("read", data))
        return self._answer(data)

    def _answer(self, data: bytes) -> str:
        self._rest = data[ANSWER:]
        return data[:ANSWER].hex()
