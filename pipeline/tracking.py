"""Where MLflow is, a connection to it, and files out of it: what training reads, flows start and publishing writes to alike.

Whatever the store says decides neither where a file is written nor what it may hold: files are asked for by sha256 and kept under it.

MLflow takes 1.6 seconds to import, so functions import it where they use it.
"""

import fcntl
import logging
import os
import re
import sqlite3
import tempfile
import urllib.error
import urllib.request
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import sha256
from pipeline.core.schema import SHA256

TRAINED_ARTIFACT = "trained"  # folder of a version's run with the weights to fine-tune from
PING_SECONDS = 5
MIGRATIONS = {
    "mlflow": "store/db_migrations/versions",
    "prefect": "server/database/_migrations/versions/sqlite",
}  # in the packages
ARTIFACTS = "/.state/mlartifacts"  # below the project's root
PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def local_database(root: Path) -> Path:
    """The SQLite file that the flow and `robo serve` share."""
    return Path(root).resolve() / ".state" / "mlflow.db"


def local_tracking_uri(root: Path) -> str:
    return f"sqlite:///{local_database(root)}"


def address_file(root: Path) -> Path:
    """Says where the MLflow server of this folder answers while it runs."""
    return Path(root).resolve() / ".state" / "mlflow.url"


def address(file: Path) -> str | None:
    """What an address file says while the `robo serve` that wrote it lives, which keeps it locked; else None.

    In a copied project it speaks of the original's server, and after a kill of whoever has the port by now.
    """
    with suppress(FileNotFoundError), open(file, encoding="utf-8") as text:
        try:
            fcntl.flock(text, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who asks does not look like who serves
        except BlockingIOError:
            return text.read()
    return None


def default_tracking_uri(root: Path) -> str:
    """The user's store, else our server while it answers, else the file that it serves."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    with suppress(UserError):
        if uri := address(address_file(root)):
            ping(uri)
            return uri
    if os.environ.get("MLFLOW_BACKEND_STORE_URI"):
        raise UserError(
            "MLFLOW_BACKEND_STORE_URI names a database of MLflow's server, and none answers; start it (`robo serve`)"
        )
    return local_tracking_uri(root)


def artifact_root(root: Path) -> str:
    """Where a store without a server of its own keeps files; absolute, so that it means the same to the flow and to the page."""
    return Path(root).resolve().as_uri() + ARTIFACTS


def settle(root: Path) -> None:
    """Lets MLflow's file under `root` speak of the files beside it, also where the project was moved or copied: MLflow knows absolute places
    alone, so a moved one would find nothing, and a copy would write into the original."""
    database, here = local_database(root), Path(root).resolve().as_uri()
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection, connection:

            def has(table: str) -> bool:
                return bool(connection.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone())

            known = (
                connection.execute(
                    f"select artifact_location from experiments where artifact_location like '%{ARTIFACTS}%'"
                )
                if has("experiments")
                else ()
            )
            for before in {place.partition(ARTIFACTS)[0] for (place,) in known} - {here}:
                for table, column in PLACES.items():
                    if has(table):
                        connection.execute(
                            f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                            (here, len(before) + 1, len(before) + 1, f"{before}/"),
                        )
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{database}: MLflow's store cannot be read ({error}); try again, or move it away and `robo run` registers anew"
        ) from None


def ping(uri: str) -> None:
    """Raises UserError unless an MLflow server answers at this http address; MLflow's own client would try for minutes."""
    right = "start it (`robo serve` does), or unset MLFLOW_TRACKING_URI to use the file .state/mlflow.db"
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PING_SECONDS) as answer:
            healthy = answer.read(16).strip() == b"OK"
    except urllib.error.HTTPError:
        healthy = False
    except (OSError, ValueError) as error:
        raise TemporaryError(f"MLflow does not answer at {uri} ({getattr(error, 'reason', error)}); {right}") from None
    if not healthy:
        raise UserError(f"what answers at {uri} is no MLflow server; {right}")


def check_version(package: str, database: Path) -> None:
    """Raises UserError where a newer `package` than ours wrote this SQLite file: ours would say that it is too old, or nothing of use."""
    if not database.exists():
        return
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            revisions = [row[0] for row in connection.execute("select version_num from alembic_version")]
        except sqlite3.OperationalError:  # nothing in it yet
            return
        except sqlite3.DatabaseError as error:
            raise UserError(f"{database}: {error}; move it away and a new one is begun") from None
    spec = find_spec(package)
    assert spec and spec.submodule_search_locations, f"{package} is installed, as a package"
    known = Path(spec.submodule_search_locations[0], MIGRATIONS[package])
    if not all(list(known.glob(f"*{revision}*.py")) for revision in revisions):
        raise UserError(
            f"{database} was written by a newer {package} than the {installed(package)} that is installed: go back to the commit that "
            "wrote it and `make setup`, or move the file away, and with it what it holds, and a new one is begun"
        )


def shown(uri: str) -> str:
    """The address without its password."""
    return re.sub(r"//([^/@:]*):[^/@]*@", r"//\1:***@", uri)


@contextmanager
def connected(uri: str):
    """Yields MLflow's client for `uri`; what MLflow refuses in the block, or a server that goes away, becomes a UserError."""
    # A server that went away must not hold a run for minutes, nothing here is anyone else's business, and no chatter.
    for key, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }.items():
        os.environ.setdefault(key, value)
    if uri.startswith(("http://", "https://")):
        ping(uri)
    elif uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///"))
        database.parent.mkdir(parents=True, exist_ok=True)
        check_version("mlflow", database)
        if uri == local_tracking_uri(root := database.parent.parent):
            settle(root)
    import mlflow
    import requests

    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells each of its migrations, on first use
    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        yield mlflow.MlflowClient()
    except (mlflow.MlflowException, requests.RequestException) as error:
        said = str(error)
        # All that a client is told of the place where its server keeps files.
        if "/mlflow-artifacts/" in said and "500 error responses" in said:
            said = "the place where it keeps files is away, full or closed to it; its log says which (of robo serve: .state/logs/mlflow.log)"
        raise UserError(
            f"MLflow at {shown(uri)}: {said}\nNothing half-done stays: run again when this is mended"
        ) from error


def check(uri: str) -> None:
    """Raises UserError where MLflow cannot be asked, to know it before the work that is to be registered there."""
    try:
        with connected(uri) as client:
            client.search_experiments(max_results=1)
    except UserError:
        raise
    except Exception as error:  # of a database's driver, or for want of one; its words may hold the password
        said = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"MLflow at {shown(uri)}: {type(error).__name__}: {shown(said)}; mend MLFLOW_TRACKING_URI, or unset it to use the file "
            ".state/mlflow.db"
        ) from error


def fetch(uri: str, digest: str, folder: Path) -> Path:
    """The file at an MLflow URI, as folder/DIGEST with its suffix; fetched only where it is not there yet, and there only when it is the right one.

    Raises UserError where `digest` is no sha256, there is no such file, or it has another sha256.
    """
    if not re.fullmatch(SHA256, digest):
        raise UserError(
            f"{uri}: {digest!r} is told as its sha256 and is none; delete the version and `robo run` registers it anew"
        )
    local = folder / f"{digest}{PurePosixPath(uri).suffix}"
    if local.exists() and sha256(local) == digest:
        return local
    import mlflow

    parent, name = uri.rsplit("/", 1)
    if name not in {
        PurePosixPath(file.path).name for file in mlflow.artifacts.list_artifacts(parent) if not file.is_dir
    }:
        raise UserError(f"{uri}: no such file in MLflow; delete the version and `robo run` registers it anew")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        fetched = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        if (found := sha256(fetched)) != digest:
            raise UserError(
                f"{uri} is not the file that was registered: its sha256 is {found}, the version's tag says {digest}; "
                "delete the version and `robo run` registers it anew"
            )
        os.replace(fetched, local)
    return local


def fetch_trained(name: str, version: str, tracking_uri: str, folder: Path) -> Path:
    """Puts a version's trained weights into `folder` and returns where. Raises UserError when MLflow has no such version, or not its weights."""
    with connected(tracking_uri) as client:
        run_id = client.get_model_version(name, version).run_id
        if TRAINED_ARTIFACT not in {item.path for item in client.list_artifacts(run_id)}:
            raise UserError(
                f"MLflow at {tracking_uri}: version {version} of {name} has no trained weights, only the served file; register it again, "
                "or start from a folder under checkpoints/"
            )
        return Path(client.download_artifacts(run_id, TRAINED_ARTIFACT, str(folder)))
