"""Starting real servers for tests, on free ports and with folders of their own."""

import importlib.util
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from project import REPOSITORY

from pipeline.core.stage import die_with_parent


def find_ollama() -> Path | None:
    """What scripts/ollama.py finds. Its folder must not be on the path, where it would hide the package ollama."""
    spec = importlib.util.spec_from_file_location("scripts_ollama", REPOSITORY / "scripts" / "ollama.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.find()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def start_ollama(program: Path, host: str, folder: Path):
    from pipeline.serving import is_reachable

    log = folder / "server.log"
    environment = {**os.environ, "OLLAMA_HOST": host, "OLLAMA_MODELS": str(folder / "models"), "HOME": str(folder), "OLLAMA_NO_CLOUD": "1"}
    with open(log, "w") as out:
        server = subprocess.Popen([program, "serve"], env=environment, stdout=out, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
    try:
        until = time.monotonic() + 60
        while not is_reachable(host):
            assert server.poll() is None and time.monotonic() < until, f"Ollama did not start:\n{log.read_text()[-2000:]}"
            time.sleep(0.1)
        yield server
    finally:
        server.terminate()
        server.wait(20)
