"""Pins. Logged: ("pin", pin, 0 or 1) what an output drives, None where it stopped; ("input", pin, 0 or 1) what a device drives.

A pin's level is what the program drives, else what a device drives, else what the pull gives.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.board.board import COST, Board, Refused
from pipeline.board.boards import Pin as PinName

Watcher = Callable[[int | None], None]
OUTPUTS = ("out", "od")


@dataclass
class Pin:
    name: PinName
    mode: str = ""  # "in", "out", "od" (open drain), "alt" (belongs to another peripheral), "" before it was set up
    pull: str = "none"
    out: int = 0
    pulses: int | None = None  # under PWM: the level that it has for most of the time
    device: int | None = None  # what a device drives
    edges: str = ""  # the edges that interrupt: f, r
    last: str = ""  # the edge of the last interrupt
    seen: int | None = None  # the level that the program last read
    scanned: bool = False  # so often, as a keypad's lines are, that its edges are no news and fill no log
    watchers: list[Watcher] = field(default_factory=list)

    def output(self) -> int | None:
        """What it drives as a plain output."""
        if self.mode == "out":
            return self.out
        return 0 if self.mode == "od" and not self.out else None

    def driven(self) -> int | None:
        """What the program makes it drive, with PWM too."""
        return self.pulses if self.mode == "alt" else self.output()

    def level(self) -> int:
        driven = self.driven()
        if driven is None:
            driven = self.device
        return driven if driven is not None else int(self.pull == "up")


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.pins: dict[PinName, Pin] = {}
        self.named: dict[str, Pin] = {}  # by what a program called them
        self.operations = {
            "pin": self._pin,
            "pin.init": self._init,
            "pin.mode": lambda n: self.of(n).mode,
            "pin.pull": lambda n: self.of(n).pull,
            "pin.show": self._show,
            "pin.irq": self._irq,
            "pin.flags": lambda n: self.of(n).last,
            "read": self._read,
            "write": self._write,
            "toggle": self._toggle,
        }

    # --- for devices and the other peripherals ------------------------------------------------------------------------

    def pin(self, name: PinName) -> Pin:
        """The pin of a canonical name."""
        if name not in self.pins:
            self.pins[name] = Pin(
                name, pull="down" if self.board.spec.port == "rp2" and isinstance(name, int) else "none"
            )
        return self.pins[name]

    def drive(self, name: PinName, level: int | None, logged: bool = True) -> None:
        """A device drives the pin, or with None lets go of it."""
        pin = self.pin(name)
        if pin.device != level:
            before, pin.device = pin.level(), level
            if logged and not pin.scanned:
                self.board.note("input", name, level)
            self._edge(pin, before)

    def watch(self, name: PinName, watcher: Watcher) -> None:
        """Calls watcher(level) whenever the program drives the pin otherwise, its PWM included; None where it lets go."""
        self.pin(name).watchers.append(watcher)

    def claim(self, name: PinName) -> None:
        """Another peripheral takes the pin: it is no output any more, nor PWM."""
        self.board.pwm.release(name)
        self._change(self.pin(name), mode="alt")

    def pulse(self, name: PinName, level: int | None) -> None:
        """PWM makes something else of the pin, or with None nothing."""
        pin = self.pin(name)
        before, pin.pulses = pin.level(), level
        for watcher in pin.watchers:
            watcher(level)
        self._edge(pin, before)

    # --- for the program ----------------------------------------------------------------------------------------------

    def of(self, arguments: str) -> Pin:
        pin = self.named.get(arguments)
        if pin is None:
            name = self.board.spec.pin(arguments)
            if name is None:
                raise Refused("ValueError", "invalid pin")
            pin = self.named[arguments] = self.pin(name)
        return pin

    def number(self, arguments: str) -> int:
        """Of the pin that `of` gives, but none that hangs on the radio's chip: those can do nothing but on and off."""
        name = self.of(arguments).name
        if not isinstance(name, int):
            raise Refused("ValueError", "expecting a regular GPIO Pin")
        return name

    def regular(self, arguments: str) -> Pin:
        return self.pin(self.number(arguments))

    def _pin(self, arguments: str) -> str:
        """A number, or `=` and a name: a number as text is no name of a pin."""
        if arguments[:1] != "=":
            return str(self.of(arguments).name)
        name, spec = arguments[1:], self.board.spec
        if name.isdigit() or spec.pin(name) is None or (spec.port != "rp2" and name not in spec.named):
            raise Refused("ValueError", f'unknown named pin "{name}"' if spec.port == "rp2" else "invalid pin")
        return str(self.of(name).name)

    def _init(self, arguments: str) -> None:
        """PIN,mode,pull,value; `-` for what was not given."""
        name, mode, pull, value = arguments.split(",")
        pin, rp2 = self.of(name), self.board.spec.port == "rp2"
        if mode in OUTPUTS and pin.name in self.board.spec.input_only:
            raise Refused("ValueError", "pin can only be input")
        if pull not in ("-", "none") and not isinstance(pin.name, int):
            raise Refused("ValueError", "pulls are not supported for external pins")
        new = {}
        if mode != "-":
            self.board.pwm.release(pin.name)
            new["mode"] = mode
        if pull != "-" or rp2:  # an rp2 takes the pull away where none is asked for
            new["pull"] = "none" if pull == "-" else pull
        if value != "-" and (mode in OUTPUTS or not rp2):
            new["out"] = int(value)
        elif mode == "od" and rp2:
            new["out"] = 1
        self._change(pin, **new)
        self.board.advance(self.board.now + COST)

    def _change(self, pin: Pin, **new) -> None:
        """Sets `new`, and does what follows from it: log, watchers, edges."""
        before, driven, level = pin.output(), pin.driven(), pin.level()
        for what, value in new.items():
            setattr(pin, what, value)
        if pin.output() != before and not pin.scanned:
            self.board.note("pin", pin.name, pin.output())
        if pin.driven() != driven:
            for watcher in pin.watchers:
                watcher(pin.driven())
        self._edge(pin, level)

    def _edge(self, pin: Pin, before: int) -> None:
        level = pin.level()
        edge = "r" if level else "f"
        if level != before and edge in pin.edges:
            pin.last = edge
            self.board.interrupt(f"pin{pin.name}")

    def _write(self, arguments: str) -> None:
        name, _, level = arguments.partition(",")
        self._set(self.of(name), int(level == "1"))

    def _toggle(self, arguments: str) -> None:
        pin = self.of(arguments)
        self._set(pin, 1 - pin.out)

    def _set(self, pin: Pin, level: int) -> None:
        """A write that changes nothing may be a poll's other half; one that does is what somebody may have waited for."""
        if pin.out == level:
            self.board.poll()
            return
        if pin.mode not in OUTPUTS or pin.scanned:
            self.board.poll()
        else:
            self.board.advance(self.board.now + COST)
        self._change(pin, out=level)

    def _read(self, arguments: str) -> str:
        pin = self.of(arguments)
        self.board.poll()
        level = pin.level()
        if level != pin.seen:
            pin.seen = level
            if not pin.scanned:
                self.board.changed()
        return "1" if level else "0"

    def _irq(self, arguments: str) -> None:
        """PIN,edges"""
        name, _, edges = arguments.partition(",")
        self.regular(name).edges = edges

    def _show(self, arguments: str) -> str:
        """How the port prints a pin."""
        pin = self.of(arguments)
        if self.board.spec.port != "rp2":
            mode = {"out": "OUT", "od": "OPEN_DRAIN"}.get(pin.mode, "IN")
            pull = {"up": ", pull=Pin.PULL_UP", "down": ", pull=Pin.PULL_DOWN"}.get(pin.pull, "")
            return f"Pin({pin.name}, mode=Pin.{mode}{pull})"
        if not isinstance(pin.name, int):
            return f"Pin({'WL_GPIO0' if pin.name == 'LED' else pin.name}, mode={'OUT' if pin.mode == 'out' else 'IN'})"
        mode = {"in": "IN", "out": "OUT", "od": "OPEN_DRAIN"}.get(pin.mode, "ALT")
        pull = {"up": ", pull=PULL_UP", "down": ", pull=PULL_DOWN"}.get(pin.pull, "")
        return f"Pin(GPIO{pin.name}, mode={mode}{pull}{', alt=31' if not pin.mode else ''})"
