"""A Slurm cluster on this machine, without root and without a network: a real slurmctld, and two slurmd that each take themselves for a node
of one CPU. It starts in a second; Debian's packages are `slurm-wlm` and `munge`."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from real import free_port, wait_until

from pipeline.core.stage import die_with_parent

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "squeue", "scancel")
NODES = ("n1", "n2")
CONF = """
ClusterName=desk
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/%n
SlurmdTimeout=5
ReturnToService=2
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n1} CPUs=1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n2} CPUs=1
PartitionName=both Nodes=n1,n2 Default=YES State=UP
"""


def program(name: str) -> str | None:
    """Daemons stand where the path of a person may not reach."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:/usr/local/bin")


class Cluster:
    """Attribute `environment`: what a process must have to be on this cluster, where both nodes are this machine."""

    def __init__(self, folder: Path, running: ExitStack):
        self.folder, self.running, self.nodes = folder, running, {}
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "MASTER_ADDR": "127.0.0.1"}

    def start(self, *command: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [program(command[0]), *command[1:]],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        self.running.callback(process.wait)
        self.running.callback(process.terminate)
        return process

    def start_node(self, name: str) -> None:
        self.nodes[name] = self.start("slurmd", "-D", "-N", name)

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
        return done.stdout

    def states(self) -> dict[str, str]:
        """Job -> state, of those that ended too."""
        return dict(
            line.split("|") for line in self.ask("squeue", "--noheader", "--states=all", "--format=%i|%T").split()
        )

    def tasks(self, node: str) -> list[int]:
        """The processes of jobs on a node."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if (
                f"SLURMD_NODENAME={node}".encode() in environment
                and f"SLURM_CONF={self.environment['SLURM_CONF']}".encode() in environment
            ):
                found.append(int(process.name))
        return found

    def kill_node(self, name: str) -> None:
        """As if its power failed: slurmd, slurmstepd and tasks at once; and it is noticed now instead of after SlurmdTimeout."""
        tasks = self.tasks(name)
        parents = {int(Path(f"/proc/{task}/stat").read_text().rsplit(")", 1)[1].split()[1]) for task in tasks}
        for process in {self.nodes[name].pid, *tasks, *parents} - {1}:
            os.kill(process, signal.SIGKILL)
        self.ask("scontrol", "update", f"nodename={name}", "state=down", "reason=power")

    def wait_until_idle(self) -> None:
        wait_until(
            lambda: self.ask("sinfo", "--noheader", "--format=%T %D").split() == ["idle", str(len(NODES))],
            lambda: f"no idle nodes: {self.ask('sinfo')}{(self.folder / 'slurmctld.log').read_text()[-2000:]}",
            30,
        )


@contextmanager
def start_slurm(folder: Path):
    """Yields a Cluster. Skips the test where Slurm is not installed, fails it there in CI."""
    if missing := [name for name in PROGRAMS if program(name) is None]:
        said = f"no Slurm: {', '.join(missing)} missing; `apt-get install slurm-wlm munge` has them"
        pytest.fail(said) if os.environ.get("CI") == "true" else pytest.skip(said)
    folder.chmod(0o755)
    for name in ("state", *NODES):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    (folder / "slurm.conf").write_text(
        CONF.format(
            folder=folder,
            host=socket.gethostname(),
            user=getpass.getuser(),
            controller=free_port(),
            **{name: free_port() for name in NODES},
        )
    )
    with ExitStack() as running:
        cluster = Cluster(folder, running)
        cluster.start(
            "munged",
            "--foreground",
            "--force",
            f"--socket={folder}/munge.socket",
            f"--key-file={key}",
            f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log",
            f"--seed-file={folder}/munge.seed",
        )
        wait_until((folder / "munge.socket").exists, "munged did not start", 10)
        cluster.start("slurmctld", "-D", "-c")
        for name in NODES:
            cluster.start_node(name)
        wait_until(
            lambda: (
                subprocess.run(["sinfo"], env={**os.environ, **cluster.environment}, capture_output=True).returncode
                == 0
            ),
            "slurmctld did not start",
            30,
        )
        cluster.wait_until_idle()
        yield cluster
        cluster.ask("scancel", f"--user={getpass.getuser()}")
        wait_until(lambda: not cluster.ask("squeue", "--noheader"), "jobs did not end", 60)
