"""Predicates over other checks, in YAML lists of them: any_of: [{on: {pin: 2}}, {on: {pin: 3}}]."""

from pipeline.board.checks.predicate import Check, holds, predicate
from pipeline.board.run import Run


@predicate()
def all_of(run: Run, *, checks: list[Check]):
    """Each of the checks holds; of use inside any_of."""
    return next((said for check in checks if (said := holds(check, run))), None)


@predicate()
def any_of(run: Run, *, checks: list[Check]):
    """One of the checks holds at least."""
    said = [holds(check, run) for check in checks]
    return None if None in said else " (or) ".join(filter(None, said))


@predicate()
def not_(run: Run, *, checks: list[Check]):
    """None of the checks holds."""
    return next(
        (f"{check.name} {check.given} holds, which it should not" for check in checks if holds(check, run) is None),
        None,
    )
