"""The one error that means "you can mend this": what is wrong, where, and what would be right, in one message."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Shown to the user as one message, without a traceback; the process ends with status 1."""


class TemporaryError(UserError):
    """A UserError that may pass by itself: a network or a server that does not answer. Flows try again."""


def closest(word: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """The known word that is most like this one, small letters or not; None where none is, `alike` being difflib's measure."""
    folded = {str(each).casefold(): str(each) for each in known}
    close = difflib.get_close_matches(str(word).strip().casefold(), folded, n=1, cutoff=alike)
    return folded[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known word is close, else the list of known words."""
    known = [str(k) for k in known]
    close = closest(word, known)
    return f"; did you mean {close!r}?" if close is not None else f"; known: {', '.join(known) or 'none'}"


def shortened(items: list[str], most: int = 3) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


class NotDone(Exception):
    """An act that was only asked whether it is done would have something to do."""
