"""Predicates about I2C, SPI, raw bytes over a UART, and what hangs on the buses: displays and PCA9685 chips."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipeline.board.checks import signals
from pipeline.board.checks.judge import WITHIN, always, during, in_steps, made, misfit, needs_seconds, over_time
from pipeline.board.checks.levels import from_start
from pipeline.board.checks.motion import PULSE, SCALES, NumberSteps
from pipeline.board.checks.predicate import (
    AS_TUPLE,
    Byte,
    Count,
    Lasting,
    OverTime,
    Pin,
    Positive,
    Time,
    Tolerance,
    When,
    each,
    one_of,
    predicate,
    rules,
)
from pipeline.board.checks.signals import Signal, label, noted
from pipeline.board.checks.text import finder, how_often, regular
from pipeline.board.checks.words import around, count, lasting, moment, number, percent, shown
from pipeline.board.run import Run

ANSWER = 0.5  # seconds
REDRAWN = 100_000  # microseconds, in which a display may be cleared and drawn anew: nobody reads what stands shorter


def digits(text):
    """Bytes as hexadecimal digits, such as AA 03 C8."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text!r} must be bytes in hexadecimal digits, such as 'AA 03 C8'") from None


Bytes = Annotated[str, AfterValidator(digits)]


def in_hex(data: bytes) -> str:
    return data[:16].hex(" ").upper() + (" ..." if len(data) > 16 else "")


# --- I2C --------------------------------------------------------------------------------------------------------------


def transfers(run: Run, kind: str, address: int, when: When) -> list[tuple[int, bytes]]:
    start, end = from_start(when, run)
    return [
        (e.time, e.value[2])
        for e in noted(run, "i2c")
        if e.value[0] == kind and e.value[1] == address and start <= e.time <= end
    ]


@predicate(moments=False)
def i2c_wrote(
    run: Run,
    *,
    address: Byte,
    register_: Byte | None = None,
    data: Byte | list[Byte] | None = None,
    times: Count | None = None,
    when: When,
):
    """The chip at the I2C `address` was sent `data` (bytes one after the other), into the `register` where one is given; `times` counts that."""
    wanted = bytes([*([] if register_ is None else [register_]), *([] if data is None else each(data))])
    found = transfers(run, "write", address, when)
    fit = [
        time
        for time, sent in found
        if sent.startswith(wanted) and (data is None or len(sent) == len(wanted) or wanted_in(sent, wanted))
    ]
    return sent_often(
        fit, [sent for _, sent in found], times, f"0x{address:02X} was", in_hex(wanted) if wanted else "something"
    )


def wanted_in(sent: bytes, wanted: bytes) -> bool:
    """A longer transfer that begins so wrote the wanted registers too, and more."""
    return sent[: len(wanted)] == wanted


def sent_often(fit: list, found: list[bytes], often, about: str, wanted: str) -> str | None:
    seen = (
        f"sent {', '.join(in_hex(sent) for sent in found[:4])}{' ...' if len(found) > 4 else ''}"
        if found
        else "sent nothing"
    )
    if often is None:
        return None if fit else f"{about} {seen}, {wanted} was expected"
    return (
        None
        if count(often).holds(len(fit))
        else f"{about} sent {wanted} {how_often(len(fit))}, {count(often).text} was expected"
    )


@predicate(moments=False)
def i2c_read(run: Run, *, address: Byte, register_: Byte | None = None, when: When):
    """Something was read from the chip at the I2C `address`, from the `register` where one is given."""
    start, end = from_start(when, run)
    last = None
    for event in noted(run, "i2c"):
        kind, whom, data = event.value
        if (
            whom == address
            and kind == "read"
            and start <= event.time <= end
            and (register_ is None or last == bytes([register_]))
        ):
            return None
        if whom == address and kind == "write":
            last = data
    return f"nothing was read from 0x{address:02X}{'' if register_ is None else f', register 0x{register_:02X}'}"


@predicate(moments=False)
def i2c_scanned(run: Run, *, bus: int | str | None = None, when: When):
    """The program looked which addresses answer on the bus."""
    start, end = from_start(when, run)
    return (
        None
        if any(e.value[0] == "scan" and start <= e.time <= end for e in noted(run, "i2c", bus))
        else "no I2C bus was scanned"
    )


# --- SPI and UART -----------------------------------------------------------------------------------------------------


def joined(run: Run, what: str, kind: str, where: Any, when: When) -> list[tuple[int, int]]:
    """(time, byte) of all that was sent."""
    start, end = from_start(when, run)
    return [
        (e.time, byte)
        for e in noted(run, what, where)
        if e.value[0] == kind and start <= e.time <= end
        for byte in e.value[1]
    ]


def occurrences(sent: list[tuple[int, int]], wanted: bytes) -> list[tuple[int, int]]:
    """(when it began, when it ended) of each time that the bytes were sent."""
    data, found, place = bytes(byte for _, byte in sent), [], 0
    while wanted and (place := data.find(wanted, place)) >= 0:
        found.append((sent[place][0], sent[place + len(wanted) - 1][0]))
        place += len(wanted)
    return found


@predicate(rules=one_of("data", "text"))
def uart_sent(
    run: Run,
    *,
    data: Bytes | None = None,
    text: str | None = None,
    uart: int | None = None,
    times: Count | None = None,
    only: bool = False,
    within: Time = ANSWER,
    when: When,
):
    """The `data` (hexadecimal digits) or `text` was sent over a UART, in one piece or in several; at a time: within `within` seconds.

    `times` counts, `only` allows nothing else. For lines of text see prints, with `uart`.
    """
    wanted = each(data)[0] if data is not None else (text or "").encode()  # as Bytes are read
    sent = joined(run, "uart", "sent", uart, when._replace(moments=()))
    told = in_hex(wanted) if data is not None or text is None else shown(text)
    found = occurrences(sent, wanted)
    for at in when.moments:
        if not any(at * 1e6 - 20_000 <= start and end <= (at + within) * 1e6 for start, end in found):
            return (
                f"{told} was not sent from {moment(at * 1e6)} to {moment((at + within) * 1e6)}, but {sent_told(sent)}"
            )
    if times is not None and not count(times).holds(len(found)):
        return f"{told} was sent {how_often(len(found))}, {count(times).text} was expected"
    if times is None and not found:
        return f"{told} was not sent, but {sent_told(sent)}"
    other = only and len(sent) != len(found) * len(wanted)
    return f"{sent_told(sent)} was sent, nothing but {told} was expected" if other else None


def sent_told(sent: list[tuple[int, int]]) -> str:
    data = bytes(byte for _, byte in sent)
    return (
        (shown(data.decode()) if data.isascii() and data.decode().isprintable() else in_hex(data))
        if data
        else "nothing"
    )


@predicate(moments=False)
def spi_sent(
    run: Run,
    *,
    data: Bytes | list[Bytes],
    spi: int | str | None = None,
    times: Count | None = None,
    every: Lasting | None = None,
    select: Pin | None = None,
    latch: Pin | None = None,
    repeats: bool = False,
    tolerance: Tolerance = 0.1,
    when: When,
):
    """The `data` (hexadecimal digits) was sent over SPI; several data one after the other and nothing else, `every` so many seconds.

    The pin `select` is low all the while, and `latch` rises after each; `times` counts one data, several may go on from the first (`repeats`).
    """
    sent, parts = joined(run, "spi", "write", spi, when), each(data)
    if isinstance(data, list):
        found, place = [], 0
        while place < len(sent) and (len(found) < len(parts) or repeats):
            part = parts[len(found) % len(parts)]
            have = sent[place : place + len(part)]
            if bytes(byte for _, byte in have) != part:
                return (
                    f"SPI sent {in_hex(bytes(b for _, b in have))} at {moment(have[0][0])}, {in_hex(part)} was expected"
                )
            found.append((have[0][0], have[-1][0]))
            place += len(part)
        if len(found) < len(parts) or place < len(sent):
            return f"SPI sent {len(found)} of {len(parts)} data{' and more' if place < len(sent) else ''}"
    else:
        found = occurrences(sent, parts[0])
        if not found or (times is not None and not count(times).holds(len(found))):
            return (
                f"SPI sent {in_hex(parts[0])} {how_often(len(found))}{'' if found else f', but {sent_told(sent)}'}"
                + (f"; {count(times).text} was expected" if times is not None else "")
            )
    if every is not None and (
        said := regular([start for start, _ in found], lasting(every, tolerance), when.window(run)[1], "SPI data")
    ):
        return said
    for number_of, (start, end) in enumerate(found):
        if select and any(span.value for span in signals.lit(run, select).within(start, end)):
            return f"{label(run, select)} was not low while SPI sent data at {moment(start)}"
        until = found[number_of + 1][0] if number_of + 1 < len(found) else run.end
        if latch and not any(span.value and end <= span.start <= until for span in signals.lit(run, latch).spans):
            return f"{label(run, latch)} did not rise after the SPI data at {moment(start)}"
    return None


# --- displays ---------------------------------------------------------------------------------------------------------

Shown = str | list[str]
ShownStep = Annotated[tuple[Shown] | tuple[Shown, Lasting], AS_TUPLE]


def seen(display: Signal) -> Signal:
    """Without what stood too short to be seen; the first stays, so that what follows begins when it did."""
    first, *others = display.spans
    return Signal([first, *signals.settled(others, REDRAWN)])


def rows_of(run: Run, name: str | None) -> Signal:
    """The rows of text on a display; nothing before it showed something."""
    written = noted(run, "display", name)
    return seen(signals.steps([(event.time, tuple(event.value)) for event in written], (), run.end))


def has(rows: tuple, wanted: Shown, only: bool, case: bool = False) -> bool:
    """Whether the texts stand in the rows, each in its own and in their order; only they, where that is asked."""
    filled = [row for row in rows if row.strip()]
    texts = [text for text in each(wanted) if text]
    if only and len(filled) != len(texts):
        return False
    if only:
        return all(
            " ".join(row.split()).lower() == " ".join(text.split()).lower()
            for row, text in zip(filled, texts, strict=True)
        )
    place = 0
    for text in texts:
        find = finder(text, case)
        place = next((n + 1 for n, row in enumerate(filled) if n >= place and find(row, 0)), None)
        if place is None:
            return False
    return bool(texts) or not filled


def rows_told(rows: tuple) -> str:
    return " / ".join(row.strip() for row in rows if row.strip()) or "nothing"


@predicate(rules=rules(one_of("text", "steps"), needs_seconds))
def display_shows(
    run: Run,
    *,
    text: Shown | list[Annotated[tuple[Time, Shown], AS_TUPLE]] | None = None,
    steps: Annotated[list[ShownStep], Field(min_length=1)] | None = None,
    repeats: bool = False,
    only: bool = False,
    within: Time = ANSWER,
    display: str | None = None,
    when: When,
):
    """The display shows the `text` (several: in their order, each in a row of its own), or [time, text] steps held `within` seconds after each;
    or goes through `steps` of [text, seconds] in turn. "" is blank, `only` allows nothing else.
    """
    signal, about = rows_of(run, display), "the display"
    if steps:
        found = made(steps, lambda wanted: shown(", ".join(each(wanted))), lambda rows, wanted: has(rows, wanted, True))
        return in_steps(
            signal, from_start(when, run), found, repeats, about, lambda rows: shown(rows_told(rows)), within=within
        )
    for start, end, wanted in over_time(run, when, text, within):
        bad = misfit(signal, [(start, end)], lambda rows, wanted=wanted: has(rows, wanted, only))
        if bad:
            return f"the display showed {shown(rows_told(bad.value))} {during(bad)}, {shown(', '.join(each(wanted)) or 'nothing')} was expected"
    return None


# --- PCA9685 ----------------------------------------------------------------------------------------------------------


@predicate(rules=rules(one_of("angle", "pulse", "duty", "steps"), needs_seconds))
def pca9685(
    run: Run,
    *,
    channel: Annotated[int, Field(ge=0, le=15)],
    angle: OverTime | None = None,
    pulse: OverTime | None = None,
    duty: OverTime | None = None,
    steps: NumberSteps | None = None,
    repeats: bool = False,
    frequency: float | None = None,
    within: Time = WITHIN,
    tolerance: Positive | None = None,
    when: When,
):
    """A channel of a PCA9685 gives a servo its `angle`, or a `pulse` in ms, or has a `duty`, 0..1, or [time, value] steps of it; or goes through
    `steps` of [ms, seconds] in turn. `frequency` in hertz is asked for besides, give or take 3 %.
    """
    about = f"channel {channel}"
    changes = [(e.time, e.value[1:]) for e in noted(run, "device", "pca9685") if e.value[0] == channel]
    signal = signals.steps(changes, (0.0, 0.0), run.end)
    if frequency is not None:
        said = always(
            signal.map(lambda out: out[0]),
            [(signal.spans[-1].start, run.end)],
            lambda f: abs(f - frequency) <= 0.03 * frequency,
            about,
            lambda f: f"at {number(f)} Hz",
            f"{number(frequency)} Hz",
        )
        if said:
            return said
    if duty is not None:
        return channel_stands(
            run,
            when,
            signal.map(lambda out: out[1]),
            duty,
            within,
            about,
            lambda d: f"at {percent(d)}",
            lambda wanted: around(wanted, tolerance or 0.02, " %", 100),
        )
    width = signal.map(lambda out: 1_000 * out[1] / out[0] if out[0] else 0.0)
    off_by = tolerance or PULSE

    def told(value):
        return f"at {number(value)} ms"

    if steps:
        found = made(steps, lambda wanted: f"{number(wanted)} ms", lambda value, wanted: abs(value - wanted) <= off_by)
        return in_steps(width, from_start(when, run), found, repeats, about, told)
    if pulse is not None:
        return channel_stands(
            run, when, width, pulse, within, about, told, lambda wanted: around(wanted, off_by, " ms")
        )
    said = [
        channel_stands(
            run,
            when,
            width,
            angle,
            within,
            about,
            told,
            lambda wanted, low=low, high=high: around(low + (high - low) * wanted / 180, off_by, " ms"),
        )
        for low, high in SCALES
    ]
    return None if None in said else said[0]


def channel_stands(run, when, signal, wanted, within, about, told, bounds) -> str | None:
    for start, end, value in over_time(run, when, wanted, within):
        r = bounds(value)
        if said := always(signal, [(start, end)], r.holds, about, told, r.text):
            return said
    return None
