"""Registers what DVC built as a version in MLflow, once for each content.

The question is always put to MLflow, never to a note of our own: is there a version that carries this content's hash? The
version is made last, in one call together with its hash, when its run is complete. So a process killed at any moment leaves
either a finished version or a run that no version points at, and the next call removes such a run before it starts afresh.

MLflow takes 1.6 seconds to import, so functions import it where they use it.
"""

import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.files import sha256, write_text
from pipeline.core.paths import VALIDATION
from pipeline.export.origin import stamp
from pipeline.publish import lineage
from pipeline.tracking import TRAINED_ARTIFACT, artifact_root, connected

ALIAS, CHAMPION = "candidate", "champion"       # the newest, and the one that a person (or promotion: auto) wants served
SETTINGS = "serving.json"                       # beside the GGUF file among a version's artifacts: how it is to be served
HELD_OUT = "held_out"                           # folder of the run with the validation text
BATCH = {"metrics": 1000, "params": 100}        # MLflow's limits for one call
MAX_TAG = 8000                  # characters of a run's, which PostgreSQL insists on; a version's may be longer


@dataclass(frozen=True)
class Registered:
    name: str           # of the registered model
    version: int
    run_id: str
    created: bool       # False: a version with this content was there
    reason: str


def find_model(client, name: str):
    """The registered model, or None before anything was registered under this name."""
    return next(iter(client.search_registered_models(f"name = '{name}'")), None)


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
          mlflow.start_run(experiment_id=experiment_id, run_name=f"{config.params.model} {tags['content_hash'][:8]}",
                           tags={key: value[:MAX_TAG] for key, value in tags.items()}, description=description) as run):
        run_id, now = run.info.run_id, run.info.start_time
        params = [Param(name, value) for name, value in lineage.all_params(config).items()]
        metrics = [Metric(name, value, now, 0) for name, value in lineage.all_metrics(config).items()]
        metrics += [Metric(name, value, now, step) for name, value, step in lineage.history(root / "metrics" / "train.csv")]
        for start in range(0, len(params), BATCH["params"]):
            client.log_batch(run_id, params=params[start:start + BATCH["params"]])
        for start in range(0, len(metrics), BATCH["metrics"]):
            client.log_batch(run_id, metrics=metrics[start:start + BATCH["metrics"]])
        for path in lineage.measurements(config):
            client.log_artifact(run_id, str(path), str(path.parent.relative_to(root)))
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
