"""Seconds of a run with nothing to do, with a server running and with none, beside what DVC alone takes to say so.

    python benchmarks/overhead.py [--turns 5]

In this checkout, which must be built (`robo run`). Such a run asks DVC, MLflow and Ollama and needs no Prefect; beside `robo serve`, which
this starts on free ports, MLflow is asked over HTTP. The ways take turns, so that what else the machine does strikes all alike.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from machine import watched  # noqa: E402
from real import free_port  # noqa: E402

RUN, STATUS = [sys.executable, "-m", "flows.cli", "run"], [sys.executable, "-m", "dvc", "status"]


def seconds(command: list[str]) -> float:
    """Raises SystemExit with its words where the command fails or still finds something to do."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    took = time.perf_counter() - began
    if done.returncode or " Executed " in done.stdout:
        sys.exit(f"{' '.join(command)} should have had nothing to do:\n{done.stdout[-3000:]}")
    return took


def serve() -> subprocess.Popen:
    """`robo serve`, ready."""
    server = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "ROBO_PREFECT_PORT": str(free_port()), "ROBO_MLFLOW_PORT": str(free_port())},
    )
    for line in server.stdout:
        if "started!" in line:  # the worker, the last to be there
            return server
    sys.exit("robo serve ended by itself")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    with watched():
        measure(arguments.turns)


def measure(turns: int) -> None:
    found: dict[str, list[float]] = {"dvc status": [], "robo run, no server": [], "robo run beside robo serve": []}
    subprocess.run(RUN, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # acts that are missing, and files into memory
    for _ in range(turns):
        found["dvc status"].append(seconds(STATUS))
        found["robo run, no server"].append(seconds(RUN))
        server = serve()
        found["robo run beside robo serve"].append(seconds(RUN))
        server.send_signal(signal.SIGTERM)
        server.communicate()
    for name, each in found.items():
        print(f"{name:<28} {statistics.median(each):6.1f} s   ({min(each):.1f} to {max(each):.1f})")


if __name__ == "__main__":
    main()
