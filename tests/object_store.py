"""A real object store on this machine: versitygw, which serves S3 from a folder, each object a file. It starts in a quarter of a second;
scripts/versitygw.py builds it from packages."""

import os
import signal
import socket
import socketserver
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from real import find_server, free_port, wait_until

from flows.processes import answers
from pipeline.core.stage import die_with_parent

BUCKET, KEY, SECRET = "robo", "robo-key", "robo-secret-of-tests"


class ObjectStore:
    """Attribute `environment`: what a client of it must have. `bucket` is the folder of the bucket."""

    def __init__(self, folder: Path):
        self.program = find_server("versitygw")
        if self.program is None:
            missing = "no object store: run `make versitygw` to build one from packages (some minutes, once)"
            pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.bucket = folder / "store" / BUCKET
        for each in (self.bucket, folder / "meta", folder / "iam"):
            each.mkdir(parents=True)
        self.environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",  # nobody is asked for credentials over the network
            "no_proxy": "127.0.0.1",
        }

    def start(self) -> None:
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, "VGW_HEALTH": "/health"}
        command = [self.program, "--quiet", "--port", f"127.0.0.1:{self.port}", "--iam-dir", self.folder / "iam"]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                # metadata beside the files: not every disk has a place for it
                [*command, "posix", "--sidecar", self.folder / "meta", self.folder / "store"],
                env={**os.environ, **keys},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        wait_until(lambda: answers(f"{self.url}/health"), (self.folder / "log").read_text, 30)

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(20)

    def add_user(self, key: str, secret: str) -> None:
        """Who may do nothing, until a policy of the bucket says otherwise."""
        command = [
            self.program,
            "admin",
            "--access",
            KEY,
            "--secret",
            SECRET,
            "--endpoint-url",
            self.url,
            "create-user",
        ]
        subprocess.run([*command, "-a", key, "-s", secret, "-r", "user"], check=True, capture_output=True)


class Relay(socketserver.ThreadingTCPServer):
    """Between clients and the server at `port`: passes on `size` bytes, both ways together, sets `held` and passes on no more. What is sent
    stays under way then, on a machine of any speed, until somebody cuts it."""

    daemon_threads = True

    def __init__(self, port: int, size: int):
        super().__init__(("127.0.0.1", 0), Passing)
        self.port, self.left, self.held, self.ended = port, size, threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.sockets = []

    def cut(self) -> None:
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.ended.set()


class Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            self.server.sockets += [self.request, there]
            back = threading.Thread(target=self.pass_on, args=(there, self.request))
            back.start()
            self.pass_on(self.request, there)
            back.join()

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                self.server.left -= len(data)
                if self.server.left < 0:
                    self.server.held.set()
                    self.server.ended.wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(port: int, size: int):
    with Relay(port, size) as found:
        serving = threading.Thread(target=found.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield found
        finally:
            found.cut()
            found.shutdown()
            serving.join()
