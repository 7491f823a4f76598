"""Checks: what a run of a program must have done, said in YAML or in Python, and judged with a sentence where it did not.

    - blinks: {pin: 15, on: 0.5, off: 0.5}          checks.blinks(run, pin=15, on=0.5, off=0.5)
    - prints: {text: done, from: 3}

Times are seconds, angles degrees, shares 0..1, pins as people write them. Where a value may be given over time it is a number or a list of
[time, value], as in inputs; `steps` are [what, seconds] one after the other. Tolerances are what a human would accept.

signals.py turns the log into step functions, judge.py holds what predicates share, predicate.py is how a signature becomes a schema; the other
modules are the predicates, by theme.
"""

from pipeline.board.checks import buses, levels, light, logic, motion, neopixels, net, pictures, sound, state, text  # noqa: F401  with predicates
from pipeline.board.checks.predicate import PREDICATES, Check, Predicate, Result, holds, parse, pins_of, vocabulary
from pipeline.board.checks.state import runs
from pipeline.board.run import Run

__all__ = ["Check", "Result", "apply", "parse", "pins_of", "vocabulary"]


def __getattr__(name: str) -> Predicate:
    """`checks.blinks` is the predicate; `not` is `not_`, as Python keeps the word for itself."""
    if name.rstrip("_") in PREDICATES:
        return PREDICATES[name.rstrip("_")]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def apply(checks: list[Check], run: Run) -> list[Result]:
    """What each check says of a run. First stands "runs": no error that nobody expects, not stopped, nothing that the simulation lacks."""
    wrong = runs(run, [check.arguments for check in checks if check.name == "fails"])
    said = [("runs", {}, wrong), *((check.name, check.given, holds(check, run)) for check in checks)]
    return [Result(name, given, fault is None, fault) for name, given, fault in said]
