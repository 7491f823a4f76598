"""Registering in a real MLflow on a temporary SQLite file: everything is there, once, whatever is killed in between."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from project import QUANTS, REPOSITORY, as_older_code, change_config, commit, retrain, write

from flows import settled
from pipeline.core.config import Config
from pipeline.core.errors import UserError
from pipeline.core.files import read_json, write_json
from pipeline.core.timings import INFERENCE, TRAINING, write_timings
from pipeline.publish import lineage
from pipeline.publish.registry import COLUMNS, STORY, VIEW, cut, facts, register, versions_with
from pipeline.tracking import default_tracking_uri, local_tracking_uri


def mlflow_client(uri):
    import mlflow

    return mlflow.MlflowClient(uri, registry_uri=uri)


def runs(client):
    from mlflow.entities import ViewType

    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client.search_runs(experiments, run_view_type=ViewType.ACTIVE_ONLY)


def versions(client):
    return sorted(int(version.version) for version in client.search_model_versions())


def test_everything_is_there(project, uri, monkeypatch):
    import mlflow

    asked = []  # over a network each is a request, and MLflow's own way asks once for each of hundreds of metrics
    history = mlflow.MlflowClient.get_metric_history
    monkeypatch.setattr(
        mlflow.MlflowClient, "get_metric_history", lambda *given: asked.append(given) or history(*given)
    )
    with contextlib.chdir(project):
        write_timings(TRAINING, {"tokens_per_second": 500}, [Path("models/trained/model.safetensors")])
        write_timings(INFERENCE, {"Q8_0": {"memory": 7}}, [Path("models/quantized/Q8_0.gguf")])
    speeds = project / "metrics/inference_speed.json"
    write_json(speeds, {**read_json(speeds), "of": {"models/quantized/Q8_0.gguf": "that of the model before"}})
    registered = register(Config(project), uri)
    assert (registered.name, registered.version, registered.created) == ("robo-micropython", 1, True)
    client = mlflow_client(uri)
    version = client.get_model_version_by_alias("robo-micropython", "candidate")
    run = client.get_run(registered.run_id)
    assert version.run_id == registered.run_id and run.info.status == "FINISHED" and not asked
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{registered.run_id}'")
    of_model = {metric.key: metric.value for metric in model.metrics}
    curves = {name for name, *_ in lineage.history(project / "metrics/train.csv")}
    assert of_model == {name: value for name, value in run.data.metrics.items() if name not in curves}

    params, config = run.data.params, Config(project)
    assert params["model.d_model"] == str(config.model.d_model) and params["training.learning_rate"] == str(
        config.training.learning_rate
    )
    assert params["serving.parameters.stop"] == '["<eos>"]'
    sources = config.corpus.sources
    assert params["corpus.sources"] == str(len(sources)) and params["corpus.kinds.sdist"] == str(
        sum(each.kind == "sdist" for each in sources)
    )
    for key, counted in (("splits", "split"), ("licenses", "license")):
        told = {name: int(value) for name, value in params.items() if name.startswith(f"corpus.{key}.")}
        counts = Counter(getattr(each, counted) for each in sources)
        assert told == {f"corpus.{key}.{name}": count for name, count in counts.items()}
    assert len(params["corpus.sha256"]) == 64 and params["params.prepare.min_bytes"] == "64"
    assert [name for name in params if name.startswith("corpus.sources.")] == [], "which they are stands in a tag"
    assert (
        run.data.metrics["evaluate.val.bits_per_byte"] == 1.2345 and run.data.metrics["prepare.rejected.too short"] == 3
    )
    assert run.data.metrics["quantize.Q8_0.bytes"] == (project / "models/quantized/Q8_0.gguf").stat().st_size
    assert run.data.metrics["speed.tokens_per_second"] == 500 and not [
        name for name in run.data.metrics if "inference" in name
    ]
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert (
        sorted(point.step for point in curve) == list(range(1, 1201))
        and len(client.get_metric_history(run.info.run_id, "val_loss")) == 24
    )

    def listed(path):
        return {file.path for file in client.list_artifacts(run.info.run_id, path)}

    assert {"metrics/evaluate.json", "metrics/quantize", "metrics/speed.json"} <= listed("metrics")
    assert "tokenizer/tokenizer.json" in listed("tokenizer")
    assert "metrics/inference_speed.json" not in listed("metrics"), "it is of another model"
    assert {"reports/samples.md", "reports/quality.svg"} <= listed("reports")

    lock = lineage.locked(Config(project))
    assert version.tags == {}  # MLflow's table shows each; what a person chooses by comes with the verdict
    tags = facts(client, version)
    assert tags["content_hash"] == lineage.content_hash(Config(project)) == run.data.tags["content_hash"]
    assert tags["dvc.raw"] == f"{lock['collect']['data/raw']} data/raw"
    assert tags["dvc.weights"] == f"{lock['train']['models/trained']} models/trained"
    assert 4 < float(tags["quant.Q4_K_M.bits_per_weight"]) < float(tags["quant.Q8_0.bits_per_weight"])
    assert (
        version.description.startswith("1.2345 bits per byte (val)") and "1,806,592 parameters" in version.description
    )
    assert f"| Q8_0 | {(project / 'models/quantized/Q8_0.gguf').stat().st_size:,} |" in version.description


def test_a_registered_version_can_be_trained_on(project, uri, monkeypatch, tmp_path):
    """init_from: robo-micropython/1 starts from the very weights that were trained, not from the quantized file."""
    from pipeline.training import start

    register(Config(project), uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(project)
    trained, weights = start.read_model(project / "models/trained", "")
    config = start.ModelConfig(**trained["model"])
    for name in ("robo-micropython/1", "models:/robo-micropython/1"):
        found = start.weights(name, config, trained["tokenizer_sha256"])
        assert found.keys() == weights.keys() and all((found[key] == weights[key]).all() for key in weights)
    with pytest.raises(UserError, match="robo-micropython/1 does not fit this run: tokenizer"):
        start.weights("robo-micropython/1", config, "another")
    with pytest.raises(UserError, match="version=7"):
        start.weights("robo-micropython/7", config, trained["tokenizer_sha256"])


def test_the_registered_model_completes(project, uri, tmp_path):
    register(Config(project), uri)
    # In a process and folder that know nothing of this repository.
    program = (
        "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]); "
        "model = mlflow.pyfunc.load_model('models:/robo-micropython@candidate'); print(repr(model.predict(['import machine\\n', 'led = '])))"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program, uri],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers = eval(done.stdout)
    assert len(answers) == 2 and all(isinstance(answer, str) and answer for answer in answers)
    stored = [path.suffix for path in (project / ".state/mlartifacts").rglob("*") if path.is_file()]
    assert ".gguf" in stored and not {".pkl", ".pickle"} & set(stored)


def test_once_for_each_content(project, uri):
    first = register(Config(project), uri)
    again = register(Config(project), uri)
    assert (again.version, again.run_id, again.created) == (first.version, first.run_id, False)
    client = mlflow_client(uri)
    assert len(runs(client)) == 1 and versions(client) == [1]

    # Other timings are no other content; other weights are.
    write(project / "metrics/train.json", {"steps": 1200, "parameters": 1_806_592, "loss": 2.5, "val_loss": 2.7499})
    commit(project)
    assert register(Config(project), uri).version == 1
    before = (project / "dvc.lock").read_bytes()
    retrain(project)
    assert register(Config(project), uri).version == 2
    assert client.get_model_version_by_alias("robo-micropython", "candidate").version == 2

    # Back to the first: no new run, the alias follows.
    (project / "dvc.lock").write_bytes(before)
    back = register(Config(project), uri)
    assert (back.version, back.created) == (1, False) and "candidate moved" in back.reason
    assert client.get_model_version_by_alias("robo-micropython", "candidate").version == 1 and len(runs(client)) == 2

    # Another file served is another version: it is what the version hands out.
    change_config(project, "configs/serving/robo-micropython.yaml", quant="Q8_0")
    assert register(Config(project), uri).version == 3


def test_a_version_of_older_code_is_known(project, uri):
    """Found by its content, not registered again, and told with all that stands on itself."""
    register(Config(project), uri)
    client = mlflow_client(uri)
    before = facts(client, client.get_model_version("robo-micropython", "1"))
    as_older_code(uri, 1)
    version = client.get_model_version("robo-micropython", "1")
    assert "served_sha256" in version.tags and "served_sha256" not in client.get_run(version.run_id).data.tags
    assert facts(client, version) == before and not register(Config(project), uri).created


def test_a_run_that_was_deleted_still_tells(project, uri):
    """In MLflow's bin; one that was purged leaves what stands on the version."""
    run_id = register(Config(project), uri).run_id
    client = mlflow_client(uri)
    client.delete_run(run_id)
    assert not register(Config(project), uri).created
    version = client.get_model_version("robo-micropython", "1")
    assert facts(client, version)["served_quant"] == "Q4_K_M"
    subprocess.run(
        [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri, "--run-ids", run_id],
        check=True,
        capture_output=True,
    )
    assert facts(client, version) == version.tags == {}


def test_long_values_are_whole(project, uri, monkeypatch):
    """A run's tag takes 8000 characters; hundreds of packages take more."""
    sources = "; ".join(f"package-{n} 1.0 (MIT)" for n in range(1000))
    assert len(sources) > 2 * 8000 and [*cut({"a": "x" * 8000, "b": ""})] == ["a", "b"]
    tags = lineage.tags(Config(project)) | {lineage.SOURCES_TAG: sources}
    monkeypatch.setattr(lineage, "tags", lambda _: tags)
    register(Config(project), uri)
    client = mlflow_client(uri)
    (version,) = versions_with(client, "robo-micropython", "dvc.weights", tags["dvc.weights"])
    assert facts(client, version)[lineage.SOURCES_TAG] == sources


@pytest.mark.parametrize("older", [False, True])
def test_the_experiment_is_of_trainings(project, uri, older):
    """And its columns worth seeing are named, also where older code made it; what somebody chose in the page stays."""
    client = mlflow_client(uri)
    if older:
        client.create_experiment("robo-micropython", tags={f"mlflow.sharedViewState.{VIEW}": "mine"})
        client.create_registered_model("robo-micropython", description=STORY)
    register(Config(project), uri)
    found = client.get_experiment_by_name("robo-micropython")
    assert found.tags["mlflow.experimentKind"] == "custom_model_development"
    if older:
        assert found.tags[f"mlflow.sharedViewState.{VIEW}"] == "mine"
    (run,) = runs(client)
    for kind, key in re.findall(r"(metrics|params)\.`(.*?)`", "\n".join(COLUMNS)):
        assert key in getattr(run.data, kind), f"{key} is no column"
    link = f"](#/experiments/{found.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW})"
    assert client.get_registered_model("robo-micropython").description.endswith(link)


def test_what_is_deleted_in_the_page_comes_back(project, uri):
    register(Config(project), uri)
    client = mlflow_client(uri)
    client.delete_model_version("robo-micropython", "1")
    assert register(Config(project), uri).created and len(versions(client)) == len(runs(client)) == 1
    client.delete_experiment(runs(client)[0].info.experiment_id)
    retrain(project)
    assert register(Config(project), uri).created


KILLED = """
import os, signal, sys
from pathlib import Path
import mlflow
from pipeline.core.config import Config
from pipeline.publish.registry import register
name, uri = sys.argv[1], sys.argv[2]
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(*((mlflow.pyfunc, "log_model") if name == "log_model" else (mlflow.MlflowClient, name)), killed)
register(Config(Path(sys.argv[3])), uri)
"""


@pytest.mark.parametrize(
    "at",
    [
        "create_model_version",
        *(
            pytest.param(place, marks=pytest.mark.slow)
            for place in ("log_batch", "log_model", "set_registered_model_alias")
        ),
    ],
)
def test_killed_half_way(project, uri, at):
    child = subprocess.run(
        [sys.executable, "-c", KILLED, at, uri, project],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=120,
    )
    assert child.returncode == -signal.SIGKILL
    registered = register(Config(project), uri)
    client = mlflow_client(uri)
    assert versions(client) == [registered.version] and [run.info.run_id for run in runs(client)] == [registered.run_id]
    assert client.get_run(registered.run_id).info.status == "FINISHED"
    assert int(client.get_model_version_by_alias("robo-micropython", "candidate").version) == registered.version
    models = client.search_logged_models([runs(client)[0].info.experiment_id])
    assert [model.source_run_id for model in models] == [registered.run_id]


@pytest.mark.slow
def test_killed_at_any_moment(project, uri):
    program = (
        "import sys; from pathlib import Path; from pipeline.core.config import Config; from pipeline.publish.registry import register; "
        "print('go', flush=True); register(Config(Path(sys.argv[1])), sys.argv[2])"
    )
    register(Config(project), uri)  # so that making the database is not all that is killed
    for round_number in range(8):
        retrain(project)
        child = subprocess.Popen(
            [sys.executable, "-c", program, project, uri],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
        )
        child.stdout.readline()
        time.sleep(1 + 0.5 * round_number)
        child.kill()
        child.wait()
        registered = register(Config(project), uri)
        client = mlflow_client(uri)
        assert versions(client) == list(range(1, round_number + 3)) and registered.version == round_number + 2
        assert len(runs(client)) == round_number + 2 and all(run.info.status == "FINISHED" for run in runs(client))


def test_first_use_is_quiet(project):
    program = (
        "import sys; from pathlib import Path; from pipeline.core.config import Config; "
        "from pipeline.publish.registry import register; from pipeline.tracking import default_tracking_uri; "
        "c = Config(Path(sys.argv[1])); register(c, default_tracking_uri(c.root))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | {
        "PYTHONPATH": str(REPOSITORY)
    }
    before = set(project.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", program, project],
        env=environment,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in set(project.iterdir()) - before} <= {".state"} and (
        project / ".state/mlflow.db"
    ).exists()


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_project_in_another_place(project, tmp_path, monkeypatch, how):
    """Its versions are served, loaded and fine-tuned from where they lie now, and new ones come there too; what was copied is left alone."""
    import mlflow

    from pipeline.training import start

    register(Config(project), local_tracking_uri(project))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which MLflow's client sets
    there = tmp_path / "my pröject"
    if how == "moved":
        project.rename(there)
    else:
        shutil.copytree(project, there)
        shutil.rmtree(project / ".state/mlartifacts")  # who still reads or writes it is found out
        before = (project / ".state/mlflow.db").read_bytes()
    monkeypatch.chdir(there)
    trained, _ = start.read_model(there / "models/trained", "")
    assert start.weights("robo-micropython/1", start.ModelConfig(**trained["model"]), trained["tokenizer_sha256"])
    fetched = Path(
        mlflow.artifacts.download_artifacts("models:/robo-micropython/1", dst_path=str(tmp_path / "fetched"))
    )
    assert (fetched / "artifacts/Q4_K_M.gguf").stat().st_size > 1000
    retrain(there)
    assert register(Config(there), default_tracking_uri(there)).version == 2
    client = mlflow_client(default_tracking_uri(there))
    assert {run.info.artifact_uri.partition("/.state")[0] for run in runs(client)} == {there.as_uri()}
    if how == "copied":
        assert (project / ".state/mlflow.db").read_bytes() == before and not (project / ".state/mlartifacts").exists()
    else:
        assert not project.exists()


def test_tracking_uri(project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri(project) == f"sqlite:///{project}/.state/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:5000")
    assert default_tracking_uri(project) == "http://team:5000"


@pytest.mark.parametrize("answering", [False, True])
def test_no_mlflow_at_the_address(project, answering):
    """Nobody listens, or somebody who never answers: one message within seconds."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answering:
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match=f"{url}.*robo serve") as raised:
            register(Config(project), url)
        assert time.monotonic() - began < 10 and "MLFLOW_TRACKING_URI" in str(raised.value)


def test_git_says_which_code(project):
    def git(*arguments):
        return subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
            cwd=project,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    assert "git_commit" not in lineage.tags(Config(project))
    git("init")
    git("add", "params.yaml", "configs", "dvc.yaml")
    git("commit", "-m", "x")
    write(project / ".gitignore", "/models\n/data\n/.dvc\n/.dvcignore\n/.gitignore\n")
    tags = lineage.tags(Config(project))  # dvc.lock, metrics and reports are new to git: a run's own traces
    assert (tags["git_commit"], tags["git_dirty"]) == (git("rev-parse", "HEAD"), "false")
    change_config(project, "configs/training/cpu-minutes.yaml", seed=2)
    assert lineage.tags(Config(project))["git_dirty"] == "true"


def test_not_built(project, uri):
    (project / "models/quantized/Q4_K_M.gguf").unlink()
    with pytest.raises(UserError, match=r"Q4_K_M.gguf.*dvc checkout"):
        register(Config(project), uri)
    change_config(project, "params.yaml", quants=[*QUANTS, "Q2_K"])
    with pytest.raises(UserError, match=r"quantize@Q2_K.*dvc repro"):
        register(Config(project), uri)
    (project / "dvc.lock").unlink()
    with pytest.raises(UserError, match=r"dvc.lock: no such file.*dvc repro"):
        register(Config(project), uri)


@pytest.mark.parametrize(
    "pending", [lambda: os._exit(9), lambda: {"train": "learning_rate changed"}], ids=["killed", "pending"]
)
def test_something_is_to_be_done_where_dvc_says_so_or_nothing(project, monkeypatch, pending):
    """DVC is asked in a process of its own."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(settled, "pending", pending)
    assert settled.outcomes(Config(project)) is None
