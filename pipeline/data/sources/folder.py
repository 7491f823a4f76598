"""Folders under corpora/. What is wrong with a stranger's archive stops the stage, since it may mean harm. What is wrong with a file in one's
own folder costs that file alone: it is left out, with the reason and what mends it, and stands with prepare's rejected files."""

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.data.sources import bounds
from pipeline.data.sources.bounds import Names, safe_path

LEAVINGS = (".#*", "#*#", "*~", ".*.sw?", "._*")  # what editors and Macs put beside a file; .dvcignore says the same


def fault(path: Path) -> str:
    """Why a file of one's own folder cannot be taken, with what mends it; empty when it can be."""
    try:
        mode, size = path.lstat().st_mode, path.lstat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISLNK(mode):
        return "a link, and links are not followed: put what it points to in its place"
    if not stat.S_ISREG(mode):
        return "neither a file nor a folder: remove it"
    if size > bounds.MAX_FILE_BYTES:
        return f"has {size} bytes; at most {bounds.MAX_FILE_BYTES} are taken: split it, or name it in exclude"
    return "" if os.access(path, os.R_OK) else "cannot be read: chmod +r"


def own_files(folder: Path) -> Iterator[Path]:
    """Everything under `folder` but folders and what editors leave there; a folder that cannot be entered stands for what is in it."""
    closed = []
    for root, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        links = [name for name in folders if Path(root, name).is_symlink()]
        yield from (
            Path(root, name) for name in files + links if not any(fnmatch.fnmatchcase(name, p) for p in LEAVINGS)
        )
    yield from closed


def files(folder: Path, wanted: Callable[[str], bool], left_out: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the folder, content) of the files whose path is `wanted`; links are not followed.

    A file that cannot be taken goes to `left_out`, with the reason. Raises UserError when the folder is not there or holds too much.
    """
    if folder.is_symlink():
        raise UserError(f"{folder} is a link, and links are not followed: move the folder there")
    if not folder.is_dir():
        copy = ".dvc/tmp/exps" in Path.cwd().as_posix()
        raise UserError(
            f"{folder}: no such folder"
            + (
                " in the copy that a queued run works in, which holds what git knows: "
                f"git add {folder}, and queue it again"
                if copy
                else ""
            )
        )
    found = sorted(own_files(folder))
    if len(found) > bounds.MAX_FILES:
        raise UserError(f"more than {bounds.MAX_FILES} files")
    names = Names()
    for path in found:
        inside = path.relative_to(folder).as_posix()
        if path.is_dir():  # closed, or a link: what is in it might have been wanted
            left_out[inside] = "a folder that cannot be read: chmod +rx" if not path.is_symlink() else fault(path)
        elif wanted(inside):
            try:
                names.add(str(safe_path(inside)))
            except UserError as error:
                left_out[inside] = f"{error}, which not every system can hold: rename it"
                continue
            if why := fault(path):
                left_out[inside] = why
            else:
                yield inside, path.read_bytes()
