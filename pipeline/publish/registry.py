"""Registers what DVC built as a version in MLflow, once for each content. The only module that knows MLflow's client.

The question is always put to MLflow, never to a note of our own: is there a version that carries this content's hash? The
version is made last, in one call together with its hash, when its run is complete. So a process killed at any moment leaves
either a finished version or a run that no version points at, and the next call removes such a run before it starts afresh.

MLflow takes 1.6 seconds to import, so functions import it where they use it.
"""

import logging
import os
import re
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path, PurePosixPath

from pipeline.core.config import Config
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import sha256, write_text
from pipeline.core.paths import VALIDATION
from pipeline.core.schema import SHA256
from pipeline.export.origin import stamp
from pipeline.publish import lineage

ALIAS, CHAMPION = "candidate", "champion"       # the newest, and the one that a person (or promotion: auto) wants served
SETTINGS = "serving.json"                       # beside the GGUF file among a version's artifacts: how it is to be served
HELD_OUT = "held_out"                           # folder of the run with the validation text
TRAINED_ARTIFACT = "trained"
PING_SECONDS = 5
BATCH = {"metrics": 1000, "params": 100}        # MLflow's limits for one call


@dataclass(frozen=True)
class Registered:
    name: str           # of the registered model
    version: int
    run_id: str
    created: bool       # False: a version with this content was there
    reason: str


def local_tracking_uri(root: Path) -> str:
    """The SQLite file that the flow and `robo serve` share."""
    return f"sqlite:///{Path(root).resolve() / '.state' / 'mlflow.db'}"


def address_file(root: Path) -> Path:
    """Says where the MLflow server of this folder answers while it runs."""
    return Path(root).resolve() / ".state" / "mlflow.url"


def default_tracking_uri(root: Path) -> str:
    """The user's store, else our server while it answers, else the file that it serves."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    with suppress(FileNotFoundError, UserError):
        ping(uri := address_file(root).read_text())
        return uri
    if os.environ.get("MLFLOW_BACKEND_STORE_URI"):
        raise UserError("MLFLOW_BACKEND_STORE_URI names a database of MLflow's server, and none answers; start it (`robo serve`)")
    return local_tracking_uri(root)


def artifact_root(root: Path) -> str:
    """Where a store without a server of its own keeps files; absolute, so that it means the same to the flow and to the page."""
    return (Path(root).resolve() / ".state" / "mlartifacts").as_uri()


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


@contextmanager
def connected(uri: str):
    """Yields MLflow's client for `uri`; what MLflow refuses in the block, or a server that goes away, becomes a UserError."""
    # A server that went away must not hold a run for minutes, nothing here is anyone else's business, and no chatter.
    for key, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_DISABLE_TELEMETRY": "true",
                       "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_LOGGING_LEVEL": "WARNING",
                       "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}.items():
        os.environ.setdefault(key, value)
    if uri.startswith(("http://", "https://")):
        ping(uri)
    elif uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    import mlflow
    import requests
    logging.getLogger("alembic").setLevel(logging.WARNING)      # it tells each of its migrations, on first use
    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        yield mlflow.MlflowClient()
    except (mlflow.MlflowException, requests.RequestException) as error:
        raise UserError(f"MLflow at {uri}: {error}\nNothing half-done stays: run again when this is mended") from error


def find_model(client, name: str):
    """The registered model, or None before anything was registered under this name."""
    return next(iter(client.search_registered_models(f"name = '{name}'")), None)


def download(version, path: str, digest: str, folder: Path) -> Path:
    """The file `path` among a version's artifacts, as folder/DIGEST with the suffix of `path`; fetched only where it is not there yet.

    What the registry says decides neither where a file is written nor what it may hold. Raises UserError where `path` leads out of the
    version, `digest` is no sha256, or the file is not the one that it tells.
    """
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not re.fullmatch(SHA256, digest):
        raise UserError(f"{version.name}/{version.version}: {path!r} with sha256 {digest!r} is no file of a version; delete it and run again")
    local = folder / f"{digest}{PurePosixPath(path).suffix}"
    if local.exists() and sha256(local) == digest:
        return local
    return fetch(f"models:/{version.name}/{version.version}/{path}", digest, local)


def fetch(uri: str, digest: str, local: Path) -> Path:
    """Writes the artifact at an MLflow URI to `local`, at once and only when it is the right one; returns `local`.

    Raises UserError where there is none or it has another sha256.
    """
    import mlflow
    parent, name = uri.rsplit("/", 1)
    if name not in {PurePosixPath(file.path).name for file in mlflow.artifacts.list_artifacts(parent) if not file.is_dir}:
        raise UserError(f"{uri}: no such file in MLflow; delete the version and `robo run` registers it anew")
    local.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=local.parent) as scratch:
        fetched = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        if (found := sha256(fetched)) != digest:
            raise UserError(f"{uri} is not the file that was registered: its sha256 is {found}, the version's tag says {digest}; "
                            "delete the version and `robo run` registers it anew")
        os.replace(fetched, local)
    return local


def experiment(client, name: str, uri: str, root: Path) -> str:
    """The id of the experiment, made where it is missing and taken out of the bin where it lies there."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.create_experiment(name, artifact_location=None if uri.startswith("http") else artifact_root(root))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def find_version(client, name: str, content: str):
    found = client.search_model_versions(f"name = '{name}' and tags.content_hash = '{content}'")
    return max(found, key=lambda version: int(version.version), default=None)


def remove_unfinished(client, experiment_id: str, content: str) -> None:
    """Deletes the runs that a killed call left: those of this content, which has no version, and those that never ended."""
    for unfinished in (f"tags.content_hash = '{content}'", "attributes.status = 'RUNNING' and tags.content_hash LIKE '%'"):
        for run in client.search_runs([experiment_id], unfinished):
            for model in client.search_logged_models([experiment_id], f"source_run_id = '{run.info.run_id}'"):
                client.delete_logged_model(model.model_id)
            client.delete_run(run.info.run_id)


def log_run(client, experiment_id: str, config: Config, tags: dict[str, str], description: str) -> tuple[str, str, str]:
    """Makes one finished run with everything in it; returns its id, the id of its model, and the sha256 of the GGUF file in that."""
    import mlflow
    from mlflow.entities import Metric, Param
    root = config.root
    with (tempfile.TemporaryDirectory() as scratch,
          mlflow.start_run(experiment_id=experiment_id, run_name=f"{config.params.model} {tags['content_hash'][:8]}", tags=tags,
                           description=description) as run):
        run_id, now = run.info.run_id, run.info.start_time
        params = [Param(name, value) for name, value in lineage.all_params(config).items()]
        metrics = [Metric(name, value, now, 0) for name, value in lineage.all_metrics(config).items()]
        metrics += [Metric(name, value, now, step) for name, value, step in lineage.history(root / "metrics" / "train.csv")]
        for start in range(0, len(params), BATCH["params"]):
            client.log_batch(run_id, params=params[start:start + BATCH["params"]])
        for start in range(0, len(metrics), BATCH["metrics"]):
            client.log_batch(run_id, metrics=metrics[start:start + BATCH["metrics"]])
        for folder in lineage.MEASUREMENTS:
            client.log_artifacts(run_id, str(root / folder), folder)
        client.log_artifact(run_id, str(root / "data" / "tokenizer" / "tokenizer.json"), "tokenizer")
        client.log_artifact(run_id, str(root / VALIDATION), HELD_OUT)      # a later version is measured on it; see judge.py
        client.log_artifacts(run_id, str(root / "models" / "trained"), TRAINED_ARTIFACT)     # to fine-tune from; the served file is quantized
        generation = config.serving.parameters
        handed_out = Path(scratch, SETTINGS)
        write_text(handed_out, lineage.handed_out(config))
        served = lineage.served_gguf(config)
        gguf = Path(scratch, served.name)
        stamp(served, gguf, {"mlflow_run": run_id, **({"git_commit": tags["git_commit"]} if "git_commit" in tags else {})})
        model = mlflow.pyfunc.log_model(
            name=config.serving.name, python_model=str(Path(__file__).with_name("mlflow_model.py")),
            artifacts={"gguf": str(gguf), "settings": str(handed_out)},
            model_config={**generation.model_dump(exclude={"num_predict"}), "max_tokens": generation.num_predict},
            pip_requirements=[f"{package}=={installed(package)}" for package in ("mlflow", "llama-cpp-python")])
        return run_id, model.model_id, sha256(gguf)


def register(config: Config, tracking_uri: str) -> Registered:
    """Makes sure that MLflow holds one version of what DVC built, and that the alias `candidate` stands at it.

    Raises UserError when the model is not built, or MLflow cannot be reached or refuses.
    """
    name, content = config.serving.name, lineage.content_hash(config)
    with connected(tracking_uri) as client:
        experiment_id = experiment(client, name, tracking_uri, config.root)
        if find_model(client, name) is None:
            client.create_registered_model(name, description="Completes MicroPython code; each version was built from one dvc.lock.")
        version = find_version(client, name, content)
        if created := version is None:
            remove_unfinished(client, experiment_id, content)
            tags, description = lineage.tags(config), lineage.description(config)
            run_id, model_id, digest = log_run(client, experiment_id, config, tags, description)
            version = client.create_model_version(name, f"models:/{model_id}", run_id, tags={**tags, "run_id": run_id, "served_sha256": digest},
                                                  description=description, model_id=model_id)
        number = int(version.version)
        reason = f"registered as version {number}" if created else f"this content is registered as version {number}"
        if int(client.get_registered_model(name).aliases.get(ALIAS, 0)) != number:
            client.set_registered_model_alias(name, ALIAS, str(number))
            reason += f", {ALIAS} moved to it"
        return Registered(name, number, version.run_id, created, reason)


def download_trained(name: str, version: str, tracking_uri: str, folder: Path) -> Path:
    """Puts a version's trained weights into `folder` and returns where. Raises UserError when MLflow has no such version, or not its weights."""
    with connected(tracking_uri) as client:
        run_id = client.get_model_version(name, version).run_id
        if TRAINED_ARTIFACT not in {item.path for item in client.list_artifacts(run_id)}:
            raise UserError(f"MLflow at {tracking_uri}: version {version} of {name} has no trained weights, only the served file; register it again, "
                            "or start from a folder under checkpoints/")
        return Path(client.download_artifacts(run_id, TRAINED_ARTIFACT, str(folder)))
