"""Reads the text on a picture of pixels: the characters of the interpreter's own 8x8 font, wherever they stand.

A picture is a list of columns, each a number whose bit n is the pixel in row n.
"""

import json
from functools import cache

from pipeline.board import image

SIZE = 8
FIRST, LAST = 33, 126               # the printable characters, without the space
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


def band(columns: list[int], y: int) -> list[tuple[int, str]]:
    """(x, character) of those that stand exactly in the rows from y on."""
    known, strip = glyphs(), bytes(column >> y & 0xFF for column in columns)
    found, x = [], 0
    while x <= len(strip) - SIZE:
        character = known.get(strip[x:x + SIZE])
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


def read(columns: list[int], height: int) -> tuple[str, ...]:
    """The lines of text, from top to bottom, each without the room before and after it.

    A line is sought where pixels begin: its characters may begin up to seven rows higher, and the rows that show most of them have it.
    """
    lit = 0
    for column in columns:
        lit |= column
    lines, y = [], 0
    while lit >> y:
        first = y + (lit >> y & -(lit >> y)).bit_length() - 1       # the next row with a pixel
        if first > height - 1:
            break
        tries = (band(columns, start) for start in range(min(first, height - SIZE), max(y, first - SIZE + 1) - 1, -1))
        best = max(((len(found), -number, found) for number, found in enumerate(tries)), default=(0, 0, []))
        if best[0]:
            lines.append(line(best[2]))
            y = min(first, height - SIZE) + best[1] + SIZE
        else:
            y = first + 1
    return tuple(lines)
