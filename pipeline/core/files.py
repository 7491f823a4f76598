"""Writing files so that nobody ever meets half of one, and hashing them."""

import errno
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def flush(path: Path) -> None:
    """Returns when the disk has the file: renamed before that, a power cut may leave an empty one under the new name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic(path: Path):
    """Yields a path beside `path` to write to; it takes the name of `path` when the block ends well, and goes otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        flush(unfinished)
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno in DISK_FULL:
            error.filename = str(path)  # writing to an open file, the system does not say which
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, value) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_jsonl(path: Path):
    """Yields one object a line, without holding the file in memory."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
