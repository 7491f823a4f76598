"""What a licence expression says (SPDX's grammar), and which kind of licence it comes to: categories of the ScanCode licence database, which
the package license-expression brings. It is asked late, since not every command needs it."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal, get_args

from pipeline.core.errors import UserError, suggestion

Category = Literal[
    "Permissive",
    "Public Domain",
    "Copyleft Limited",
    "Copyleft",
    "Source-available",
    "Free Restricted",
    "Proprietary Free",
    "Commercial",
    "Patent License",
    "CLA",
    "Unstated License",
]
CATEGORIES: tuple[str, ...] = get_args(Category)
UNSTATED = "Unstated License"  # also of what is in no list: a LicenseRef- of one's own
USUAL = (
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "PSF-2.0",
    "GPL-3.0-only",
)


@cache
def licensing():
    import license_expression

    return license_expression.get_spdx_licensing()


@cache
def known() -> dict[str, str]:
    """SPDX id -> category."""
    import license_expression

    return {
        key: entry["category"]
        for entry in license_expression.get_license_index()
        for key in (entry["spdx_license_key"], *entry["other_spdx_license_keys"])
        if key
    }


@cache
def parsed(expression: str):
    """Raises UserError for what is no expression of known licences; LicenseRef- names what is known to its author."""
    from license_expression import ExpressionError

    try:
        tree = licensing().parse(expression)
        unknown = [key for key in licensing().unknown_license_keys(tree) if not key.startswith("LicenseRef-")]
    except ExpressionError:
        raise UserError(
            f"{expression!r} is no SPDX licence expression; right are {USUAL[0]}, {USUAL[1]}, or several joined by AND or OR"
        ) from None
    if tree is None or unknown:
        raise UserError(
            f"{unknown[0] if unknown else expression!r} is no SPDX licence identifier"
            f"{suggestion(unknown[0], known()) if unknown else ''}".split("; known:")[0]
        )
    return tree


def fault(expression: str) -> str:
    """What is wrong with an expression; empty when nothing is."""
    try:
        parsed(expression)
    except UserError as error:
        return str(error)
    return ""


def keys(expression: str) -> set[str]:
    """The licences that an expression names."""
    return {symbol.key for symbol in licensing().license_symbols(parsed(expression))}


def joined(expressions: Iterable[str]) -> str:
    """What all of them ask together, each licence named once."""
    return str(parsed(" AND ".join(f"({each})" for each in expressions)).simplify())


def categories(expression: str) -> list[str]:
    return sorted({known().get(key, UNSTATED) for key in keys(expression)})


def of_category(expression: str) -> str:
    """What a licence that does not pass is, in words."""
    return f"of the category {' and '.join(categories(expression))}"


def passes(expression: str, categories: Sequence[str]) -> bool:
    """Whether the categories hold every licence that an expression asks to keep: all of AND, one of OR. An exception (WITH) only loosens."""

    def held(tree) -> bool:
        if tree.isliteral:
            return known().get(getattr(tree, "license_symbol", tree).key, UNSTATED) in categories
        return (any if isinstance(tree, licensing().OR) else all)(map(held, tree.args))

    return held(parsed(expression))
