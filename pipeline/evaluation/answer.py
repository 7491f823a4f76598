"""The answer stage: every file answers the exam, and the simulated board runs what it wrote.

Asked are the requests of exam/ and the beginnings of held-out programs, of the float16 file that all others were made from and of each
quantized one. So assess can say how many answers a type changes and how many tasks it loses before one is recommended; what the served one
came to is told by the stage exam.

Of the people's requests one in ten may be looked at when it fails (robobench.may_be_seen): of the others the answer is not even written down.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.board import words
from pipeline.core.files import read_jsonl, write_json, write_text
from pipeline.core.paths import ANSWERS, EXAM, METRICS, PROCESSED, QUANTIZED
from pipeline.core.progress import bar
from pipeline.core.schema import REFERENCE
from pipeline.core.workers import each
from pipeline.evaluation import completions, robobench
from pipeline.evaluation.ask import Answer, Gguf, Model
from pipeline.evaluation.robobench import COMPLETIONS, Judged, Task, may_be_seen
from pipeline.export.llama import LlamaFile
from pipeline.export.quantize import SOURCE

MOST_ROWS = 20  # of what a board saw, that are written down
MOST_TEXTS = 3  # of the lines that a program printed
MOST_LETTERS = 200  # of one row


@dataclass(frozen=True)
class Question:
    set: str
    id: str
    prompt: str
    task: Task | None  # None where a program is to be gone on with
    code: bool = True  # the prompt is a part of the program, as a comment is


def questions(tasks: list[Task], template: str, beginnings: dict[str, str]) -> list[Question]:
    """`template` holds {request}; `beginnings` are prompts by their names."""
    code = robobench.is_code(template)
    asked = [Question(task.set, task.id, robobench.asked(template, task), task, code) for task in tasks]
    return asked + [Question(COMPLETIONS, name, text, None) for name, text in beginnings.items()]


def held_out(encode, count: int, most: int) -> dict[str, str]:
    """Beginnings of the programs of the validation and test text, of `most` tokens at most."""
    texts = [row["text"] for split in ("val", "test") for row in read_jsonl(PROCESSED / f"{split}_corpus.jsonl")]
    return {
        f"completion-{number}": text
        for number, text in enumerate(completions.beginnings(texts, encode, count, most), 1)
    }


# --- one answer -------------------------------------------------------------------------------------------------------


def examine(model: Model, question: Question) -> dict:
    """What the model answered and what became of it, as plain values; see the keys below."""
    answer = model.ask(question.prompt)
    row = {
        "set": question.set,
        "id": question.id,
        "failed": answer.failed,
        "empty": not answer.failed and not answer.text.strip(),
        "answer": hashlib.sha256(answer.text.encode()).hexdigest()[:16],
    }
    return row | (
        gone_on(question, answer) if question.task is None else solved(question, question.task, answer, model.chat)
    )


def gone_on(question: Question, answer: Answer) -> dict:
    good = completions.good_part(question.prompt, answer.text)
    used = [] if good is None else completions.names_after(question.prompt, good)
    return {"parsed": good is not None, "names": [sum(name.exists for name in used), len(used)]}


def solved(question: Question, task: robobench.Task, answer: Answer, chat: bool) -> dict:
    prompt = question.prompt if question.code and not chat else ""
    program = robobench.program_of(answer.text, prompt, answer.cut, chat)
    judged = robobench.judge(task, program)
    own = [
        name for name in judged.names if name.line > prompt.count("\n")
    ]  # what stands in the prompt is not the model's
    unknown = [f"{name.dotted} (line {name.line})" for name in own if not name.exists]
    return {
        "passed": judged.passed,
        "parsed": judged.parsed and robobench.says_something(program[len(prompt) :]),
        "lacks": judged.lacks,
        "names": [len(own) - len(unknown), len(own)],
        "program": program,
        "cut": answer.cut,
        "unknown": unknown,
        "said": [[r.name, r.said] for r in judged.results if not r.ok],
        "saw": saw(judged),
    }


def saw(judged: Judged) -> list[str]:
    """What happened at each pin, bus and device, a line each, and how the program ended."""
    rows = words.rows(judged.run)
    lines = [
        f"{row.label}: {row.words}{''.join(f' | {text}' for text in row.texts[:MOST_TEXTS])}"[:MOST_LETTERS]
        for row in rows[:MOST_ROWS]
    ]
    more = [f"and {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else []
    return [*lines, *more, words.ending(judged.run)]


SHOWN = ("program", "unknown", "said", "saw")


def discreet(row: dict) -> dict:
    """The row without what nobody is to see."""
    return row if may_be_seen(row["set"], row["id"]) else {key: value for key, value in row.items() if key not in SHOWN}


# --- all of them ------------------------------------------------------------------------------------------------------


def compare(rows: dict[str, list[dict]]) -> dict[str, dict]:
    """For each type: tasks passed by set, answers to them that parse, answers that are not float16's, and the share of completions that
    compile."""
    found, reference = {}, {(row["set"], row["id"]): row["answer"] for row in rows[REFERENCE]}
    for kind, mine in rows.items():
        tasks = [row for row in mine if row["set"] != COMPLETIONS]
        compiled = [row["parsed"] for row in mine if row["set"] == COMPLETIONS]
        found[kind] = {
            "passed": {
                name: sum(row["passed"] for row in tasks if row["set"] == name)
                for name in dict.fromkeys(r["set"] for r in tasks)
            },
            "parsed": sum(row["parsed"] for row in tasks),
            "changed": sum(row["answer"] != reference[row["set"], row["id"]] for row in mine),
            "compiles": round(sum(compiled) / len(compiled), 4) if compiled else None,
        }
    return found


def examine_files(files: dict[str, Path], asked: list[Question], max_new_tokens: int) -> dict[str, list[dict]]:
    """Type -> a row for each question."""
    rows = {kind: [] for kind in files}
    work = [(kind, question) for kind in files for question in asked]
    models = {kind: Gguf(path, max_new_tokens) for kind, path in files.items()}
    with bar(len(work), "exam", " answers") as progress:
        for (kind, _), row in zip(work, each(partial(examine_of, models), work), strict=True):
            rows[kind].append(row)
            progress.set_postfix_str(kind, refresh=False)
            progress.update()
    return rows


def examine_of(models: dict[str, Gguf], item: tuple[str, Question]) -> dict:
    return examine(models[item[0]], item[1])


def main(config) -> None:
    e = config.params.exam
    tasks = robobench.load(EXAM, e.sets)
    files = {
        REFERENCE: SOURCE,
        **{quant: QUANTIZED / f"{quant}.gguf" for quant in config.params.quants if quant != REFERENCE},
    }
    with LlamaFile(SOURCE) as file:
        asked = questions(tasks, e.prompt, held_out(file.encode, e.completions, file.context // 2))
    rows = examine_files(files, asked, e.max_new_tokens)
    metrics = {"tasks": len(tasks), "completions": len(asked) - len(tasks), "types": compare(rows)}
    write_text(
        ANSWERS,
        "".join(
            json.dumps({"type": kind, **discreet(row)}, ensure_ascii=False) + "\n"
            for kind in rows
            for row in rows[kind]
        ),
    )
    write_json(METRICS / "answer.json", metrics)
    for kind, figures in metrics["types"].items():
        other = (
            f" and answers {figures['changed']} of {len(asked)} questions otherwise than {REFERENCE}"
            if kind != REFERENCE
            else ""
        )
        print(f"answer: {kind} passes {sum(figures['passed'].values())} of {len(tasks)} tasks{other}")


if __name__ == "__main__":
    from pipeline.core.stage import run

    run("answer", main)
