"""`robo doctor`: what is there, what listens where, what disagrees, and the command that mends each, on one screen.

It changes nothing, and imports nothing heavy: versions come from the packages' metadata, files from DVC, the rest by asking who answers.
Only a comparison of MLflow's alias with Ollama needs MLflow's client, a second and a half.
"""

import os
import platform
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows import elsewhere, versions
from flows.processes import answers, locked
from flows.servers import address_of, prefect_database, state
from flows.tracked import missed
from pipeline.core.config import Config, load
from pipeline.core.errors import UserError, shortened
from pipeline.core.schema import OWN_POOL
from pipeline.publish import lineage, serving
from pipeline.tracking import address, check_version, local_database

FREE_BYTES = 5e9  # a run with its caches needs a few gigabytes
SIGNS = {"good": "✓", "note": "·", "bad": "✗"}


@dataclass(frozen=True)
class Finding:
    what: str
    how: str  # good, note (worth knowing) or bad (needs mending)
    said: str
    mend: str = ""  # the command


def packages(root: Path) -> Iterator[Finding]:
    yield Finding(
        "python",
        "good",
        f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} CPUs; "
        + ", ".join(f"{name} {version}" for name, version in versions.shown().items()),
    )
    wanted, gone = versions.locked_versions(root / "requirements.lock"), versions.left_out()
    other = versions.instead(versions.installed(), {name: wanted[name] for name in wanted if name not in gone})
    ours = Path(__file__).resolve().parent.parent
    if (root / "flows").exists() and ours != root.resolve():
        yield Finding("code", "bad", f"what runs here is the code in {ours}: .venv was copied from there", "make setup")
    if other:
        yield Finding(
            "packages",
            "bad",
            f"{len(other)} of {len(wanted)} are not as in requirements.lock: {shortened(other)}",
            "rm .venv/.complete; make setup",
        )
    else:
        yield Finding("packages", "good", f"{len(wanted)} as in requirements.lock")


def git(root: Path) -> Iterator[Finding]:
    try:
        commit, changed = (
            lineage.git(root, "log", "-1", "--format=%h %s"),
            lineage.git(root, "status", "--porcelain").splitlines(),
        )
    except UserError as error:
        mend = {
            "not a git repository": "git init && git add -A && git commit -m start",
            "does not have any commits": "git add -A && git commit -m start",
            "dubious ownership": f"git config --global --add safe.directory {shlex.quote(str(root.resolve()))}",
        }
        yield Finding(
            "git",
            "bad",
            f"no commit can be told, and DVC needs one: {error}",
            next((command for words, command in mend.items() if words in str(error)), "install git"),
        )
        return
    if changed:
        names = shortened([line[3:] for line in changed])
        yield Finding(
            "git",
            "note",
            f"{names} not committed: a version registered now is not that of {commit.split()[0]}",
            "git commit -am ...",
        )
    else:
        yield Finding("git", "good", commit)


def files() -> Iterator[Finding]:
    """DVC's stages against the files; what DVC says is wrong with its own files too."""
    from dvc.exceptions import DvcException

    from flows.changes import why
    from flows.dvc_repo import Repo

    try:
        with Repo(".") as repo:
            status = repo.status()
            remote = repo.config["core"].get("remote")
    except DvcException as error:
        yield Finding(
            "files", "bad", str(error), "robo run, which makes anew what was cut short; a merge you must end yourself"
        )
        return
    if status:
        mend = "robo run" + (f", or dvc pull (from {remote})" if remote else "")
        yield Finding(
            "files", "bad", shortened([f"{stage} ({why(changes)})" for stage, changes in status.items()]), mend
        )
    else:
        yield Finding("files", "good", "all stages are up to date with dvc.lock")


def stores() -> Iterator[Finding]:
    """DVC's remote and, where the environment says so, the place of MLflow's files; each is listed and written."""
    from dvc.exceptions import DvcException

    from flows.dvc_repo import Repo
    from flows.stores import SECRETS, NotWritable, artifacts, remote

    try:
        with Repo(".") as repo:
            for what, find in (("remote", lambda: remote(repo)), ("artifacts", artifacts)):
                try:
                    if store := find():
                        yield Finding(what, "good", f"{store.said}, {store.check()}")
                except UserError as error:
                    said, _, mend = str(error).rpartition("; ")
                    yield Finding(what, "note" if isinstance(error, NotWritable) else "bad", said, mend)
            options = repo.config.load_one("repo")["remote"]
    except DvcException:  # files() says it
        return
    for name, held in options.items():
        if found := sorted(SECRETS & set(held)):
            yield Finding(
                "remote",
                "bad",
                f"{', '.join(found)} of {name} in .dvc/config, which git holds; the environment is the place for it",
                f"dvc remote modify --unset {name} {found[0]}, and a new key, since git's history keeps this one",
            )


def databases(root: Path) -> Iterator[Finding]:
    """Those of an installed version that is older than what wrote them."""
    for name, database in (("prefect", prefect_database(root)), ("mlflow", local_database(root))):
        try:
            check_version(name, database)
        except UserError as error:
            kept = shlex.quote(str(database.parent / "kept"))
            yield Finding(
                name, "bad", str(error), f"mkdir -p {kept} && mv {shlex.quote(str(database))}* {kept}"
            )  # with SQLite's -wal


def sweeps(config: Config) -> Iterator[Finding]:
    for line in missed(config):
        yield Finding("sweeps", "note", *line.rsplit(": ", 1))


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


def disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    yield Finding(
        "disk",
        "good" if free > FREE_BYTES else "bad",
        f"{free / 1e9:.0f} GB free",
        "" if free > FREE_BYTES else "dvc gc --workspace",
    )


def checkpoints(root: Path) -> Iterator[Finding]:
    """Of trainings that were stopped and not gone on with."""
    from pipeline.training.resume import RESUME, unended

    folder = Path(root).resolve() / RESUME
    if found := unended(folder):
        held = sum(found.values()) / 1e9
        yield Finding(
            "trainings",
            "note",
            f"{len(found)} not ended, {held:.1f} GB; `robo run` goes on where settings are the same",
            f"rm -r {folder}, to give them up",
        )


def examine(root: Path = Path(".")) -> Iterator[Finding]:
    """Every finding, one after the other as they come; a part that cannot be asked is a finding itself."""
    config = None
    try:
        config = load(root)
        yield Finding("configs", "good", f"{config.params.corpus}, {config.params.model}, {config.params.training}")
    except UserError as error:
        yield Finding("configs", "bad", str(error), "mend the file that it names")
    parts = [
        ("packages", packages(root)),
        ("git", git(root)),
        ("databases", databases(root)),
        ("servers", servers(root)),
        ("disk", disk(root)),
        ("trainings", checkpoints(root)),
    ]
    if config:
        parts += [
            ("files", files()),
            ("stores", stores()),
            ("sweeps", sweeps(config)),
            ("ollama", ollama(config, root)),
        ]
        parts += [("pools", pools(config, root))]
        parts += [("slurm", cluster(config))] if config.operations.slurm else []
    for name, findings in parts:
        try:
            yield from findings
        except UserError as error:
            yield Finding(name, "bad", str(error))


def show(findings: Iterator[Finding]) -> bool:
    """Prints them; returns whether nothing needs mending."""
    bad = 0
    for finding in findings:
        bad += finding.how == "bad"
        first, *others = finding.said.splitlines() or [""]
        print(f"{SIGNS[finding.how]} {finding.what:<10} {first}", *(f"{'':13}{line}" for line in others), sep="\n")
        if finding.mend:
            print(f"{'':13}→ {finding.mend}", flush=True)
    print(f"\n{bad} to mend" if bad else "\nnothing to mend")
    return not bad
