"""What Prefect's page calls a run. Which of them live, and what becomes of the others, is in test_serve.py."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from project import REPOSITORY

from flows import runs

RENAMED = """
from flows.servers import prefect_for_a_run
with prefect_for_a_run():
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext
    from flows import runs
    @task
    def name(asked):
        runs.rename(f"version 3: small, by {asked}")
    @flow(flow_run_name="retrain")
    def retrain():
        run = FlowRunContext.get().flow_run
        print(run.name)
        name.submit(runs.trigger(run, "ada@desk")).result()
        with get_client(sync_client=True) as client:
            print(client.read_flow_run(run.id).name)
    retrain()
"""


@pytest.mark.parametrize(
    "deployment, scheduled, said",
    [(None, False, "ada@desk"), ("some", True, "the schedule"), ("some", False, "Prefect's page")],
)
def test_who_asked_for_a_run(deployment, scheduled, said):
    assert runs.trigger(SimpleNamespace(deployment_id=deployment, auto_scheduled=scheduled), "ada@desk") == said


@pytest.mark.slow
def test_a_run_is_named_by_what_it_is_about(tmp_path):
    """From inside a task too, where the version is known."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", RENAMED],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stdout.split("\n")[:2] == ["retrain", "version 3: small, by ada@desk"], (
        done.stderr
    )
