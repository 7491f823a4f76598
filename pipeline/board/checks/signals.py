"""What a run's log says as signals: step functions over the time of the run, in microseconds.

People drive one pin in many ways: as a plain output, by PWM at full duty and none, by PWM at 2 Hz, or by switching it fast in a loop of
their own. A check shall not care. So each way becomes a Drive: how often the pin goes up and down, and for what share of the time it is up.
What is too fast to be seen is a brightness, a tone or a servo's pulse; what is slower is a blinking, whoever makes it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from pipeline.board import boards
from pipeline.board.boards import Pin
from pipeline.board.run import Run
from pipeline.core.errors import UserError

SEEN = 40  # hertz; what is faster, the eye takes for a brightness, and a servo wants 50
BURST = 5  # pulses so fast one after the other are meant as PWM; a bouncing contact makes fewer
DARK = 0.03  # share of full; what is left of a PWM that is meant to be off


class PinName(NamedTuple):
    """A pin as somebody wrote it, of whatever board."""

    name: Pin


class Span(NamedTuple):
    start: int  # microseconds
    end: int
    value: Any

    @property
    def length(self) -> int:
        return self.end - self.start


class Drive(NamedTuple):
    frequency: float  # hertz; 0 for a level that stands
    duty: float  # share of the time that it is high, 0..1


class Signal:
    """A value over the whole run: spans without a gap, neighbours differ."""

    def __init__(self, spans: Iterable[Span]):
        self.spans: list[Span] = []
        for span in spans:
            if span.end <= span.start:
                continue
            if self.spans and self.spans[-1].value == span.value:
                span = Span(self.spans.pop().start, span.end, span.value)
            self.spans.append(span)
        self._starts = [span.start for span in self.spans]

    def at(self, time: int) -> Any:
        """The value at a moment; the run's last one from its end on."""
        return self.spans[max(0, bisect_right(self._starts, time) - 1)].value

    def within(self, start: int, end: int) -> list[Span]:
        """The spans of a window, cut to it; a window without length gives the one span there."""
        if end <= start:
            return [Span(start, start, self.at(start))]
        return [
            Span(max(s.start, start), min(s.end, end), s.value) for s in self.spans if s.start < end and s.end > start
        ]

    def map(self, change: Callable[[Any], Any]) -> "Signal":
        return Signal(Span(s.start, s.end, change(s.value)) for s in self.spans)

    def settled(self, shorter: int) -> "Signal":
        """Without glitches, which are shorter: each is taken for its predecessor's, at the start for its successor's."""
        return Signal(settled(self.spans, shorter))


def settled(spans: list[Span], shorter: int) -> list[Span]:
    """See Signal. Many short ones in a row are no glitch but a fade, and stay."""
    kept: list[Span] = []
    brief: list[Span] = []
    for span in [*spans, None]:
        if span is not None and span.length < shorter:
            brief.append(span)
            continue
        if sum(each.length for each in brief) >= shorter or not (kept or span):
            kept += brief
        elif brief and kept:
            kept[-1] = Span(kept[-1].start, brief[-1].end, kept[-1].value)
        elif brief and span:
            span = Span(brief[0].start, span.end, span.value)
        brief = []
        if span is not None:
            kept.append(span)
    return Signal(kept).spans


def steps(changes: Iterable[tuple[int, Any]], first: Any, end: int) -> Signal:
    """The signal that begins as `first` and takes each value at its time."""
    known = [(0, first), *changes]
    ends = [time for time, _ in known[1:]] + [max(end, known[-1][0] + 1)]
    return Signal(Span(time, until, value) for (time, value), until in zip(known, ends, strict=True))


def together(signals: list[Signal]) -> Signal:
    """One signal of all their values, as a tuple."""
    times = sorted({span.start for signal in signals for span in signal.spans} | {signals[0].spans[-1].end})
    return Signal(Span(start, end, tuple(signal.at(start) for signal in signals)) for start, end in pairwise(times))


# --- pins -------------------------------------------------------------------------------------------------------------


def canonical(run: Run, pin: Pin | PinName) -> Pin:
    """Raises UserError for a pin that the board does not have."""
    written = pin.name if isinstance(pin, PinName) else pin
    name = boards.load(run.board).pin(written)
    if name is None:
        raise UserError(f"a {run.board} has no pin {written}")
    return name


def label(run: Run, pin: Pin | PinName) -> str:
    """The pin as people write it: GP15, GPIO 4, LED."""
    name = canonical(run, pin)
    return name if isinstance(name, str) else f"GP{name}" if boards.load(run.board).port == "rp2" else f"GPIO {name}"


def slow(span: Span, origin: int) -> list[Span]:
    """The highs and lows of a PWM so slow that one sees them; its periods begin at `origin`."""
    period = 1_000_000 / span.value.frequency
    found, number = [], int((span.start - origin) // period)
    while (start := origin + round(number * period)) < span.end:
        middle, end = start + round(period * span.value.duty), origin + round((number + 1) * period)
        for low, high, level in ((start, middle, 1), (middle, end, 0)):
            found.append(Span(max(low, span.start), min(high, span.end), Drive(0, level)))
        number += 1
    return found


def as_seen(signal: Signal) -> Signal:
    """With slow PWM as the levels that it is."""
    found, origin = [], 0
    for before, span in zip([None, *signal.spans], signal.spans, strict=False):
        if before is None or before.value.frequency != span.value.frequency:
            origin = span.start
        visible = 0 < span.value.frequency < SEEN and 0 < span.value.duty < 1
        found += slow(span, origin) if visible else [span]
    return Signal(found)


def driven(run: Run, pin: Pin | PinName, undriven: int = 0) -> Signal:
    """The levels and PWM of a pin, as the program set them; `undriven` where it does not drive it."""
    name, level, pwm, changes = canonical(run, pin), undriven, None, []
    for event in run.log:
        if event.what == "reset" or (event.what, event.where) in (("sleep", "deep"), ("watchdog", "bite")):
            changes.append((event.time, Drive(0, undriven)))  # with which the run ends, and nothing is driven any more
        if event.where == name and event.what in ("pin", "pwm"):
            if event.what == "pin":
                level = undriven if event.value is None else event.value
            else:
                pwm = event.value
            changes.append((event.time, Drive(0, level) if pwm is None else Drive(*pwm)))
    return as_seen(steps(changes, Drive(0, undriven), run.end))


def drive(run: Run, pin: Pin | PinName, undriven: int = 0) -> Signal:
    """As `driven`, with fast switching by the program itself taken for the PWM that it is."""
    spans = driven(run, pin, undriven).spans
    shortest = 1_000_000 // SEEN
    pulses = [
        n
        for n, span in enumerate(spans[:-1])
        if span.value == (0, 1) and span.length < shortest and spans[n + 1].value == (0, 0)
    ]
    bursts: list[list[int]] = []
    for number in pulses:
        near = bursts and number == bursts[-1][-1] + 2 and spans[number].start - spans[number - 2].start < shortest
        if near:
            bursts[-1].append(number)
        else:
            bursts.append([number])
    found, done = [], 0
    for burst in bursts:
        if len(burst) < BURST:
            continue
        found += spans[done : burst[0]]
        for first, following in pairwise(burst):
            period = spans[following].start - spans[first].start
            found.append(
                Span(
                    spans[first].start, spans[following].start, Drive(1_000_000 / period, spans[first].length / period)
                )
            )
        last, rest = spans[burst[-1]], spans[burst[-1] + 1]
        end = min(rest.end, max(last.end, last.start + period))  # of its last period; what follows is the rest
        found += [
            Span(last.start, end, Drive(1_000_000 / (end - last.start), last.length / (end - last.start))),
            Span(end, rest.end, rest.value),
        ]
        done = burst[-1] + 2
    return Signal(found + spans[done:])


def level(run: Run, pin: Pin | PinName, active: str = "high") -> Signal:
    """How bright, loud or strong what hangs on the pin is, 0..1; with `active` low it is on where the pin is driven low."""
    return (
        drive(run, pin).map(lambda d: d.duty)
        if active == "high"
        else drive(run, pin, undriven=1).map(lambda d: 1 - d.duty)
    )


def lit(run: Run, pin: Pin | PinName, active: str = "high") -> Signal:
    """Whether what hangs on the pin is on, be it dim."""
    return level(run, pin, active).map(lambda value: value > DARK)


def tone(run: Run, pin: Pin | PinName) -> Signal:
    """The frequency in hertz that a passive buzzer sounds at, 0 where it is silent."""
    return drive(run, pin).map(lambda d: d.frequency if DARK / 10 < d.duty < 1 - DARK / 10 else 0)


def pulse(run: Run, pin: Pin | PinName) -> Signal:
    """The pulse in milliseconds that a servo gets, None where it gets no signal of 40 to 60 Hz."""
    return drive(run, pin).map(
        lambda d: round(1_000 * d.duty / d.frequency, 4) if SEEN <= d.frequency <= 60 and 0 < d.duty < 1 else None
    )


def speed(run: Run, pins: list[Pin | PinName]) -> Signal:
    """The speed of a motor, -1..1: of [forward], [forward, backward] or [forward, backward, enable]."""

    def of(duties):
        forward, backward, enable = (*duties, *(0, 1)[len(duties) - 1 :])
        return (forward - backward) * enable

    return together([level(run, pin) for pin in pins]).map(of)


def given(run: Run, pin: Pin | PinName, active: str | None = None) -> Signal:
    """Whether what is connected to an input pin is active: a button pressed, a sensor that sees something.

    A button only ever drives its pin to one level, and lets go of it: it is active where it drives. What drives both levels is active
    at high, or as `active` says.
    """
    name = canonical(run, pin)
    events = [event for event in run.log if event.what == "input" and event.where == name]
    levels = {event.value for event in events} - {None}
    wanted = {"high": 1, "low": 0}.get(active, levels.pop() if len(levels) == 1 else 1)
    return steps([(event.time, event.value == wanted) for event in events], False, run.end)


# --- everything else --------------------------------------------------------------------------------------------------


def noted(run: Run, what: str, where: Any = None) -> list:
    """The events of a kind, of one bus or pin where that is given."""
    return [event for event in run.log if event.what == what and (where is None or event.where == where)]


def lines(run: Run, uart: int | None = None) -> list[tuple[int, str]]:
    """(time, line) of what the program printed, or sent over a UART."""
    if uart is None:
        return [(event.time, event.value) for event in noted(run, "print")]
    found, rest = [], b""
    for event in noted(run, "uart", uart):
        if event.value[0] == "sent":
            *whole, rest = (rest + event.value[1]).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            found += [(event.time, line.decode("utf-8", "replace")) for line in whole]
    return [*found, (run.end, rest.decode("utf-8", "replace"))] if rest else found
