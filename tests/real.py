"""Starting real servers for tests, on free ports and with folders of their own."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from project import REPOSITORY

from pipeline.core.stage import die_with_parent


def find_ollama() -> Path | None:
    return find_server("ollama")


def find_server(name: str) -> Path | None:
    """What scripts/NAME.py finds. Its folder must not be on the path, where it would hide the package ollama."""
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", REPOSITORY / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.find()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def start_ollama(program: Path, host: str, folder: Path):
    from pipeline.publish.serving import is_reachable

    log = folder / "server.log"
    environment = {
        **os.environ,
        "OLLAMA_HOST": host,
        "OLLAMA_MODELS": str(folder / "models"),
        "HOME": str(folder),
        "OLLAMA_NO_CLOUD": "1",
    }
    with open(log, "w") as out:
        server = subprocess.Popen(
            [program, "serve"], env=environment, stdout=out, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
    try:
        until = time.monotonic() + 60
        while not is_reachable(host):
            assert server.poll() is None and time.monotonic() < until, (
                f"Ollama did not start:\n{log.read_text()[-2000:]}"
            )
            time.sleep(0.1)
        yield server
    finally:
        server.terminate()
        server.wait(20)


def wait_until(true: Callable[[], bool], what: Callable[[], str] | str, seconds: float = 120) -> float:
    """Returns how many seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, what() if callable(what) else what
        time.sleep(0.2)
    return time.monotonic() - began


@contextmanager
def start_robo(root: Path, command: str, ready: str, log: Path, **more: str):
    """`robo COMMAND` in `root`, from when its output holds `ready`; at the end it must leave well when told to. Its output is in `log`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "OLLAMA_", "ROBO_"))}
    with open(log, "w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", command],
            cwd=root,
            env={**kept, "PYTHONPATH": str(REPOSITORY), **more},
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
    try:
        wait_until(lambda: process.poll() is not None or ready in log.read_text(), log.read_text)
        assert process.poll() is None, log.read_text()
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@contextmanager
def receiver():
    """(a URL as Apprise takes it, the list of what was posted there)."""
    posted = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/notices", posted
    finally:
        server.shutdown()
        server.server_close()
