"""The exam stage: what the served file's answers come to, told set by set, and whether the training text held the exam.

The answers are there already (answer.py). Which file is served is known only now, since the type that is recommended must not lose tasks.
"""

import csv
import io

from pipeline.core.files import read_json, read_jsonl, write_json, write_text
from pipeline.core.markdown import table
from pipeline.core.paths import ANSWERS, EXAM, METRICS, REPORTS, TRAINING
from pipeline.core.schema import REFERENCE
from pipeline.evaluation import marks, robobench
from pipeline.evaluation.contamination import Found, contaminated
from pipeline.evaluation.robobench import Task

REPORT, PLOT = REPORTS / "exam.md", REPORTS / "exam.csv"


def plot_rows(rows: list[dict], tasks: list[Task]) -> str:
    """CSV of the tasks passed by set and intent, a bar each in DVC's plots."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["bar", "set", "intent", "tasks", "passed", "rate"])
    for name, intent, passed, count in marks.by_part(rows, tasks, "intent"):
        writer.writerow([f"{name}: {intent}", name, intent, count, passed, marks.share(passed, count)])
    return text.getvalue()


def types_table(answered: dict, served: str) -> str:
    """What the other types would have come to."""
    total, sets = answered["tasks"] + answered["completions"], list(answered["types"][REFERENCE]["passed"])
    rows = [
        [
            f"{kind} (served)" if kind == served else kind,
            *(str(f["passed"][name]) for name in sets),
            "-" if kind == REFERENCE else f"{f['changed']} of {total}",
        ]
        for kind, f in answered["types"].items()
    ]
    return "## By type\n\n" + table(
        ["type", *(f"{name} passed" for name in sets), f"answers that are not {REFERENCE}'s"], rows
    )


def contamination_text(found: list[Found]) -> str:
    if not found:
        return "## Contamination\n\nNo request, and no solution that is more than common set-up, stands in the training text."
    return (
        "## Contamination\n\n**The training text holds a part of the exam, so that much of the figures says nothing.**\n\n"
        + "\n".join(f"- {each}" for each in found)
    )


def main(config) -> None:
    e = config.params.exam
    tasks, answered = robobench.load(EXAM, e.sets), read_json(METRICS / "answer.json")
    served = (
        config.serving.quant if config.serving.quant != "auto" else read_json(METRICS / "assess.json")["recommended"]
    )
    rows = [row for row in read_jsonl(ANSWERS) if row["type"] == served]
    found, sets = contaminated(tasks, TRAINING), marks.by_set(rows)
    write_text(
        REPORT,
        marks.report(
            "RoboBench",
            f"Asked was {served}, the served file, by llama.cpp.",
            f"`{e.prompt!r}`",
            rows,
            tasks,
            [types_table(answered, served), contamination_text(found)],
        ),
    )
    write_text(PLOT, plot_rows(rows, tasks))
    write_json(
        METRICS / "exam.json", {"served": served, "sets": sets, "contaminated": len({each.task.id for each in found})}
    )
    for each in found:
        print(f"exam: {each}")
    for line in marks.remarks(sets):
        print(f"exam: {line}")
    print(
        f"exam: {served}: "
        + ", ".join(
            f"{name} {f['passed']} of {f['tasks']}"
            if "passed" in f
            else f"{name} {marks.percent(f['parse_rate'])} of {f['tasks']} compile"
            for name, f in sets.items()
        )
        + f"; see {REPORT}"
    )


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("exam", main)
