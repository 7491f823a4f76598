"""Registers what DVC built as a version in MLflow, once for each content.

The question is always put to MLflow, never to a note of our own: is there a version whose run carries this content's hash? The
version is made last, when its run is complete. So a process killed at any moment leaves either a finished version or a run that no
version points at, and the next call removes such a run before it starts afresh.

MLflow's table of versions shows every tag of a version, one below the other. So a version carries the few that a person chooses by (see
judge.py), and all that programs read stands on its run. Older code put everything on the version; facts() reads both.

MLflow takes 1.6 seconds to import, so functions import it where they use it.
"""

import base64
import json
import tempfile
import zlib
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.errors import NotDone
from pipeline.core.files import sha256, write_text
from pipeline.core.paths import CROISSANT, VALIDATION
from pipeline.export.origin import stamp
from pipeline.publish import lineage
from pipeline.tracking import TRAINED_ARTIFACT, artifact_root, connected

ALIAS, CHAMPION = "candidate", "champion"  # the newest, and the one that a person (or promotion: auto) wants served
SETTINGS = "serving.json"  # beside the GGUF file among a version's artifacts: how it is to be served
HELD_OUT = "held_out"  # folder of the run with the validation text
STANDS = "registered as version"
STORY = "Completes MicroPython code; each version was built from one dvc.lock."
VIEW = "robo"  # key of the saved view of the training runs
COLUMNS = (
    "metrics.`evaluate.val.bits_per_byte`",
    "metrics.`evaluate.val.loss`",
    "metrics.`exam.sets.people.rate`",
    "metrics.`train.parameters`",
    "params.`training.learning_rate`",
    "params.`params.corpus`",
    "params.`params.model`",
)  # worth seeing of a training run
BATCH = {"metrics": 1000, "params": 100}  # MLflow's limits for one call
MAX_TAG = 8000  # characters of a run's tag, which PostgreSQL insists on


@dataclass(frozen=True)
class Registered:
    name: str  # of the registered model
    version: int
    run_id: str
    created: bool  # False: a version with this content was there
    reason: str


def find_model(client, name: str):
    """The registered model, or None before anything was registered under this name."""
    return next(iter(client.search_registered_models(f"name = '{name}'")), None)


def view() -> dict[str, str]:
    """Tags of an experiment: that it holds trainings, and the view that MLflow's page of runs offers under "Views", with the columns worth
    seeing. MLflow 3.17's page goes by the switch at its top left instead of the kind; others go by the kind."""
    state = {"selectedColumns": COLUMNS, "orderByKey": "attributes.start_time", "orderByAsc": False}
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    saved = {"name": "what matters", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return {"mlflow.experimentKind": "custom_model_development", f"mlflow.sharedViewState.{VIEW}": json.dumps(saved)}


def experiment(client, name: str, uri: str, root: Path) -> str:
    """The id of the experiment, made where it is missing and taken out of the bin where it lies there."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.create_experiment(
            name, artifact_location=None if uri.startswith("http") else artifact_root(root), tags=view()
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    for key, value in view().items():
        if key not in found.tags:  # what somebody chose in the page stays
            client.set_experiment_tag(found.experiment_id, key, value)
    return found.experiment_id


def story(experiment_id: str) -> str:
    """Markdown for the model's page, where all begins. MLflow's own way to the runs leads to the traces of a chat application."""
    return f"{STORY} [Training runs](#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW})"


def versions_with(client, name: str, key: str, value: str) -> list:
    """The versions whose runs have this tag, the newest last."""
    from mlflow.entities import ViewType

    if (found := client.get_experiment_by_name(name)) is None:
        return []
    runs = {
        run.info.run_id for run in client.search_runs([found.experiment_id], f"tags.`{key}` = '{value}'", ViewType.ALL)
    }
    return sorted(
        (version for version in client.search_model_versions(f"name = '{name}'") if version.run_id in runs),
        key=lambda v: int(v.version),
    )


def candidate(client, name: str) -> int:
    """The version that the alias stands at; 0 where at none."""
    return int(client.get_registered_model(name).aliases.get(ALIAS, 0))


def find_version(client, name: str, content: str):
    return next(reversed(versions_with(client, name, "content_hash", content)), None)


def facts(client, version) -> dict[str, str]:
    """All that is known of a version: its run's tags and its own. A run that was purged says nothing any more."""
    from mlflow import MlflowException

    try:
        found = version.tags | client.get_run(version.run_id).data.tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {**version.tags}
    number = 2
    while (more := found.pop(f"{lineage.SOURCES_TAG}.{number}", None)) is not None:
        found[lineage.SOURCES_TAG] += more
        number += 1
    return found


def note(client, version, tags: dict[str, str]) -> None:
    """Writes tags on the version's run."""
    for key, value in cut(tags).items():
        client.set_tag(version.run_id, key, value)


def cut(tags: dict[str, str]) -> dict[str, str]:
    """Long values as several tags: key, key.2, key.3; facts() joins the sources, which alone may be long."""
    return {
        key if start == 0 else f"{key}.{start // MAX_TAG + 1}": value[start : start + MAX_TAG]
        for key, value in tags.items()
        for start in range(0, max(len(value), 1), MAX_TAG)
    }


def remove_unfinished(client, experiment_id: str, content: str) -> None:
    """Deletes the runs that a killed call left: those of this content, which has no version, and those that never ended."""
    for unfinished in (
        f"tags.content_hash = '{content}'",
        "attributes.status = 'RUNNING' and tags.content_hash LIKE '%'",
    ):
        for run in client.search_runs([experiment_id], unfinished):
            for model in client.search_logged_models([experiment_id], f"source_run_id = '{run.info.run_id}'"):
                client.delete_logged_model(model.model_id)
            client.delete_run(run.info.run_id)


def log_run(client, experiment_id: str, config: Config, tags: dict[str, str], description: str) -> tuple[str, str]:
    """Makes one finished run with everything in it; returns its id and the id of its model."""
    import mlflow
    from mlflow.entities import Metric, Param

    root = config.root
    with (
        tempfile.TemporaryDirectory() as scratch,
        mlflow.start_run(
            experiment_id=experiment_id,
            run_name=f"{config.params.model} {tags['content_hash'][:8]}",
            tags=cut(tags),
            description=description,
        ) as run,
    ):
        run_id, now = run.info.run_id, run.info.start_time
        params = [Param(name, value) for name, value in lineage.all_params(config).items()]
        for start in range(0, len(params), BATCH["params"]):
            client.log_batch(run_id, params=params[start : start + BATCH["params"]])
        for path in lineage.measurements(config):
            client.log_artifact(run_id, str(path), str(path.parent.relative_to(root)))
        client.log_artifact(run_id, str(root / "data" / "tokenizer" / "tokenizer.json"), "tokenizer")
        client.log_artifact(run_id, str(root / CROISSANT), lineage.CORPUS)
        client.log_artifact(run_id, str(root / VALIDATION), HELD_OUT)  # a later version is measured on it; see judge.py
        listed = Path(scratch, lineage.DOCUMENTS)
        listed.parent.mkdir()
        with open(listed, "w", encoding="utf-8") as file:
            file.writelines(lineage.documents(root))
        client.log_artifact(run_id, str(listed), lineage.CORPUS)
        client.log_artifacts(
            run_id, str(root / "models" / "trained"), TRAINED_ARTIFACT
        )  # to fine-tune from; the served file is quantized
        generation = config.serving.parameters
        handed_out = Path(scratch, SETTINGS)
        write_text(handed_out, lineage.handed_out(config))
        served = lineage.served_gguf(config)
        gguf = Path(scratch, served.name)
        stamp(
            served, gguf, {"mlflow_run": run_id, **({"git_commit": tags["git_commit"]} if "git_commit" in tags else {})}
        )
        model = mlflow.pyfunc.log_model(
            name=config.serving.name,
            python_model=str(Path(__file__).with_name("mlflow_model.py")),
            artifacts={"gguf": str(gguf), "settings": str(handed_out)},
            model_config={**generation.model_dump(exclude={"num_predict"}), "max_tokens": generation.num_predict},
            pip_requirements=[f"{package}=={installed(package)}" for package in ("mlflow", "llama-cpp-python")],
        )
        # after the model, which else would ask the server for the history of each metric, hundreds of requests, to note the first of it
        metrics = [
            Metric(name, value, now, 0, model.model_id, run_id=run_id)
            for name, value in lineage.all_metrics(config).items()
        ]
        metrics += [
            Metric(name, value, now, step) for name, value, step in lineage.history(root / "metrics" / "train.csv")
        ]
        for start in range(0, len(metrics), BATCH["metrics"]):
            client.log_batch(run_id, metrics=metrics[start : start + BATCH["metrics"]])
        client.set_tag(run_id, "served_sha256", sha256(gguf))
        return run_id, model.model_id


def register(config: Config, tracking_uri: str, ask: bool = False) -> Registered:
    """Makes sure that MLflow holds one version of what DVC built, and that the alias `candidate` stands at it.

    Raises UserError when the model is not built, or MLflow cannot be reached or refuses; with `ask` NotDone in place of doing anything.
    """
    name, content = config.serving.name, lineage.content_hash(config)
    with connected(tracking_uri) as client:
        if ask:
            found = find_version(client, name, content)
            if found is None or candidate(client, name) != int(found.version):
                raise NotDone
            return Registered(
                name, int(found.version), found.run_id, False, f"this content is {STANDS} {found.version}"
            )
        experiment_id = experiment(client, name, tracking_uri, config.root)
        if (model := find_model(client, name)) is None:
            client.create_registered_model(name, description=story(experiment_id))
        elif model.description == STORY:  # as older code left it
            client.update_registered_model(name, story(experiment_id))
        version = find_version(client, name, content)
        if created := version is None:
            remove_unfinished(client, experiment_id, content)
            tags, description = lineage.tags(config), lineage.description(config)
            run_id, model_id = log_run(client, experiment_id, config, tags, description)
            version = client.create_model_version(
                name, f"models:/{model_id}", run_id, description=description, model_id=model_id
            )
        number = int(version.version)
        reason = f"{STANDS} {number}" if created else f"this content is {STANDS} {number}"
        if candidate(client, name) != number:
            client.set_registered_model_alias(name, ALIAS, str(number))
            reason += f", {ALIAS} moved to it"
        return Registered(name, number, version.run_id, created, reason)
