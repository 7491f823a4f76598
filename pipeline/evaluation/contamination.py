"""Does the training text hold the exam? A model that has read a request with its answer only remembers.

What counts as holding it says pipeline/data/contamination.py; the stage prepare leaves such files out by the same words, so here is found what
came in another way, or was asked later than the text was prepared.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.files import read_jsonl
from pipeline.data.contamination import Exam, words
from pipeline.evaluation.robobench import Task


@dataclass(frozen=True)
class Found:
    task: Task
    what: str  # "request" or "solution"
    share: float  # of its runs of words
    source: str  # the training file

    def __str__(self) -> str:
        return f"{self.task.place}: {self.what}: stands in the training text, {self.share:.0%} of it in {self.source}"


def contaminated(tasks: list[Task], training: Path) -> list[Found]:
    """What of the tasks stands in a corpus file (training text, one JSON object a line), each with the file where most of it stands."""
    exam, found = Exam(tasks), {}
    for row in read_jsonl(training):
        source = f"{row['source']} {row.get('path', '')}".strip()
        for number, what, share in exam.found(row["text"], words(row["text"])):
            if (number, what) not in found or found[number, what].share < share:
                found[number, what] = Found(tasks[number], what, share, source)
    return list(found.values())
