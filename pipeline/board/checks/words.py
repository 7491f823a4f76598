"""How checks speak of what they saw and what they expected: times, amounts and the ranges around them."""

from typing import NamedTuple

Amount = float | list[float]  # what is wanted, give or take a tolerance; or [lowest, highest]
JITTER = 20_000  # microseconds: a loop that polls every 10 ms is late by so much, and nobody sees it


class Range(NamedTuple):
    low: float
    high: float
    text: str

    def holds(self, value: float) -> bool:
        return self.low - 1e-9 <= value <= self.high + 1e-9


def number(value: float) -> str:
    """Three digits that count, and no fewer than the whole number has."""
    return f"{value:.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def seconds(time: float) -> str:
    """Microseconds in the unit that suits: 2.5 s, 0.05 s, 1.5 ms."""
    return f"{number(time / 1_000)} ms" if 0 < abs(time) < 10_000 else f"{number(time / 1_000_000)} s"


def moment(time: float) -> str:
    """A point in time, to the hundredth of a second."""
    return f"{time / 1_000_000:.2f} s"


def percent(share: float) -> str:
    return f"{round(share * 100, 1):g} %"


def lasting(amount: Amount, tolerance: float, least: float = JITTER) -> Range:
    """The range in microseconds of a time wanted in seconds: give or take the share `tolerance` of it, and `least` microseconds at least."""
    if isinstance(amount, list):
        return Range(amount[0] * 1e6, amount[1] * 1e6, f"{number(amount[0])} to {number(amount[1])} s")
    time = amount * 1e6
    slack = max(time * tolerance, least)
    return Range(time - slack, time + slack, f"{seconds(time)} ± {seconds(slack)}")


def around(amount: Amount, slack: float, unit: str = "", scale: float = 1) -> Range:
    """The range of any other amount, give or take `slack`; told in `unit`, of which there are `scale` in one."""
    low, high = amount if isinstance(amount, list) else (amount - slack, amount + slack)
    told = (
        f"{number(amount * scale)}{unit}{f' ± {number(slack * scale)}{unit}' if slack else ''}"
        if not isinstance(amount, list)
        else f"{number(low * scale)}{unit}"
        if low == high
        else f"{number(low * scale)} to {number(high * scale)}{unit}"
    )
    return Range(low, high, told)


def count(amount: int | list[int]) -> Range:
    low, high = amount if isinstance(amount, list) else (amount, amount)
    return Range(low, high, str(low) if low == high else f"{low} to {high}")


def several(parts: list[str]) -> str:
    """`a, b and c`; `nothing` for none."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "nothing"


def times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def shown(text: str, most: int = 80) -> str:
    """What was printed, in quotes and not too long."""
    return repr(text if len(text) <= most else text[:most] + "...")
