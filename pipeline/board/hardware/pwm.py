"""Pulse width modulation. Logged: ("pwm", pin, (hertz, duty from 0 to 1)) whenever that changes, None where it stops.

What a program reads back is what the counters of the two ports really hold, so it may differ a little from what was set. An rp2 has
eight slices: two neighbouring pins share one and with it their frequency, and a pin has the same output as the one sixteen further.
"""

from dataclasses import dataclass, field

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName
from pipeline.board.boards import Range

SECOND = 1_000_000_000  # nanoseconds
U16, U10, NS = "u16", "u10", "ns"


@dataclass
class Channel:
    unit: str = ""  # what its duty was told in; "" before it was told
    told: int = 0
    high: float = 0  # share of the time
    inverted: bool = False


@dataclass
class Rp2:
    """A counter that wraps at `top`, clocked by the system clock divided by sixteenths of `divider`."""

    limits: Range
    clock: int = 125_000_000
    most = 65_534
    divider: int = 16
    top: int = 65_535
    hertz: int = 0  # as it is read back

    def set(self, hertz: int) -> None:
        if hertz < self.limits.lowest or hertz > self.limits.highest:
            raise Refused("ValueError", "freq too small" if hertz < self.limits.lowest else "freq too large")
        if (self.clock + hertz // 2) // hertz < self.most:
            self.divider, self.top = 16, (self.clock + hertz // 2) // hertz - 1
        else:
            self.divider = -(-16 * self.clock // (self.most * hertz))
            self.top = (16 * self.clock + self.divider * hertz // 2) // (self.divider * hertz) - 1
        whole = self.divider * (self.top + 1)
        self.hertz = (16 * self.clock + whole // 2) // whole

    def tick(self) -> int:
        """Hertz of the counter."""
        return (16 * self.clock + self.divider // 2) // self.divider

    def check(self, unit: str, told: int) -> None:
        pass  # what is too much is cut, what is negative wraps around

    def count(self, unit: str, told: int) -> int:
        if unit == NS:
            return min((told % 2**64 * self.tick() + SECOND // 2) // SECOND, self.top + 1)
        return (min(told, 65_535) * (self.top + 1) + 32_767) % 2**32 // 65_535 % 2**16

    def share(self, unit: str, told: int) -> float:
        return min(1.0, self.count(unit, told) / (self.top + 1))

    def read(self, unit: str, channel: Channel) -> int:
        count = self.count(channel.unit, channel.told)
        if unit == NS:
            return (count * SECOND + self.tick() // 2) // self.tick()
        return (count * 65_535 + (self.top + 1) // 2) // (self.top + 1)


@dataclass
class Esp32:
    """A counter of as many bits as its frequency leaves, sixteen at most."""

    limits: Range
    hertz: int = 0
    bits: int = 16

    def set(self, hertz: int) -> None:
        if hertz < self.limits.lowest or hertz > self.limits.highest:
            raise Refused(
                "ValueError", f"frequency must be from {self.limits.lowest}Hz to {self.limits.highest // 1_000_000}MHz"
            )
        source = 1_000_000 if hertz < 10 else 80_000_000
        self.hertz, self.bits = hertz, min(16, (source // hertz).bit_length() - 1)

    def check(self, unit: str, told: int) -> None:
        longest = self.period(2**16)
        if unit == NS and not 0 <= told <= longest:
            raise Refused("ValueError", f"duty_ns must be from 0 to {longest} ns")
        if unit == U16 and not 0 <= told < 2**16:
            raise Refused("ValueError", f"duty_u16 must be from 0 to {2**16}")
        if unit == U10 and not 0 <= told < 2**10:
            raise Refused("ValueError", f"duty must be from 0 to {2**10 - 1}")

    def period(self, high: int) -> int:
        """Nanoseconds of `high` parts in 2**16."""
        return (high * SECOND + self.hertz * 2**15) // (self.hertz * 2**16)

    def high(self, unit: str, told: int) -> int:
        """In 2**16; the highest that can be told is always on."""
        if unit == NS:
            exact = min(2**16, max(int(told > 0), (told * 2**16 * self.hertz + SECOND // 2) // SECOND))
        elif unit == U10:
            exact = 2**16 if told == 2**10 - 1 else told << 6
        else:
            exact = 2**16 if told == 2**16 - 1 else told
        coarse = 16 - self.bits
        return (exact >> coarse) << coarse

    def share(self, unit: str, told: int) -> float:
        return self.high(unit, told) / 2**16

    def read(self, unit: str, channel: Channel) -> int:
        high = min(2**16 - 1, self.high(channel.unit, channel.told))
        return high >> 6 if unit == U10 else self.period(high) if unit == NS else high


@dataclass
class Slice:
    """What has one frequency, and the channels on it by their key."""

    counter: Rp2 | Esp32
    on: bool = False
    channels: dict[int, Channel] = field(default_factory=dict)


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.rp2 = board.spec.port == "rp2"
        self.slices: dict[int, Slice] = {}
        self.routed: set[int] = set()  # the pins that PWM drives
        self.logged: dict[PinName, tuple[int, float] | None] = {}
        self.operations = {
            "pwm.new": self._new,
            "pwm.init": self._init,
            "pwm.freq": self._frequency,
            "pwm.duty": self._duty,
            "pwm.deinit": self._deinit,
            "pwm.show": self._show,
        }

    # --- for devices and the other peripherals ------------------------------------------------------------------------

    def state(self, name: PinName) -> tuple[int, float] | None:
        """(hertz, duty) of a pin under PWM, None of any other."""
        if not isinstance(name, int) or name not in self.routed:
            return None
        slice, channel = self._find(name)
        if not slice.on:
            return None
        return slice.counter.hertz, round(1 - channel.high if channel.inverted else channel.high, 5)

    def high(self, name: PinName) -> float:
        """The share of the time that the program has the pin high, with PWM or without, 0 to 1."""
        state = self.state(name)
        return float(self.board.gpio.pin(name).output() or 0) if state is None else state[1]

    def release(self, name: PinName) -> None:
        """The pin is something else from now on."""
        if isinstance(name, int) and name in self.routed:
            self.routed.discard(name)
            self._stopped(name)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _find(self, name: int) -> tuple[Slice, Channel]:
        key = name & 15 if self.rp2 else name
        limits = self.board.spec.pwm
        slice = self.slices.setdefault(key >> 1 if self.rp2 else key, Slice(Rp2(limits) if self.rp2 else Esp32(limits)))
        return slice, slice.channels.setdefault(key, Channel())

    def _stopped(self, name: PinName) -> None:
        if self.logged.pop(name, None) is not None:
            self.board.note("pwm", name, None)
        self.board.gpio.pulse(name, None)

    def _settle(self) -> None:
        """Logs what has changed, and shows it to the pins."""
        for name in sorted(self.routed):
            state = self.state(name)
            if state is None and self.logged.get(name) is not None:
                self._stopped(name)
            elif state is not None and state != (before := self.logged.get(name)):
                self.logged[name] = state
                self.board.note("pwm", name, state, news=before is None or before[0] != state[0])
                self.board.gpio.pulse(name, int(state[1] >= 0.5))

    def _set(self, slice: Slice, channel: Channel, frequency: int | None, duty: tuple[str, int] | None) -> None:
        """Sets what is given. It starts as soon as both are known."""
        if frequency is not None:
            slice.counter.set(frequency)
        if duty is not None:
            slice.counter.check(*duty)
            channel.unit, channel.told = duty
        for each in slice.channels.values():
            if each.unit and slice.counter.hertz:
                each.high = slice.counter.share(each.unit, each.told)
        slice.on |= bool(slice.counter.hertz and channel.unit)

    def _room(self, name: int, frequency: int) -> None:
        """An ESP32 has sixteen channels, and eight timers that each give one frequency."""
        others = self.routed - {name}
        if len(others) >= 16:
            raise Refused("RuntimeError", "out of PWM channels:16")
        used = {self._find(each)[0].counter.hertz for each in others}
        if frequency not in used and len(used) >= 8:
            raise Refused("RuntimeError", "out of PWM timers:8")

    def _active(self, arguments: str) -> tuple[int, Slice, Channel]:
        name = self.board.gpio.number(arguments)
        if not self.rp2 and name not in self.routed:
            raise Refused("RuntimeError", "PWM is inactive")
        return name, *self._find(name)

    # --- for the program ----------------------------------------------------------------------------------------------

    def _new(self, arguments: str) -> None:
        """As _init; what was told before is forgotten, but goes on until something else is told."""
        channel = self._find(self.board.gpio.number(arguments.partition(",")[0]))[1]
        channel.unit, channel.inverted = "", False
        self._init(arguments)

    def _init(self, arguments: str) -> None:
        """PIN,hertz,unit,duty,invert; `-` for what was not given."""
        text, frequency, unit, duty, invert = arguments.split(",")
        name = self.board.gpio.number(text)
        slice, channel = self._find(name)
        if name in self.board.spec.input_only:
            raise Refused("OSError", "(-258, 'ESP_ERR_INVALID_ARG')")
        if not self.rp2:
            frequency = frequency if frequency != "-" else slice.counter.hertz or 5_000
            unit, duty = (unit, duty) if unit != "-" else (channel.unit or U16, channel.told if channel.unit else 2**15)
            self._room(name, int(frequency))
        if invert != "-":
            channel.inverted = invert == "1"
        self._set(
            slice, channel, None if frequency == "-" else int(frequency), None if unit == "-" else (unit, int(duty))
        )
        if name not in self.routed:
            self.board.gpio.claim(name)
            self.routed.add(name)
            self.board.gpio.pulse(name, 0)
        self._settle()
        self.board.poll()

    def _frequency(self, arguments: str) -> str | None:
        """PIN or PIN,hertz"""
        text, _, frequency = arguments.partition(",")
        name, slice, channel = self._active(text)
        self.board.poll()
        if not frequency:
            return str(slice.counter.hertz)
        if not self.rp2:
            self._room(name, int(frequency))
        self._set(slice, channel, int(frequency), None)
        self._settle()
        return None

    def _duty(self, arguments: str) -> str | None:
        """PIN,unit or PIN,unit,duty"""
        text, unit, *duty = arguments.split(",")
        _, slice, channel = self._active(text)
        self.board.poll()
        if not duty:
            return str(slice.counter.read(unit, channel) if slice.counter.hertz and channel.unit else 0)
        self._set(slice, channel, None, (unit, int(duty[0])))
        self._settle()
        return None

    def _deinit(self, arguments: str) -> None:
        """An rp2 stops the whole slice, so its other pin too, until one of them is told something again."""
        name = self.board.gpio.number(arguments)
        slice, channel = self._find(name)
        slice.on = False
        if not self.rp2:
            channel.unit = ""
            self.release(name)
        self._settle()

    def _show(self, arguments: str) -> str:
        """How the port prints a PWM."""
        name = self.board.gpio.number(arguments)
        slice, channel = self._find(name)
        if self.rp2:
            return f"<PWM slice={(name >> 1) & 7} channel={name & 1} invert={int(channel.inverted)}>"
        if name not in self.routed:
            return f"PWM(Pin({name}))"
        what = {U10: "duty", NS: "duty_ns"}.get(channel.unit, "duty_u16")
        duty = slice.counter.read(channel.unit, channel)
        return (
            f"PWM(Pin({name}), freq={slice.counter.hertz}, {what}={duty}{', invert=True' if channel.inverted else ''})"
        )
