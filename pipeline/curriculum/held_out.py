"""What the exam keeps to itself (exam/held_out.yaml), or its answers could be learned by heart: values, none of which is ever drawn, and
wordings and compositions, which are thrown away."""

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from pipeline.core.config import read_yaml
from pipeline.core.errors import UserError
from pipeline.core.paths import EXAM

HELD_OUT = EXAM / "held_out.yaml"
DRAWS = 10_000  # after which there is taken to be no value that may be drawn


@dataclass(frozen=True)
class HeldOut:
    """What exam/held_out.yaml lists, each kind in the unit that its name says."""

    pins: dict[str, list[int]]  # of each board
    milliseconds: frozenset
    rates: frozenset  # times a second
    hertz: frozenset
    percents: frozenset
    degrees: frozenset
    counts: frozenset
    centimetres: frozenset
    levels: frozenset  # of an ADC, 0..65535
    volts: frozenset
    colours: frozenset  # (red, green, blue)
    texts: frozenset  # in lower case


@cache
def held_out(path: Path = HELD_OUT) -> HeldOut:
    """Raises UserError for a missing file or broken YAML."""
    v = read_yaml(path)["values"]
    return HeldOut(
        {board: list(pins) for board, pins in v["pins"].items()},
        frozenset(v["milliseconds"]),
        frozenset(v["times_a_second"]),
        frozenset(v["hertz"]),
        frozenset(v["percents"]),
        frozenset(v["degrees"]),
        frozenset(v["counts"]),
        frozenset(v["centimetres"]),
        frozenset(v["adc_u16"]),
        frozenset(v["volts"]),
        frozenset(tuple(colour) for colour in v["colours"]),
        frozenset(text.lower() for text in v["texts"]),
    )


@cache
def wordings(path: Path = HELD_OUT) -> list[re.Pattern]:
    """What no request may match."""
    return [re.compile(each["regex"]) for each in read_yaml(path)["wordings"]]


@cache
def compositions(path: Path = HELD_OUT) -> list[frozenset]:
    """Intents that no pair may join."""
    return [frozenset(each) for each in read_yaml(path)["compositions"]]


def between(
    draw: Callable[[Random], Any], rng: Random, away: Container, key: Callable[[Any], Any] = lambda found: found
) -> Any:
    """The first draw whose `key` is not in `away`. Raises UserError where there seems to be none."""
    for _ in range(DRAWS):
        if key(found := draw(rng)) not in away:
            return found
    raise UserError(f"no value can be drawn but such as must not be, for example {found!r}")
