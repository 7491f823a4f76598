"""Pulse width modulation. Logged: ("pwm", pin, (hertz, duty from 0 to 1)) at each change, None where it stops.

A duty is kept as it was given, as a share or in nanoseconds, since a change of the frequency keeps the one and not the other. On an rp2 two
neighbouring pins share a slice and with it their frequency.
"""

from dataclasses import dataclass

from pipeline.board.board import Board, Refused
from pipeline.board.boards import Pin as PinName

FULL = 65535
START = {"rp2": (1907, 0), "esp32": (5000, 32768)}      # hertz and duty_u16 of a PWM that was told neither


@dataclass
class Channel:
    frequency: int
    share: int = 0                  # of FULL
    nanoseconds: int | None = None
    inverted: bool = False

    def duty(self) -> float:
        """0 to 1, as it leaves the pin."""
        high = self.share / FULL if self.nanoseconds is None else min(1.0, self.nanoseconds * self.frequency / 1e9)
        return round(1 - high if self.inverted else high, 6)


class Peripheral:
    def __init__(self, board: Board):
        self.board, self.channels = board, {}
        self.operations = {"pwm.init": self._init, "pwm.freq": self._frequency, "pwm.u16": self._share, "pwm.ns": self._nanoseconds,
                           "pwm.deinit": lambda arguments: self.release(self.of(arguments))}

    def release(self, name: PinName) -> None:
        """The pin is no PWM any more, and low."""
        if self.channels.pop(name, None) is not None:
            self.board.note("pwm", name, None)
            self.board.gpio.drive(name, None)

    def of(self, arguments: str) -> PinName:
        return self.board.gpio.of(arguments.partition(",")[0]).name

    def channel(self, name: PinName) -> Channel:
        if name not in self.channels:
            raise Refused("RuntimeError" if self.board.spec.port == "esp32" else "ValueError", "PWM is inactive")
        return self.channels[name]

    def show(self, name: PinName) -> None:
        channel = self.channels[name]
        state = (channel.frequency, channel.duty())
        self.board.note("pwm", name, state)
        for watcher in self.board.gpio.pin(name).watchers:
            watcher(int(state[1] >= 0.5))

    def _init(self, arguments: str) -> None:
        """PIN,hertz,duty_u16,duty_ns,invert; what is not told stays, or is the port's at the start."""
        given = arguments.split(",")
        name, frequency, share, nanoseconds, inverted = self.of(given[0]), *given[1:]
        if name in self.board.spec.input_only or name == "LED":
            raise Refused("ValueError", "invalid pin")
        if frequency != "-":
            self.check(int(frequency))
        if name not in self.channels:
            self.board.gpio.claim(name)
            start, duty = START.get(self.board.spec.port, (1000, 0))
            self.channels[name] = Channel(self.neighbour(name) or start, duty)
        channel = self.channels[name]
        if inverted != "-":
            channel.inverted = inverted == "1"
        if share != "-":
            channel.share, channel.nanoseconds = self.within(int(share), FULL), None
        if nanoseconds != "-":
            channel.nanoseconds = int(nanoseconds)
        if frequency != "-":
            self.set_frequency(name, int(frequency))
        self.board.advance(self.board.now + 2)
        self.show(name)

    def within(self, value: int, most: int) -> int:
        if not 0 <= value <= most and self.board.spec.port == "esp32":
            raise Refused("ValueError", f"duty_u16 must be from 0 to {most}")
        return max(0, min(most, value)) if value <= most else value & FULL if value < 0 else most

    def check(self, hertz: int) -> None:
        allowed = self.board.spec.pwm
        if hertz < allowed.lowest:
            raise Refused("ValueError", "freq too small" if self.board.spec.port == "rp2" else
                          f"frequency must be from {allowed.lowest}Hz to {allowed.highest // 1_000_000}MHz")
        if hertz > allowed.highest:
            raise Refused("ValueError", "freq too large" if self.board.spec.port == "rp2" else
                          f"frequency must be from {allowed.lowest}Hz to {allowed.highest // 1_000_000}MHz")

    def slice(self, name: PinName) -> list[PinName]:
        """The pins that share a frequency with this one, itself among them."""
        if self.board.spec.port != "rp2":
            return [name] if name in self.channels else []
        return [pin for pin in self.channels if (pin >> 1) & 7 == (name >> 1) & 7]

    def neighbour(self, name: PinName) -> int | None:
        return next((self.channels[pin].frequency for pin in self.slice(name)), None)

    def set_frequency(self, name: PinName, hertz: int) -> None:
        for pin in self.slice(name):
            if self.channels[pin].frequency != hertz:
                self.channels[pin].frequency = hertz
                if pin != name:
                    self.show(pin)

    def _change(self, arguments: str, read, write) -> str | None:
        """A question without a value, else a change."""
        name = self.of(arguments)
        channel, value = self.channel(name), arguments.partition(",")[2]
        if value == "":
            self.board.poll()
            return str(read(channel))
        before = (channel.frequency, channel.duty())
        self.board.poll()
        write(name, channel, int(value))
        if (channel.frequency, channel.duty()) != before:
            self.show(name)
        return None

    def _frequency(self, arguments: str) -> str | None:
        def write(name, channel, hertz):
            self.check(hertz)
            self.set_frequency(name, hertz)
        return self._change(arguments, lambda channel: channel.frequency, write)

    def _share(self, arguments: str) -> str | None:
        def write(name, channel, share):
            channel.share, channel.nanoseconds = self.within(share, FULL), None
        return self._change(arguments, lambda c: c.share if c.nanoseconds is None else round(min(1, c.nanoseconds * c.frequency / 1e9) * FULL), write)

    def _nanoseconds(self, arguments: str) -> str | None:
        def write(name, channel, nanoseconds):
            channel.nanoseconds = nanoseconds
        return self._change(arguments, lambda c: c.nanoseconds if c.nanoseconds is not None else round(c.share / FULL * 1e9 / c.frequency), write)
