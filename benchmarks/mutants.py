"""Do the exam's checks notice wrong programs? Mutants of every solution, judged as a model's answer is.

    python benchmarks/mutants.py [FILE or FOLDER of tasks ...] [--quiet]

Says by kind of slip how many were caught, and shows each one that was missed; equivalent ones, which do the same, do not count. A missed
mutant is a hole in a check, or a change that a person would accept too.
"""

import argparse
import os
import sys
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from alike import Verdict, caught  # noqa: E402
from tables import table  # noqa: E402

from pipeline.board import checks, inputs  # noqa: E402
from pipeline.evaluation import robobench  # noqa: E402


def tasks(paths: list[Path]) -> list[robobench.Task]:
    """The tasks of files, of sets, or of the folder that the sets stand in."""
    files = [
        file
        for path in paths
        for file in (sorted([*path.glob("*/*.yaml")] or path.glob("*.yaml")) if path.is_dir() else [path])
    ]
    found, wrong = [], []
    for file in files:
        there, faulty = robobench.read(file, file.parent.name)
        found += there
        wrong += faulty
    if wrong:
        raise SystemExit("\n".join(wrong))
    return found


def judge(task: robobench.Task) -> list[Verdict]:
    devices = inputs.parse(task.inputs, task.board, task.place)
    return caught(task.solution, task.board, devices, task.seconds, checks.parse(task.check, task.place))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "exam"])
    parser.add_argument("--quiet", action="store_true", help="no list of those that were missed")
    given = parser.parse_args()
    asked, seen = tasks(given.paths), Counter()
    with Pool(os.cpu_count()) as pool:
        for task, verdicts in zip(asked, pool.imap(judge, asked), strict=True):
            seen.update((verdict.mutant.kind, verdict.verdict) for verdict in verdicts)
            for mutant, verdict, _ in verdicts if not given.quiet else []:
                if verdict == "missed":
                    lines = zip(task.solution.split("\n"), mutant.program.split("\n"), strict=False)
                    before, after = next(((a, b) for a, b in lines if a != b), ("", ""))
                    print(
                        f"{task.place}, line {mutant.line}, {mutant.kind}: {before.strip()}  ->  {after.strip()}",
                        flush=True,
                    )
    rows = []
    for kind in [*sorted({kind for kind, _ in seen}), "all"]:
        numbers = {
            verdict: sum(n for (k, v), n in seen.items() if v == verdict and kind in (k, "all"))
            for verdict in ("caught", "missed", "equivalent")
        }
        counted = numbers["caught"] + numbers["missed"]
        rows.append(
            [
                kind,
                *(str(n) for n in numbers.values()),
                f"{100 * numbers['caught'] / counted:.1f} %" if counted else "-",
            ]
        )
    print()
    table(["slip", "caught", "missed", "equivalent", "caught of those that count"], rows)


if __name__ == "__main__":
    main()
