"""What a source may hold at most, and which names its files may have, the same for every kind."""

import fnmatch
import unicodedata
from pathlib import PurePosixPath

from pipeline.core.errors import UserError
from pipeline.core.paths import STATE

DOWNLOADS = STATE / "downloads"  # what was fetched, by its hash
ANSWER_SECONDS = (10, 60)  # to connect to a server, and between two pieces of what it sends
MAX_FILES = 20_000  # members of one archive, folders and links too; files in one folder
MAX_FILE_BYTES = 4 * 2**20  # one file that the config asks for
MAX_TOTAL_BYTES = 512 * 2**20  # one archive, unpacked
MAX_HEADER_BYTES = 2**20  # a member's name and attributes
RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}


def matches(path: str, include: list[str], exclude: list[str]) -> bool:
    def any_of(patterns):
        return any(fnmatch.fnmatchcase(path, p) for p in patterns)

    return any_of(include) and not any_of(exclude)


def safe_path(name: str) -> PurePosixPath:
    """The relative path that an archive member may be written to.

    Raises UserError for what could write elsewhere or means different things on different systems: absolute paths, `..`,
    drive letters, backslashes, what cannot be printed (controls, bytes that are not UTF-8), names that file systems disagree on.
    """
    path = PurePosixPath(name)
    parts = path.parts
    odd = (
        not parts
        or path.is_absolute()
        or len(name.encode("utf-8", "surrogatepass")) > 200
        or any(not c.isprintable() or c in '\\:*?"<>|' for c in name)
        or any(
            p in ("..", ".") or p != p.strip(" ") or p.endswith(".") or p.split(".")[0].lower() in RESERVED
            for p in parts
        )
    )
    if odd:
        raise UserError(f"unsafe file name {name!r}")
    return path


class Names:
    """The files of one output folder. Refuses two that some file systems would take for one, and a file where a folder must be."""

    def __init__(self):
        self.files, self.folders = set(), set()

    def add(self, path: str) -> None:
        # Case and composed accents: "E\u0301" and "\u00e9" are one name on a Mac
        folded = PurePosixPath(unicodedata.normalize("NFC", path).casefold())
        above = set(folded.parents)
        if folded in self.files or folded in self.folders or above & self.files:
            raise UserError(f"{path} stands twice (as a file and a folder, or differing in case at most)")
        self.files.add(folded)
        self.folders |= above
