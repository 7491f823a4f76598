"""What the devices of the network share: how HTTP messages are made up, and scripts whose steps hold more than a time and a value."""

import re

from pipeline.board.devices import in_order

HEAD_END = re.compile(rb"\r?\n\r?\n")


def by_time(script: list[tuple]) -> list[tuple]:
    in_order([step[0] for step in script])
    return script


def split_message(data: bytes) -> tuple[list[str], dict[str, str], bytes] | None:
    """(words of the first line, headers by their name in lower case, body so far) of an HTTP message; None before its headers end.

    A line may end with a newline alone, as programs write it and browsers take it.
    """
    end = HEAD_END.search(data)
    if not end:
        return None
    first, *lines = data[: end.start()].decode("latin-1").splitlines() or [""]
    body = data[end.end() :]
    pairs = (line.partition(":") for line in lines)
    return first.split(" ", 2), {name.strip().lower(): value.strip() for name, _, value in pairs}, body


def number(text: str) -> int | None:
    """The number that a header gives; None where it is none. What a program sends may be anything."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
