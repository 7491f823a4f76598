"""Rows of a data set: Parquet, JSON lines or Arrow under corpora/, or one on the Hugging Face hub at a pinned revision, through `datasets`.

Streamed, so size is no matter of memory; and in a process of its own (confined.py), since a few kilobytes of Parquet can claim to unpack to
gigabytes. A row becomes a file. One without text, or whose own licence is none, is left out, with the reason; whether its licence passes
is asked by prepare, as of every file. `datasets` runs no code of a data set's since version 4.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.core import licenses
from pipeline.core.errors import TemporaryError, UserError, suggestion
from pipeline.data.sources import bounds
from pipeline.data.sources.bounds import safe_path
from pipeline.data.sources.confined import confined, out_of_memory

FORMATS = {
    ".parquet": ("parquet", {"batch_size": 64}),
    ".jsonl": ("json", {"parse_agent_traces": False}),
    ".arrow": ("arrow", {}),
}
MAX_ROWS = 1_000_000
MAX_HUB_BYTES = 16 * 2**30  # of text from the hub
MAX_RATIO = 100  # of text to the files that hold it; what unpacks to more is a bomb
UNREACHED = (
    "ConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
)


# --- in a process of its own ------------------------------------------------------------------------------------------


def said(error: BaseException | None) -> list[BaseException]:
    """An error and those that it came of."""
    return [error, *said(error.__cause__ or error.__context__)] if error is not None else []


def rows(where: str, name: str, arguments: dict, columns: list[str]) -> Iterator[tuple]:
    """The values of `columns` in each row; None where a row has none. Raises UserError for data that cannot be read, or has no such column."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import datasets
    import pyarrow

    pyarrow.set_cpu_count(2)  # each thread's stack counts
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(name, streaming=True, **arguments)
        there = loaded.column_names
        for row in loaded:
            there = there or list(row)
            if missing := [column for column in columns if column not in there]:
                raise UserError(f"{where}: has no column {missing[0]!r}{suggestion(missing[0], there)}")
            yield tuple(row.get(column) for column in columns)
    except UserError:
        raise
    except Exception as error:  # datasets lets through whatever the libraries below it raise
        if out_of_memory(error):
            raise MemoryError from None
        kinds = {kind.__name__ for each in said(error) for kind in type(each).__mro__}
        told = (
            f"{type(error).__name__}: {str(said(error)[-1]).splitlines()[0][:200]}"
            if str(said(error)[-1])
            else type(error).__name__
        )
        if kinds.intersection(UNREACHED):
            raise TemporaryError(
                f"{where}: the hub cannot be reached ({type(error).__name__}). Check the network and run again"
            ) from None
        raise UserError(f"{where}: cannot be read, or is damaged ({told})") from None


def header(where: str, name: str, arguments: dict) -> Iterator[list[str]]:
    """The names of the columns."""
    import datasets

    try:
        loaded = datasets.load_dataset(name, streaming=True, **arguments)
        yield loaded.column_names or list(next(iter(loaded)))
    except Exception as error:
        raise UserError(f"{where}: cannot be read, or is damaged, or holds no row ({type(error).__name__})") from None


# --- here -------------------------------------------------------------------------------------------------------------


def newest(hub: str) -> str:
    """The commit that a data set of the hub is at. Raises UserError where there is none, and TemporaryError when the hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return str(HfApi().dataset_info(hub, timeout=max(bounds.ANSWER_SECONDS)).sha)
    except (HFValidationError, RepositoryNotFoundError):
        raise UserError(f"{hub}: the hub has no such data set, or none that is open to all") from None
    except Exception as error:  # the hub's own, and those of whatever speaks HTTP for it
        raise TemporaryError(
            f"{hub}: the hub cannot be reached ({type(error).__name__}). Check the network and run again"
        ) from None


def fetch(source) -> Path | None:
    """The file or folder of a DatasetSource; None for one on the hub, which is streamed."""
    if source.hub:
        return None
    path = Path(source.path)
    if path.is_symlink():
        raise UserError(f"{path} is a link, and links are not followed: move the data there")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    return path


def local(path: Path) -> tuple[str, dict, int]:
    """(how datasets calls the format, what it has to be told, bytes) of the data files at `path`."""
    found = sorted([path] if path.is_file() else path.rglob("*"))
    found = [each for each in found if each.suffix in FORMATS and each.is_file() and not each.is_symlink()]
    formats = {each.suffix for each in found}
    if len(formats) != 1:
        raise UserError(
            f"{path}: {'holds several formats' if formats else 'no data file'}; a source is one file, or a folder of files, that "
            f"ends in one of {', '.join(FORMATS)}"
        )
    name, options = FORMATS[formats.pop()]
    return (
        name,
        {"data_files": [str(each) for each in found], "split": "train", **options},
        sum(each.stat().st_size for each in found),
    )


def columns(path: Path) -> list[str]:
    name, arguments, _ = local(path)
    with confined(str(path)) as do:
        return next(do(header, name, arguments))


def license_of(value) -> str:
    """What a row gives as an SPDX expression; several at once all hold. Raises UserError where it is none."""
    given = [str(each).strip() for each in (value if isinstance(value, list) else [value]) if each]
    if not given:
        raise UserError("licence: the row names none")
    if fault := next(filter(None, map(licenses.fault, given)), ""):
        raise UserError(f"licence: {fault}")
    return licenses.joined(given)


def files(
    source, path: Path | None, wanted: Callable[[str], bool], left_out: dict[str, str]
) -> Iterator[tuple[str, bytes, str | None]]:
    """Yields (path, content, licence) of each row whose path is `wanted`: its number, with its own path where there is a column for it."""
    where, columns = source.hub or str(path), source.columns
    if path:
        name, arguments, size = local(path)
        most = max(bounds.MAX_TOTAL_BYTES, MAX_RATIO * size)
    else:
        name, arguments, most = (
            source.hub,
            {"revision": source.revision, "name": source.subset, "split": source.part},
            MAX_HUB_BYTES,
        )
    named = {"text": columns.text, "license": columns.license, "path": columns.path}
    asked, total = {part: column for part, column in named.items() if column}, 0
    with confined(where) as do:
        for number, values in enumerate(do(rows, name, arguments, list(asked.values()))):
            if number >= MAX_ROWS:
                raise UserError(f"more than {MAX_ROWS} rows")
            row = dict(zip(asked, values, strict=True))
            text, license, file = row["text"], None, f"{number // 1000:04d}/{number:07d}.py"
            if text is not None and not isinstance(text, str):
                raise UserError(
                    f"{where}: row {number}: column {columns.text!r} holds {type(text).__name__}, and text is needed"
                )
            content = (text or "").encode("utf-8", "surrogatepass")
            total += len(content)
            if total > most:
                raise UserError(f"{where}: unpacks to more than {most // 2**20} MiB")
            try:
                if not content:
                    raise UserError("no text")
                if len(content) > bounds.MAX_FILE_BYTES:
                    raise UserError(f"has {len(content)} bytes; at most {bounds.MAX_FILE_BYTES} are taken")
                if columns.path:
                    file = f"{number:07d}/{safe_path(str(row['path']))}"
                if columns.license:
                    license = license_of(row["license"])
            except UserError as error:
                left_out[file] = str(error)
                continue
            if wanted(file):
                yield file, content, license
