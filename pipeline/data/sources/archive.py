"""Archives of strangers, read member by member. Nothing is ever "extracted", so links, devices and path tricks have nothing to act on, and
count and size are bounded: only files that are asked for are unpacked, under names checked in bounds.py."""

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.errors import UserError
from pipeline.data.sources import bounds
from pipeline.data.sources.bounds import safe_path

# What tarfile, zipfile and what they stand on raise for a damaged archive; RuntimeError stands for encryption and endless nesting.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    struct.error,
)


class Bounded:
    """A readable stream that stops a decompression bomb: at most `limit` bytes come out."""

    def __init__(self, stream, limit: int):
        self.stream, self.left = stream, limit

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size if 0 <= size <= self.left else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise UserError(f"unpacks to more than {bounds.MAX_TOTAL_BYTES // 2**20} MiB")
        return data


class Header(tarfile.TarInfo):
    """A header that must be whole and small: tarfile takes a broken one for the archive's end, and keeps a huge one in memory."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # ty: ignore[missing-attribute]    typeshed leaves it out
            raise  # the two blocks of zeros that end every archive
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: truncated or damaged") from error
        if not (header.isreg() or 0 <= header.size <= bounds.MAX_HEADER_BYTES):
            raise UserError(f"a header of {header.size} bytes")
        return header


def stream(unzipped) -> Any:
    """What tarfile reads: typeshed asks for `tell` and `seek` as well, of which a stream has no need."""
    return Bounded(unzipped, bounds.MAX_TOTAL_BYTES)


def content_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, "a regular file"
    return file.read()


def tar_members(archive: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    with (
        gzip.open(archive) as unzipped,
        tarfile.open(fileobj=(whole := stream(unzipped)), mode="r|", tarinfo=Header) as tar,
    ):
        for count, member in enumerate(tar, start=1):
            if count > bounds.MAX_FILES:
                raise UserError(f"more than {bounds.MAX_FILES} files")
            if not 0 <= member.size <= bounds.MAX_TOTAL_BYTES:  # tarfile would read on for as long, even past the end
                raise UserError(f"{member.name!r} claims {member.size} bytes")
            if member.isreg() and not member.issparse():
                yield member.name, member.size, lambda member=member: content_of(tar, member)
        while whole.read(2**16):  # at the end gzip compares the checksum
            pass


def zip_members(archive: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        if len(members) > bounds.MAX_FILES:
            raise UserError(f"more than {bounds.MAX_FILES} files")
        if sum(info.file_size for info in members) > bounds.MAX_TOTAL_BYTES:
            raise UserError(f"unpacks to more than {bounds.MAX_TOTAL_BYTES // 2**20} MiB")

        def read(info: zipfile.ZipInfo) -> bytes:
            # Only with deflate, and only where a size is asked for, does zipfile unpack no more than it returns.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(f"{info.filename!r} is packed by a method other than deflate")
            with zipped.open(info) as file:
                content = file.read(info.file_size)
                file.read(1)  # at the end zipfile compares the checksum
            if len(content) != info.file_size:
                raise zipfile.BadZipFile(f"{info.filename!r} is shorter than it says")
            return content

        for info in members:
            if info.header_offset < 0:  # zipfile would ask the system to seek there
                raise zipfile.BadZipFile(f"{info.filename!r} starts before the archive")
            kind = (info.external_attr >> 16) & 0o170000
            if not info.is_dir() and kind in (0, 0o100000):
                yield info.filename, info.file_size, lambda info=info: read(info)


def archive_members(archive: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
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


def files(archive: Path, wanted: Callable[[str], bool], top: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yields (path inside the archive, content) of the files whose path is `wanted`; `top`: without the one folder that a distribution is in.

    Raises UserError for an archive that is broken, too large or holds unsafe names.
    """
    try:
        for name, size, read in archive_members(archive):
            path = safe_path(name)
            inside = str(PurePosixPath(*path.parts[top:])) if len(path.parts) > top else ""
            if inside and wanted(inside):
                if size > bounds.MAX_FILE_BYTES:
                    raise UserError(f"{inside} has {size} bytes; at most {bounds.MAX_FILE_BYTES} are taken")
                yield inside, read()
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"not a readable archive ({error})") from error
