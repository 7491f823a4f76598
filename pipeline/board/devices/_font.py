"""Reads the text on a picture of pixels: the characters of the interpreter's own 8x8 font, wherever they stand.

A picture is a list of columns, each a number whose bit n is the pixel in row n.
"""

import json
from functools import cache

from pipeline.board import image

SIZE = 8
FIRST, LAST = 33, 126  # the printable characters, without the space
DRAW = f"""
import binascii, framebuf, json
found = {{}}
for code in range({FIRST}, {LAST + 1}):
    cell = bytearray(8)
    framebuf.FrameBuffer(cell, 8, 8, framebuf.MONO_VLSB).text(chr(code), 0, 0)
    found[chr(code)] = binascii.hexlify(cell).decode()
print(json.dumps(found))
"""


@cache
def glyphs() -> dict[bytes, str]:
    """Eight columns of a character, upright or dark on light -> the character."""
    found = {bytes.fromhex(cell): character for character, cell in json.loads(image.ask(DRAW)).items()}
    assert len(found) == LAST - FIRST + 1, "two characters look alike"
    return {bytes(column ^ 0xFF for column in cell): character for cell, character in found.items()} | found


def band(strip: bytes) -> list[tuple[int, str]]:
    """(x, character) of those that stand exactly in eight rows, given as a byte for each column."""
    known, windows = glyphs(), [strip[x : x + SIZE] for x in range(len(strip) - SIZE + 1)]
    if known.keys().isdisjoint(windows):
        return []
    found, x = [], 0
    while x < len(windows):
        character = known.get(windows[x])
        if character:
            found.append((x, character))
        x += SIZE if character else 1
    return found


def line(found: list[tuple[int, str]]) -> str:
    """The characters as one text; where there is room between two, as many spaces as fit."""
    text, end = "", found[0][0]
    for x, character in found:
        text += " " * ((x - end + SIZE // 2) // SIZE) + character
        end = x + SIZE
    return text


def rows(columns: list[int], y: int) -> bytes:
    """The eight rows from y on."""
    return bytes([column >> y & 0xFF for column in columns])


def covers(found: list[tuple[int, str]], strip: bytes) -> bool:
    """Whether the characters are all that is there."""
    for x, _ in found:
        strip = strip[:x] + bytes(SIZE) + strip[x + SIZE :]
    return not any(strip)


def read(columns: list[int], height: int) -> tuple[str, ...]:
    """The text in each row of eight pixels, without the room before and after it; a line that stands across two is the upper one's.

    A line is sought where pixels begin. Its characters may begin up to seven pixels higher; the place that shows most of them has it.
    """
    lit = 0
    for column in columns:
        lit |= column
    lines, y = [""] * (height // SIZE), 0
    while lit >> y:
        first = y + (lit >> y & -(lit >> y)).bit_length() - 1  # the next row with a pixel
        best: list[tuple[int, str]] = []
        at = highest = min(first, height - SIZE)
        for start in range(highest, max(y, first - SIZE + 1) - 1, -1):
            strip = rows(columns, start)
            found = band(strip)
            if len(found) > len(best):
                best, at = found, start
                if covers(found, strip):
                    break
        if best:
            lines[at // SIZE] = line(best)
        y = at + SIZE if best else first + 1
    return tuple(lines)
