"""The main flow: every stage of dvc.yaml, then the acts: register the version in MLflow, judge it, import it into Ollama.

Acts are never recorded as done. Each asks the world first (is this content registered? judged by these gates against this champion?
does Ollama hold this file with these parameters?) and does nothing where it is so already. So the flow may run at any time, and
mends what somebody removed.
"""

import time
from collections.abc import Callable
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_logger
from prefect.states import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows import acts, console, elsewhere, forecast, runs
from flows.changes import graph, pending
from flows.graph import finish, mend, run_stage, stop_children
from flows.notices import notify
from flows.reconcile import whoami
from flows.summary import Outcome, report
from flows.tracked import missed
from flows.versions import check_image
from pipeline.advice import advice, check_machine
from pipeline.core.config import load
from pipeline.core.errors import UserError
from pipeline.publish import lineage, registry, serving
from pipeline.publish.judge import judge
from pipeline.tracking import check, default_tracking_uri

# Stages that need one another's outputs never meet; two quantizations may. Any, since Prefect's own annotations refuse its runners.
TWO_AT_ONCE: Any = ThreadPoolTaskRunner(max_workers=2)


def act(name: str, work: Callable[[], tuple[str, str]]) -> State:
    """Runs one act; `work` returns its state (Executed or Skipped) and the reason."""
    began = time.perf_counter()
    try:
        state, reason = work()
    except UserError as error:
        console.ended(name, "Failed", time.perf_counter() - began, str(error))
        raise
    get_run_logger().info("%s: %s", state, reason)
    return finish(Outcome(name, state, time.perf_counter() - began, reason))


@task(task_run_name="register", cache_policy=NO_CACHE, persist_result=False)
def register(asked: str) -> State:
    """Puts the built model into MLflow's registry as a version with the alias `candidate`; the run is named by it and who `asked`."""

    def work():
        config = load()
        done = registry.register(config, default_tracking_uri(config.root))
        runs.rename(f"version {done.version}{'' if done.created else ' again'}: {config.params.model}, by {asked}")
        return ("Executed" if done.created else "Skipped"), done.reason

    return act("register", work)


@task(task_run_name="judge", cache_policy=NO_CACHE, persist_result=False)
def judge_candidate() -> State:
    """Holds the registered version against the gates and the champion; a new verdict is worth a notice."""

    def work():
        config = load()
        done = judge(config, default_tracking_uri(config.root))
        if done.changed or done.promoted:
            create_markdown_artifact(
                f"{done.said}\n\n{done.report}", key="candidate", description=f"Version {done.version} and the champion"
            )
            how = (
                ""
                if done.promoted
                else f"\nMake it the champion in MLflow's page, or with: robo promote {done.version}"
            )
            notify(
                config.operations,
                get_run_logger(),
                f"{config.serving.name}: version {done.version} is ready",
                f"{done.said}{how}",
                "success" if done.good else "warning",
            )
        return ("Executed" if done.changed or done.promoted else "Skipped"), done.said

    return act("judge", work)


@task(task_run_name="import", cache_policy=NO_CACHE, persist_result=False)
def import_candidate() -> State:
    """Puts the served GGUF into Ollama as NAME:candidate; without an Ollama server it is Skipped and nothing else fails."""

    def work():
        changed, said = acts.import_where_served(load())
        return ("Executed" if changed else "Skipped"), said

    return act("import", work)


def submit(step: Task[..., State], *given: str, after: list[PrefectFuture]) -> PrefectFuture:
    """Lets a stage or an act run as soon as those `after` which it comes are through."""
    return step.submit(*given, wait_for=after)


def warn(line: str) -> None:
    """On the terminal and on the run's page."""
    console.say(line)
    get_run_logger().warning(line)


def tell_of_failure(flow, flow_run, state: State) -> None:
    config = load()
    notify(
        config.operations,
        get_logger("robo.retrain"),
        f"{config.serving.name}: {flow.name} {(state.name or state.type.value).lower()}",
        state.message or flow_run.name,
        "failure",
    )


@flow(
    name="retrain",
    flow_run_name="retrain",
    task_runner=TWO_AT_ONCE,
    persist_result=False,
    on_running=[runs.on_running],
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
def retrain() -> list[Outcome]:
    """Brings every file up to date, registers and judges what came out, and serves it as the candidate.

    Raises RuntimeError with the messages of what failed.
    """
    runs.take_turn(console.say)
    for line in mend():
        warn(line)
    config = load()  # a mistake in a config is said before anything runs
    check_image(config.root)
    try:
        if not elsewhere.pool_of(config, "train"):
            check_machine(config)
    except UserError:
        if "train" in pending():  # a model trained elsewhere may well come through here
            raise
    if config.operations.pools:
        elsewhere.check_config(config, pending())
    # who is asked at the end must be there, or the work is for nothing
    check(default_tracking_uri(config.root))
    serving.address()
    try:
        lineage.commit(config.root)
    except UserError as error:
        warn(
            f"note: a version registered now cannot say which commit it is of: {error}; robo doctor says what mends it"
        )
    context = FlowRunContext.get()
    assert context and context.flow_run, "within a flow"
    asked = runs.trigger(context.flow_run, whoami())
    runs.rename(f"{config.params.model}, by {asked}")  # the version is known when it is registered
    for line in advice(config) + missed(config):
        warn(f"note: {line}")
    if line := forecast.said(config, pending(), forecast.recall(), forecast.measured()):
        console.say(line)
        get_run_logger().info(line)
    futures: dict[str, PrefectFuture] = {}
    try:
        for stage, needs in graph().items():
            futures[stage] = submit(
                run_stage.with_options(task_run_name=stage), stage, after=[futures[n] for n in needs]
            )
        futures["register"] = submit(register, asked, after=list(futures.values()))
        futures["judge"] = submit(judge_candidate, after=[futures["register"]])
        futures["import"] = submit(import_candidate, after=[futures["register"]])
        for future in futures.values():
            future.wait()
    except BaseException:  # cancelled or interrupted: leave nobody writing
        stop_children()
        raise
    failed = {
        name: future.state for name, future in futures.items() if future.state.is_failed() or future.state.is_crashed()
    }
    if failed:
        raise RuntimeError("\n".join(str(state.result(raise_on_failure=False)) for state in failed.values()))
    outcomes = [future.result() for future in futures.values()]
    forecast.remember({done.name: done.seconds for done in outcomes if done.state == "Executed"})
    create_markdown_artifact(report(outcomes), key="retrain", description="What ran, and what came out")
    return outcomes
