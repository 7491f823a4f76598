"""Does the training text hold the exam? A model that has read a request with its answer only remembers.

Text is compared as its words, in lower case: letters and digits, so that comment signs, quotes, line ends and punctuation make no
difference. Measured is which share of a request's runs of 5 words stand in one training file. All of them stand there where it was copied; with two
words of twenty changed, at least 6 of its 16 do. Of 256 requests against the default corpus the highest share was 0.07, so from 0.3 on a
request of the people's set counts as read: nothing was written for that set, so nothing near it has any business there. Of the
other sets word for word alone counts: a curriculum is made around them, by leaving out just their numbers or words. Requests below 8
words would be found by chance, so they must be the whole of a line.

Solutions are looked at for the people's set alone, since the others hold out values and words, not programs. Everybody's blink is the
same ten lines, so one counts only from 80 words on, and where 80% of its runs of 16 words stand in one training file: imports and
set-up do not make that.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.files import read_jsonl
from pipeline.evaluation.robobench import Task

WORD = re.compile(r"[^\W_]+")
REQUEST_RUN, REQUEST_SHARE, REQUEST_WORDS = 5, 0.3, 8
SOLUTION_RUN, SOLUTION_SHARE, SOLUTION_WORDS = 16, 0.8, 80
NOTHING_NEAR = "people"  # the set that nothing was written for


@dataclass(frozen=True)
class Found:
    task: Task
    what: str  # "request" or "solution"
    share: float  # of its runs of words
    source: str  # the training file

    def __str__(self) -> str:
        return f"{self.task.place}: {self.what}: stands in the training text, {self.share:.0%} of it in {self.source}"


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def runs(text: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(text[start : start + length]) for start in range(len(text) - length + 1)}


def contaminated(tasks: list[Task], training: Path) -> list[Found]:
    """What of the tasks stands in a corpus file (training text, one JSON object a line), each with the file where most of it stands."""
    wanted: list[tuple[Task, str, int, float, set]] = []
    lines: dict[tuple[str, ...], Task] = {}
    for task in tasks:
        request, solution = words(task.request), words(task.solution)
        if len(request) < REQUEST_WORDS:
            lines[tuple(request)] = task
        else:
            wanted.append(
                (
                    task,
                    "request",
                    REQUEST_RUN,
                    REQUEST_SHARE if task.set == NOTHING_NEAR else 1.0,
                    runs(request, REQUEST_RUN),
                )
            )
        if task.set == NOTHING_NEAR and len(solution) >= SOLUTION_WORDS:
            wanted.append((task, "solution", SOLUTION_RUN, SOLUTION_SHARE, runs(solution, SOLUTION_RUN)))
    holders: dict[tuple[str, ...], list[int]] = {}  # run -> places in `wanted`
    for number, (*_, its_runs) in enumerate(wanted):
        for run in its_runs:
            holders.setdefault(run, []).append(number)
    found: dict[tuple[str, str], Found] = {}

    def note(task: Task, what: str, share: float, source: str) -> None:
        if (task.id, what) not in found or found[task.id, what].share < share:
            found[task.id, what] = Found(task, what, share, source)

    for row in read_jsonl(training):
        source = f"{row['source']} {row.get('path', '')}".strip()
        text, seen = words(row["text"]), {}
        for length in (REQUEST_RUN, SOLUTION_RUN):
            for run in runs(text, length) & holders.keys():
                for number in holders[run]:
                    seen[number] = seen.get(number, 0) + 1
        for number, count in seen.items():
            task, what, _, least, its_runs = wanted[number]
            if (share := count / len(its_runs)) >= least:
                note(task, what, share, source)
        for line in row["text"].splitlines():
            if (task := lines.get(tuple(words(line)))) is not None:
                note(task, "request", 1.0, source)
    return list(found.values())
