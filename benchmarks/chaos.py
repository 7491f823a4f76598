"""Kills, fills and cuts, at random moments, and looks whether one command afterwards brings what an undisturbed run brings.

    python benchmarks/chaos.py --rounds 50 --seed 1         # about a minute a round on 2 cores
    python benchmarks/chaos.py --rounds 5 --victims disk    # needs root, for a disk of its own that can be filled

It builds the tests' small chain in a temporary folder and runs `robo serve` and an Ollama beside it, all on free ports. Each round changes
a key, empties registry, Ollama and DVC's run cache of what the round must make, starts the work (in turn the schedule's deployment and
`robo run`), strikes, and then gives one command: `robo run`, or the deployment again. What a service manager would start again (Ollama,
`robo serve`) is started again before that command. The round is good when

- `dvc.lock` has the outputs of an undisturbed run, hash by hash, and the files on disk are those;
- MLflow holds one version of this content, the alias stands at it, its file holds the very tensors of ours, and no run is left RUNNING;
- Ollama serves that file, and no trial model is left;
- Prefect has no run left Running, Pending or Cancelling;
- no process of the work is left, and no unfinished file.
"""

import argparse
import contextlib
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from chain import edit, make_chain  # noqa: E402
from real import find_ollama, free_port  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402

NAME = "robo-micropython"
# What runs where: a piece of the command line of each process that may be struck.
PROCESSES = {
    "stage": " -m pipeline.",
    "dvc": "flows.dvc_child",
    "engine": " -m flows.engine",
    "worker": "worker start --pool",
    "prefect": "prefect server start",
    "mlflow": "mlflow.server",
    "reconciler": "flows.cli reconcile",
    "serve": "flows.cli serve",
    "ollama": "ollama serve",
    "llama-server": "llama-server",
}
VICTIMS = [
    "stage",
    "dvc",
    "engine",
    "worker",
    "prefect",
    "mlflow",
    "reconciler",
    "ollama",
    "serve",
    "everything",
    "disk",
    "net-mlflow",
    "net-ollama",
]
SETTLED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
ACTS_SECONDS = 12  # for the flow's start, registry and import, beyond what the stages take
FULL_SECONDS = 45  # that the disk stays full
DISK_BYTES, PATIENCE = 1_500_000_000, 400


class Cable(threading.Thread):
    """A TCP proxy that can be cut: after `left` more bytes towards the server it drops every connection, and takes none until mended."""

    def __init__(self, target: int):
        super().__init__(daemon=True)
        self.target, self.left, self.passed, self.open = target, None, 0, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            near, _ = self.listener.accept()
            if self.left is not None and self.left <= 0:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.open |= {near, far}
            for source, sink, counts in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.pump, args=(source, sink, counts), daemon=True).start()

    def pump(self, source, sink, counts):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if counts:
                    self.passed += len(data)
                    if self.left is not None:
                        self.left -= len(data)
                        if self.left <= 0:
                            self.cut()
                            return
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self.open.discard(end)

    def cut(self):
        self.left = 0
        for end in list(self.open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def mend(self):
        self.left, self.passed = None, 0


class Site:
    """The small chain with everything that serves it."""

    def __init__(self, folder: Path, built: Path | None):
        self.folder, self.root = folder, folder / "project"
        self.disk = (
            os.geteuid() == 0
            and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder], capture_output=True
            ).returncode
            == 0
        )
        if built:
            shutil.copytree(built, self.root)
        else:
            make_chain(self.root)
        edit(self.root, "params.yaml", quants=["F16", "Q4_K_M"])
        self.ports = {name: free_port() for name in ("prefect", "mlflow", "ollama")}
        self.cables = {name: Cable(self.ports[name]) for name in ("mlflow", "ollama")}
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "OLLAMA_", "DVC_", "ROBO_", "PYTHONDONT"))
        }
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(self.root),
            "CHAOS": str(folder),
            "ROBO_PREFECT_PORT": str(self.ports["prefect"]),
            "ROBO_MLFLOW_PORT": str(self.ports["mlflow"]),
            "OLLAMA_HOST": f"127.0.0.1:{self.cables['ollama'].port}",
            "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "store"),
        }
        self.api = f"http://127.0.0.1:{self.ports['prefect']}/api"
        self.serving = self.ollama = None

    def call(self, *command, check=True, **more) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **more},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert not check or done.returncode == 0, (
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}"
        )
        return done.stdout

    def start(self, command, log, **more):
        with open(self.folder.parent / f"{self.folder.name}-{log}.log", "a") as out:  # not on the disk that is filled
            return subprocess.Popen(
                command,
                cwd=self.root,
                env={**self.environment, **more},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def bring_up(self) -> None:
        """What a service manager does: starts what is not there, and comes back when all answer."""
        if self.ollama is None or self.ollama.poll() is not None:
            home = self.folder / "ollama"
            self.ollama = self.start(
                [find_ollama(), "serve"],
                "ollama",
                OLLAMA_HOST=f"127.0.0.1:{self.ports['ollama']}",
                HOME=str(home),
                OLLAMA_MODELS=str(home / "models"),
                OLLAMA_NO_CLOUD="1",
            )
        if self.serving is None or self.serving.poll() is not None:
            self.serving = self.start([sys.executable, "-m", "flows.cli", "serve"], "serve")
        until = time.monotonic() + PATIENCE
        while not self.is_up():
            assert time.monotonic() < until, "the services do not come up"
            assert self.serving.poll() is None, "robo serve ended by itself"
            time.sleep(0.3)

    def is_up(self) -> bool:
        found = {name for name, _, _ in self.processes()}
        if not {"worker", "reconciler"} <= found:
            return False
        try:
            for url in (
                f"{self.api}/health",
                f"http://127.0.0.1:{self.ports['mlflow']}/health",
                f"http://127.0.0.1:{self.ports['ollama']}/api/version",
            ):
                urllib.request.urlopen(url, timeout=3).close()
            return True
        except OSError:
            return False

    def processes(self) -> list[tuple[str, int, str]]:
        """(what it is, process id, command line) of everything that this site started and that lives."""
        found, marker = [], f"CHAOS={self.folder}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    marker not in (entry / "environ").read_bytes().split(b"\0")
                    or (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                ):
                    continue
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            found.append(
                (
                    next((name for name, part in PROCESSES.items() if part in f" {command}"), "other"),
                    int(entry.name),
                    command.strip(),
                )
            )
        return found

    def ask(self, path: str, body: dict | None = None):
        """Prefect's API; asks again while a server that was struck comes back."""
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(60):
            try:
                request = urllib.request.Request(f"{self.api}{path}", data, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.load(answer)
            except OSError:
                if attempt == 59:
                    raise
                time.sleep(0.5)

    def schedule(self) -> str:
        return self.ask(f"/deployments/{self.ask('/deployments/name/retrain/retrain')['id']}/create_flow_run", {})["id"]

    def state_of(self, run: str) -> str:
        return self.ask(f"/flow_runs/{run}")["state_type"]

    def mlflow(self, code: str) -> str:
        return self.call(
            sys.executable,
            "-c",
            f"import mlflow; client = mlflow.MlflowClient()\n{code}",
            MLFLOW_DISABLE_TELEMETRY="true",
            MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{self.ports['mlflow']}",
        )

    def forget(self) -> None:
        """Takes away what the round's work must make, so that there is something to interrupt."""
        shutil.rmtree(self.root / ".dvc/cache/runs", ignore_errors=True)
        self.mlflow(
            f"for m in client.search_registered_models(\"name = '{NAME}'\"): client.delete_registered_model(m.name)\n"
            "for e in client.search_experiments():\n"
            "    for r in client.search_runs([e.experiment_id]): client.delete_run(r.info.run_id)"
        )
        self.call(
            sys.executable, "-c", "import ollama; c = ollama.Client()\nfor m in c.list().models:\n    c.delete(m.model)"
        )

    def outs(self) -> dict[str, str]:
        stages = YAML(typ="safe").load(self.root / "dvc.lock")["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}

    def close(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for _, process, _ in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, sign)
            until = time.monotonic() + 30
            while self.processes() and time.monotonic() < until:
                time.sleep(0.2)
        if self.disk:
            subprocess.run(["umount", "-l", self.folder], check=False)


def change(site: Site, setting: tuple) -> None:
    rate, tokens = setting
    edit(site.root, "configs/training/small.yaml", learning_rate=rate)
    edit(site.root, "params.yaml", **{"assess.tokens": tokens})


class Work:
    """One start of the work, through the schedule's deployment or at the terminal."""

    def __init__(self, site: Site, way: str, **more):
        self.site, self.way = site, way
        self.run = site.schedule() if way == "schedule" else None
        self.process = None if self.run else site.start([sys.executable, "-m", "flows.cli", "run"], "run", **more)

    def is_over(self) -> bool:
        return self.process.poll() is not None if self.process else self.site.state_of(self.run) in SETTLED

    def wait(self) -> bool:
        """Whether it ended well."""
        until = time.monotonic() + PATIENCE
        while not self.is_over():
            assert time.monotonic() < until, f"the command has not ended in {PATIENCE} s"
            time.sleep(0.3)
        return self.process.returncode == 0 if self.process else self.site.state_of(self.run) == "COMPLETED"


def strike(site: Site, victim: str, work: Work, moment: float) -> str | None:
    """Waits `moment` seconds and until there is such a victim, and strikes; says what it hit, None where the work ended before."""
    began = time.monotonic()
    while time.monotonic() < began + moment:
        if work.is_over():
            return None
        time.sleep(0.1)
    while not work.is_over():
        there = site.processes()
        doing = (
            next((command.partition(" -m ")[2] for name, _, command in there if name == "stage"), "")
            or "between stages"
        )
        at = f"{time.monotonic() - began:5.1f} s, {doing.removeprefix('pipeline.')}"
        if victim == "disk":
            with open(site.folder / "ballast", "wb") as ballast:
                try:
                    while True:
                        ballast.write(b"0" * 1_000_000)
                        ballast.flush()
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            return at
        targets = [
            process
            for name, process, _ in there
            if victim in (name, "everything") or (victim == "ollama" and name == "llama-server")
        ]
        for target in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
        if targets:
            for started in (site.serving, site.ollama):
                if started.pid in targets:
                    started.wait()
            return at
        time.sleep(0.05)
    return None


def faults(site: Site, expected: dict[str, str]) -> list[str]:
    """Everything that is not as after an undisturbed run."""
    found = [f"{path}: another hash than undisturbed" for path, md5 in site.outs().items() if expected.get(path) != md5]
    found += [f"{path}: not made" for path in expected.keys() - site.outs().keys()]
    if "up to date" not in (said := site.call("dvc", "status", check=False)):
        found.append(f"dvc status: {said.strip()[:300]}")
    told = site.call(
        sys.executable,
        "-c",
        f"""
import json, pathlib
import ollama
from flows import acts
from pipeline.publish import lineage
from pipeline.publish.registry import facts
from pipeline.core.config import load
from pipeline.core.files import sha256
from pipeline.evaluation.assess import fingerprint
from pipeline.tracking import connected, default_tracking_uri
config = load()
gguf = lineage.served_gguf(config)
file, content = sha256(gguf), lineage.content_hash(config)
with connected(default_tracking_uri(config.root)) as client:
    versions = client.search_model_versions("name = '{NAME}'")
    for version in versions:
        if facts(client, version)["content_hash"] != content:
            print("MLflow: a version of other content")
    if len(versions) != 1:
        print(f"MLflow: {{len(versions)}} versions")
    else:
        if client.get_registered_model("{NAME}").aliases.get("candidate") != versions[0].version:
            print("MLflow: the alias candidate does not stand at the version")
        import mlflow
        folder = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/{{versions[0].version}}"))
        held, = folder.rglob("*.gguf")      # a copy that also names its run
        if sha256(held) != facts(client, versions[0])["served_sha256"] or fingerprint(held) != fingerprint(gguf):
            print("MLflow: the version's file is not the built one")
    for run in client.search_runs([e.experiment_id for e in client.search_experiments()], "attributes.status = 'RUNNING'"):
        print(f"MLflow: run {{run.info.run_name}} is RUNNING")
client = ollama.Client()
names = [model.model for model in client.list().models]
if acts.import_candidate(config)[0].changed:      # it asks first, and does nothing where all is as it should be
    print("Ollama: candidate was not the built model")
if [name for name in names if "unfinished" in name]:
    print(f"Ollama: {{names}}")
""",
        check=False,
    )
    found += told.strip().splitlines()
    active = site.ask(
        "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    )
    found += [
        f"Prefect: run {run['name']} is {run['state_type']}"
        for run in active
        if run.get("deployment_id") or run["flow_id"]
    ]
    until = time.monotonic() + 15
    while (
        left := [command for name, _, command in site.processes() if name in ("stage", "dvc", "engine")]
    ) and time.monotonic() < until:
        time.sleep(0.2)
    found += [f"process left: {command}" for command in left]
    found += [f"left behind: {path}" for path in site.root.rglob(".*.unfinished") if ".state" not in path.parts]
    return found


def play(
    site: Site,
    victim: str,
    chance: random.Random,
    before: tuple,
    setting: tuple,
    expected: dict[str, str],
    usual: float,
) -> tuple[str, list[str]]:
    """One round, which changes the settings from `before`; returns what to say about it and its faults. `usual`: seconds that the work
    takes when left alone."""
    way = (
        "terminal"
        if victim.startswith("net-")
        else chance.choice(["schedule", "terminal"])
        if victim not in ("engine", "worker")
        else "schedule"
    )
    after = chance.choice(["robo run", "schedule"])
    more = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{site.cables['mlflow'].port}"} if victim == "net-mlflow" else {}
    moment, limit, hit = chance.uniform(0, usual), chance.randrange(1, 160_000), None
    while hit is None:  # the work may be over before: then once more, and sooner
        site.forget()
        change(site, setting)
        began = time.monotonic()
        if victim.startswith("net-"):
            cable = site.cables[victim.removeprefix("net-")]
            cable.left = limit
            Work(site, way, **more).wait()
            hit = f"after {limit:,} bytes up" if cable.left <= 0 else None
        else:
            work = Work(site, way)
            hit = strike(site, victim, work, moment)
            if victim == "disk":  # which Prefect's database needs too, so the work may not be able to say that it ended
                until = time.monotonic() + FULL_SECONDS
                while time.monotonic() < until and not (work.process and work.is_over()):
                    time.sleep(0.3)
                (site.folder / "ballast").unlink(missing_ok=True)
        if hit is None:
            moment, limit = moment / 2, limit // 2
            change(site, before)  # or nothing would be left to do
            site.call("dvc", "repro")
    for cable in site.cables.values():
        cable.mend()
    struck = time.monotonic()
    site.bring_up()
    well = Work(site, "schedule" if after == "schedule" else "terminal").wait()
    wrong = ([] if well else [f"{after} did not end well"]) + faults(site, expected)
    text = f"{way:<8} {hit:<34} then {after:<8} {struck - began:4.0f} + {time.monotonic() - struck:3.0f} s"
    return text, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--built", type=Path, help="a small chain that is built already, to start from a copy")
    parser.add_argument(
        "--victims", nargs="+", choices=VICTIMS, default=VICTIMS, help="default: each in turn, in a random order"
    )
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    for kind in (signal.SIGINT, signal.SIGTERM):  # whoever stops us, we stop what we started
        signal.signal(kind, lambda *_: sys.exit(130))
    folder = Path(tempfile.mkdtemp(prefix="robo-chaos-"))
    site = Site(folder, arguments.built)
    bad = 0
    try:
        victims = [victim for victim in arguments.victims if victim != "disk" or site.disk]
        if victims != arguments.victims:
            print("no victim disk: filling a disk of its own needs root, for a mount", flush=True)
        setting, expected, usual = (3e-3, 512), {}, {}
        queue: list[str] = []
        number = 0
        while number < arguments.rounds:
            kind = "training anew" if number % 3 == 0 else "measuring anew"
            before, (rate, tokens) = setting, setting
            setting = (
                (2e-3 if rate == 3e-3 else 3e-3, tokens)
                if kind == "training anew"
                else (rate, 256 if tokens == 512 else 512)
            )
            if setting not in expected:  # what an undisturbed `dvc repro` brings, and in how many seconds
                change(site, setting)
                began = time.monotonic()
                site.call("dvc", "repro")
                usual.setdefault(kind, time.monotonic() - began + ACTS_SECONDS)
                expected[setting] = site.outs()
                change(site, before)  # back again, or nothing would be left to do
                site.call("dvc", "repro")
            site.bring_up()
            number += 1
            queue = queue or chance.sample(victims, len(victims))
            victim = queue.pop()
            try:
                text, wrong = play(site, victim, chance, before, setting, expected[setting], usual[kind])
            except (AssertionError, OSError) as error:
                text, wrong = "", [str(error)]
            bad += bool(wrong)
            print(f"{number:3} {'BAD ' if wrong else 'good'} {victim:<11} {text}", *wrong, sep="\n      ! ", flush=True)
    finally:
        site.close()
        if not bad:
            for left in folder.parent.glob(f"{folder.name}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    print(f"{arguments.rounds - bad} of {arguments.rounds} rounds good" + (f"; logs: {folder}-*.log" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
