"""Cuts the link, kills either side or fills the disk while another machine trains for this one, and looks whether one command afterwards
brings what an undisturbed training here brings.

    python benchmarks/second_machine.py --rounds 20 --seed 1       # root, for two network namespaces; a minute and a half a round on 2 cores

tests/two_machines.py makes the machines: servers with passwords, a git server and DVC's remote on the first, a worker in a clone of its own
on the second, whose disk is a small one. Each round changes the seed, sends the training, strikes at a random moment, mends what a person
or a service manager would mend, and sends it again where it had failed. The round is good when the lock entry is that of a training that a
third checkout does by itself, hash by hash, the files are there, and neither a run at Prefect nor a process of the work is left over.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from chain import call, edit  # noqa: E402
from real import wait_until  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402
from two_machines import SEND, SERVERS, Machines, machines, missing  # noqa: E402

STRIKES = ["cut", "stage", "disk", "worker", "sender", "cut", "engine", "long cut", "everything"]
PIECES = {"stage": "-m pipeline.training", "engine": "-m flows.engine", "worker": "worker start --pool gpu"}
DISK = "400m"
LEFT = """
from flows.servers import prefect_environment, credentials
from pathlib import Path
import os
os.environ.update(credentials()); os.environ.update(prefect_environment(Path(".")))
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    print("LEFT", *[run.state.name for run in client.read_flow_runs() if not run.state.is_final()])
"""


def found(root: Path, piece: str) -> list[int]:
    """Processes below this folder with this piece in their command."""
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if piece in command and f"PYTHONPATH={root}\0".encode() in (process / "environ").read_bytes():
                pids.append(int(process.name))
        except (OSError, UnicodeDecodeError):
            continue
    return pids


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def send(two: Machines, log: str) -> subprocess.Popen:
    return two.start("first", sys.executable, "-c", SEND, log=log, **SERVERS)


def strike(
    two: Machines, what: str, sender: subprocess.Popen, worker: list[subprocess.Popen], drawn: random.Random
) -> None:
    """Does it, and mends what a person or a service manager would."""
    filler = two.second / "filler"
    if "cut" in what:
        two.link(False)
        time.sleep(drawn.uniform(60, 90) if what == "long cut" else drawn.uniform(3, 30))
        two.link(True)
    elif what == "disk":
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True)
        time.sleep(drawn.uniform(5, 30))
        filler.unlink()
    elif what == "sender":
        kill(found(two.first, SEND.strip()[:40]))
        sender.wait()
    elif what == "everything":
        worker[0].kill()
        kill(found(two.second, "flows.") + found(two.second, PIECES["worker"]))
        time.sleep(drawn.uniform(0, 20))
        worker[0] = two.worker()
    else:
        kill(found(two.second, PIECES[what]))


def entry(root: Path) -> dict:
    return YAML(typ="safe").load(root / "dvc.lock")["stages"]["train"]


def judge(two: Machines, control: Path) -> list[str]:
    """What is wrong after a round."""
    faults = []
    mine, theirs = entry(control), entry(two.first)
    faults += [] if mine == theirs else [f"another entry: {mine} and {theirs}"]
    status = call(two.first, sys.executable, "-m", "dvc", "status", "train")
    faults += [] if "up to date" in status else [status]
    until, left = time.monotonic() + 150, "?"
    while left and time.monotonic() < until:  # a run whose process is gone is closed within a minute
        said = two.call("first", sys.executable, "-c", LEFT, **SERVERS)
        left = said.split("LEFT")[1].strip()
        time.sleep(2 if left else 0)
    faults += [f"runs are left: {left}"] if left else []
    if pids := found(two.second, "-m pipeline."):
        faults.append(f"processes are left: {pids}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1000, help="after which no round is begun")
    arguments = parser.parse_args()
    if why := missing():
        sys.exit(why)
    drawn, began, good, done, spans = random.Random(arguments.seed), time.monotonic(), 0, 0, []
    folder = Path(tempfile.mkdtemp(prefix="two-machines-"))
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], check=True)
    try:
        with machines(folder, disk / "second") as two:
            call(two.first, sys.executable, "-m", "dvc", "repro", "-q", "pack")
            control = folder / "control"
            shutil.copytree(two.first, control, ignore=shutil.ignore_patterns(".state"), symlinks=True)
            wait_until(lambda: "Ctrl-C" in two.said("serve"), lambda: two.said("serve"))
            worker = [two.worker()]
            wait_until(lambda: "waits for what is sent" in two.said("worker"), lambda: two.said("worker"))
            for number in range(arguments.rounds + 1):  # the first undisturbed, for its length
                if time.monotonic() - began > 60 * arguments.minutes:
                    break
                for root in (two.first, control):
                    edit(root, "configs/training/small.yaml", seed=1000 * arguments.seed + number)
                started, log = time.monotonic(), f"round-{number}"
                sender = send(two, log)
                what = STRIKES[(number - 1) % len(STRIKES)] if number else "nothing"
                moment, struck = drawn.uniform(0, 0.8 * min(spans, default=0)), False
                if number:
                    try:
                        sender.wait(moment)
                        what += " too late"
                    except subprocess.TimeoutExpired:
                        strike(two, what, sender, worker, drawn)
                        struck = True
                try:
                    status = sender.wait(400)
                except subprocess.TimeoutExpired:
                    sender.kill()
                    status = "no end"
                again = ""
                if status:
                    last = (two.said(log).strip().splitlines() or ["nothing"])[-1].strip()[:160]
                    status = send(two, log).wait(400)
                    again = f", failed ({last}) and sent again"
                took = time.monotonic() - started
                spans += [] if struck else [took]
                call(control, sys.executable, "-m", "dvc", "repro", "-q", "--single-item", "train")
                faults = [f"ended with {status}: {two.said(log)[-500:]}"] if status else judge(two, control)
                done, good = done + struck, good + (struck and not faults)
                print(
                    f"{number:3} {what:<15} after {moment:4.0f} s, {took:4.0f} s in all{again}: {'; '.join(faults) or 'good'}",
                    flush=True,
                )
    finally:
        subprocess.run(["umount", "-l", disk])
    print(f"{good} of {done} rounds were good, {(time.monotonic() - began) / 60:.0f} minutes; logs in {folder}")
    sys.exit(good != done)


if __name__ == "__main__":
    main()
