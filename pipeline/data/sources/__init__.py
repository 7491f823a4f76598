"""Where training text comes from: one module for each kind of source, and `KINDS`, which says how each is read.

A kind is two plain functions. `fetch(source)` brings what is not here yet and returns where it lies; collect calls it for several sources at
once. `files(source, place, wanted, left_out)` yields (path, content, licence) of each file whose path is `wanted`, the licence where it is
another than the source's; what it must leave out it names in `left_out`, with the reason. Both raise UserError. No kind runs a line of what
it reads.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.data.sources import archive, dataset, folder, git, index

Files = Iterator[tuple[str, bytes, str | None]]


class Kind(NamedTuple):
    fetch: Callable[[Any], Path | None]  # None where there is nothing to fetch: the hub is read as it comes
    files: Callable[[Any, Any, Callable[[str], bool], dict[str, str]], Files]


def fetch_package(source) -> Path:
    return index.fetch(source.name, source.version, source.sha256, source.kind)


def package_files(source, place, wanted, left_out) -> Files:
    for path, content in archive.files(place, wanted, top=source.kind == "sdist"):
        yield path, content, None


def own_files(source, place, wanted, left_out) -> Files:
    for path, content in folder.files(place, wanted, left_out):
        yield path, content, None


def git_files(source, place, wanted, left_out) -> Files:
    for path, content in git.files(source, place, wanted, left_out):
        yield path, content, None


KINDS = {
    "sdist": Kind(fetch_package, package_files),
    "wheel": Kind(fetch_package, package_files),
    "git": Kind(git.fetch, git_files),
    "dataset": Kind(dataset.fetch, dataset.files),
    "folder": Kind(lambda source: Path(source.path), own_files),
}
