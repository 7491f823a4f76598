"""A terminal of a given width, and what stands on it in the end."""

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path


def in_terminal(command: list[str], columns: int, cwd: Path, environment: dict[str, str]) -> str:
    """Runs a command in a terminal and returns all that it wrote there. Fails where the command does."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in environment.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, cwd=cwd, env={**environment, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError as error:
        assert error.errno == errno.EIO  # how Linux says that nobody has the other end open any more
    os.close(ours)
    assert process.wait() == 0, said.decode(errors="replace")
    return said.decode()


def screen(said: str, columns: int) -> list[str]:
    """The lines as they stand there in the end, wrapped where they were too long. It knows what bars and tables use."""
    lines, row, column = [[]], 0, 0
    for sign, code in re.findall(r"([^\x1b])|\x1b\[([\d;?]*[A-Za-z])", said):
        if sign == "\r":
            column = 0
        elif sign == "\n":
            row, column = row + 1, column
        elif sign:
            if column == columns:
                row, column = row + 1, 0
            while row >= len(lines):
                lines.append([])
            lines[row] += " " * (column + 1 - len(lines[row]))
            lines[row][column] = sign
            column += 1
        elif code == "K":
            lines[row][column:] = []
        elif code.endswith("A"):
            row -= int(code[:-1] or 1)
        else:
            assert code.endswith(("m", "h", "l")), code
        while row >= len(lines):
            lines.append([])
    return ["".join(line).rstrip() for line in lines]
