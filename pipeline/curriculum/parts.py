"""What a pair is made of: devices on free pins, and skills with what was drawn for their slots.

A slot has three readers. The request says it (Part.full, Value.said), the program writes it (str), and a check computes with it
(Drawn.numbers). They are kept together so that all three tell of the same pin and the same time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

from pipeline.board import boards
from pipeline.curriculum.held_out import held_out
from pipeline.curriculum.tasks import DeviceKind, Skill
from pipeline.curriculum.values import Value

BUSES = {"i2c": ("sda", "scl"), "uart": ("tx", "rx"), "spi": ("sck", "mosi", "miso")}
PLAIN = ("out", "in", "near", "row")  # kinds of pin that any free one will do for
PICO_INSIDE = (23, 24, 25)  # wired on the board: the regulator's mode, the sense of USB power, the LED
ESP32_FREE = (
    2,
    4,
    5,
    12,
    13,
    15,
    16,
    17,
    18,
    21,
    22,
    23,
    25,
    26,
    32,
    33,
)  # neither the flash's nor the console's, and none that only reads
ADC_INSIDE = (0, 29, 37, 38)  # that a board's own parts use, or that no header has
ESP32_BUS = {"i2c": 0, "uart": 2, "spi": 2}  # the first that is free: UART 0 is the console, SPI 1 the flash
ESP32_I2C = {"sda": [21], "scl": [22]}  # as the boards' labels and all tutorials have it
ROW = 0.6  # share of devices of several pins that get pins in a row
USUAL = 0.7  # share of buses on the pins that people use, or on neighbours


class Unfit(Exception):
    """What was drawn does not go together; draw again."""


@dataclass
class Part:
    """A device with its pins. In a template it is its name; its pins and values are attributes."""

    kind: DeviceKind
    name: str  # of the variable
    pins: dict[str, int]
    full: str  # as it is said with its pins
    short: str  # without
    its: dict[str, Value]  # values of its own
    said: dict[str, bool] = field(
        default_factory=dict
    )  # which of its pins are told where it is: the number of a bus seldom is
    mentioned: bool = False

    def __str__(self) -> str:
        return self.name

    def __getattr__(self, key: str):
        for found in (self.__dict__.get("its", {}), self.__dict__.get("pins", {})):
            if key in found:
                return found[key]
        raise AttributeError(f"{self.__dict__.get('name')} has no {key!r}")


@dataclass
class Drawn:
    """A skill with what was drawn for its slots."""

    skill: Skill
    slots: dict[str, Any]  # Part or Value
    clauses: dict[str, str]  # do, is, short, undo, if, while, of, above, below; with verbs and slots still open

    def numbers(self) -> dict[str, Any]:
        """The slots as a check has them: numbers of pins, values (seconds, shares)."""
        return {name: as_number(each) for name, each in self.slots.items()}


def as_number(each: Part | Value) -> Any:
    """A value's value, the pin of a device that has one, or all that a device has by name."""
    if isinstance(each, Value):
        return each.value
    if len(each.pins) == 1 and not each.its:
        return next(iter(each.pins.values()))
    return SimpleNamespace(
        **each.pins, **{name: value.value for name, value in each.its.items()}, all=list(each.pins.values())
    )


@cache
def pins_for(board: str, kind: str) -> tuple[Any, ...]:
    """The pins of a board that fit a kind of pin (tasks.PinKind), without those that the exam keeps to itself."""
    spec, away = boards.load(board), held_out().pins[board]
    if kind == "adc":
        found = [pin for pin in spec.adc.values() if isinstance(pin, int) and pin not in ADC_INSIDE]
    elif kind == "onboard":
        found = ["LED"] if spec.port == "rp2" else [2]
    elif kind in PLAIN:
        found = [pin for pin in range(29) if pin not in PICO_INSIDE] if spec.port == "rp2" else ESP32_FREE
    else:
        found = [pin for bus in spec.buses.values() for pin in bus.pins.get(kind, [])]
    return tuple(pin for pin in found if pin not in away)


class Pins:
    """The pins of one board, drawn without drawing one twice. All that draws raises Unfit where too few are left."""

    def __init__(self, board: str, rng: Random):
        self.board, self.rng = board, rng
        self.spec = boards.load(board)
        self.taken: set[int] = set()

    def draw(self, kinds: Mapping[str, str]) -> dict[str, int]:
        """Pins for a device, name -> kind of pin: of a bus those of one bus of the board, whose number is then `bus`; others as they are free."""
        wanted = set(kinds.values())
        if wanted == {"row"} or (wanted == {"near"} and self.rng.random() < ROW and self.rows(len(kinds))):
            return self.row(list(kinds))
        if bus := next((name for name, wires in BUSES.items() if wanted & set(wires)), None):
            return self.of_bus(bus, kinds)
        return {name: self.take(pins_for(self.board, kind), kind) for name, kind in kinds.items()}

    def take(self, fit: tuple[int, ...], kind: str) -> int:
        """One of the pins in `fit`. `kind` is for the message."""
        found = self.rng.choice(self.free(fit, kind))
        self.taken.add(found)
        return found

    def free(self, fit: Sequence[int], kind: str) -> list[int]:
        """Those of `fit` that are not taken."""
        found = [pin for pin in fit if pin not in self.taken]
        if not found:
            raise Unfit(f"no pin left for {kind}")
        return found

    def rows(self, length: int) -> list[range]:
        """All rows of so many free pins."""
        fit = set(pins_for(self.board, "out")) - self.taken
        return [range(first, first + length) for first in sorted(fit) if fit.issuperset(range(first, first + length))]

    def row(self, names: list[str]) -> dict[str, int]:
        """Pins that follow one another: GP2, GP3, GP4."""
        if not (rows := self.rows(len(names))):
            raise Unfit("no row of pins left")
        found = self.rng.choice(rows)
        self.taken.update(found)
        return dict(zip(names, found, strict=True))

    def of_bus(self, bus: str, kinds: Mapping[str, str]) -> dict[str, int]:
        """On a Pico a bus has its own pins, and people like neighbours; on an ESP32 any pin will do, and people like the usual ones."""
        pico = self.spec.port == "rp2"
        number = self.rng.choice([0, 1]) if pico else ESP32_BUS[bus]
        wires = self.spec.buses[f"{bus}{number}"].pins if pico or bus != "i2c" else ESP32_I2C
        away, usual = held_out().pins[self.board], self.rng.random() < USUAL
        found: dict[str, int] = {}
        for name, kind in kinds.items():
            fit = (wires.get(kind) if pico else None) or pins_for(self.board, kind if kind not in BUSES[bus] else "out")
            free = self.free([pin for pin in fit if pin not in away and not (pico and pin in PICO_INSIDE)], kind)
            liked = (
                [pin for pin in free if pin - 1 in found.values()]
                if pico
                else [pin for pin in wires.get(kind, []) if pin in free]
            )
            found[name] = self.rng.choice(liked if liked and usual else free)
            self.taken.add(found[name])
        return {**found, "bus": number}
