"""Two machines on one: two network namespaces with a link between them that can be cut. The first has the servers with their passwords, a
git server, DVC's remote behind a password, and the small chain; the second a clone of it and a worker. Needs root and `ip`.

    python tests/two_machines.py serve FOLDER ADDRESS PORT     # DVC's remote: a folder over http, as any web server with PUT
"""

import base64
import http.server
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

FIRST, SECOND = "10.77.0.1", "10.77.0.2"
PREFECT, MLFLOW, GIT, STORE = 4200, 5000, 9418, 8000  # each namespace has all ports to itself
PASSWORDS = {"prefect": "robo:over-the-link", "mlflow": "over-the-link-too", "store": "robo:of-the-store"}
SERVERS = {
    "PREFECT_SERVER_API_AUTH_STRING": PASSWORDS["prefect"],
    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["mlflow"],
}
CLIENT = {
    "PREFECT_API_URL": f"http://{FIRST}:{PREFECT}/api",
    "PREFECT_API_AUTH_STRING": PASSWORDS["prefect"],
    "MLFLOW_TRACKING_URI": f"http://{FIRST}:{MLFLOW}",
    "MLFLOW_TRACKING_USERNAME": "admin",
    "MLFLOW_TRACKING_PASSWORD": PASSWORDS["mlflow"],
}

# The first machine's run, as far as it sends the training.
SEND = """
from flows.servers import prefect_for_a_run, credentials
import os, sys
os.environ.update(credentials())
with prefect_for_a_run():
    from flows import elsewhere
    try:
        print(elsewhere.reproduce("train", "gpu", lambda text: print("   ", text, flush=True)))
    except ValueError as error:
        sys.exit(f"error: {error}")
"""


class Store(http.server.BaseHTTPRequestHandler):
    """GET, HEAD and PUT below self.server.folder, for who knows the password; a file appears whole or not at all."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, file: Path | None = None) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Length", str(file.stat().st_size if file else 0))
        self.end_headers()

    def path_of(self) -> Path | None:
        if self.headers["Authorization"] == f"Basic {base64.b64encode(PASSWORDS['store'].encode()).decode()}":
            return self.server.folder / self.path.lstrip("/")
        self.answer(401)
        return None

    def do_HEAD(self) -> None:
        if file := self.path_of():
            self.answer(200 if file.is_file() else 404, file if file.is_file() else None)

    def do_GET(self) -> None:
        if file := self.path_of():
            self.answer(200 if file.is_file() else 404, file if file.is_file() else None)
            if file.is_file():
                self.wfile.write(file.read_bytes())

    def do_PUT(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        if file := self.path_of():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f"{file.name}.{token_hex(4)}")
            part.write_bytes(body)
            part.replace(file)
            self.answer(201)

    def log_message(self, *_) -> None:
        pass


def missing() -> str | None:
    """Why there can be no two machines here; None where there can."""
    if os.geteuid():
        return "needs root, for network namespaces"
    if not shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
        return "needs `ip` (apt-get install iproute2)"
    done = subprocess.run(["ip", "netns", "add", name := f"robo{os.getpid()}"], capture_output=True, text=True)
    if done.returncode:
        return f"network namespaces cannot be made here: {done.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


class Machines:
    """`first` and `second` are folders; what runs on a machine runs in its namespace."""

    def __init__(self, folder: Path, running: ExitStack):
        self.folder, self.running = folder, running
        self.first, self.second, self.store = folder / "first", folder / "second", folder / "store"
        self.spaces = {one: f"robo{os.getpid()}{one}" for one in ("first", "second")}

    def link(self, up: bool) -> None:
        """Cuts or mends: at the first's end, so that the second sees silence, as behind a switch."""
        self.ip("first", "link", "set", "v1", "up" if up else "down")

    def ip(self, machine: str, *command: str) -> None:
        subprocess.run(["ip", "-n", self.spaces[machine], *command], check=True)

    def prepare(self) -> None:
        for machine, space in self.spaces.items():
            subprocess.run(["ip", "netns", "add", space], check=True)
            self.running.callback(subprocess.run, ["ip", "netns", "delete", space])
            self.ip(machine, "link", "set", "lo", "up")
        self.ip("first", "link", "add", "v1", "type", "veth", "peer", "name", "v2", "netns", self.spaces["second"])
        for machine, device, address in (("first", "v1", FIRST), ("second", "v2", SECOND)):
            self.ip(machine, "address", "add", f"{address}/24", "dev", device)
            self.ip(machine, "link", "set", device, "up")

    def inside(self, machine: str, *command) -> list[str]:
        return ["ip", "netns", "exec", self.spaces[machine], *map(str, command)]

    def start(self, machine: str, *command, log: str, **environment: str) -> subprocess.Popen:
        from chain import environment as shell

        from pipeline.core.stage import die_with_parent

        root = self.first if machine == "first" else self.second
        with open(self.folder / f"{log}.log", "a") as out:
            process = subprocess.Popen(
                self.inside(machine, *command),
                cwd=root,
                env=shell(root, **environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        self.running.callback(self.stop, process)
        return process

    def stop(self, process: subprocess.Popen, how: signal.Signals = signal.SIGTERM) -> None:
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def call(self, machine: str, *command, ok: bool = True, **environment: str) -> str:
        from chain import call

        root = self.first if machine == "first" else self.second
        return call(root, *self.inside(machine, *command), ok=ok, **environment)

    def robo(self, machine: str, *arguments: str, ok: bool = True, **more: str) -> str:
        """On the first with the servers' passwords, which `robo` hands to its clients; on the second with the clients'."""
        given = {**(SERVERS if machine == "first" else CLIENT), **more}
        return self.call(machine, sys.executable, "-m", "flows.cli", *arguments, ok=ok, **given)

    def serve(self) -> subprocess.Popen:
        shared = {"MLFLOW_ARTIFACTS_DESTINATION": str(self.folder / "artifacts")}
        command = (sys.executable, "-m", "flows.cli", "serve", "--host", FIRST)
        return self.start("first", *command, log="serve", **SERVERS, **shared)

    def worker(self) -> subprocess.Popen:
        return self.start("second", sys.executable, "-m", "flows.cli", "worker", "gpu", log="worker", **CLIENT)

    def said(self, log: str) -> str:
        return (self.folder / f"{log}.log").read_text()


@contextmanager
def machines(folder: Path, second: Path | None = None):
    """The two with nothing built and no worker yet; `second` is where the other checkout shall stand."""
    from chain import call, edit, make_chain

    with ExitStack() as running:
        two = Machines(folder, running)
        if second:
            two.second = second
        two.prepare()
        make_chain(two.first)
        dvc = (sys.executable, "-m", "dvc")
        user, password = PASSWORDS["store"].split(":")
        call(two.first, *dvc, "remote", "add", "-d", "store", f"http://{FIRST}:{STORE}")
        for key, value in (("method", "PUT"), ("auth", "basic"), ("user", user)):
            call(two.first, *dvc, "remote", "modify", "store", key, value)
        edit(two.first, "configs/operations/robo-micropython.yaml", pools={"train": "gpu"})
        call(two.first, "git", "commit", "-qam", "two machines")
        two.start("first", sys.executable, __file__, "serve", two.store, FIRST, STORE, log="store")
        two.start(
            "first", "git", "daemon", "--export-all", f"--base-path={folder}", f"--listen={FIRST}", folder, log="git"
        )
        two.serve()
        two.second.parent.mkdir(parents=True, exist_ok=True)
        until_heard(two, f"git ls-remote git://{FIRST}/first")
        subprocess.run(two.inside("second", "git", "clone", "-q", f"git://{FIRST}/first", two.second), check=True)
        for root in (two.first, two.second):
            call(root, *dvc, "remote", "modify", "--local", "store", "password", password)
        yield two


def until_heard(two: Machines, command: str) -> None:
    from real import wait_until

    wait_until(
        lambda: subprocess.run(two.inside("second", *command.split()), capture_output=True).returncode == 0,
        lambda: f"{command}: {two.said('git')}",
        60,
    )


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer((sys.argv[3], int(sys.argv[4])), Store)
    server.folder = Path(sys.argv[2])
    server.serve_forever()
