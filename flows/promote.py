"""Prefect's side of promotion: what a worker does on demand.

The loop itself is `robo reconcile`; the flow `reconcile` is one round of it, for those who have a worker and no such process.
"""

from pathlib import Path

from prefect import flow, get_run_logger

from flows import runs
from flows.reconcile import follow, look, report
from pipeline.core.config import load
from pipeline.core.errors import UserError
from pipeline.publish import promotion
from pipeline.publish.promotion import Round
from pipeline.tracking import default_tracking_uri


@flow(name="promote", flow_run_name="promote {version}", persist_result=False)
def promote(version: int | str, why: str = "") -> None:
    """Makes a registered version (a number or an alias such as candidate) the champion and serves it. Raises UserError where it is refused."""
    config = load()
    asked = promotion.now()
    number, said = promotion.promote(
        config, default_tracking_uri(config.root), str(version), "the flow promote in Prefect", why
    )
    get_run_logger().info(said)
    finish(follow(config, number, asked))


@flow(name="reconcile", flow_run_name="reconcile", persist_result=False)
def reconcile() -> None:
    """One look at the alias, and what it takes to make Ollama follow. Raises UserError where it does not."""
    config = load(Path("."))
    done = look(config)
    runs.rename(f"reconcile: {done.said}")
    if done.happened:
        report(config, done)
    finish(done)


def finish(done: Round) -> None:
    get_run_logger().info(done.said)
    if not done.agrees:
        raise UserError(done.said)
