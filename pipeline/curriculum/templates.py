"""The code of tasks/ is Jinja; checks and inputs are Jinja that becomes YAML. All of it is compiled and read here, in one manner.

A name that a template does not know is an error, never an empty text: a program with a hole in it would run, and be taught. The same few
templates are rendered for tens of thousands of pairs, so each is compiled once and kept.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, Template

from pipeline.core.errors import UserError
from pipeline.curriculum.values import plain

GRACE = 0.05  # seconds around each edge that a check does not look at
SHARE = 0.15  # nor at more than this share of a short time, at each of its ends


class Loader(yaml.CSafeLoader):
    """YAML as the rest of the project reads it: `on` and `off` are words. In C, since it is read for every pair."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if tag != "tag:yaml.org,2002:bool"]
    for first, each in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def window(start: float, end: float) -> str:
    """`from: .., to: ..` for a check of the seconds from `start` to `end`, a little inside of its edges."""
    margin = min(GRACE, SHARE * (end - start))
    return f"from: {start + margin:.4f}, to: {end - margin:.4f}"


@cache
def environment() -> Environment:
    """Jinja with the functions that a task may use."""
    made = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False)
    functions: dict[str, Any] = {"window": window, "plain": plain}
    functions |= {function.__name__: function for function in (range, enumerate, round, int, max, min, len)}
    made.globals.update(functions)
    return made


@cache
def template(text: str) -> Template:
    """Raises jinja2.TemplateSyntaxError."""
    return environment().from_string(text)


@cache
def expression(text: str) -> Callable[..., Any]:
    """Raises jinja2.TemplateSyntaxError."""
    return environment().compile_expression(text)


def render(text: str, /, **given) -> str:
    """The template with what is given. Raises jinja2.TemplateError for a fault in the template or a name that it does not know, and UserError
    for what cannot be computed."""
    if not text:  # most skills have no helpers, and many no setup
        return ""
    try:
        return template(text).render(given)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UserError(f"{text.strip()[:60]!r}: {error}") from None


def read(text: str) -> list:
    """The entries of a YAML list, none for an empty text. Raises yaml.YAMLError."""
    return yaml.load(text, Loader) or [] if text else []


def seconds(text: str | float, given: dict[str, Any]) -> float:
    """A time that may be an expression over the slots. Raises jinja2.TemplateError, and UserError where it is no number."""
    try:
        return float(expression(str(text))(**given))
    except (ArithmeticError, TypeError, ValueError):
        raise UserError(f"{text!r}: must be a number of seconds") from None
