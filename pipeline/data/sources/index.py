"""Source distributions and wheels from the Python package index, by their pinned sha256.

`pip download` would run a distribution's setup.py to learn its metadata, so the file is fetched here by its hash and read member by member.
"""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import TemporaryError, UserError, suggestion
from pipeline.core.files import sha256
from pipeline.data.sources.bounds import ANSWER_SECONDS, DOWNLOADS

CALLED = {"sdist": "source distribution", "wheel": "wheel"}


@contextmanager
def client(about: str) -> Generator:
    """The index that pip would use: PIP_INDEX_URL where it is set, else pypi-simple's default.

    Raises UserError where what answers is no index, and TemporaryError when it cannot be reached.
    """
    import pypi_simple
    import requests

    index = os.environ.get("PIP_INDEX_URL") or pypi_simple.PYPI_SIMPLE_ENDPOINT
    try:
        with pypi_simple.PyPISimple(index) as opened:
            yield opened
    except pypi_simple.NoSuchProjectError:
        raise UserError(f"{about.split()[0]}: the package index knows no such package") from None
    except requests.RequestException as error:
        reason = (
            "no answer in time"
            if isinstance(error, requests.Timeout)
            else f"status {error.response.status_code}"
            if error.response is not None
            else type(error).__name__
        )
        raise TemporaryError(
            f"{about}: the package index cannot be reached ({reason}). "
            "Check the network (or PIP_INDEX_URL) and run again; what was fetched before is kept"
        ) from error
    except UserError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        pypi_simple.UnsupportedContentTypeError,
        pypi_simple.UnsupportedRepoVersionError,
    ) as error:
        raise UserError(
            f"{about}: what answers is no package index ({type(error).__name__}). Check PIP_INDEX_URL"
        ) from error


def fetch(name: str, version: str, digest: str, kind: str = "sdist", cache: Path = DOWNLOADS) -> Path:
    """Returns the path of the file with this sha256, downloading it at most once.

    Raises UserError when the index has no such version or a file with another hash, and TemporaryError when it cannot be reached.
    """
    kept = cache / digest
    if kept.exists() and sha256(kept) == digest:
        return kept
    unfinished = cache / f".{digest}.unfinished"
    try:
        with client(f"{name} {version}") as index:
            packages = index.get_project_page(name, timeout=ANSWER_SECONDS).packages
            offered = [p for p in packages if p.package_type == kind and p.version == version]
            if not offered:
                known = sorted({p.version for p in packages if p.package_type == kind and p.version})
                others = sorted({p.package_type for p in packages if p.version == version and p.package_type in CALLED})
                raise UserError(
                    f"{name} {version}: the package index has no {CALLED[kind]} of this version"
                    + f" (`robo corpus update {name}` moves the pin)" * (not others)
                    + (f", but there is `kind: {others[0]}`" if others else suggestion(version, known))
                )
            chosen = next((p for p in offered if p.digests.get("sha256") == digest), None)
            if chosen is None:
                there = ", ".join(f"{p.filename} {p.digests.get('sha256', 'without a sha256')}" for p in offered)
                raise UserError(
                    f"{name} {version}: sha256 differs.\n  pinned:  {digest}\n  offered: {there}\n"
                    "Somebody changed the file, or the pin in the lock beside the config. Nothing was unpacked"
                )
            index.download_package(chosen, unfinished, verify=False, timeout=ANSWER_SECONDS)
        if (got := sha256(unfinished)) != digest:
            raise UserError(
                f"{name} {version}: sha256 differs.\n  pinned:     {digest}\n  downloaded: {got}\nNothing was unpacked"
            )
        os.replace(unfinished, kept)
    finally:
        unfinished.unlink(missing_ok=True)
    return kept


def newest(name: str, kind: str | None = None, version: str | None = None) -> dict:
    """kind, name, version and sha256 of a package's newest release that is no preview and not withdrawn, or of the `version` that is asked
    for: its source distribution, where there is one, else a wheel for all systems. Raises UserError where there is neither."""
    from packaging.version import InvalidVersion, Version

    with client(name) as index:
        packages = index.get_project_page(name, timeout=ANSWER_SECONDS).packages
        found = []
        for each in packages:
            usable = each.package_type == "sdist" or (
                each.package_type == "wheel" and each.filename.endswith("-none-any.whl")
            )
            if usable and "sha256" in each.digests and (version == each.version if version else not each.is_yanked):
                with contextlib.suppress(InvalidVersion):
                    known = Version(each.version)
                    found.append(((not known.is_prerelease, known, each.package_type == "sdist"), each))
        if not (fitting := [item for item in found if kind in (None, item[1].package_type)]):
            what = CALLED.get(kind, "source distribution and no wheel for all systems")
            said = f"{name} {version or ''}".rstrip() + f": the package index has no {what} with a sha256"
            if found:
                said += f", but there is `kind: {found[0][1].package_type}`"
            elif version:
                said += suggestion(version, {each.version for each in packages if each.version})
            raise UserError(said)
        best = max(fitting, key=lambda item: item[0])[1]
        return {"kind": best.package_type, "name": name, "version": best.version, "sha256": best.digests["sha256"]}
