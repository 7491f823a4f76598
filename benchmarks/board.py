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
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from everyday import PROGRAMS  # noqa: E402
from tables import table  # noqa: E402

BOARD = "pico"
Job = tuple[str, str, str, list]        # name, board, program, devices
PARTS = {"the interpreter's own code": ("wasmtime_func_call",), "answers to its questions": ("callback", "constant"),
         "a new instance, and its end": ("wasmtime_instance_pre_instantiate", "wasmtime_store_new", "wasmtime_store_delete"),
         "reading the program": ("prepare",), "a new board": ("__init__",)}


def jobs() -> dict[str, list[Job]]:
    """What is measured, by where it comes from."""
    from pipeline.board import inputs
    found = {"everyday": [(name, BOARD, program, inputs.parse(around, BOARD, name)) for name, (around, program) in PROGRAMS.items()]}
    if any((ROOT / "exam").glob("*/*.yaml")):
        from pipeline.evaluation import robobench
        found["exam"] = [(task.id, task.board, task.solution, inputs.parse(task.inputs, task.board, task.id))
                         for task in robobench.load(ROOT / "exam")]
    return found


def cpu() -> float:
    """Seconds of a processor that this process took, and those that it waited for: others on the machine do not count."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def seconds(work: list[Job], run, length: float) -> list[float]:
    """Of a processor, for each program."""
    found = []
    for _, board, program, devices in work:
        began = cpu()
        run(program, board, devices, length)
        found.append(cpu() - began)
    return found


def machine() -> str:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; one core is used"


def spread(values: list[float]) -> list[str]:
    return [f"{min(values):.0f}", f"{statistics.median(values):.0f}", f"{max(values):.0f}"]


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
        column = 2 if part.startswith(("the", "a new instance")) else 3         # its own time, or with all that it calls
        took = sum(row[column] for (file, _, name), row in stats.stats.items() if name in names and ("board" in file or "wasmtime" in file))
        rows.append([part, f"{took / total:.0%}"])
    table(["part", "share"], rows)
    stats.sort_stats("tottime").print_stats(15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the board's time")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(machine(), end="\n\n")
    began = cpu()
    from pipeline.board.run import run
    run("pass", BOARD)
    start = cpu() - began
    from pipeline.board import unix
    ways = {"sandbox": run} | ({"Unix port": unix.run} if unix.interpreter() else {})
    work, rows, took = jobs(), [], {}
    for way in ways.values():
        way("pass", BOARD)
    for where, each in work.items():
        for _ in range(arguments.turns):
            for name, way in ways.items():
                took.setdefault((where, name), []).append(seconds(each, way, arguments.seconds))
        for name in ways:
            once = start / arguments.turns / len(work) if name == "sandbox" else 0
            middle = statistics.median(statistics.median(turn) for turn in took[where, name])
            rows.append([where, name, str(len(each)), f"{1000 * middle:.1f}", *spread([len(each) / (sum(turn) + once) for turn in took[where, name]])])
        if len(ways) == 2:
            pairs = zip(took[where, "Unix port"], took[where, "sandbox"], strict=True)
            ratios = [sum(slow) / (sum(fast) + start / arguments.turns / len(work)) for slow, fast in pairs]
            rows.append([where, "times as fast", "", "", *(f"{value:.1f}" for value in (min(ratios), statistics.median(ratios), max(ratios)))])
    print(f"start of the sandbox, once a process: {start:.2f} s\n")
    table(["programs", "way", "number", "ms of the middle one", "least", "median", "most, programs a second"], rows)
    if arguments.each:
        for where, each in work.items():
            table([where, "ms", "million instructions", "events"], [
                [name, f"{1000 * statistics.median(turn[n] for turn in took[where, 'sandbox']):.1f}", f"{done.fuel / 1e6:.1f}", str(len(done.log))]
                for n, (name, board, program, devices) in enumerate(each) for done in [run(program, board, devices, arguments.seconds)]])
    if arguments.profile:
        profile([job for each in work.values() for job in each], run, arguments.seconds)


if __name__ == "__main__":
    main()
