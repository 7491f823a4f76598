"""What a run came to, in words: one row for each pin, bus or device that something happened at, each with a sentence and its levels.

The table, the timeline and the picture are drawn from these rows. Nothing here knows a peripheral's own code: kinds of events that are
not known get a row as well.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from math import log
from statistics import median
from typing import Any

from pipeline.board import boards
from pipeline.board.board import Event
from pipeline.board.run import Run

SERVO_HERTZ = (40, 60)
SERVO_PULSE = (500, 2500)  # microseconds for 0 and 180 degrees, as most servos have it
BRIEF = 0.01  # of a period, in which a PWM's setting may pass by
AT_START = 10_000  # microseconds in which a program sets up its pins
LISTED = 3  # pulses that are told one by one
PINS = ("pin", "pwm", "input")  # kinds of events that stand under a pin
BUSES = ("i2c", "spi", "uart")
ORDER = (*PINS, *BUSES, "pixels", "display", "device", "net", "sleep", "watchdog", "reset")


@dataclass
class Row:
    """`steps` are (microseconds, level) with levels from 0 to 1, or None where nobody drives; `ticks` are moments, for what has no level."""

    label: str
    kind: str
    words: str
    steps: list[tuple[int, float | None]] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # one for each tick
    notes: list[tuple[int, str]] = field(default_factory=list)  # (microseconds, words) where a lane's nature changes


# --- numbers ----------------------------------------------------------------------------------------------------------


def span(microseconds: float) -> str:
    """A duration as a person says it: 250 µs, 12.5 ms, 0.50 s."""
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.3g} ms" if microseconds < 99_500 else f"{microseconds / 1e6:.2f} s"


def hertz(frequency: float) -> str:
    return (
        f"{frequency / 1e6:.4g} MHz"
        if frequency >= 1e6
        else f"{frequency / 1e3:.4g} kHz"
        if frequency >= 10_000
        else f"{frequency:.4g} Hz"
    )


def share(duty: float) -> str:
    return f"{100 * duty:.3g}%"


def count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def seconds(time: int) -> str:
    return f"{time / 1e6:.2f}"


def bounds(values: list, said) -> str:
    """`a` or `a to b`."""
    low, high = said(min(values)), said(max(values))
    return low if low == high else f"{low} to {high}"


def steady(durations: list[int]) -> bool:
    return max(durations) - min(durations) <= max(2000, 0.05 * median(durations))


def lasting(durations: list[int]) -> str:
    return span(median(durations)) if steady(durations) else bounds(durations, span)


# --- kinds ------------------------------------------------------------------------------------------------------------


def pulses(events: list[Event], idle) -> list[tuple[int, int | None, Any]]:
    """(begin, end, value) of each time that a line is not `idle`; the end is None where it stayed so."""
    found, active = [], None
    for event in events:
        if active and event.value != active[1]:
            found.append((active[0], event.time, active[1]))
            active = None
        if not active and event.value != idle:
            active = event.time, event.value
    return found + ([(active[0], None, active[1])] if active else [])


def of_levels(events: list[Event]) -> str:
    """An output's or an input's levels: what it is at rest is 0, or nothing where it lets go now and then."""
    idle = None if any(event.value is None for event in events) else 0
    driven = events[0].what == "pin" and idle == 0
    names = {1: "on" if driven else "high", 0: "low", None: "let go"}
    found = pulses(events, idle)
    if not found:
        return f"{'off' if driven else names[idle]} throughout"
    changes = len(events) - (events[0].time < AT_START)
    if not changes:
        return f"{names[found[0][2]]} throughout"
    whole = [end - begin for begin, end, _ in found if end is not None]
    gaps = [after[0] - before[1] for before, after in pairwise(found) if before[1] is not None]
    if len(found) > 2 and gaps and steady(whole) and steady(gaps) and len({value for *_, value in found}) == 1:
        period = median(whole) + median(gaps)
        fast = f" ({hertz(1e6 / period)})" if period < 99_500 else ""
        return f"{count(changes, 'change')}, {names[found[0][2]]} {lasting(whole)} / {'off' if driven else names[idle]} {lasting(gaps)}{fast}"
    if len(found) <= LISTED:
        return "; ".join(
            f"{names[value]} "
            + (
                f"{seconds(begin)} to {seconds(end)} s"
                if end is not None and end - begin >= 10_000
                else f"at {seconds(begin)} s for {span(end - begin)}"
                if end is not None
                else f"from {seconds(begin)} s on"
            )
            for begin, end, value in found
        )
    return f"{count(changes, 'change')}, {names[found[0][2]]} {lasting(whole)} / {'off' if driven else names[idle]} {lasting(gaps)}"


def angle(frequency: float, duty: float) -> float:
    """Of a servo, degrees; a little beyond 0 and 180 for pulses that are a little too short or long."""
    return (duty * 1e6 / frequency - SERVO_PULSE[0]) / (SERVO_PULSE[1] - SERVO_PULSE[0]) * 180


def is_servo(settings: list[tuple[float, float]]) -> bool:
    moving = [setting for setting in settings if setting[1] > 0]
    return bool(moving) and all(
        SERVO_HERTZ[0] <= frequency <= SERVO_HERTZ[1] and -10 <= angle(frequency, duty) <= 190
        for frequency, duty in moving
    )


def settled(events: list[Event]) -> list[Event]:
    """A PWM's settings without those that the next replaced within a hundredth of their period, such as the half that an ESP32 begins
    with: no part on the pin could tell."""
    stood = (
        event
        for event, after in pairwise(events)
        if event.value is None or after.time - event.time > BRIEF * 1e6 / event.value[0]
    )
    return [*stood, events[-1]]


def of_pwm(events: list[Event]) -> str:
    settings = [event.value for event in events if event.value is not None]
    if not settings:
        return "off"
    sounding = [setting for setting in settings if setting[1] > 0] or settings
    frequencies = [frequency for frequency, _ in sounding]
    duties = [duty for _, duty in (sounding if len(set(frequencies)) > 1 else settings)]
    words = f"{bounds(frequencies, hertz)}: duty {bounds(duties, share)}"
    if is_servo(settings):
        words += f", servo {bounds([max(0, min(180, angle(*setting))) for setting in sounding], lambda a: f'{a:.0f}°')}"
    elif len(set(frequencies)) > 1:
        words += f", {count(len(set(frequencies)), 'tone')}"
    return words + (", then off" if events[-1].value is None else "")


def of_bus(events: list[Event]) -> str:
    """Buses' values are (what, ..., bytes): each verb with how often and how much."""
    times, sizes = Counter(event.value[0] for event in events), Counter()
    for event in events:
        if (
            isinstance(event.value[-1], bytes) and event.value[0] != "scan"
        ):  # whose bytes are the addresses that answered
            sizes[event.value[0]] += len(event.value[-1])
    said = []
    for verb, number in times.items():
        size = count(sizes[verb], "byte")
        said.append(
            f"{verb} {size}"
            if events[0].what == "uart"
            else f"{count(number, verb)}{f' of {size}' if sizes[verb] else ''}"
        )
    addresses = sorted(
        {event.value[1] for event in events if len(event.value) == 3 and isinstance(event.value[1], int)}
    )
    if addresses:
        said[-1] += (
            f"; {'address' if len(addresses) == 1 else 'addresses'} {', '.join(f'0x{address:02X}' for address in addresses)}"
        )
    return ", ".join(said)


def color(pixel: tuple) -> str:
    return "off" if not any(pixel) else "#" + "".join(f"{part:02x}" for part in pixel)


def of_pixels(events: list[Event]) -> str:
    last = events[-1].value
    shown = ", ".join(color(pixel) for pixel in last[:4]) + (", ..." if len(last) > 4 else "")
    return f"{count(len(last), 'pixel')}, {count(len(events), 'frame')}; at last {shown}"


def of_display(events: list[Event]) -> str:
    rows = events[-1].value if isinstance(events[-1].value, list | tuple) else [events[-1].value]
    return f"drawn {count(len(events), 'time')}; at last {' / '.join(str(row).strip() for row in rows if str(row).strip()) or 'empty'}"


def of_prints(events: list[Event]) -> str:
    gaps = [after.time - before.time for before, after in pairwise(events)]
    words = count(len(events), "line")
    if gaps and max(gaps) >= 1000:
        words += (
            f", about every {span(median(gaps))}"
            if len(gaps) > 1 and steady(gaps)
            else f", {bounds([e.time for e in events], seconds)} s"
        )
    return words


def brief(value) -> str:
    """Any value in a few signs: bytes as text where they are text."""
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return repr(text) if text.isascii() and text.strip().isprintable() else value.hex(" ")
    if isinstance(value, tuple | list):
        return " ".join(brief(part) for part in value if part is not None)
    return str(value)


def told(kind: str, value) -> str:
    """One event in a few signs."""
    if kind in BUSES and value[0] == "scan":
        return " ".join(["scan", *(f"0x{address:02X}" for address in value[-1])])
    if kind in BUSES and len(value) == 3 and isinstance(value[1], int):
        return f"{value[0]} 0x{value[1]:02X} {brief(value[2])}"
    if kind == "pixels":
        return " ".join(color(pixel) for pixel in value)
    if kind == "sleep" and value is not None:
        return f"{value} ms"
    return "" if value is None else brief(value)


def of_others(events: list[Event]) -> str:
    last = told(events[-1].what, events[-1].value)
    return last if len(events) == 1 and last else f"{count(len(events), 'time')}{f'; at last {last}' if last else ''}"


def of_sleeps(events: list[Event]) -> str:
    return ", ".join("without an end" if event.value is None else f"{event.value} ms" for event in events[:LISTED]) + (
        f" and {count(len(events) - LISTED, 'more time')}" if len(events) > LISTED else ""
    )


WORDS = {
    "pin": of_levels,
    "input": of_levels,
    "pwm": of_pwm,
    "pixels": of_pixels,
    "display": of_display,
    "sleep": of_sleeps,
    **dict.fromkeys(BUSES, of_bus),
}


# --- rows -------------------------------------------------------------------------------------------------------------


def pin_name(board: str, pin) -> str:
    """GP15, GPIO2 or LED."""
    return f"{'GP' if boards.load(board).port == 'rp2' else 'GPIO'}{pin}" if isinstance(pin, int) else str(pin)


def titled(board: str) -> str:
    """`a Raspberry Pi Pico`, `an ESP32`."""
    title = boards.load(board).title
    return f"{'an' if title[0] in 'AEIOU' else 'a'} {title}"


def label(board: str, kind: str, where) -> str:
    if kind in PINS:
        return f"{pin_name(board, where)} {({'pin': 'output'} | dict.fromkeys(('pwm',), 'PWM')).get(kind, kind)}"
    if kind in BUSES:
        return f"{kind.upper()} {where}"
    return f"pixels {pin_name(board, where)}" if kind == "pixels" else f"{kind} {where}".strip()


def steps_of(kind: str, events: list[Event]) -> list[tuple[int, float | None]]:
    """A PWM's level is its duty; a servo's its angle; where several tones sound, their pitch."""
    if kind == "pwm":
        settings = [event.value for event in events if event.value is not None and event.value[1] > 0]
        low, high = (min(f for f, _ in settings), max(f for f, _ in settings)) if settings else (1, 1)
        servo = is_servo(settings)

        def level(frequency: float, duty: float) -> float:
            if servo:
                return max(0.0, min(1.0, angle(frequency, duty) / 180))
            return 0.15 + 0.85 * log(frequency / low) / log(high / low) if high > low else duty

        return [
            (event.time, level(*event.value) if event.value is not None and event.value[1] > 0 else 0.0)
            for event in events
        ]
    return [(event.time, event.value) for event in events] if kind in PINS else []


def place(kind: str, where) -> tuple:
    """What a row is sorted by: pins by their number, then the rest."""
    rank = ORDER.index(kind) if kind in ORDER else len(ORDER)
    return (
        (0, isinstance(where, str), where if isinstance(where, int) else 0, rank)
        if kind in PINS
        else (1, rank, kind, str(where))
    )


def rows(run: Run) -> list[Row]:
    """One row for each place and kind; what was printed is the last but one, errors the last."""
    grouped: dict[tuple, list[Event]] = {}
    for event in run.log:
        if event.what not in ("print", "picture"):  # a display's text tells its picture
            grouped.setdefault((event.what, event.where), []).append(event)
    found = []
    for kind, where in sorted(grouped, key=lambda key: place(*key)):
        events = settled(grouped[kind, where]) if kind == "pwm" else grouped[kind, where]
        row = Row(label(run.board, kind, where), kind, WORDS.get(kind, of_others)(events), steps_of(kind, events))
        if not row.steps:
            row.ticks, row.texts = [event.time for event in events], [told(kind, event.value) for event in events]
        elif kind == "pwm":
            settings = [(event.time, event.value) for event in events if event.value is not None and event.value[1] > 0]
            row.notes = [
                (time, hertz(now[0]))
                for (_, before), (time, now) in pairwise([(0, (0, 0)), *settings])
                if now[0] != before[0]
            ]
        found.append(row)
    printed = [event for event in run.log if event.what == "print"]
    if printed:
        found.append(
            Row(
                "prints",
                "print",
                of_prints(printed),
                ticks=[event.time for event in printed],
                texts=[event.value for event in printed],
            )
        )
    if run.errors:
        found.append(
            Row(
                "errors",
                "error",
                run.errors[0].kind if len(run.errors) == 1 else count(len(run.errors), "error"),
                ticks=[error.time for error in run.errors],
                texts=[str(error) for error in run.errors],
            )
        )
    return found


def horizon(run: Run) -> int:
    """The last moment worth a look, microseconds: the whole time where the program goes on, else a little after the last thing that happened."""
    last = max([event.time for event in run.log] + [error.time for error in run.errors] + [run.ended or 0], default=0)
    return run.end if run.ended is None and not run.stopped else min(run.end, max(1000, round(last * 1.05)))


def ending(run: Run) -> str:
    """How it ended, as a sentence."""
    if run.stopped:
        return (
            f"It was stopped: {run.stopped}."
            if run.failed
            else f"{run.stopped.capitalize()} after {span(run.log[-1].time)}."
        )
    if run.ended is None:
        return f"It still ran after {run.end / 1e6:g} s, when the look at it ended."
    by_error = run.errors and run.errors[-1].time >= run.ended - AT_START
    return f"It ended after {span(run.ended)}{' with an error' if by_error else ''}."
