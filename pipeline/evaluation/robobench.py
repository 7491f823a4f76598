"""RoboBench: requests in people's words, and a judge who runs the program that comes back.

A task is a request with a board, what happens around it, and checks over what its pins did (pipeline/board). Tasks are data: a folder of
exam/ is a set, each of its files a list of tasks. Each task has a solution that must pass and wrong programs that must fail, so that nobody
has to believe a check.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipeline.board import boards, checks, inputs, names
from pipeline.board.checks import Result
from pipeline.board.names import Name as Used
from pipeline.board.run import Run, run
from pipeline.core.config import read_yaml
from pipeline.core.errors import UserError, suggestion
from pipeline.core.paths import EXAM
from pipeline.core.prompt import as_prompt
from pipeline.core.schema import EXAM_SETS, File, Name, Text

COMPLETIONS = "completions"  # stands in the place of a set's name, for beginnings of programs that are gone on with
SEEN, SEEN_OF = "people", 10  # of this set one failure in so many may be looked at
FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
SYNTAX = ("SyntaxError", "IndentationError")


class Replace(File):
    """A wrong program as a slip in the right one."""

    replace: Text
    by: str


class Entry(File):
    """A task as its file holds it."""

    id: Name
    intent: Name  # what is wanted, for the table: blink, servo, ...
    level: Literal["easy", "middle", "hard"]
    speaker: Name  # who would say so: beginner, forum, teacher, ...
    request: Text
    board: Name
    seconds: Annotated[float, Field(gt=0, le=3600)]  # that the program is watched, of the board's time
    inputs: list[Any] = Field(default=[])  # see pipeline/board/inputs.py
    check: Annotated[list[Any], Field(min_length=1)]  # see pipeline/board/checks.py
    solution: Text
    wrong: Text | Replace | Annotated[list[Text | Replace], Field(min_length=1)]
    notes: str | None = None  # for whoever reads the task


class Task(Entry):
    set: str  # the folder it stands in
    path: str  # of its file

    @property
    def place(self) -> str:
        return f"{self.path}: {self.id}"

    def mistakes(self) -> list[str]:
        """The wrong programs, whole."""
        given = self.wrong if isinstance(self.wrong, list) else [self.wrong]
        return [self.solution.replace(each.replace, each.by) if isinstance(each, Replace) else each for each in given]


# --- reading ----------------------------------------------------------------------------------------------------------


def faults(task: Task) -> list[str]:
    """What is wrong with a task whose keys are right."""
    found = []
    try:
        spec = boards.load(task.board)
    except UserError as error:
        return [f"{task.place}: board: {error}"]
    for read in (
        lambda: inputs.parse(task.inputs, task.board, f"{task.place}: inputs"),
        lambda: checks.parse(task.check, f"{task.place}: check"),
    ):
        try:
            read()
        except UserError as error:
            found.append(str(error))
    if not found:
        found += [
            f"{task.place}: check: a {task.board} has no pin {pin}"
            for pin in checks.pins_of(checks.parse(task.check, task.place))
            if spec.pin(pin) is None
        ]
    return found + [
        f"{task.place}: wrong: changes nothing in the solution" for wrong in task.mistakes() if wrong == task.solution
    ]


def read(path: Path, exam_set: str) -> tuple[list[Task], list[str]]:
    """The tasks of one file and what is wrong in it."""
    try:
        content = read_yaml(path)
    except UserError as error:
        return [], [str(error)]
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        return [], [f"{path}: must be a list of tasks, each with the keys {', '.join(Entry.model_fields)}"]
    tasks, wrong = [], []
    for number, entry in enumerate(content, 1):
        try:
            Entry.model_validate(entry)
        except ValidationError as error:
            wrong += [
                f"{path}: {entry.get('id', f'task {number}')}: {fault}" for fault in inputs.faults(Entry, entry, error)
            ]
            continue
        task = Task(**entry, set=exam_set, path=str(path))
        wrong += faults(task)
        tasks.append(task)
    return tasks, wrong


def twice(tasks: list[Task]) -> list[str]:
    """Ids and requests that stand in two tasks: the second would be counted as another."""
    found, ids, requests = [], {}, {}
    for task in tasks:
        request = " ".join(re.findall(r"\w+", task.request.lower()))
        for what, key, known in (("id", task.id, ids), ("request", request, requests)):
            if key in known:
                found.append(f"{task.place}: {what}: the same as {known[key].place}")
            known.setdefault(key, task)
    return found


def load(folder: Path = EXAM, sets: list[str] | None = None) -> list[Task]:
    """The tasks of `sets`, by default of every set that is there, in the order of sets, files and lines.

    Raises UserError with all faults of all files, one a line, each with file, task and key.
    """
    folder = Path(folder)
    there = sorted(path.name for path in folder.glob("*") if path.is_dir() and any(path.glob("[!.]*.yaml")))
    if unknown := [name for name in there if name not in EXAM_SETS]:
        raise UserError(f"{folder / unknown[0]}: no set of the exam{suggestion(unknown[0], EXAM_SETS)}")
    if not there:
        raise UserError(
            f"{folder}: no tasks there; a set is a folder of it, such as {folder / EXAM_SETS[0]}, with YAML files"
        )
    if missing := [name for name in sets or () if name not in there]:
        raise UserError(f"{folder / missing[0]}: no tasks there{suggestion(missing[0], there)}")
    wanted = [name for name in EXAM_SETS if name in (sets or there)]
    tasks, wrong = [], []
    for name in wanted:
        for path in sorted((folder / name).glob("[!.]*.yaml")):
            there, faulty = read(path, name)
            tasks += there
            wrong += faulty
    if wrong := wrong + twice(tasks):
        raise UserError("\n".join(wrong))
    return tasks


def may_be_seen(exam_set: str, name: str) -> bool:
    """Whether a failed answer to this task may be looked at. On the people's set nobody tunes, so there it is one task in ten, by a hash of
    its id, whatever the model; the others are only counted."""
    return exam_set != SEEN or int(hashlib.sha256(name.encode()).hexdigest(), 16) % SEEN_OF == 0


# --- asking -----------------------------------------------------------------------------------------------------------


def asked(template: str, task: Task) -> str:
    return as_prompt(template, task.request, boards.load(task.board).title)


def program_of(answer: str, prompt: str = "", cut: bool = False, chat: bool = False) -> str:
    """The program in a model's answer: after `prompt` where that is part of it, without the line that a limit of tokens has `cut`.

    A model that chats puts it into a fence, and talks around it.
    """
    fenced = FENCE.search(answer) if chat else None
    if fenced is None:
        return prompt + (answer[: answer.rfind("\n") + 1] if cut else answer)
    closed = answer[: fenced.end()].endswith("```")
    return fenced[1] if closed or not cut else fenced[1][: fenced[1].rfind("\n") + 1]


def is_code(prompt: str) -> bool:
    """Whether a prompt is itself the beginning of a program, as a comment is."""
    return not run(prompt, seconds=0.001).errors


# --- judging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    passed: bool
    parsed: bool  # MicroPython's compiler takes it, and there is something in it
    results: list[Result]  # of each check
    run: Run
    names: list[Used]  # of the board's modules, that the program uses

    @property
    def lacks(self) -> list[str]:
        """Names that the real board has and the simulated one has not: nobody can say what the program would do."""
        return self.run.lacks


def judge(task: Task, program: str) -> Judged:
    """Runs `program` on the task's board and asks every check what it thinks of that."""
    parsed_checks = checks.parse(task.check, f"{task.place}: check")
    outcome = run(program, task.board, inputs.parse(task.inputs, task.board, f"{task.place}: inputs"), task.seconds)
    parsed = says_something(program) and not any(
        error.kind in SYNTAX and ", in " not in error.traceback for error in outcome.errors
    )
    results = checks.apply(parsed_checks, outcome)
    return Judged(
        parsed and all(result.ok for result in results),
        parsed,
        results,
        outcome,
        names.used(program, task.board) if parsed else [],
    )


def says_something(program: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in program.splitlines())
