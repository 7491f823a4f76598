"""What `robo doctor` finds beside this folder's files: which servers and workers answer, what Ollama serves, what a cluster and other machines say."""

import os
from collections.abc import Iterator
from pathlib import Path

from flows import elsewhere, versions
from flows.findings import Finding
from flows.processes import answers, locked
from flows.servers import address_of, state
from pipeline.core.config import Config
from pipeline.core.errors import UserError, shortened
from pipeline.core.schema import OWN_POOL
from pipeline.publish import lineage, serving
from pipeline.tracking import address


def servers(root: Path) -> Iterator[Finding]:
    for name, health, variable in (
        ("prefect", "/api/health", "PREFECT_API_URL"),
        ("mlflow", "/health", "MLFLOW_TRACKING_URI"),
    ):
        if given := os.environ.get(variable):
            good = not given.startswith("http") or answers(given.removesuffix("/api") + health)
            yield Finding(
                name,
                "good" if good else "bad",
                f"{given}, from {variable}{'' if good else ', does not answer'}",
                "" if good else f"start it there, or unset {variable}",
            )
            continue
        file = address_of(name, root)
        if not file.exists():
            yield Finding(name, "note", "no server of ours runs; runs keep their own books", "robo serve")
        elif (where := address(file)) and answers(where + health):
            yield Finding(name, "good", where)
        else:
            yield Finding(
                name,
                "bad",
                f"no server of this folder answers at {file.read_text()}, and {file} says it should",
                "robo serve",
            )
    serves = locked_by(root, "prefect.lock") and address_of("prefect", root).exists()
    for name, file in (("worker", "worker.lock"), ("reconciler", "reconcile.lock")):
        runs = locked_by(root, file)
        yield Finding(
            name,
            "good" if runs else "note",
            "runs" if runs else "does not run" + (" (`robo ui` is pages alone)" if serves else ""),
            "" if runs else "robo serve",
        )


def locked_by(root: Path, name: str) -> bool:
    """Whether somebody holds this lock file."""
    path = state(root) / name
    if not path.exists():
        return False
    if file := locked(path):
        file.close()
    return file is None


def ollama(config: Config, root: Path) -> Iterator[Finding]:
    version, url = serving.is_reachable(), serving.address()
    if version is None:
        yield Finding("ollama", "note", f"does not answer at {url}; imports are skipped", "ollama serve")
        return
    yield Finding("ollama", "good", f"{version} at {url}")
    from pipeline.publish.promotion import champion, hint, latest
    from pipeline.publish.registry import facts
    from pipeline.tracking import connected, default_tracking_uri

    name = config.serving.name
    if not os.environ.get("MLFLOW_TRACKING_URI") and not any(
        (state(root) / file).exists() for file in ("mlflow.db", "mlflow.url")
    ):
        yield Finding("champion", "note", "nothing is registered yet", "robo run")
        return
    with connected(default_tracking_uri(root)) as client:
        model, wish = champion(client, name)
        wished = wish and facts(client, wish).get("served_sha256")
    with serving.connected(None, Path(name)) as client:
        fact = serving.held(client, latest(name))
    if wish is None:
        yield Finding("champion", "note", f"no version of {name} has the alias champion", "robo promote candidate")
    elif fact is None or fact["file"] != wished:
        yield Finding(
            "champion",
            "bad",
            f"the alias stands at version {wish.version}, but {latest(name)} "
            + ("is not in Ollama" if fact is None else "is another file"),
            "robo serve (or robo reconcile), or robo rollback",
        )
    else:
        yield Finding("champion", "good", f"{latest(name)} is version {wish.version}")
    if model and (said := hint(model)):
        yield Finding("aliases", "note", said, "robo promote VERSION")


def cluster(config: Config) -> Iterator[Finding]:
    """What Slurm has, where the training is a job, and whether it would take one."""
    from pipeline.training import slurm

    settings, t = config.operations.slurm, config.training
    assert settings is not None
    try:
        slurm.check_config(config)
    except UserError as error:
        yield Finding(
            "slurm",
            "bad",
            str(error),
            "mend the file that it names, or ask who runs the cluster (sinfo shows what there is)",
        )
        return
    nodes = slurm.ask(
        "sinfo", "--noheader", "--format=%D %T", *([f"--partition={settings.partition}"] if settings.partition else [])
    ).stdout
    yield Finding(
        "slurm",
        "good",
        f"{slurm.ask('sinfo', '--version').stdout.split()[-1]}, nodes: "
        f"{', '.join(nodes.splitlines())}; it takes a job of {t.num_nodes} x {t.devices} processes",
    )
    for number, state_of, reason in slurm.jobs(name=f"{slurm.job_name()},{slurm.sweep_name()}"):
        yield Finding(
            "job",
            "note",
            f"{number} of this folder is {state_of.lower()}{'' if reason == 'None' else f': {reason}'}",
            f"scancel {number}, where no run of yours waits for it",
        )


def pools(config: Config, root: Path) -> Iterator[Finding]:
    """Who takes what Prefect's queues hold: each pool with its workers, and what one on another machine has other than we."""
    import httpx

    from flows.servers import prefect_environment

    environment, wanted = prefect_environment(root), config.operations.pools
    api = environment.get("PREFECT_API_URL")
    for name in [] if api else sorted(set(wanted.values())):
        yield Finding("pool", "bad", f"{name}: no Prefect server, so none has its workers", "robo serve --host 0.0.0.0")
    if not api or not answers(f"{api}/health"):
        return
    os.environ.update(environment)
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        with get_client(sync_client=True) as client:
            found = {pool.name: elsewhere.workers(client, pool.name) for pool in client.read_work_pools()}
            queues = {name: queued(client, name) for name in found}
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        yield Finding(
            "pools",
            "bad",
            f"Prefect's server at {api}: {str(error).splitlines()[0]}",
            "PREFECT_API_AUTH_STRING=user:password",
        )
        return
    for name in sorted({*found, *wanted.values()}):
        stages = [stage for stage, pool in wanted.items() if pool == name]
        workers, takes = found.get(name, []), f", takes {', '.join(stages)}" if stages else ""
        mend = "robo serve" if name == OWN_POOL else f"robo worker {name}, on that machine"
        how = "good" if workers else "bad" if stages else "note"
        yield Finding(
            "pool",
            how,
            f"{name}: {len(workers) or 'no'} worker{'s' * (len(workers) != 1)}{takes}{queues.get(name, '')}",
            "" if workers else mend,
        )
        for worker, said in workers:
            if said:
                yield other_machine(worker.name, said, root)


def queued(client, pool: str) -> str:
    """What of a pool's queues is worth saying: those that stand still, and runs that wait."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateName,
        WorkPoolFilter,
        WorkPoolFilterName,
    )

    paused = [queue.name for queue in client.read_work_queues(work_pool_name=pool) if queue.is_paused]
    late = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"]))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    return (f", queue {shortened(paused)} is paused" if paused else "") + (f", {len(late)} wait" if late else "")


def other_machine(name: str, said: dict, root: Path) -> Finding:
    """A worker's own words against what is here."""
    if wrong := versions.differing(said["versions"], versions.shown()):
        return Finding(
            "worker", "bad", f"{name} in {said['checkout']}: {shortened(wrong)}", "git pull && make setup, there"
        )
    ours, theirs = lineage.commit(root), said["commit"]
    if theirs != ours:
        return Finding(
            "worker",
            "note",
            f"{name} in {said['checkout']} began at commit {theirs[:9]}, here is {ours[:9]}; stages run at the commit that they are sent with",
            "git pull, there, and start it again",
        )
    return Finding("worker", "good", f"{name} in {said['checkout']}: same commit and packages")
