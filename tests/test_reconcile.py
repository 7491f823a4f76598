"""`robo reconcile` as a process, and promotion as a person does it: in MLflow's page, with a browser, until Ollama answers as that version."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import ollama as package
import pytest
from browser import browser
from chain import make_chain
from project import REPOSITORY, change_config, register_versions, served_temperature
from real import free_port, receiver, start_ollama, start_robo, wait_until
from test_servers import Ui

from flows import notices
from flows.reconcile import Drift
from pipeline.core.config import Config
from pipeline.publish.judge import judge
from pipeline.tracking import local_tracking_uri

NAME = "robo-micropython"


def test_drift_is_told_once():
    drift = Drift(after=10)
    assert [drift.too_long(agrees, at) for agrees, at in ((False, 0), (False, 9), (False, 10), (False, 30))] == [
        False,
        False,
        True,
        False,
    ]
    assert [drift.too_long(agrees, at) for agrees, at in ((True, 31), (False, 32), (False, 41), (False, 42))] == [
        False,
        False,
        False,
        True,
    ]


def operations(**values):
    return Config(REPOSITORY).operations.model_copy(update=values)


def test_a_notice_arrives(monkeypatch, caplog):
    with receiver() as (url, posted):
        monkeypatch.setenv(notices.URL, url)
        notices.notify(operations(), logging.getLogger("test"), "version 3 is ready", "it fails", "warning")
        assert [(notice["title"], notice["message"], notice["type"]) for notice in posted] == [
            ("version 3 is ready", "it fails", "warning")
        ]
        assert not caplog.records


@pytest.mark.parametrize("url", ["json://127.0.0.1:{port}/secret", "nonsense-secret", "http://["])
def test_a_notice_that_cannot_be_sent_is_a_warning_without_the_url(monkeypatch, caplog, url):
    monkeypatch.setenv(notices.URL, url.format(port=free_port()))
    notices.notify(operations(), logging.getLogger("test"), "version 3 is ready", "it fails")
    said = [record.getMessage() for record in caplog.records if record.name == "test"]
    assert len(said) == 1 and "ROBO_NOTIFY_URL" in said[0] and "'version 3 is ready' could not be sent" in said[0]
    assert "secret" not in caplog.text
    monkeypatch.delenv(notices.URL)
    notices.notify(operations(), logging.getLogger("test"), "nobody", "wants to know")
    assert len([record for record in caplog.records if record.name == "test"]) == 1


@pytest.fixture
def client(ollama):
    client = package.Client(ollama)
    yield client
    for model in client.list().models:
        if model.model.startswith(f"{NAME}:"):
            client.delete(model.model)


def serves(client, number):
    try:
        return served_temperature(client) == number / 10 and bool(
            client.generate(NAME, "import ", options={"num_predict": 4}).response
        )
    except package.ResponseError:  # not there yet
        return False


def robo(project, *arguments, ok=True, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "ROBO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=project,
        env={**kept, "PYTHONPATH": str(REPOSITORY), **more},
        text=True,
        capture_output=True,
        timeout=200,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def checked(project):
    """With the real dvc.yaml, which commands hold the configs against."""
    shutil.copy(REPOSITORY / "dvc.yaml", project)
    return project


@pytest.mark.slow
def test_in_the_page_and_back(checked, client, ollama, tmp_path):
    """The alias set in MLflow's page reaches Ollama, is moved back there, and everybody is told."""
    register_versions(checked, local_tracking_uri(checked), 1)
    judge(Config(checked), local_tracking_uri(checked))
    ui = Ui(checked)
    log = tmp_path / "reconcile.log"
    try:
        ui.wait_until_open()
        uri = ui.url("MLflow")
        with (
            receiver() as (notify, posted),
            browser(tmp_path) as page,
            start_robo(
                checked,
                "reconcile",
                "no version of robo-micropython has the alias",
                log,
                OLLAMA_HOST=ollama,
                MLFLOW_TRACKING_URI=uri,
                ROBO_NOTIFY_URL=notify,
            ),
        ):
            took = {"first": promote_in_page(page, uri, client, 1, tmp_path)}
            settings = Config(checked).serving.parameters.model_dump()
            change_config(checked, "configs/serving/robo-micropython.yaml", parameters={**settings, "temperature": 0.2})
            from pipeline.publish.registry import register

            assert register(Config(checked), uri).version == 2
            judge(Config(checked), uri)
            took["second"] = promote_in_page(page, uri, client, 2, tmp_path)
            took["back"] = promote_in_page(page, uri, client, 1, tmp_path)
            began = time.monotonic()
            assert "robo-micropython/2 is served" in robo(
                checked, "promote", "2", "--why", "again", OLLAMA_HOST=ollama, MLFLOW_TRACKING_URI=uri
            )
            took["robo promote"] = time.monotonic() - began
            began = time.monotonic()
            robo(checked, "rollback", "--why", "it stutters", OLLAMA_HOST=ollama, MLFLOW_TRACKING_URI=uri)
            took["robo rollback"] = time.monotonic() - began
            assert serves(client, 1)
            print("seconds from the click to the answer:", {what: round(seconds, 1) for what, seconds in took.items()})

            wait_until(lambda: len(posted) == 5, lambda: f"{posted}\n{log.read_text()}")
            assert [notice["title"] for notice in posted] == [
                f"{NAME}: version {number} served" for number in (1, 2, 1, 2, 1)
            ]
            assert "rollback from robo-micropython/2: it stutters" in posted[-1]["message"]
            wait_until(lambda: log.read_text().count("now") == 5, log.read_text)
            look_at_what_is_told(page, ui, tmp_path)
    finally:
        ui.process.send_signal(signal.SIGINT)
        ui.process.wait(60)
    assert ui.gone_in(5)


def promote_in_page(page, uri, client, number, pictures):
    """Opens the version, adds the alias `champion`, saves; returns the seconds from there to Ollama's answer."""
    from playwright.sync_api import expect

    page.goto(f"{uri}/#/models/{NAME}/versions/{number}")
    page.reload()
    expect(page.get_by_role("heading", name="Gates")).to_be_visible()
    page.screenshot(path=pictures / f"version-{number}.png", full_page=True)
    page.locator("button[data-component-id*=modelversionviewaliaseditor]").click()  # a pencil or "Add"; it has no name
    page.get_by_role("dialog").get_by_role("combobox").fill("champion")
    page.keyboard.press("Enter")
    page.screenshot(path=pictures / f"alias-{number}.png")
    page.get_by_role("button", name="Save aliases").click()
    took = wait_until(lambda: serves(client, number), f"version {number} is not served")
    expect(page.get_by_text("@ champion").first).to_be_visible()
    return took


def look_at_what_is_told(page, ui, pictures):
    """The tags of the version and of its run in MLflow, the run and its artifact in Prefect."""
    from playwright.sync_api import expect

    page.goto(f"{ui.url('MLflow')}/#/models/{NAME}/versions/1")
    page.reload()
    expect(page.get_by_text("serving.status")).to_be_visible()
    page.screenshot(path=pictures / "version.png", full_page=True)
    page.locator("a[href*='/runs/']").first.click()
    page.get_by_text("serving.why").first.scroll_into_view_if_needed()
    expect(page.get_by_text("rollback from robo-micropython/2: it stutters").first).to_be_visible()
    page.screenshot(path=pictures / "served.png")
    page.goto(f"{ui.url('Prefect')}/runs")
    expect(page.get_by_text("5 runs", exact=True)).to_be_visible()
    page.screenshot(path=pictures / "runs.png")
    page.goto(f"{ui.url('Prefect')}/artifacts/key/serving")
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    expect(page.get_by_text("it stutters").first).to_be_visible()
    page.screenshot(path=pictures / "artifact.png")


@pytest.mark.slow
def test_a_failed_retraining_is_told(tmp_path):
    root = make_chain(tmp_path / "chain")
    shutil.rmtree(root / "corpora" / "val")
    with receiver() as (notify, posted):
        assert "corpora/val" in robo(root, "run", ok=False, ROBO_NOTIFY_URL=notify, OLLAMA_HOST="127.0.0.1:9")
        assert [(notice["title"], notice["type"]) for notice in posted] == [(f"{NAME}: retrain failed", "failure")]
        assert "corpora/val" in posted[0]["message"]


@pytest.mark.slow
def test_servers_that_come_and_go(checked, tmp_path):
    """The loop outlives Ollama, says so once, tells of the drift, and serves when Ollama is back; a second one is refused."""
    from real import find_ollama

    program = find_ollama()
    if program is None:
        pytest.skip("no Ollama server of its own to stop")
    change_config(checked, "configs/operations/robo-micropython.yaml", reconcile_every=0.5, drift_after=2)
    register_versions(checked, local_tracking_uri(checked), 1)
    host, log, folder = f"127.0.0.1:{free_port()}", tmp_path / "reconcile.log", tmp_path / "ollama"
    folder.mkdir()
    with (
        receiver() as (notify, posted),
        start_robo(checked, "reconcile", "has the alias", log, OLLAMA_HOST=host, ROBO_NOTIFY_URL=notify),
    ):
        assert "another `robo reconcile` runs" in robo(checked, "reconcile", ok=False)
        import mlflow

        mlflow.MlflowClient(
            local_tracking_uri(checked), registry_uri=local_tracking_uri(checked)
        ).set_registered_model_alias(NAME, "champion", "1")
        wait_until(lambda: len(posted) == 1, log.read_text)
        assert posted[0]["title"] == f"{NAME}: drift" and "Ollama does not answer" in posted[0]["message"]
        time.sleep(2)
        assert log.read_text().count("Ollama does not answer") == 2  # when it began, and with the drift
        with start_ollama(program, host, folder):
            wait_until(lambda: len(posted) == 2, log.read_text)
            assert posted[1]["title"] == f"{NAME}: version 1 served" and served_temperature(package.Client(host)) == 0.1
