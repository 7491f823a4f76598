"""Pins. Logged: ("pin", pin, 0 or 1) what an output drives, None where it stopped; ("input", pin, 0 or 1) what a device drives.

A pin's level is what the program drives, else what a device drives, else what the pull gives.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.board.board import COST, Board, Refused
from pipeline.board.boards import Pin as PinName

Watcher = Callable[[int | None], None]


@dataclass
class Pin:
    name: PinName
    mode: str = ""              # "in", "out", "od" (open drain), "alt" (belongs to another peripheral), "" before it was set up
    pull: str = "none"
    out: int = 0
    device: int | None = None   # what a device drives
    edges: str = ""             # the edges that interrupt: f, r
    seen: int | None = None     # the level that the program last read
    watchers: list[Watcher] = field(default_factory=list)

    def driven(self) -> int | None:
        """What the program makes it drive."""
        if self.mode == "out":
            return self.out
        return 0 if self.mode == "od" and not self.out else None

    def level(self) -> int:
        driven = self.driven()
        if driven is None:
            driven = self.device
        return driven if driven is not None else int(self.pull == "up")


class Peripheral:
    def __init__(self, board: Board):
        self.board, self.pins = board, {}
        self.operations = {"pin": self._pin, "pin.init": self._init, "pin.mode": lambda n: self.of(n).mode, "pin.pull": lambda n: self.of(n).pull,
                           "pin.irq": self._irq, "read": self._read, "write": self._write, "toggle": self._toggle}

    # --- for devices and the other peripherals ------------------------------------------------------------------------

    def pin(self, name: PinName) -> Pin:
        """The pin of a canonical name."""
        if name not in self.pins:
            self.pins[name] = Pin(name)
        return self.pins[name]

    def drive(self, name: PinName, level: int | None) -> None:
        """A device drives the pin, or with None lets go of it."""
        pin = self.pin(name)
        if pin.device != level:
            before, pin.device = pin.level(), level
            self.board.note("input", name, level)
            self._edge(pin, before)

    def watch(self, name: PinName, watcher: Watcher) -> None:
        """Calls watcher(level) whenever the program drives the pin otherwise; None where it lets go."""
        self.pin(name).watchers.append(watcher)

    def claim(self, name: PinName) -> None:
        """Another peripheral takes the pin: it is no output any more."""
        pin = self.pin(name)
        if pin.driven() is not None:
            self._change(pin, lambda: setattr(pin, "mode", "alt"))
        pin.mode = "alt"

    # --- for the program ----------------------------------------------------------------------------------------------

    def of(self, arguments: str) -> Pin:
        name = self.board.spec.pin(arguments)
        if name is None:
            raise Refused("ValueError", "invalid pin")
        return self.pin(name)

    def _pin(self, arguments: str) -> str:
        return str(self.of(arguments).name)

    def _init(self, arguments: str) -> None:
        name, mode, pull, value = arguments.split(",")
        pin, spec = self.of(name), self.board.spec
        if mode in ("out", "od") and pin.name in spec.input_only:
            raise Refused("ValueError", "pin can only be input")
        if mode != "-":
            self.board.pwm.release(pin.name)

        def change():
            pin.mode = pin.mode if mode == "-" else mode
            pin.pull = pin.pull if pull == "-" else pull
            pin.out = pin.out if value == "-" else int(value)
        self._change(pin, change)
        self.board.advance(self.board.now + 2)

    def _change(self, pin: Pin, change: Callable[[], None]) -> None:
        """Does `change`, and what follows from it: log, watchers, edges."""
        before, level = pin.driven(), pin.level()
        change()
        after = pin.driven()
        if after != before:
            self.board.note("pin", pin.name, after)
            for watcher in pin.watchers:
                watcher(after)
        self._edge(pin, level)

    def _edge(self, pin: Pin, before: int) -> None:
        level = pin.level()
        if level != before and ("r" if level else "f") in pin.edges:
            self.board.interrupt(f"pin{pin.name}")

    def set(self, pin: Pin, level: int) -> None:
        self._change(pin, lambda: setattr(pin, "out", level))

    def _write(self, arguments: str) -> None:
        name, _, level = arguments.partition(",")
        self._set(self.of(name), int(level == "1"))

    def _toggle(self, arguments: str) -> None:
        pin = self.of(arguments)
        self._set(pin, 1 - pin.out)

    def _set(self, pin: Pin, level: int) -> None:
        """A write that changes nothing may be a poll's other half; one that does is what somebody may have waited for."""
        if pin.mode not in ("out", "od") or pin.out == level:
            self.board.poll()
        else:
            self.board.advance(self.board.now + COST)
        self.set(pin, level)

    def _read(self, arguments: str) -> str:
        pin = self.of(arguments)
        self.board.poll()
        level = pin.level()
        if level != pin.seen:
            pin.seen = level
            self.board.changed()
        return "1" if level else "0"

    def _irq(self, arguments: str) -> None:
        name, _, edges = arguments.partition(",")
        self.of(name).edges = edges
