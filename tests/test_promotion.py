"""Promotion against a real MLflow (a temporary SQLite file) and a real Ollama: the alias is followed, whatever is killed, lost or wrong."""

import os
import signal
import subprocess
import sys

import ollama as package
import pytest
from project import REPOSITORY, as_older_code
from project import register_versions as versions
from project import served_temperature as temperature
from real import free_port

from pipeline.core.config import Config
from pipeline.core.errors import TemporaryError, UserError
from pipeline.publish import promotion, serving
from pipeline.publish.promotion import BY, HINT, PREVIOUS, REASON, REFUSAL, REFUSED, STATUS, WHY
from pipeline.publish.registry import SETTINGS, facts
from pipeline.tracking import fetch

NAME = "robo-micropython"


@pytest.fixture
def client(ollama):
    """A client of a server that holds none of our models, before and after."""
    client = package.Client(ollama)

    def clear():
        for name in ours(client):
            client.delete(f"{NAME}:{name}")

    clear()
    yield client
    clear()


def look(project, uri, host):
    return promotion.reconcile(Config(project), uri, host)


def ours(client):
    return sorted(
        model.model.removeprefix(f"{NAME}:") for model in client.list().models if model.model.startswith(f"{NAME}:")
    )


def tags(mlflow, number):
    """Of the version and its run."""
    return facts(mlflow, mlflow.get_model_version(NAME, str(number)))


@pytest.mark.parametrize("older", [False, True])
def test_the_alias_is_followed_there_and_back(project, uri, mlflow, client, ollama, older):
    versions(project, uri, 2)
    for number in (1, 2) if older else ():
        as_older_code(uri, number)
    config = Config(project)
    idle = look(project, uri, ollama)
    assert (idle.version, idle.agrees, idle.happened) == (None, True, "") and ours(client) == []

    mlflow.set_registered_model_alias(NAME, "champion", "1")  # as the page does
    first = look(project, uri, ollama)
    assert (first.version, first.agrees, first.happened) == (1, True, "served") and temperature(client) == 0.1
    assert ours(client) == ["latest", "v1"]
    said = tags(mlflow, 1)
    assert (
        said[STATUS] == "served"
        and said[BY] == "somebody in MLflow"
        and "are llama.cpp's" in said[REASON]
        and PREVIOUS not in said
    )
    again = look(project, uri, ollama)
    assert again.agrees and not again.happened

    if older:
        as_older_code(uri, 1)  # with what it says of serving
    promotion.promote(config, uri, "candidate", "ada@desk", "reads better")
    second = look(project, uri, ollama)
    assert (
        second.happened == "served"
        and "no longer robo-micropython/1" in second.said
        and "ada@desk (reads better)" in second.said
    )
    assert temperature(client) == 0.2 and ours(client) == ["latest", "v1", "v2"]
    said = tags(mlflow, 2)
    assert (said[STATUS], said[BY], said[WHY], said[PREVIOUS]) == ("served", "ada@desk", "reads better", "1")
    assert tags(mlflow, 1)[STATUS] == "superseded" and not [key for key in said if key.startswith("promotion.")]
    assert older or mlflow.get_model_version(NAME, "2").tags == {STATUS: "served"}  # MLflow's table shows each

    mlflow.delete_registered_model_alias(NAME, "champion")  # stops nothing
    assert look(project, uri, ollama).agrees and temperature(client) == 0.2

    assert promotion.rollback(config, uri, "ada@desk", "it stutters")[0] == 1
    back = look(project, uri, ollama)
    assert (
        back.happened == "served"
        and temperature(client) == 0.1
        and tags(mlflow, 1)[WHY] == "rollback from robo-micropython/2: it stutters"
    )
    assert (tags(mlflow, 1)[STATUS], tags(mlflow, 2)[STATUS]) == ("served", "superseded")
    with pytest.raises(
        UserError, match=r"no version was served before robo-micropython/1, so there is nothing to go back to"
    ):
        promotion.rollback(config, uri, "ada@desk")


@pytest.mark.slow
def test_each_rollback_goes_one_further_and_the_last_three_stay(project, uri, mlflow, client, ollama):
    versions(project, uri, 4)
    config = Config(project)
    for number in range(1, 5):
        mlflow.set_registered_model_alias(NAME, "champion", str(number))
        assert look(project, uri, ollama).happened == "served"
    assert ours(client) == ["latest", "v2", "v3", "v4"]
    cached = {path.stem for path in (project / promotion.SERVED).iterdir()}
    assert (
        tags(mlflow, 1)["serving_sha256"] not in cached
        and {tags(mlflow, n)["serving_sha256"] for n in (2, 3, 4)} <= cached
    )
    for number in (3, 2, 1):  # 1 is in Ollama no more: it is fetched again
        assert promotion.rollback(config, uri, "ada@desk")[0] == number
        assert look(project, uri, ollama).happened == "served" and temperature(client) == number / 10
    assert "v1" in ours(client) and len(ours(client)) == 4
    # forward again in the page: from there back to 1, which was served before
    mlflow.set_registered_model_alias(NAME, "champion", "4")
    look(project, uri, ollama)
    assert promotion.rollback(config, uri, "ada@desk")[0] == 1


@pytest.mark.slow
def test_what_is_lost_or_switched_in_ollama_comes_back(project, uri, mlflow, client, ollama):
    versions(project, uri, 2)
    promotion.promote(Config(project), uri, "1", "ada@desk", "first")
    look(project, uri, ollama)
    client.delete(f"{NAME}:latest")
    again = look(project, uri, ollama)
    assert (
        again.happened == "served"
        and again.said.startswith("robo-micropython:latest is robo-micropython/1 again")
        and temperature(client) == 0.1
    )
    assert tags(mlflow, 1)[BY] == "ada@desk"  # who wanted it has not changed
    for model in ours(client):
        client.delete(f"{NAME}:{model}")
    (project / promotion.SERVED).rename(project / "lost")
    assert look(project, uri, ollama).happened == "served" and ours(client) == ["latest", "v1"]


def refuse(monkeypatch, *numbers):
    """Ollama's model of these versions answers otherwise than llama.cpp, as far as the proof can tell."""
    prove = serving.prove

    def refusing(client, name, *rest):
        if any(f":v{number}" in name for number in numbers):
            raise UserError(f"{name} goes on otherwise")
        return prove(client, name, *rest)

    monkeypatch.setattr(serving, "prove", refusing)


def test_a_refused_version_leaves_all_as_it_was_until_the_alias_moves(
    project, uri, mlflow, client, ollama, monkeypatch
):
    versions(project, uri, 2)
    config = Config(project)
    promotion.promote(config, uri, "1", "ada@desk")
    look(project, uri, ollama)
    shown = client.show(f"{NAME}:latest").modified_at
    with monkeypatch.context() as patched:
        refuse(patched, 2)
        mlflow.set_registered_model_alias(NAME, "champion", "2")
        done = look(project, uri, ollama)
        assert (done.version, done.agrees, done.happened) == (2, False, "refused") and "stays as it was" in done.said
        assert ours(client) == ["latest", "v1"] and client.show(f"{NAME}:latest").modified_at == shown
        said = mlflow.get_model_version(NAME, "2").tags
        assert (
            said[STATUS] == "refused"
            and "goes on otherwise" in said[REFUSAL]
            and tags(mlflow, 2)[REASON] == said[REFUSAL]
        )
    # it would be taken now, but it was said once and the alias did not move
    again = look(project, uri, ollama)
    assert not again.agrees and not again.happened and "goes on otherwise" in again.said and temperature(client) == 0.1
    # back to what serves: nothing to do but to note it; then forth again
    assert promotion.rollback(config, uri, "ada@desk")[0] == 1
    assert look(project, uri, ollama).happened == "served" and client.show(f"{NAME}:latest").modified_at == shown
    assert REFUSED not in mlflow.get_registered_model(NAME).tags
    mlflow.set_registered_model_alias(NAME, "champion", "2")
    assert (
        look(project, uri, ollama).happened == "served"
        and temperature(client) == 0.2
        and tags(mlflow, 2)[STATUS] == "served"
    )
    assert REFUSAL not in tags(mlflow, 2)


@pytest.mark.parametrize(
    "alias, meant",
    [
        ("Champion", True),
        ("CHAMPION", True),
        ("champions", True),
        ("champoin", True),
        ("champion-old", False),
        ("candidate", False),
        ("previous", False),
    ],
)
def test_an_alias_that_was_meant_to_be_champion_gets_a_hint(project, uri, mlflow, alias, meant):
    """From the one who looks, and on the model's page, where it was typed, until it is gone."""
    versions(project, uri, 1)
    mlflow.set_registered_model_alias(NAME, alias, "1")
    hint = f"version 1 has the alias '{alias}', which nothing follows; did you mean 'champion'?"
    assert (
        (hint in look(project, uri, None).said) == (mlflow.get_registered_model(NAME).tags.get(HINT) == hint) == meant
    )
    mlflow.delete_registered_model_alias(NAME, alias)
    assert "did you mean" not in look(project, uri, None).said and HINT not in mlflow.get_registered_model(NAME).tags


def stored(project, suffix):
    return next((project / ".state/mlartifacts").rglob(f"*{suffix}"))


@pytest.mark.parametrize("suffix", ["Q4_K_M.gguf", "serving.json"])
def test_a_file_that_is_not_the_registered_one_is_refused(project, uri, mlflow, client, ollama, suffix):
    versions(project, uri, 1)
    with open(stored(project, suffix), "ab") as file:
        file.write(b"x")
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    done = look(project, uri, ollama)
    assert (
        done.happened == "refused"
        and f"{suffix} is not the file that was registered" in done.said
        and ours(client) == []
    )
    assert sorted(path.name for path in (project / promotion.SERVED).iterdir() if path.is_dir()) == []


@pytest.mark.parametrize(
    "key, value",
    [
        ("served_quant", "../../../../etc/passwd"),
        ("served_sha256", "../../outside"),
        ("serving_sha256", "/etc/x"),
        ("served_sha256", "0" * 64),
        ("served_quant", "Q8_0"),
    ],
)
def test_nothing_in_the_registry_leads_elsewhere(project, uri, mlflow, client, ollama, key, value):
    versions(project, uri, 1)
    right, run_id = tags(mlflow, 1)[key], mlflow.get_model_version(NAME, "1").run_id
    mlflow.set_tag(run_id, key, value)
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    before = {path for path in project.parent.rglob("*") if promotion.SERVED.name not in path.parts}
    assert look(project, uri, ollama).happened == "refused" and ours(client) == []
    assert {path for path in project.parent.rglob("*") if promotion.SERVED.name not in path.parts} == before
    # what was wrong is mended: another file is another question
    mlflow.set_tag(run_id, key, right)
    assert (
        promotion.promote(Config(project), uri, "1", "ada@desk")[0] == 1
        and look(project, uri, ollama).happened == "served"
    )


@pytest.mark.parametrize("digest", ["/etc/passwd", "../outside", "0" * 63, ""])
def test_a_hash_cannot_be_a_path(tmp_path, digest):
    with pytest.raises(UserError, match="is told as its sha256 and is none"):
        fetch(f"models:/{NAME}/1/artifacts/{SETTINGS}", digest, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import mlflow, ollama
from pipeline.publish import promotion, serving
from pipeline.core.config import Config
place, count, uri, root, host = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
owner, name = {"copy": (ollama.Client, "copy"), "prove": (serving, "prove"), "tag": (mlflow.MlflowClient, "set_model_version_tag"),
               "note": (mlflow.MlflowClient, "set_tag"),
               "untag": (mlflow.MlflowClient, "delete_model_version_tag")}[place]
real = getattr(owner, name)
def killed(*arguments, **options):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(owner, name, killed)
promotion.reconcile(Config(Path(root)), uri, host)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "place, count", [("prove", 1), ("copy", 2), ("note", 2), ("note", 5), ("tag", 1), ("tag", 2), ("untag", 1)]
)
def test_killed_anywhere_the_next_round_finishes(project, uri, mlflow, client, ollama, place, count):
    versions(project, uri, 2)
    config = Config(project)
    promotion.promote(config, uri, "1", "ada@desk")
    look(project, uri, ollama)
    promotion.promote(config, uri, "2", "ada@desk", "better")
    child = subprocess.run(
        [sys.executable, "-c", KILLED, place, str(count), uri, project, ollama],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert temperature(client) in (0.1, 0.2)  # one or the other, never neither
    look(project, uri, ollama)
    assert temperature(client) == 0.2 and ours(client) == ["latest", "v1", "v2"]
    said = tags(mlflow, 2)
    assert (said[STATUS], said[BY], said[WHY], said[PREVIOUS]) == ("served", "ada@desk", "better", "1") and tags(
        mlflow, 1
    )[STATUS] == "superseded"
    assert not [key for key in said if key.startswith("promotion.")]
    assert not look(project, uri, ollama).happened


def test_nobody_answers(project, uri, mlflow):
    versions(project, uri, 1)
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    with pytest.raises(TemporaryError, match="Ollama does not answer"):
        look(project, uri, f"127.0.0.1:{free_port()}")
    with pytest.raises(TemporaryError, match="MLflow does not answer"):
        look(project, f"http://127.0.0.1:{free_port()}", None)
    assert STATUS not in tags(mlflow, 1)  # it is not the version's fault


def test_no_such_version(project, uri):
    versions(project, uri, 1)
    for which in ("7", "champion", "nobody"):
        with pytest.raises(UserError, match=rf"{which}: no such version of robo-micropython; .*"):
            promotion.promote(Config(project), uri, which, "ada@desk")
    with pytest.raises(UserError, match="no version of robo-micropython is served yet"):
        promotion.rollback(Config(project), uri, "ada@desk")
