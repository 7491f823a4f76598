"""What `robo doctor` finds on this machine: packages, git, files, stores, databases and room. Versions come from the packages' metadata and files
from DVC, so nothing heavy is imported.
"""

import os
import platform
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows import versions
from flows.servers import prefect_database
from flows.tracked import missed
from pipeline.core.config import Config
from pipeline.core.errors import UserError, shortened
from pipeline.publish import lineage
from pipeline.tracking import check_version, local_database

FREE_BYTES = 5e9  # a run with its caches needs a few gigabytes


@dataclass(frozen=True)
class Finding:
    what: str
    how: str  # good, note (worth knowing) or bad (needs mending)
    said: str
    mend: str = ""  # the command


def packages(root: Path) -> Iterator[Finding]:
    yield Finding(
        "python",
        "good",
        f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} CPUs; "
        + ", ".join(f"{name} {version}" for name, version in versions.shown().items()),
    )
    wanted, gone = versions.locked_versions(root / "requirements.lock"), versions.left_out()
    other = versions.instead(versions.installed(), {name: wanted[name] for name in wanted if name not in gone})
    ours = Path(__file__).resolve().parent.parent
    if (root / "flows").exists() and ours != root.resolve():
        yield Finding("code", "bad", f"what runs here is the code in {ours}: .venv was copied from there", "make setup")
    if other:
        yield Finding(
            "packages",
            "bad",
            f"{len(other)} of {len(wanted)} are not as in requirements.lock: {shortened(other)}",
            "rm .venv/.complete; make setup",
        )
    else:
        yield Finding("packages", "good", f"{len(wanted)} as in requirements.lock")


def git(root: Path) -> Iterator[Finding]:
    try:
        commit, changed = (
            lineage.git(root, "log", "-1", "--format=%h %s"),
            lineage.git(root, "status", "--porcelain").splitlines(),
        )
    except UserError as error:
        mend = {
            "not a git repository": "git init && git add -A && git commit -m start",
            "does not have any commits": "git add -A && git commit -m start",
            "dubious ownership": f"git config --global --add safe.directory {shlex.quote(str(root.resolve()))}",
        }
        yield Finding(
            "git",
            "bad",
            f"no commit can be told, and DVC needs one: {error}",
            next((command for words, command in mend.items() if words in str(error)), "install git"),
        )
        return
    if changed:
        names = shortened([line[3:] for line in changed])
        yield Finding(
            "git",
            "note",
            f"{names} not committed: a version registered now is not that of {commit.split()[0]}",
            "git commit -am ...",
        )
    else:
        yield Finding("git", "good", commit)


def files() -> Iterator[Finding]:
    """DVC's stages against the files; what DVC says is wrong with its own files too."""
    from dvc.exceptions import DvcException

    from flows.changes import why
    from flows.dvc_repo import Repo

    try:
        with Repo(".") as repo:
            status = repo.status()
            remote = repo.config["core"].get("remote")
    except DvcException as error:
        yield Finding(
            "files", "bad", str(error), "robo run, which makes anew what was cut short; a merge you must end yourself"
        )
        return
    if status:
        mend = "robo run" + (f", or dvc pull (from {remote})" if remote else "")
        yield Finding(
            "files", "bad", shortened([f"{stage} ({why(changes)})" for stage, changes in status.items()]), mend
        )
    else:
        yield Finding("files", "good", "all stages are up to date with dvc.lock")


def stores() -> Iterator[Finding]:
    """DVC's remote and, where the environment says so, the place of MLflow's files; each is listed and written."""
    from dvc.exceptions import DvcException

    from flows.dvc_repo import Repo
    from flows.stores import SECRETS, NotWritable, artifacts, remote

    try:
        with Repo(".") as repo:
            for what, find in (("remote", lambda: remote(repo)), ("artifacts", artifacts)):
                try:
                    if store := find():
                        yield Finding(what, "good", f"{store.said}, {store.check()}")
                except UserError as error:
                    said, _, mend = str(error).rpartition("; ")
                    yield Finding(what, "note" if isinstance(error, NotWritable) else "bad", said, mend)
            options = repo.config.load_one("repo")["remote"]
    except DvcException:  # files() says it
        return
    for name, held in options.items():
        if found := sorted(SECRETS & set(held)):
            yield Finding(
                "remote",
                "bad",
                f"{', '.join(found)} of {name} in .dvc/config, which git holds; the environment is the place for it",
                f"dvc remote modify --unset {name} {found[0]}, and a new key, since git's history keeps this one",
            )


def databases(root: Path) -> Iterator[Finding]:
    """Those of an installed version that is older than what wrote them."""
    for name, database in (("prefect", prefect_database(root)), ("mlflow", local_database(root))):
        try:
            check_version(name, database)
        except UserError as error:
            kept = shlex.quote(str(database.parent / "kept"))
            yield Finding(
                name, "bad", str(error), f"mkdir -p {kept} && mv {shlex.quote(str(database))}* {kept}"
            )  # with SQLite's -wal


def sweeps(config: Config) -> Iterator[Finding]:
    for line in missed(config):
        yield Finding("sweeps", "note", *line.rsplit(": ", 1))


def disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    yield Finding(
        "disk",
        "good" if free > FREE_BYTES else "bad",
        f"{free / 1e9:.0f} GB free",
        "" if free > FREE_BYTES else "dvc gc --workspace",
    )


def checkpoints(root: Path) -> Iterator[Finding]:
    """Of trainings that were stopped and not gone on with."""
    from pipeline.training.resume import RESUME, unended

    folder = Path(root).resolve() / RESUME
    if found := unended(folder):
        held = sum(found.values()) / 1e9
        yield Finding(
            "trainings",
            "note",
            f"{len(found)} not ended, {held:.1f} GB; `robo run` goes on where settings are the same",
            f"rm -r {folder}, to give them up",
        )
