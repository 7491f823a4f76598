"""Trains what `dvc exp run --queue` put into DVC's queue: here, one or some at a time, or as one job array where the training is a job of Slurm.

Here DVC does all of it. Its workers know one machine only, so on a cluster each experiment is an element of the array: DVC makes its copy of the
project and takes its result, both here and one after another, since two at once would write to the same git; in between the element does
what `dvc repro` does in that copy, which may be ended at any moment and done again. An experiment leaves DVC's queue when its result is in, so
whatever ends a sweep, the next one goes on with the same copies, and from their checkpoints.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from dvc.repo.experiments.executor.base import BaseExecutor, ExecutorInfo
from dvc.repo.experiments.executor.local import TempDirExecutor
from dvc.repo.experiments.queue.base import BaseStashQueue, QueueEntry

from flows.console import say
from flows.dvc_repo import Repo
from flows.processes import reason
from pipeline.core.config import Config
from pipeline.core.errors import UserError, shortened
from pipeline.core.schema import Slurm
from pipeline.core.stage import own_environment
from pipeline.training import slurm

LOOK = 30  # seconds between two looks at the array, at most; the first come sooner
AGAIN = 3  # times that an element which ran into its limit outside of the training goes back into the queue
LOGS = Path(".state/logs")
READY = "robo-ready"  # beside DVC's own files in a copy that is whole
OVER = {
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "DEADLINE",
    "NODE_FAIL",
    "BOOT_FAIL",
    "PREEMPTED",
}


class Experiment(NamedTuple):
    entry: QueueEntry
    message: str | None  # of its commit
    infofile: Path  # in which DVC keeps what it knows of the copy
    folder: Path  # the project in the copy

    @property
    def name(self) -> str:
        return self.entry.name or self.entry.stash_rev[:7]


def sweep(config: Config, jobs: int | None) -> None:
    """Trains all that is queued, `jobs` at once; without a number one here, and on a cluster as many as Slurm gives.

    Raises UserError where nothing is queued, Slurm refuses, or an experiment failed; its fellows are done then.
    """
    if jobs is not None and not 1 <= jobs <= 1000:
        raise UserError(f"--jobs: {jobs} must be from 1 to 1000")
    with Repo(str(config.root)) as repo:
        waiting = list(repo.experiments.celery_queue._iter_queued())
        if not waiting:
            raise UserError(
                "nothing is queued; queue values as in dvc exp run --queue "
                f"-S {config.paths['training']}:learning_rate=0.003,0.006 evaluate"
            )
        if config.operations.slurm:
            as_array(config, config.operations.slurm, repo, waiting, jobs)
            return
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "run", "--run-all", "--jobs", str(jobs or 1)], cwd=config.root
    )
    if done.returncode:
        raise SystemExit(done.returncode)


# --- on a cluster -----------------------------------------------------------------------------------------------------


def as_array(config: Config, settings: Slurm, repo: Repo, waiting: list, jobs: int | None) -> None:
    where = f"{config.paths['operations']}: slurm"
    slurm.check_config(config)
    slurm.cancel_left(slurm.sweep_name(), say)
    experiments = []
    for message, entry in waiting:
        options = message.decode()[1]
        experiments.append(copied(repo, entry, options.get("copy_paths") or [], options.get("message")))
    nodes, devices = shape(experiments)
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.glob("sweep-*.log"):
        old.unlink()
    each = [sys.executable, "-m", "flows.sweep", *(str(experiment.folder) for experiment in experiments)]
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: the sweep was stopped by SIGTERM"))
    try:
        job = slurm.submit_array(settings, nodes, devices, len(experiments), jobs, each, log_of("%a"), where)
        say(
            f"{len(experiments)} experiment{'s' * (len(experiments) > 1)} as the job array {job} of Slurm; what they say: {LOGS}/sweep-*.log"
        )
        failed = follow(repo, job, experiments)
    except BaseException:
        slurm.cancel(slurm.sweep_name())
        say("the job array is cancelled; run robo sweep again to go on")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if failed:
        raise UserError(
            f"{shortened(failed)} failed and {'stays' if len(failed) == 1 else 'stay'} in the queue; run robo sweep again "
            "when the reason is mended, or take it out: dvc queue remove NAME"
        )
    say("all are done: dvc exp show --only-changed, and dvc exp apply NAME takes one over")


def copied(repo: Repo, entry: QueueEntry, paths: list[str], message: str | None) -> Experiment:
    """The experiment in a copy of the project that git makes; where a sweep was stopped, in that one's."""
    queue = repo.experiments.celery_queue
    infofile = queue.get_infofile_path(entry.stash_rev)
    if os.path.exists(infofile):
        info = ExecutorInfo.load_json(infofile)
        if Path(info.root_dir, info.dvc_dir, "tmp", READY).exists():
            return Experiment(entry, message, Path(infofile), Path(info.root_dir, info.dvc_dir).parent)
        shutil.rmtree(info.root_dir, ignore_errors=True)
    stashed = queue.stash.stash_revs[entry.stash_rev]
    executor = TempDirExecutor.from_stash_entry(repo, stashed, location="dvc-task")
    executor.init_git(repo, repo.scm, entry.stash_rev, stashed, infofile, branch=stashed.branch)
    executor.init_cache(repo, entry.stash_rev)
    executor.info.dump_json(infofile)
    own = Path(executor.root_dir, executor.dvc_dir)
    for path in paths:
        there = own.parent / path
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, there) if os.path.isdir(path) else shutil.copy(path, there)
    (own / "tmp" / READY).touch()
    return Experiment(entry, message, Path(infofile), own.parent)


def shape(experiments: list[Experiment]) -> tuple[int, int]:
    """Nodes, and devices of each, which are the same in all elements of an array."""
    asked = {}
    for experiment in experiments:
        t = Config(experiment.folder).training
        asked.setdefault((t.num_nodes, t.devices), []).append(experiment.name)
    if len(asked) > 1:
        told = "; ".join(f"{n} x {d} by {shortened(names)}" for (n, d), names in asked.items())
        raise UserError(
            f"all experiments of a job array have the same num_nodes and devices, and these want {told}: queue and train them apart"
        )
    return next(iter(asked))


def follow(repo: Repo, job: str, experiments: list[Experiment]) -> list[str]:
    """Waits for the elements, takes what each made, and tells; returns the names of those that failed."""
    running, tried, failed, told, pause = dict(enumerate(experiments)), Counter(), [], None, 1.0
    while running:
        time.sleep(pause)
        pause = min(1.5 * pause, LOOK)
        if (found := slurm.elements(job)) is None:
            continue
        for number in [n for n in running if n not in found or found[n][0] in OVER]:
            state, why = found.get(number, ("COMPLETED", ""))
            if {state, why} & slurm.RESUMED and tried[number] < AGAIN:
                tried[number] += 1
                slurm.ask("scontrol", "requeue", f"{job}_{number}")
                continue
            experiment = running.pop(number)
            wrong = take(repo, experiment) if state == "COMPLETED" else f"{state}, {last_words(number, state)}"
            say(
                f"{'✗' if wrong else '✓'} {experiment.name} ({len(experiments) - len(running)} of {len(experiments)})"
                + f": {wrong}; see {log_of(number)}" * bool(wrong)
            )
            failed += [experiment.name] * bool(wrong)
            pause = 1.0
        states = Counter(
            f"{state.lower()}{'' if why == 'None' else f' ({why})'}"
            for number, (state, why) in sorted(found.items())
            if number in running
        )
        if states and states != told:
            told = states
            say("  " + ", ".join(f"{count} {state}" for state, count in states.items()))
    return failed


def take(repo: Repo, experiment: Experiment) -> str:
    """Has DVC commit what an element made, which it finds done, fetches it into git, and takes the experiment out of the queue; returns why
    not, or nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "exec-run", "--infofile", experiment.infofile]
        + (["--message", experiment.message] if experiment.message else []),
        env=own_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    info = ExecutorInfo.load_json(str(experiment.infofile))
    if done.returncode or info.result is None:
        return (done.stdout.strip().splitlines() or ["dvc said nothing"])[-1]
    executor = TempDirExecutor.from_info(info)
    BaseStashQueue.collect_executor(repo.experiments, executor, info.result)
    executor.cleanup(str(experiment.infofile))
    repo.experiments.celery_queue.remove([experiment.entry.stash_rev])
    return ""


def log_of(number: int | str) -> Path:
    return LOGS / f"sweep-{number}.log"


def last_words(number: int, state: str) -> str:
    """What an element said of its end."""
    if state == "CANCELLED":
        return "somebody cancelled it"
    log = log_of(number)
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return reason([line for line in lines if "failed to reproduce" not in line]).removeprefix("error: ")


# --- an element -------------------------------------------------------------------------------------------------------


def element(folder: Path) -> None:
    """What `dvc repro` does, with what `dvc exp run` was asked for."""
    os.chdir(folder)
    arguments, options = BaseExecutor.unpack_repro_args(f".dvc/tmp/{BaseExecutor.PACKED_ARGS_FILE}")
    targets = arguments[0] if arguments else options.get("targets")
    with Repo() as repo:
        repo.checkout(targets=targets, with_deps=targets is not None, force=True, allow_missing=True)
        repo.reproduce(*arguments, **options)


if __name__ == "__main__":
    from dvc.exceptions import DvcException

    *folders, number = sys.argv[1:]
    try:
        element(Path(folders[int(number)]))
    except DvcException as error:
        sys.exit(f"error: {error}")
