"""What a slot of a task may be: times, counts, percents, colours, texts. Each is drawn with the way it is said and the way it stands in the
program, so that a program's numbers are those of the request and nothing is left to compute: a small model can copy, and cannot divide.

Each kind is a function of a Random and the arguments that a task gives; none draws what the exam keeps to itself (held_out.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pipeline.core.errors import UserError, suggestion
from pipeline.curriculum.held_out import between, held_out
from pipeline.curriculum.surface import END, MARK

SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TENS = {
    15: "fifteen",
    20: "twenty",
    30: "thirty",
    40: "forty",
    50: "fifty",
    60: "sixty",
    70: "seventy",
    80: "eighty",
    90: "ninety",
}
SPELLED = 0.1  # share of the numbers with a unit that are words: twenty centimetres
FRACTIONS = {  # milliseconds, as people say them
    100: ["a tenth of a second", "one tenth of a second"],
    200: ["a fifth of a second"],
    250: ["a quarter of a second", "a quarter second", "a fourth of a second"],
    500: ["half a second", "half a sec", "0.5 of a second", "one half second"],
    750: ["three quarters of a second"],
    1000: ["a second", "one second", "a full second"],
    1500: ["one and a half seconds", "a second and a half"],
    2500: ["two and a half seconds"],
    30_000: ["half a minute"],
    60_000: ["a minute", "one minute"],
    120_000: ["two minutes"],
}
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "orange": (255, 128, 0),
    "purple": (128, 0, 128),
    "white": (255, 255, 255),
    "cyan": (0, 255, 255),
    "pink": (255, 0, 128),
    "magenta": (255, 0, 255),
}


@dataclass(frozen=True)
class Value:
    """One drawn value: how the request says it, how a program has it, and what a check computes with."""

    said: str
    code: str
    value: Any
    sleep: str = ""  # of a time: the statement that waits for it
    more: dict = field(default_factory=dict)

    def __str__(self) -> str:
        return self.code

    def __getattr__(self, key: str):
        """What a kind tells beyond that: a percent's `number`, a rate's `half`."""
        more = self.__dict__.get("more", {})
        if key not in more:
            raise AttributeError(f"a value said {self.__dict__.get('said')!r} has no {key!r}")
        return more[key]

    @property
    def ms(self) -> str:
        """Of a time: its milliseconds for a program, with the number of the request."""
        return self.sleep[len("time.sleep_ms(") : -1] if "sleep_ms" in self.sleep else f"{self.code} * 1000"

    def part(self, of: int | str) -> "Value":
        """Of a time: one of so many equal parts of it, `2 / 100` or `750 / 1000 / 100`."""
        return Value("", f"{self.seconds} / {of}", 0, f"time.sleep({self.seconds} / {of})")

    @property
    def seconds(self) -> str:
        """Of a time: its seconds for a program, with the number of the request."""
        return f"{self.ms} / 1000" if "sleep_ms" in self.sleep else self.code

    def fold(self, n: int) -> "Value":
        """Of a time: n times as long, `200 * 3`."""
        return Value("", f"{self.code} * {n}", self.value * n, f"{self.sleep[:-1]} * {n})")

    @property
    def whole_ms(self) -> str:
        """The same where a whole number must stand, as in `Timer(period=...)`."""
        return f"int({self.ms})" if "." in self.ms else self.ms


def spelled(rng: Random, n: int, *units: str) -> list[str]:
    """What a number with a unit is in words, seldom; nothing else. Few numbers have short words."""
    word = SMALL[n] if 0 <= n < len(SMALL) else TENS.get(n)
    return [f"{word} {unit}" for unit in units] if word and rng.random() < SPELLED else []


def plain(number: float) -> str:
    """As people write it: 2, 0.25, 1.5."""
    return f"{number:.4f}".rstrip("0").rstrip(".") if number != int(number) else str(int(number))


# --- the kinds --------------------------------------------------------------------------------------------------------

ROUND = [  # milliseconds, none twice, so that all sorts of times are drawn
    10,
    20,
    30,
    40,
    50,
    60,
    75,
    80,
    90,
    100,
    120,
    125,
    130,
    140,
    150,
    170,
    175,
    180,
    190,
    200,
    210,
    220,
    225,
    230,
    240,
    250,
    260,
    270,
    275,
    280,
    290,
    300,
    310,
    320,
    330,
    340,
    360,
    370,
    375,
    380,
    390,
    400,
    410,
    420,
    425,
    430,
    440,
    460,
    470,
    475,
    480,
    490,
    500,
    525,
    550,
    575,
    600,
    625,
    640,
    660,
    670,
    680,
    700,
    720,
    725,
    740,
    750,
    775,
    780,
    800,
    820,
    825,
    875,
    900,
    925,
    950,
    980,
    1000,
    1200,
    1250,
    1400,
    1500,
    1600,
    1750,
    1800,
    1900,
    2000,
    2100,
    2250,
    2300,
    2400,
    2500,
    2600,
    2700,
    2750,
    2800,
    3000,
    3200,
    3500,
    4000,
    4500,
    5000,
    6000,
    7000,
    8000,
    9000,
    10_000,
    12_000,
    15_000,
    20_000,
    25_000,
    30_000,
    45_000,
    60_000,
    90_000,
    120_000,
]
COMMON = [  # milliseconds, as often as people ask for them
    50,
    100,
    100,
    150,
    200,
    200,
    250,
    250,
    300,
    400,
    500,
    500,
    500,
    500,
    600,
    700,
    750,
    800,
    1000,
    1000,
    1000,
    1000,
    1500,
    2000,
    2000,
    2000,
    2500,
    3000,
    3000,
    4000,
    5000,
    5000,
    6000,
    8000,
    10_000,
    15_000,
    20_000,
    30_000,
    60_000,
]
COMMONLY = 0.45  # share of times that are common ones


def time(rng: Random, low: float, high: float) -> Value:
    """Seconds between `low` and `high`, in any unit that people use. Raises UserError where no round time is between them."""
    away = held_out().milliseconds
    fits = [
        ms
        for ms in (COMMON if rng.random() < COMMONLY else ROUND)
        if low * 1000 <= ms <= high * 1000 and ms not in away
    ]
    fits = fits or [ms for ms in ROUND if low * 1000 <= ms <= high * 1000 and ms not in away]
    if not fits:
        raise UserError(f"time: no round number of milliseconds from {low} to {high} s")
    return say_time(rng, rng.choice(fits))


def say_time(rng: Random, ms: int) -> Value:
    """The program waits in the unit of the request: 200 ms by sleep_ms(200), a fifth of a second by sleep(0.2)."""
    seconds = plain(ms / 1000)
    if ms in FRACTIONS and rng.random() < 0.35:
        return Value(rng.choice(FRACTIONS[ms]), seconds, ms / 1000, f"time.sleep({seconds})")
    if (ms < 1000 and rng.random() < 0.6) or (ms % 1000 and rng.random() < 0.4):
        said = rng.choice(
            [
                f"{ms} ms",
                f"{ms} ms",
                f"{ms}ms",
                f"{ms} milliseconds",
                f"{ms} milliseconds",
                f"{ms} msec",
                f"{ms} millis",
                f"{ms}msec",
            ]
        )
        return Value(said, seconds, ms / 1000, f"time.sleep_ms({ms})")
    if ms % 60_000 == 0 and rng.random() < 0.6:
        minutes = ms // 60_000
        return Value(f"{minutes} minutes" if minutes > 1 else "1 minute", seconds, ms / 1000, f"time.sleep({seconds})")
    if ms % 1000 == 0 and ms // 1000 < len(SMALL) and rng.random() < 0.4:
        said = f"{SMALL[ms // 1000]} second{'s' if ms > 1000 else ''}"
    elif ms % 1000 == 0 and ms // 1000 in TENS and rng.random() < 0.4:
        said = f"{TENS[ms // 1000]} seconds"
    else:
        said = seconds + rng.choice(
            [" seconds", " seconds", " s", "s", " sec", " secs", "sec"]
            if ms != 1000
            else [" second", " s", "s", " sec"]
        )
    return Value(said, seconds, ms / 1000, f"time.sleep({seconds})")


def rate(rng: Random, low: int, high: int) -> Value:
    """So many times a second. Its code is the time of one round, `1 / 3`: the number is the request's."""
    times = between(lambda r: r.randint(low, high), rng, held_out().rates)
    word = {1: "once", 2: "twice"}.get(times, f"{SMALL[times]} times" if times < len(SMALL) else f"{times} times")
    said = [
        f"{word} a second",
        f"{word} per second",
        f"{word} every second",
        f"{times} times a second",
        f"{times} times per second",
        f"{times}x per second",
        f"{times} times each second",
        f"{times}x a second",
        f"at {times} Hz",
        f"at {times}Hz",
        f"with {times} hertz",
        f"at a rate of {times} Hz",
    ]
    return Value(
        rng.choice(said),
        f"1 / {times}",
        1 / times,
        f"time.sleep(1 / {times})",
        {"half": f"time.sleep(1 / {times} / 2)", "times": times},
    )


def count(rng: Random, low: int, high: int) -> Value:
    """How many: 5, five."""
    n = between(lambda r: r.randint(low, high), rng, held_out().counts)
    said = SMALL[n] if n < len(SMALL) and rng.random() < 0.5 else str(n)
    return Value(said, str(n), n)


def times(rng: Random, low: int, high: int) -> Value:
    """How often: twice, 3 times, five times, 4x."""
    n = between(lambda r: r.randint(low, high), rng, held_out().counts)
    word = SMALL[n] if n < len(SMALL) else str(n)
    options = {1: ["once", "one time"], 2: ["twice", "two times", "2 times", "2x"]}
    return Value(
        rng.choice(options.get(n, [f"{n} times", f"{n} times", f"{word} times", f"{n}x", f"{n} x"])), str(n), n
    )


def roundish(low: int, high: int, *steps: int) -> Callable[[Random], int]:
    """Draws any whole number from `low` to `high`, or a multiple of one of `steps`, each as often."""
    return lambda rng: rng.choice(
        [
            rng.randrange(low, high + 1),
            *(rng.randrange((low + step - 1) // step, high // step + 1) * step for step in steps),
        ]
    )


def percent(rng: Random, low: int, high: int) -> Value:
    """Its value is a share, 0..1; its code and `number` are the number."""
    n = between(roundish(low, high, 5), rng, held_out().percents)
    said = rng.choice(
        spelled(rng, n, "percent", "per cent") or [f"{n}%", f"{n}%", f"{n} %", f"{n} percent", f"{n} per cent"]
    )
    if n == 50 and rng.random() < 0.3:
        said = rng.choice(["half", "a half"])
    return Value(said, str(n), n / 100, more={"number": n})


def hertz(rng: Random, low: int, high: int) -> Value:
    """A frequency, often a round one."""
    n = between(roundish(low, high, 10, 50), rng, held_out().hertz)
    khz = [f"{n // 1000} kHz", f"{n // 1000}kHz"] if n % 1000 == 0 and n >= 1000 else []
    said = rng.choice([f"{n} Hz", f"{n} Hz", f"{n}Hz", f"{n} hertz", *khz])
    return Value(said, str(n), n)


def degrees(rng: Random, low: int, high: int) -> Value:
    """An angle, often one that 5 divides."""
    n = between(roundish(low, high, 5), rng, held_out().degrees)
    said = spelled(rng, n, "degrees") or [f"{n} degrees", f"{n} degrees", f"{n}°", f"{n} deg", f"{n}"]
    return Value(rng.choice(said), str(n), n)


def centimetres(rng: Random, low: int, high: int) -> Value:
    """A distance, often one that 5 divides."""
    n = between(roundish(low, high, 5), rng, held_out().centimetres)
    said = spelled(rng, n, "centimetres", "centimeters", "cm")
    return Value(
        rng.choice(said or [f"{n} cm", f"{n} cm", f"{n}cm", f"{n} centimetres", f"{n} centimeters"]), str(n), n
    )


def number(rng: Random, low: float, high: float) -> Value:
    """A bare number: a threshold, a setting."""
    away = held_out()
    n = between(
        lambda r: r.choice(
            [
                r.randrange(int(low), int(high) + 1),
                round(r.randrange(int(low), int(high) + 1), -1 if high < 1000 else -3),
            ]
        ),
        rng,
        away.levels | away.counts,
    )
    n = min(max(n, int(low)), int(high))
    return Value(str(n), str(n), n)


def volts(rng: Random, low: float, high: float) -> Value:
    """A voltage, in tenths."""
    n = between(lambda r: r.randrange(int(low * 10), int(high * 10) + 1) / 10, rng, held_out().volts)
    return Value(rng.choice([f"{plain(n)} V", f"{plain(n)}V", f"{plain(n)} volts"]), plain(n), n)


def celsius(rng: Random, low: int, high: int) -> Value:
    """A temperature; the exam keeps none to itself."""
    n = rng.randrange(low, high + 1)
    said = spelled(rng, n, "degrees", "degrees Celsius")
    return Value(rng.choice(said or [f"{n} degrees", f"{n} °C", f"{n}°C", f"{n} C", f"{n} degrees Celsius"]), str(n), n)


def colour(rng: Random) -> Value:
    """A name, or three numbers."""
    if rng.random() < 0.6:
        name = rng.choice(list(COLOURS))
        return Value(name, str(COLOURS[name]), list(COLOURS[name]))
    rgb = between(
        lambda r: tuple(r.choice([0, 0, r.randrange(0, 256), r.randrange(0, 26) * 10]) for _ in range(3)),
        rng,
        held_out().colours,
    )
    if not any(rgb):
        rgb = (rng.randrange(20, 256), 0, rng.randrange(20, 256))
    said = rng.choice(
        ["({}, {}, {})", "({}, {}, {})", "({},{},{})", "rgb({}, {}, {})", "RGB {}, {}, {}", "rgb {} {} {}"]
    ).format(*rgb)
    return Value(said, str(rgb), list(rgb))


def text(rng: Random, words: list[str], low: int, high: int, longest: int = 99) -> Value:
    """So many words, a few more where phrases are among them, in quotes or, if they are letters alone, without; of `longest` characters at most,
    as a line of a display has them."""

    def draw(r: Random) -> str:
        while len(found := phrase(r)) > longest:
            pass
        return found

    def phrase(r: Random) -> str:
        least, chosen = r.randint(low, high), r.choice(words)
        while chosen.count(" ") < least - 1:
            chosen += f" {r.choice(words)}"
        chosen = r.choice([chosen, chosen, chosen.capitalize(), chosen.upper(), chosen.title()])
        return chosen + r.choice(["!", "!", f" {r.randrange(10, 100)}", ".", "..."]) if r.random() < 0.15 else chosen

    chosen = between(draw, rng, held_out().texts, lambda text: text.lower().strip("!. "))
    quoted = [f'"{chosen}"', f'"{chosen}"', f"'{chosen}'"]
    bare = (
        [f"{MARK}{chosen}{END}"] if chosen.replace(" ", "").isalpha() else []
    )  # marked, so that nobody changes its case (surface.spoil)
    return Value(rng.choice(quoted + bare), f'"{chosen}"', chosen, more={"quoted": f'"{chosen}"'})


def numbers(rng: Random, least: int, most: int, low: int, high: int) -> Value:
    """A list of so many whole numbers."""
    found = [rng.randint(low, high) for _ in range(rng.randint(least, most))]
    listed = ", ".join(map(str, found))
    spoken = ", ".join(map(str, found[:-1])) + f" and {found[-1]}"
    said = [f"[{listed}]", f"[{listed}]", listed, listed, spoken, " ".join(map(str, found)), f"({listed})"]
    return Value(rng.choice(said), f"[{listed}]", found, more={"digits": "".join(map(str, found))})


def choice(rng: Random, *options: str) -> Value:
    """One of some words, said as it is coded."""
    found = rng.choice(options)
    return Value(
        f"{MARK}{found}{END}", found, found
    )  # marked, so that nobody changes its case or spelling (surface.spoil)


def several(rng: Random, name: str, arguments: list, low: int, high: int) -> Value:
    """A list of so many values of another kind, no two in a row the same: "30, 90 and 150 degrees"."""
    found: list[Value] = []
    wanted = rng.randint(low, high)
    for _ in range(wanted):
        found.append(
            between(lambda r: kind(name)(r, *arguments), rng, [one.value for one in found[-1:]], lambda one: one.value)
        )
    said = [one.said for one in found]
    if unit := re.fullmatch(r"[\d.]+(\s?\D+)", said[-1]):  # the same for all, or once at the end
        each = unit[1] if rng.random() < 0.35 else ""
        if said[-1].startswith(found[-1].code):
            said = [*(one.code + each for one in found[:-1]), found[-1].code + unit[1]]
    elif all(one.code[:1].isdigit() for one in found):
        said = [one.code for one in found]
    both = rng.choice([" and ", " and ", ", ", " and then ", ", then ", ", and "]) if wanted > 1 else ""
    return Value(
        ", ".join(said[:-1]) + both + said[-1],
        ", ".join(one.code for one in found),
        [one.value for one in found],
        more={"n": wanted, "strings": ", ".join(f'"{one.code}"' for one in found)},
    )


CODES = [
    ".-",
    "-...",
    "-.-.",
    "-..",
    ".",
    "..-.",
    "--.",
    "....",
    "..",
    ".---",
    "-.-",
    ".-..",
    "--",
    "-.",
    "---",
    ".--.",
    "--.-",
    ".-.",
    "...",
    "-",
    "..-",
    "...-",
    ".--",
    "-..-",
    "-.--",
    "--..",
]
MORSE = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", CODES, strict=True))
CALLS = [
    "HI",
    "OK",
    "NO",
    "YES",
    "UP",
    "GO",
    "SOS",
    "HEY",
    "CQ",
    "PI",
    "AI",
    "ON",
    "OFF",
    "HELP",
    "LED",
    "CAT",
    "DOG",
    "BYE",
    "LOVE",
    "TEST",
    "PICO",
    "MOM",
    "DAD",
    "RED",
]


def morse(rng: Random, low: int, high: int) -> Value:
    """So many letters, as a Morse code. Its value is how long it is on, off, on ... in units, with three after each letter but the last."""
    words = [word for word in CALLS if low <= len(word) <= high]
    letters = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(low, high)))
    if words and rng.random() < 0.35:
        letters = rng.choice(words)
    signs = " ".join(MORSE[letter] for letter in letters)
    units = [
        part
        for sign, after in zip(signs, signs[1:] + "|", strict=True)
        if sign != " "
        for part in (1 if sign == "." else 3, 3 if after == " " else 1)
    ]
    said = rng.choice([letters, f'"{letters}"', f"'{letters}'"])
    return Value(f"{MARK}{said}{END}", f'"{signs}"', units)


KINDS: dict[str, Callable[..., Value]] = {
    "time": time,
    "rate": rate,
    "count": count,
    "times": times,
    "percent": percent,
    "hertz": hertz,
    "degrees": degrees,
    "centimetres": centimetres,
    "number": number,
    "volts": volts,
    "celsius": celsius,
    "colour": colour,
    "choice": choice,
    "several": several,
    "numbers": numbers,
    "morse": morse,
}


def kind(name: str) -> Callable:
    """Raises UserError for an unknown kind of value."""
    if name not in KINDS:
        raise UserError(f"{name!r}: no kind of value{suggestion(name, KINDS)}")
    return KINDS[name]
