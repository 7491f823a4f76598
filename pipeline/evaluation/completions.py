"""Beginnings of held-out programs, and whether what a model goes on with is MicroPython: does it compile, do the names that it uses exist?

Says less than the requests of RoboBench, and says it of models that understand no request yet.
"""

from pipeline.board import names
from pipeline.board.compiler import refusal

BOARDS = ("pico_w", "esp32")  # between them they have what the boards have


def beginnings(texts: list[str], encode, count: int, most: int) -> list[str]:
    """Up to `count` beginnings, spread evenly over `texts`: each the first third of its lines, or as many as `most` tokens hold, and
    compiling by itself, so that what fails is the model's."""
    found = []
    for text in texts[:: max(1, len(texts) // count)][:count] if count else []:
        lines = text.splitlines(keepends=True)
        lines = lines[: min(len(lines) // 3 or 1, most)]
        while lines and (len(encode("".join(lines))) > most or refusal("".join(lines))):
            lines.pop()
        if "".join(lines).strip():
            found.append("".join(lines))
    return found


def good_part(prompt: str, completion: str) -> str | None:
    """The most of the completion's whole lines, at least half of them, that compile after the prompt; None where none do.

    It was cut off at a number of tokens, wherever that fell, so the end may be shortened to where a module may end. A completion
    without a line of its own has said nothing.
    """
    lines = completion.splitlines(keepends=True)
    lines = lines if completion.endswith("\n") else lines[:-1]
    if not any(line.strip() for line in lines):
        return None
    return next(
        (
            "".join(lines[:kept])
            for kept in range(len(lines), (len(lines) - 1) // 2, -1)
            if not refusal(prompt + "".join(lines[:kept]))
        ),
        None,
    )


def share(used: list[names.Name]) -> float:
    return sum(name.exists for name in used) / len(used) if used else 1.0


def names_after(prompt: str, completion: str) -> list[names.Name]:
    """The names of the board's modules that the completion uses, on the board that the prompt fits better."""
    board = max(BOARDS, key=lambda board: share(names.used(prompt, board)))
    return [name for name in names.used(prompt + completion, board) if name.line > prompt.count("\n")]
