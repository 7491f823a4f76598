"""What a model's answers to the exam come to: figures, tables, and the failures that may be looked at. Sets are never pooled: each asks
something else, and a rate over all of them would be that of the largest.
"""

import math
import re
from collections.abc import Callable
from typing import TypeVar

from pipeline.core.markdown import table
from pipeline.evaluation import robobench
from pipeline.evaluation.robobench import COMPLETIONS, SEEN, SEEN_OF, Task, may_be_seen

Key = TypeVar("Key")

WORDS = {
    "people": "requests in the words of people who build things, on which nobody tunes",
    "values": "pins, times and numbers that the curriculum leaves out",
    "wordings": "ways to ask that it leaves out",
    "compositions": "combinations that it leaves out",
    "dev": "requests in other people's words, to tune on",
    COMPLETIONS: "beginnings of held-out programs, gone on with",
}
MOST_SHOWN = 50  # failures of a set that the report shows
Z = 1.96  # of a 95% interval


def wilson(passed: int, tasks: int) -> tuple[float, float]:
    """The 95% interval of a rate (Wilson's score), which is right for few tasks and for rates near 0 and 1 too."""
    if not tasks:
        return 0.0, 1.0
    rate, spread = passed / tasks, Z * Z / tasks
    middle, half = rate + spread / 2, Z * math.sqrt(rate * (1 - rate) / tasks + spread / tasks / 4)
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def figures(rows: list[dict]) -> dict:
    """Of one set's rows: numbers of tasks, and of those that passed, that were not simulated and that were answered with nothing; the
    shares that pass, with the ends of their interval, that parse, and of the board's names used that exist there. Completions have no passing."""
    exist, used = (sum(row["names"][n] for row in rows) for n in (0, 1))
    common = {
        "parse_rate": share(sum(row["parsed"] for row in rows), len(rows)),
        "api_rate": share(exist, used),
        "names": used,
        "empty": sum(row["empty"] for row in rows),
        "too_long": sum(bool(row["failed"]) for row in rows),
    }
    if rows[0]["set"] == COMPLETIONS:
        return {"tasks": len(rows), **common}
    passed = sum(row["passed"] for row in rows)
    low, high = (round(end, 4) for end in wilson(passed, len(rows)))
    return {
        "tasks": len(rows),
        "passed": passed,
        "rate": share(passed, len(rows)),
        "low": low,
        "high": high,
        **common,
        "not_simulated": sum(bool(row["lacks"]) for row in rows),
    }


def by(rows: list[dict], key: Callable[[dict], Key]) -> dict[Key, list[dict]]:
    found: dict[Key, list[dict]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def by_set(rows: list[dict]) -> dict[str, dict]:
    """figures() of each set, in the order of the rows."""
    return {name: figures(those) for name, those in by(rows, lambda row: row["set"]).items()}


def by_part(rows: list[dict], tasks: list[Task], part: str) -> list[tuple[str, str, int, int]]:
    """(set, part, passed, tasks) for each intent or level of each set."""
    of = {(task.set, task.id): getattr(task, part) for task in tasks}
    groups = by([row for row in rows if row["set"] != COMPLETIONS], lambda row: (row["set"], of[row["set"], row["id"]]))
    return [(name, value, sum(row["passed"] for row in those), len(those)) for (name, value), those in groups.items()]


# --- tables -----------------------------------------------------------------------------------------------------------

HEADINGS = ["set", "passed", "rate", "95% interval", "parse", "names that exist", "not simulated"]


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def cells(name: str, f: dict) -> list[str]:
    """One set as a row under HEADINGS; the number of tasks stands beside each rate."""
    counted = ["-", "-", "-"]
    if "passed" in f:
        counted = [f"{f['passed']} of {f['tasks']}", percent(f["rate"]), f"{f['low']:.1%} to {f['high']:.1%}"]
    return [
        name,
        *counted,
        f"{percent(f['parse_rate'])} of {f['tasks']}",
        f"{percent(f['api_rate'])} of {f['names']}" if f["names"] else "-",
        str(f.get("not_simulated", "-")),
    ]


def remarks(sets: dict[str, dict]) -> list[str]:
    """What a reader of the figures must not miss, a line each."""
    lines = []
    for name, f in sets.items():
        if f["empty"]:
            lines.append(
                f"{name}: the model answers nothing to {'any' if f['empty'] == f['tasks'] else f['empty']} of the {f['tasks']} prompts"
            )
        if f["too_long"]:
            lines.append(
                f"{name}: {f['too_long']} of the {f['tasks']} prompts are longer than the model's context, and count as failed"
            )
    return lines


# --- the report -------------------------------------------------------------------------------------------------------


def fenced(text: str, language: str) -> str:
    """As a block of Markdown that no backticks in the text can end."""
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", text))])
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def failure(row: dict, task: Task) -> str:
    """One failed answer: request, program, what the board saw, which check said no."""
    parts = [
        f"### {row['set']}: {row['id']}",
        "\n".join(f"> {line}" for line in task.request.splitlines()),
        f"{task.board}, {task.intent}, {task.level}.",
    ]
    if row["failed"]:
        return "\n\n".join([*parts, f"Not asked: {row['failed']}."])
    if row["empty"]:
        return "\n\n".join([*parts, "It answered nothing."])
    parts += [fenced(row["program"], "python")]
    said = [f"- check **{name}**: {why}" for name, why in row["said"]]
    said += [f"- the {task.board} has no {name}" for name in row["unknown"]]
    said += [] if robobench.says_something(row["program"]) else ["- it holds nothing but comments"]
    return "\n\n".join([*parts, "\n".join(said), *([fenced("\n".join(row["saw"]), "text")] if row["saw"] else [])])


def failures(rows: list[dict], tasks: list[Task]) -> list[str]:
    """The failed answers that may be looked at, each as Markdown, after a sentence for each set on which those are."""
    of, parts = {(task.set, task.id): task for task in tasks}, []
    for name, those in by(
        [row for row in rows if row["set"] != COMPLETIONS and not row["passed"]], lambda row: row["set"]
    ).items():
        seen = [row for row in those if may_be_seen(row["set"], row["id"])]
        rule = (
            f" One task in {SEEN_OF} of this set may be looked at when it fails, chosen by a hash of its id; the others are only counted."
            if name == SEEN
            else ""
        )
        shown = seen[:MOST_SHOWN]
        parts.append(f"## Failures of {name}\n\n{len(shown)} of {len(those)} are shown.{rule}")
        parts += [failure(row, of[row["set"], row["id"]]) for row in shown]
    return parts


def report(
    title: str,
    model: str,
    asked: str,
    rows: list[dict],
    tasks: list[Task],
    more: list[str],
    how: str = "greedily, once",
) -> str:
    """Markdown. `model` is a sentence on what was asked, `asked` the prompt, and `how` it was asked; `more` are sections after the tables by set and part."""
    sets = by_set(rows)
    parts = [
        f"# {title}",
        (
            f"{model} Each request went to it as {asked}, {how}. Its program ran on a simulated board, and passes where every check over "
            "what the board did says yes. *Parse*: MicroPython's compiler takes it. *Names that exist*: of the names of the board's modules that "
            "its programs use, those that the real board has. *Not simulated*: failed, and uses something that the simulated board does not have "
            "yet. The sets ask different things and are never pooled."
        ),
        table(HEADINGS, [cells(name, f) for name, f in sets.items()]),
        "\n".join(f"- {name}: {WORDS[name]}" for name in sets),
        *(["\n".join(f"- {line}" for line in remarks(sets))] if remarks(sets) else []),
    ]
    for part in ("level", "intent"):
        parts_passed = [
            [name, value, f"{passed} of {count}", f"{passed / count:.0%}"]
            for name, value, passed, count in by_part(rows, tasks, part)
        ]
        parts += (
            [f"## By {part}", table(["set", part, "passed", "rate"], parts_passed, words=2)] if parts_passed else []
        )
    return "\n\n".join([*parts, *more, *failures(rows, tasks)]) + "\n"
