"""Markdown that stays what it is, whatever a stranger's file is called."""

import re
from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence], words: int = 1) -> str:
    """A table whose first `words` columns stand left; a bar in a cell does not end it."""
    lines = ["| " + " | ".join(headings) + " |", "|---" * words + "|--:" * (len(headings) - words) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows])


def code(text: str) -> str:
    """As code in one line, so that nothing in it is a link, a tag or an end of the line."""
    return "`" + re.sub(r"[\x00-\x1f\x7f]", lambda sign: f"\\x{ord(sign[0]):02x}", text).replace("`", "'") + "`"
