"""Brings raw MicroPython text under data/raw, with provenance, and never runs a line of it.

Two kinds of source: source distributions from the Python package index, and local folders under corpora/. `pip download`
would run a distribution's setup.py to learn its metadata, so the archive is fetched by its pinned sha256 instead and read
member by member: only regular files that the corpus config asks for are written, under names checked here, with bounds on
count and size. Nothing is ever "extracted", so links, devices and path tricks have nothing to act on.

What is wrong with a stranger's archive stops the stage, since it may mean harm. What is wrong with a file in one's own folder costs that
file alone: it is left out, with the reason and what mends it, and stands with prepare's rejected files.

The output is replaced as a whole, at the end, so a run that fails leaves the one before (dvc.yaml: persist). Archives are kept by hash.
"""

import fnmatch
import gzip
import hashlib
import json
import os
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from pipeline.core.errors import TemporaryError, UserError, suggestion
from pipeline.core.files import read_jsonl, sha256, write_text
from pipeline.core.paths import LEFT_OUT, LICENSES, RAW, REJECTED, STATE
from pipeline.core.progress import bar
from pipeline.data import licences

DOWNLOADS = STATE / "downloads"
MAX_FILES = 20_000                  # members of one archive, folders and links too; files in one folder
MAX_FILE_BYTES = 4 * 2**20          # one file that the config asks for
MAX_TOTAL_BYTES = 512 * 2**20       # one archive, unpacked
MAX_HEADER_BYTES = 2**20            # a member's name and attributes
AT_ONCE = 8                         # downloads; a small one is mostly waiting for answers
ANSWER_SECONDS = (10, 60)           # to connect to the package index, and between two pieces of what it sends
# What tarfile, zipfile and what they stand on raise for a damaged archive; RuntimeError stands for encryption and endless nesting.
BROKEN = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, ValueError, LookupError, RuntimeError, struct.error)
LEAVINGS = (".#*", "#*#", "*~", ".*.sw?", "._*")       # what editors and Macs put beside a file; .dvcignore says the same
SHOWN = 5                           # files left out that are named on the terminal
RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}


# --- fetching ---------------------------------------------------------------------------------------------------------

def fetch_sdist(name: str, version: str, digest: str, cache: Path = DOWNLOADS) -> Path:
    """Returns the path of the source distribution with this sha256, downloading it at most once.

    The index is the one pip would use: PIP_INDEX_URL where it is set, else pypi-simple's default. Raises UserError when
    the index has no such version or a file with another hash, and TemporaryError when it cannot be reached.
    """
    kept = cache / digest
    if kept.exists() and sha256(kept) == digest:
        return kept
    import pypi_simple
    import requests
    index = {"endpoint": os.environ["PIP_INDEX_URL"]} if os.environ.get("PIP_INDEX_URL") else {}
    unfinished = cache / f".{digest}.unfinished"
    try:
        with pypi_simple.PyPISimple(**index) as client:
            packages = client.get_project_page(name, timeout=ANSWER_SECONDS).packages
            offered = [p for p in packages if p.package_type == "sdist" and p.version == version]
            if not offered:
                known = sorted({p.version for p in packages if p.package_type == "sdist" and p.version})
                raise UserError(f"{name} {version}: the package index has no source distribution of this version"
                                f"{suggestion(version, known)}")
            chosen = next((p for p in offered if p.digests.get("sha256") == digest), None)
            if chosen is None:
                there = ", ".join(f"{p.filename} {p.digests.get('sha256', 'without a sha256')}" for p in offered)
                raise UserError(f"{name} {version}: sha256 differs.\n  pinned:  {digest}\n  offered: {there}\n"
                                "Somebody changed the file or the pin. Nothing was unpacked")
            client.download_package(chosen, unfinished, verify=False, timeout=ANSWER_SECONDS)
        if (got := sha256(unfinished)) != digest:
            raise UserError(f"{name} {version}: sha256 differs.\n  pinned:     {digest}\n  downloaded: {got}\nNothing was unpacked")
        os.replace(unfinished, kept)
    except pypi_simple.NoSuchProjectError:
        raise UserError(f"{name}: the package index knows no such package") from None
    except requests.RequestException as error:
        reason = ("no answer in time" if isinstance(error, requests.Timeout) else
                  f"status {error.response.status_code}" if error.response is not None else type(error).__name__)
        raise TemporaryError(f"{name} {version}: the package index cannot be reached ({reason}). "
                             "Check the network (or PIP_INDEX_URL) and run again; what was fetched before is kept") from error
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, pypi_simple.UnsupportedContentTypeError, pypi_simple.UnsupportedRepoVersionError) as error:
        raise UserError(f"{name} {version}: what answers is no package index ({type(error).__name__}). Check PIP_INDEX_URL") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return kept


# --- reading, safely --------------------------------------------------------------------------------------------------

def safe_path(name: str) -> PurePosixPath:
    """The relative path that an archive member may be written to.

    Raises UserError for what could write elsewhere or means different things on different systems: absolute paths, `..`,
    drive letters, backslashes, what cannot be printed (controls, bytes that are not UTF-8), names that file systems disagree on.
    """
    path = PurePosixPath(name)
    parts = path.parts
    odd = (not parts or path.is_absolute() or len(name.encode("utf-8", "surrogatepass")) > 200
           or any(not c.isprintable() or c in '\\:*?"<>|' for c in name)
           or any(p in ("..", ".") or p != p.strip(" ") or p.endswith(".") or p.split(".")[0].lower() in RESERVED for p in parts))
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


class Bounded:
    """A readable stream that stops a decompression bomb: at most `limit` bytes come out."""

    def __init__(self, stream, limit: int):
        self.stream, self.left = stream, limit

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size if 0 <= size <= self.left else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise UserError(f"unpacks to more than {MAX_TOTAL_BYTES // 2**20} MiB")
        return data


class Header(tarfile.TarInfo):
    """A header that must be whole and small: tarfile takes a broken one for the archive's end, and keeps a huge one in memory."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:
            raise                                   # the two blocks of zeros that end every archive
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: truncated or damaged") from error
        if not (header.isreg() or 0 <= header.size <= MAX_HEADER_BYTES):
            raise UserError(f"a header of {header.size} bytes")
        return header


def tar_members(archive: Path) -> Iterator[tuple[str, int, callable]]:
    with (gzip.open(archive) as unzipped,
          tarfile.open(fileobj=(whole := Bounded(unzipped, MAX_TOTAL_BYTES)), mode="r|", tarinfo=Header) as tar):
        for count, member in enumerate(tar, start=1):
            if count > MAX_FILES:
                raise UserError(f"more than {MAX_FILES} files")
            if not 0 <= member.size <= MAX_TOTAL_BYTES:     # tarfile would read on for as long, even past the end
                raise UserError(f"{member.name!r} claims {member.size} bytes")
            if member.isreg() and not member.issparse():
                yield member.name, member.size, lambda member=member: tar.extractfile(member).read()
        while whole.read(2**16):                    # at the end gzip compares the checksum
            pass


def zip_members(archive: Path) -> Iterator[tuple[str, int, callable]]:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        if len(members) > MAX_FILES:
            raise UserError(f"more than {MAX_FILES} files")
        if sum(info.file_size for info in members) > MAX_TOTAL_BYTES:
            raise UserError(f"unpacks to more than {MAX_TOTAL_BYTES // 2**20} MiB")

        def read(info: zipfile.ZipInfo) -> bytes:
            # Only with deflate, and only where a size is asked for, does zipfile unpack no more than it returns.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(f"{info.filename!r} is packed by a method other than deflate")
            with zipped.open(info) as file:
                content = file.read(info.file_size)
                file.read(1)                        # at the end zipfile compares the checksum
            if len(content) != info.file_size:
                raise zipfile.BadZipFile(f"{info.filename!r} is shorter than it says")
            return content

        for info in members:
            if info.header_offset < 0:              # zipfile would ask the system to seek there
                raise zipfile.BadZipFile(f"{info.filename!r} starts before the archive")
            kind = (info.external_attr >> 16) & 0o170000
            if not info.is_dir() and kind in (0, 0o100000):
                yield info.filename, info.file_size, lambda info=info: read(info)


def archive_members(archive: Path) -> Iterator[tuple[str, int, callable]]:
    """Yields (name, bytes, read) for each regular file of a .tar.gz or .zip; links and devices are passed over.

    Raises UserError for too much of anything, and whatever its parsers raise for a broken archive.
    """
    with open(archive, "rb") as file:
        start = file.read(4)
    # By its first bytes: zipfile.is_zipfile also takes a tar that ends in a zip for one.
    if start == b"PK\3\4":
        return zip_members(archive)
    if start[:2] == b"\x1f\x8b":
        return tar_members(archive)
    raise UserError("neither a .tar.gz nor a .zip")


def matches(path: str, include: list[str], exclude: list[str]) -> bool:
    def any_of(patterns):
        return any(fnmatch.fnmatchcase(path, p) for p in patterns)
    return any_of(include) and not any_of(exclude)


def sdist_files(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the distribution, content) of the files whose path is `wanted`.

    Raises UserError for an archive that is broken, too large or holds unsafe names.
    """
    try:
        for name, size, read in archive_members(archive):
            path = safe_path(name)
            inside = str(PurePosixPath(*path.parts[1:])) if len(path.parts) > 1 else ""
            if inside and wanted(inside):
                if size > MAX_FILE_BYTES:
                    raise UserError(f"{inside} has {size} bytes; at most {MAX_FILE_BYTES} are taken")
                yield inside, read()
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"not a readable archive ({error})") from error


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
    if size > MAX_FILE_BYTES:
        return f"has {size} bytes; at most {MAX_FILE_BYTES} are taken: split it, or name it in exclude"
    return "" if os.access(path, os.R_OK) else "cannot be read: chmod +r"


def own_files(folder: Path) -> Iterator[Path]:
    """Everything under `folder` but folders and what editors leave there; a folder that cannot be entered stands for what is in it."""
    closed = []
    for root, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        links = [name for name in folders if Path(root, name).is_symlink()]
        yield from (Path(root, name) for name in files + links if not any(fnmatch.fnmatchcase(name, p) for p in LEAVINGS))
    yield from closed


def folder_files(folder: Path, wanted: Callable[[str], bool], left_out: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the folder, content) of the files whose path is `wanted`; links are not followed.

    A file that cannot be taken goes to `left_out`, with the reason. Raises UserError when the folder is not there or holds too much.
    """
    if folder.is_symlink():
        raise UserError(f"{folder} is a link, and links are not followed: move the folder there")
    if not folder.is_dir():
        copy = ".dvc/tmp/exps" in Path.cwd().as_posix()
        raise UserError(f"{folder}: no such folder" + (" in the copy that a queued run works in, which holds what git knows: "
                                                       f"git add {folder}, and queue it again" if copy else ""))
    found = sorted(own_files(folder))
    if len(found) > MAX_FILES:
        raise UserError(f"more than {MAX_FILES} files")
    names = Names()
    for path in found:
        inside = path.relative_to(folder).as_posix()
        if path.is_dir():               # closed, or a link: what is in it might have been wanted
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


# --- the stage --------------------------------------------------------------------------------------------------------

def collect(sources: list, out: Path = RAW) -> list[dict]:
    """Writes out/SOURCE/PATH for every file, out/provenance.jsonl (source, kind, version, path, license, declared by the package, split,
    sha256, bytes) and out/licenses.jsonl (source, version, license, path, text) with every file that a source ships about licences; where
    files of a folder had to be left out, also out/left_out.jsonl (source, kind, version, path, license, split, reason). Returns the provenance.

    Raises UserError, and leaves no output, when a source cannot be had whole or none of its files is wanted.
    """
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    provenance, licenses, left_out, names = [], [], [], Names()
    for file in ("provenance.jsonl", LICENSES.name, LEFT_OUT.name):
        names.add(file)
    pinned = {source.sha256: source for source in sources if source.kind == "sdist"}
    downloads = ThreadPoolExecutor(AT_ONCE)
    try:
        archives = {digest: downloads.submit(fetch_sdist, source.name, source.version, digest) for digest, source in pinned.items()}
        with bar(len(sources), "collect", " sources") as progress:
            for number, source in enumerate(sources):
                progress.set_postfix_str(source.name, refresh=False)
                odd: dict[str, str] = {}
                try:
                    if source.kind == "sdist":
                        files, place, version = sdist_files, archives[source.sha256].result(), source.version
                    else:
                        files, place, version = partial(folder_files, left_out=odd), Path(source.path), None
                    about = {"source": source.name, "kind": source.kind, "version": version}
                    said = {path: content.decode(errors="replace").replace("\r\n", "\n").strip()
                            for path, content in files(place, licences.ABOUT.fullmatch)}
                    metadata = {path: said.pop(path) for path in list(said) if licences.METADATA.fullmatch(path)}
                    declared = next(filter(None, map(licences.declared, metadata.values())), None)
                    licenses += [{"source": source.name, "version": version, "license": source.license, "path": path, "text": text}
                                 for path, text in said.items()]
                    before = len(provenance)
                    for path, content in files(place, lambda path, source=source: matches(path, source.include, source.exclude)):
                        names.add(f"{source.name}/{path}")
                        target = unfinished / source.name / path
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(content)
                        provenance.append({
                            **about, "path": path, "license": source.license, "declared": declared, "split": source.split,
                            "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)})
                    left_out += [{**about, "path": printable(path), "license": source.license, "split": source.split, "reason": reason}
                                 for path, reason in odd.items()]
                    if len(provenance) == before:
                        raise UserError(f"no file matches include {list(source.include)}"
                                        + "".join(f"\n  {printable(path)}: {reason}" for path, reason in odd.items()))
                except UserError as error:
                    raise type(error)(f"sources.{number} ({source.name}): {error}") from error
                progress.update()
        for file, rows in (("provenance.jsonl", provenance), (LICENSES.name, licenses), (LEFT_OUT.name, left_out)):
            rows.sort(key=lambda row: (row["source"], row["path"]))
            if rows or file != LEFT_OUT.name:
                write_text(unfinished / file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(out)
    finally:
        downloads.shutdown(cancel_futures=True)
        shutil.rmtree(unfinished, ignore_errors=True)
    return provenance


def printable(path: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def main(config) -> None:
    try:
        rows = collect(config.corpus.sources)
    except UserError as error:
        raise type(error)(f"{config.corpus}: {error}") from error
    print(f"collect: {len(rows)} files, {sum(row['bytes'] for row in rows):,} bytes from {len(config.corpus.sources)} sources")
    left_out = list(read_jsonl(LEFT_OUT)) if LEFT_OUT.exists() else []
    for row in left_out[:SHOWN]:
        print(f"left out: {row['source']}/{row['path']}: {row['reason']}")
    if len(left_out) > SHOWN:
        print(f"left out: {len(left_out) - SHOWN} files more; each stands with its reason in {REJECTED}")


if __name__ == "__main__":
    from pipeline.core.stage import run
    run("collect", main)
