"""The record of what became of a promotion, as a run on Prefect's page. The reconciler makes it after the fact (flows/reconcile.py)."""

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, Failed, State

from flows import runs


@flow(name="serving", flow_run_name="{subject}", persist_result=False, on_running=[runs.on_running])
def served(subject: str, said: str, good: bool) -> State:
    """A run with an artifact: Completed where the version serves, Failed where it was refused."""
    get_run_logger().info(said)
    create_markdown_artifact(said, key="serving", description=subject)
    return Completed(message=subject) if good else Failed(message=said)
