"""The one error that means "you can mend this": what is wrong, where, and what would be right, in one message."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Shown to the user as one message, without a traceback; the process ends with status 1."""


class TemporaryError(UserError):
    """A UserError that may pass by itself: a network or a server that does not answer. Flows try again."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known word is close, else the list of known words."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"
