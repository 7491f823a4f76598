"""The training as a job of a Slurm cluster: the stage asks for the nodes, shows what the job says, and ends as the job ends.

`srun` rather than `sbatch`, since whoever started the run waits for it: what the job prints stands where it would without a cluster, and a
job whose run is gone has nobody to go on for. So it is the stage that puts a job back into the queue, and a checkpoint says where the next
one goes on. What may end a job without ending the training: its time limit, before which Slurm warns it (see stop.py), a node that
dies, and a job that goes before. Everything about the cluster is Slurm's: queue, nodes, limits, and the words of a refusal.

A sweep is one job array (flows/sweep.py), an experiment each element. There the training is a step of the element's nodes, and what is put
back into the queue is the element, by Slurm.
"""

import getpass
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.errors import TemporaryError, UserError, shortened
from pipeline.core.progress import columns, is_live
from pipeline.core.schema import Slurm
from pipeline.core.stage import EX_TEMPFAIL, die_with_parent, own_environment
from pipeline.training.resume import RESUME
from pipeline.training.stop import Stop

INSIDE = "ROBO_SLURM_TASK"  # set in the job's own processes
ELEMENT = "ROBO_SLURM_ELEMENT"  # set in an element of a sweep's array
LEAD = 120  # seconds before the limit that the warning is asked for; Slurm sends it up to half a minute earlier
PATIENCE = 60  # seconds that the other processes of a job have when one has ended
LOOK = 2  # seconds until the first look at a job that waits; each further one after twice as long, a minute at most
# Ends that are none of the training's, as states or reasons; what is completing still has a node that does not answer.
RESUMED = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "TIMEOUT", "COMPLETING", "NodeDown", "JobLaunchFailure"}
TRIES = 4  # jobs in a row that came to no checkpoint, after which it is given up
PAUSE = (
    60  # seconds before the second try, twice and three times as long before the others: Slurm's SlurmdTimeout is 300 s
)


def is_task() -> bool:
    return INSIDE in os.environ


def is_element() -> bool:
    return ELEMENT in os.environ


def job_name() -> str:
    """One for each checkout, so that a job whose run was killed can be found."""
    return f"robo-{sha256(str(Path.cwd()).encode()).hexdigest()[:8]}"


def sweep_name() -> str:
    return f"{job_name()}-sweep"


def ask(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def jobs(*more: str, name: str | None = None) -> list[list[str]]:
    """[number, state, reason] of each of our jobs in the queue, the oldest first; with --states=all also those that ended of late."""
    said = ask(
        "squeue",
        "--noheader",
        f"--user={getpass.getuser()}",
        f"--name={name or job_name()}",
        "--sort=i",
        "--format=%i|%T|%r",
        *more,
    ).stdout
    return [line.split("|") for line in said.splitlines() if line.count("|") == 2]


def last_job() -> tuple[str, str, str]:
    """Number, state and reason of the newest job, once its nodes are cleared."""
    until = time.monotonic() + PATIENCE
    while True:
        number, state, reason = (jobs("--states=all") or [["?", "UNKNOWN", "None"]])[-1]
        if state != "COMPLETING" or time.monotonic() > until:
            return number, state, reason
        time.sleep(0.5)


def cancel(name: str | None = None) -> None:
    """Slurm sends SIGTERM, and SIGKILL after its KillWait of 30 s, so that there is time for a checkpoint."""
    ask("scancel", f"--user={getpass.getuser()}", f"--name={name or job_name()}")


def cancel_left(name: str, tell: Callable[[str], None], stop: Stop | None = None) -> None:
    """Ends the jobs of a run that was killed, before another one writes where they do."""
    if left := jobs(name=name):
        tell(f"cancels {shortened([f'job {job[0]}' for job in left])} of a run that was killed")
        while jobs(name=name) and not (stop and stop.signal):
            cancel(name)
            time.sleep(1)


def options(slurm: Slurm, nodes: int, devices: int, name: str | None = None) -> list[str]:
    """What srun and sbatch are asked for."""
    asked = {
        "job-name": name or job_name(),
        "nodes": nodes,
        "ntasks-per-node": devices,
        "cpus-per-task": slurm.cpus,
        "partition": slurm.partition,
        "account": slurm.account,
        "time": slurm.time,
        "gpus-per-node": devices if slurm.gpus else None,
        "signal": f"USR1@{LEAD}",
    }
    return [f"--{key}={value}" for key, value in asked.items() if value is not None] + slurm.options


def command(*asked: str) -> list[str]:
    """The training under srun."""
    unbuffered = ["--unbuffered"] if is_live() else []
    return ["srun", *asked, f"--wait={PATIENCE}", *unbuffered, sys.executable, "-m", "pipeline.training.train"]


def refusal(said: str) -> str:
    """What Slurm's lines say, in one."""
    lines = [re.sub(r"^((srun|sbatch): )?(error: )?(allocation failure: )?", "", line) for line in said.splitlines()]
    return "; ".join(line for line in lines if line and line != "No error" and not line.startswith("Try "))


def check(asked: list[str], where: str) -> None:
    """Asks Slurm whether it would take such a job. Raises UserError with its answer where it would not."""
    try:
        answer = ask("srun", "--test-only", *asked, "true")
    except FileNotFoundError:
        raise UserError(
            f"{where}: there is no srun on this machine; start the run where jobs of the cluster are submitted, or set "
            "slurm: null"
        ) from None
    if answer.returncode:
        kind = TemporaryError if "Unable to contact slurm controller" in answer.stdout else UserError
        raise kind(f"{where}: Slurm refuses the job: {refusal(answer.stdout)}")


def check_config(config: Config) -> None:
    """The same for the job that the configs ask for."""
    assert config.operations.slurm, "who asks has seen to it"
    t = config.training
    check(options(config.operations.slurm, t.num_nodes, t.devices), f"{config.paths['operations']}: slurm")


def say(text: str) -> None:
    print(f"train: {text}", flush=True)


def follow(command: list[str], cpus: int, stop: Stop) -> int:
    """Runs srun until its job or step has ended, tells what it waits for, and ends it when a signal comes; returns srun's status."""
    environment = {
        **own_environment(),
        INSIDE: "1",
        "COLUMNS": str(columns()),
        "ROBO_PROGRESS": "live" if is_live() else "log",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cpus)),
    }
    # A session of its own, since a terminal's Ctrl-C is ours to answer. Where we are killed it gets the job's warning and hands it on, so that
    # the job leaves with a checkpoint; one that still waits it takes back.
    srun = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(signal.SIGUSR1),
    )
    told, pause, look = None, LOOK, time.monotonic() + LOOK
    while srun.poll() is None:
        if stop.signal:
            srun.send_signal(signal.SIGUSR1) if is_element() else cancel()  # SIGTERM would end it without a checkpoint
            return srun.wait()
        if time.monotonic() > look and not is_element():
            pause = min(2 * pause, 60)
            look = time.monotonic() + pause
            if (waits := [job for job in jobs() if job[1] == "PENDING"]) and waits[-1] != told:
                told = waits[-1]
                say(f"job {told[0]} waits in Slurm's queue: {told[2]}")
        time.sleep(0.2)
    return srun.returncode


def goes_on(status: int, state: str, reason: str) -> bool:
    """Whether a job that ended so leaves a training that another job can end."""
    return status == EX_TEMPFAIL or bool({state, reason} & RESUMED)


def checkpoints() -> set[Path]:
    return set(RESUME.glob("*/step-*.ckpt"))


def train_as_step(slurm: Slurm, where: str, stop: Stop) -> None:
    """Trains on the nodes of this element of a sweep's array, which goes back into the queue where its time was too short. `where` names the
    settings, for messages.

    Raises UserError where its time was too short for a checkpoint, SystemExit where the training failed (which has said why) or a signal came.
    """
    stop.deferred = True
    before = checkpoints()
    status = follow(command(f"--cpus-per-task={slurm.cpus}"), slurm.cpus, stop)
    if status == EX_TEMPFAIL and not stop.signal:
        if checkpoints() == before:
            raise UserError(
                f"the time limit came before a new checkpoint: raise time in {where}, or lower checkpoint_every in the training config"
            )
        say("the time limit is near; this goes back into the queue, and on from its checkpoint")
        ask("scontrol", "requeue", os.environ[ELEMENT])
        while not stop.signal:  # Slurm ends whatever runs here
            time.sleep(0.2)
    if status or stop.signal:
        raise SystemExit(status or 1)


def submit_array(
    slurm: Slurm, nodes: int, devices: int, size: int, at_once: int | None, each: list[str], log: Path, where: str
) -> str:
    """Puts `size` elements into the queue as one job, each of which runs `each` with its number (from 0) behind; returns the job's number.

    `log` is a path with Slurm's %a in it. Raises UserError where Slurm refuses.
    """
    asked = options(slurm, nodes, devices, sweep_name())
    check(asked, where)
    script = f'export {ELEMENT}="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"\nexec {shlex.join(each)} "$SLURM_ARRAY_TASK_ID"\n'
    asked += [
        f"--array=0-{size - 1}" + (f"%{at_once}" if at_once else ""),
        "--requeue",
        f"--output={log}",
        "--open-mode=append",
        f"--export=ALL,OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', slurm.cpus)}",
    ]
    done = subprocess.run(
        ["sbatch", "--parsable", *asked], input=f"#!/bin/sh\n{script}", text=True, capture_output=True
    )
    if done.returncode:
        raise UserError(f"{where}: Slurm refuses the job array: {refusal(done.stderr)}")
    return done.stdout.strip().split(";")[0]


def elements(job: str) -> dict[int, tuple[str, str]] | None:
    """Number of each element -> its state and reason, without those that Slurm has forgotten, which ended minutes ago; None where it does not
    answer."""
    done = ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K|%T|%r")
    if done.returncode and "Invalid job id" not in done.stdout:
        return None
    return {int(row[0]): (row[1], row[2]) for line in done.stdout.splitlines() if len(row := line.split("|")) == 3}


def train_there(slurm: Slurm, nodes: int, devices: int, where: str, stop: Stop) -> None:
    """Trains as a job, and as another one where that ends before the training does. `where` names the settings, for messages.

    Raises UserError where Slurm refuses the job, or jobs end again and again without a step further, SystemExit where the training failed
    (which has said why) or a signal came.
    """
    if is_element():
        return train_as_step(slurm, where, stop)
    asked = options(slurm, nodes, devices)
    check(asked, where)
    stop.deferred = True
    cancel_left(job_name(), say, stop)
    say(
        f"as a job of Slurm on {nodes} node{'s' if nodes > 1 else ''} with {devices} process{'es' if devices > 1 else ''} each"
    )
    in_vain = 0
    while True:
        before = checkpoints()
        status = follow(command(*asked), slurm.cpus, stop)
        if stop.signal:
            raise SystemExit(
                f"error: training was stopped by {stop.signal}, and its job cancelled; run again to go on from its last checkpoint"
            )
        if status == 0:
            return
        job, state, reason = last_job()
        how = f"job {job} ended" + (
            "" if status == EX_TEMPFAIL else f" as {state}{'' if reason == 'None' else f' ({reason})'}"
        )
        if state == "CANCELLED":
            raise UserError(f"{how}: somebody cancelled it; run again to go on from its last checkpoint")
        if not goes_on(status, state, reason):
            raise SystemExit(status) if status < 128 else UserError(f"{how}, with status {status}")
        in_vain = 0 if checkpoints() != before else in_vain + 1
        if in_vain == TRIES:
            raise UserError(
                f"{how}, the {TRIES}th in a row without a new checkpoint. Where Slurm's time was too short, raise time in {where}, or "
                "lower checkpoint_every in the training config"
            )
        say(f"{how}; the training goes on in another job{f' in {PAUSE * in_vain} s' if in_vain else ''}")
        until = time.monotonic() + PAUSE * in_vain
        while time.monotonic() < until and not stop.signal:
            time.sleep(0.2)
