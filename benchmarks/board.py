"""Programs a second that the simulated board runs on one core, beside MicroPython's Unix port over the same hardware.

    python benchmarks/board.py [--turns 5] [--seconds 5] [--each] [--profile]

Everyday programs (tests/everyday.py) and the solutions of exam/, 5 s of the board's time each. What is counted are seconds of a processor,
and the two ways take turns, so that what else the machine does strikes both alike. The sandbox's rate has its start in it, once: wasmtime,
the compiled interpreter, the firmware. `--each` says what each program takes, `--profile` where the time goes: the interpreter's own code,
answers to its questions, and what stands around a run.
"""

import argparse
import cProfile
import os
import pstats
import resource
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from everyday import PROGRAMS  # noqa: E402
from machine import Watch, watched  # noqa: E402
from tables import table  # noqa: E402

BOARD = "pico"
SANDBOX, UNIX = "sandbox", "Unix port"
Job = tuple[str, str, str, list]  # name, board, program, devices
PARTS = {
    "the interpreter's own code": ("wasmtime_func_call",),
    "answers to its questions": ("callback", "constant"),
    "a new instance, and its end": ("wasmtime_instance_pre_instantiate", "wasmtime_store_new", "wasmtime_store_delete"),
    "reading the program": ("prepare",),
    "a new board": ("__init__",),
}


def jobs() -> dict[str, list[Job]]:
    """What is measured, by where it comes from."""
    from pipeline.board import inputs

    found = {
        "everyday": [
            (name, BOARD, program, inputs.parse(around, BOARD, name)) for name, (around, program) in PROGRAMS.items()
        ]
    }
    if any((ROOT / "exam").glob("*/*.yaml")):
        from pipeline.evaluation import robobench

        found["exam"] = [
            (task.id, task.board, task.solution, inputs.parse(task.inputs, task.board, task.id))
            for task in robobench.load(ROOT / "exam")
        ]
    return found


def cpu() -> float:
    """Seconds of a processor that this process took, and those that it waited for: others on the machine do not count."""
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def seconds(work: list[Job], run, length: float) -> list[float]:
    """Of a processor, for each program."""
    found = []
    for _, board, program, devices in work:
        began = cpu()
        run(program, board, devices, length)
        found.append(cpu() - began)
    return found


def spread(values: list[float]) -> list[str]:
    return [f"{value:.0f}" for value in (min(values), statistics.median(values), max(values))]


def profile(work: list[Job], run, length: float) -> None:
    """Where the time goes, as shares. Watching makes Python's part look larger than it is."""
    watched = cProfile.Profile()
    watched.enable()
    seconds(work, run, length)
    watched.disable()
    stats = pstats.Stats(watched)
    total = stats.total_tt
    rows = []
    for part, names in PARTS.items():
        column = 2 if part.startswith(("the", "a new instance")) else 3  # its own time, or with all that it calls
        took = sum(
            row[column]
            for (file, _, name), row in stats.stats.items()
            if name in names and ("board" in file or "wasmtime" in file)
        )
        rows.append([part, f"{took / total:.0%}"])
    table(["part", "share"], rows)
    stats.sort_stats("tottime").print_stats(15)


def compare(
    where: str, work: list[Job], ways: dict, turns: int, length: float, start: float, watch: Watch
) -> tuple[list[list[str]], list[list[float]]]:
    """(rows of the table, the sandbox's seconds of each program in each turn). `start` seconds of the sandbox belong to these programs."""
    took: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            took[name].append(seconds(work, way, length))
    sums = {
        name: [sum(turn) + (start / turns if name == SANDBOX else 0) for turn in each] for name, each in took.items()
    }
    rows = [
        [
            where,
            name,
            str(len(work)),
            f"{1000 * statistics.median(map(statistics.median, took[name])):.1f}",
            *spread([len(work) / each for each in sums[name]]),
        ]
        for name in ways
    ]
    if UNIX in ways:
        ratios = [slow / fast for slow, fast in zip(sums[UNIX], sums[SANDBOX], strict=True)]
        ends = min(ratios), statistics.median(ratios), max(ratios)
        rows.append([where, "times as fast", "", "", *(watch.ratio(each, 1) for each in ends)])
    return rows, took[SANDBOX]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the board's time")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with watched() as watch:
        measure(arguments, watch)


def measure(arguments: argparse.Namespace, watch: Watch) -> None:
    began = cpu()
    from pipeline.board.run import run

    run("pass", BOARD)
    start = cpu() - began
    print(f"start of the sandbox, once a process: {start:.2f} s\n")
    from pipeline.board import unix

    ways, work = {SANDBOX: run} | ({UNIX: unix.run} if unix.interpreter() else {}), jobs()
    for board in {job[1] for each in work.values() for job in each}:
        for way in ways.values():
            way("pass", board)  # whatever is compiled once and kept in a file
    rows, took = [], {}
    for where, each in work.items():
        found, took[where] = compare(where, each, ways, arguments.turns, arguments.seconds, start / len(work), watch)
        rows += found
    table(["programs", "way", "number", "ms of the middle one", "least", "median", "most, programs a second"], rows)
    if arguments.each:
        for where, each in work.items():
            runs = [run(program, board, devices, arguments.seconds) for _, board, program, devices in each]
            table(
                [where, "ms", "million instructions", "events"],
                [
                    [
                        name,
                        f"{1000 * statistics.median(turn[number] for turn in took[where]):.1f}",
                        f"{done.fuel / 1e6:.1f}",
                        str(len(done.log)),
                    ]
                    for number, ((name, *_), done) in enumerate(zip(each, runs, strict=True))
                ],
            )
    if arguments.profile:
        profile([job for each in work.values() for job in each], run, arguments.seconds)


if __name__ == "__main__":
    main()
