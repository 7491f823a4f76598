"""What is held out must not be taught: the exam, and the texts of val and test. One definition, by which prepare leaves training files out and
the stage `exam` looks at what was left.

Text is compared as its words, in lower case: letters and digits, so that comment signs, quotes, line ends and punctuation make no difference.
Counted are runs of words, 13 as GPT-3 has it (Brown et al. 2020, appendix C), that stand in one training file.

A training file goes whole, as those with HumanEval's answers went from StarCoder's text (Li et al. 2023): cut in the middle it would teach code
that breaks off. So it takes more than a run in common: 38 runs, which is a passage of 50 words, or half of a shorter text. Runs that stand in
more than 10 training files are everybody's, as GPT-3 has it too, and those of the licences' own texts are nobody's. What is left out is
measured first against whole packages (near_duplicate in prepare.py): there the held-out file goes.

Of the exam a request goes by runs of 5 words, since it has 20. All of them stand there where it was copied; with two words of twenty changed, at
least 6 of its 16 do. Of 256 requests against the default corpus the highest share was 0.07, so from 0.3 on a request of the people's set counts
as read, as any does of which 13 words in a row stand there: nothing was written for that set, so nothing near it has any business there. Of the
other sets word for word alone counts: a curriculum is made around them, by leaving out just their numbers or words. Requests below 8 words
would be found by chance, so they must be the whole of a line.

Solutions are looked at for the people's set alone, since the others hold out values and words, not programs. Everybody's blink is the same
ten lines, so one counts only from 80 words on, and where 80% of its runs of 13 words stand in one training file: imports and set-up do not
make that.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import yaml

from pipeline.core.errors import UserError
from pipeline.core.shingles import hashed, runs

WORD = re.compile(r"[^\W_]+")
RUN, REQUEST_RUN = 13, 5
REQUEST_SHARE, REQUEST_WORDS = 0.3, 8
SOLUTION_SHARE, SOLUTION_WORDS = 0.8, 80
HELD_OUT = ("val", "test")
NOTHING_NEAR = "people"  # the set that nothing was written for
PASSAGE, PART = 38, 0.5  # runs that a held-out file and a training file may not share; a part of a shorter one
FEWEST = 8  # runs of a held-out file, 20 words; with less it is no text to recognise
WIDE = 10  # training files; what stands in more is everybody's


class Words(NamedTuple):
    words: list[str]
    numbers: np.ndarray  # the same hashed


def words(text: str) -> Words:
    found = WORD.findall(text.lower())
    return Words(found, hashed(found))


class Index:
    """Which of several texts hold a run, without those that `ignored` holds."""

    def __init__(self, texts: Sequence[Words], length: int, ignored: np.ndarray | None = None):
        self.length = length
        sets = [runs(text.numbers, length) for text in texts]
        if ignored is not None:
            sets = [np.setdiff1d(each, ignored, assume_unique=True) for each in sets]
        self.sizes = np.array([len(each) for each in sets], int)
        everything = np.concatenate([np.empty(0, np.uint64), *sets])
        order = np.argsort(everything, kind="stable")
        self.known, starts = np.unique(everything[order], return_index=True)
        self.starts, self.owners = np.append(starts, len(order)), np.repeat(np.arange(len(sets)), self.sizes)[order]

    def places(self, text: Words) -> np.ndarray:
        """Where in `known` the runs of a text stand."""
        its = runs(text.numbers, self.length)
        at = np.searchsorted(self.known, its)
        within = at < len(self.known)
        return at[within][self.known[at[within]] == its[within]]

    def shared(self, places: np.ndarray) -> Iterator[tuple[int, int]]:
        """(number of a text, how many of the runs at `places` it holds)."""
        its = [self.owners[self.starts[at] : self.starts[at + 1]] for at in places]
        for number, count in zip(*np.unique(np.concatenate(its), return_counts=True), strict=True) if its else ():
            yield int(number), int(count)


# --- the exam ---------------------------------------------------------------------------------------------------------


class Task(Protocol):
    @property
    def set(self) -> str: ...
    @property
    def request(self) -> str: ...
    @property
    def solution(self) -> str: ...


@dataclass(frozen=True)
class Asked:
    """A task as far as it matters here; robobench.py reads and checks all of it."""

    set: str
    id: str
    request: str
    solution: str


def asked(folder: Path) -> list[Asked]:
    found = []
    for path in sorted(folder.glob("*/[!.]*.yaml")):
        try:
            entries = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
            found += [
                Asked(path.parent.name, *(str(entry[key]) for key in ("id", "request", "solution")))
                for entry in entries
            ]
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError):
            raise UserError(
                f"{path}: is no list of tasks, each with id, request and solution; `robo exam` says what is wrong"
            ) from None
    return found


class Exam:
    """Finds the tasks in a text."""

    def __init__(self, tasks: Iterable[Task]):
        self.lines: dict[str, int] = {}
        wanted: dict[int, list[tuple[int, str, float, Words]]] = {REQUEST_RUN: [], RUN: []}
        for number, task in enumerate(tasks):
            request, solution = words(task.request), words(task.solution)
            if len(request.words) < REQUEST_WORDS:
                self.lines[" ".join(request.words)] = number
            else:
                wanted[REQUEST_RUN].append(
                    (number, "request", REQUEST_SHARE if task.set == NOTHING_NEAR else 1.0, request)
                )
            if task.set == NOTHING_NEAR and len(solution.words) >= SOLUTION_WORDS:
                wanted[RUN].append((number, "solution", SOLUTION_SHARE, solution))
        self.wanted = [(items, Index([text for *_, text in items], length)) for length, items in wanted.items()]

    def found(self, text: str, its: Words) -> Iterator[tuple[int, str, float]]:
        """(number of a task, "request" or "solution", share of its runs) of what stands in a text, which comes with its words."""
        for items, index in self.wanted:
            for place, count in index.shared(index.places(its)):
                number, what, least, _ = items[place]
                if (share := count / index.sizes[place]) >= least:
                    yield number, what, float(share)
        joined = f" {' '.join(its.words)} "
        if any(f" {line} " in joined for line in self.lines):  # seldom, and to look at each line takes long
            for line in text.splitlines():
                if (number := self.lines.get(" ".join(words(line).words))) is not None:
                    yield number, "request", 1.0


# --- val and test -----------------------------------------------------------------------------------------------------


class Passages:
    """Finds what training texts share with held-out ones; those come first, by their names, and then each training text is looked at once."""

    def __init__(self, held_out: dict[str, str], licences: Iterable[str]):
        everybodys = [runs(words(text).numbers, RUN) for text in set(licences)]
        ignored = np.unique(np.concatenate([np.empty(0, np.uint64), *everybodys]))
        self.names, self.index = list(held_out), Index([words(text) for text in held_out.values()], RUN, ignored)
        self.holders, self.seen = np.zeros(len(self.index.known), int), {}

    def look(self, number: int, its: Words) -> None:
        if len(places := self.index.places(its)):
            self.holders[places] += 1
            self.seen[number] = places

    def found(self) -> Iterator[tuple[int, str]]:
        """(number of a training text, what it holds of which)."""
        for number, places in self.seen.items():
            for held, count in self.index.shared(places[self.holders[places] <= WIDE]):
                size = int(self.index.sizes[held])
                if size >= FEWEST and count >= min(PASSAGE, PART * size):
                    yield number, f"{count} of {size} runs of {RUN} words of {self.names[held]}"


# --- both -------------------------------------------------------------------------------------------------------------


def said(
    texts: Sequence[str], rows: list[dict], reasons: dict[int, str], tasks: list[Asked], licences: Iterable[str]
) -> dict[int, str]:
    """A reason for each training document, by its number, that holds a task of the exam or a passage of a held-out document."""
    good = [n for n in range(len(rows)) if not reasons[n]]
    held_out = {f"{rows[n]['source']}/{rows[n]['path']}": texts[n] for n in good if rows[n]["split"] in HELD_OUT}
    exam, passages, found = Exam(tasks), Passages(held_out, licences), {}
    for n in good:
        if rows[n]["split"] == "train":
            text = texts[n]
            its = words(text)
            passages.look(n, its)
            for number, what, share in exam.found(text, its):
                found[n] = f"holds the exam: {share:.0%} of the {what} of {tasks[number].set}/{tasks[number].id}"
    return {n: f"holds held-out text: {what}" for n, what in passages.found()} | found
