"""Makes the curriculum: draws pairs of request and program, runs each program on the simulated board, and keeps what does as its check says.

Pair number n comes from (seed, n) alone, so the same on any number of cores. Nothing of the exam may get in: the values, wordings and
compositions that exam/held_out.yaml names are drawn never, or thrown away here.

The stage writes data/curriculum/ and metrics/curriculum.json. `python -m pipeline.curriculum.show` shows single ones.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache

from jinja2 import TemplateError
from yaml import YAMLError

from pipeline.board import checks, inputs, names
from pipeline.board.run import run
from pipeline.core.errors import UserError
from pipeline.core.files import write_json, write_text
from pipeline.core.paths import CURRICULUM, METRICS, TAUGHT
from pipeline.core.progress import bar
from pipeline.core.workers import WORKERS, each
from pipeline.curriculum import reader, tasks
from pipeline.curriculum.compose import LONGEST, pair
from pipeline.curriculum.composer import Pair
from pipeline.curriculum.held_out import compositions, wordings
from pipeline.curriculum.parts import Unfit

BATCH = 200


def belongs_to_exam(made: Pair) -> str | None:
    """Why the exam keeps this pair to itself, or None."""
    if any(pattern.search(made.request) for pattern in wordings()):
        return "a wording of the exam"
    if any(each <= set(made.intents) for each in compositions()):
        return "a composition of the exam"
    return None


@lru_cache(50_000)
def unknown(program: str, board: str) -> str | None:
    """A name in the program that the board has not. Programs that differ in numbers alone are looked at once."""
    return next((name.dotted for name in names.used(program, board) if not name.exists), None)


def fault(made: Pair) -> str | None:
    """Why a pair is not kept: what the board saw, or what the program is."""
    if made.intents == ["cannot"]:
        return None
    try:
        wanted = checks.parse(made.check, made.made_of)
        around = inputs.parse(made.inputs, made.board, made.made_of)
    except UserError as error:
        return f"check or inputs: {error}"
    done = run(made.program, made.board, around, made.seconds)
    if done.errors:
        return f"error: {done.errors[0]}"
    if done.lacks:
        return f"not simulated: {done.lacks[0]}"
    if missing := unknown(re.sub(r"\b\d+\b", "0", made.program), made.board):
        return f"no such name: {missing}"
    failed = next((result for result in checks.apply(wanted, done) if not result.ok), None)
    return f"{failed.name}: {failed.said}" if failed else None


def one(
    curriculum: tasks.Curriculum,
    seed: int,
    number: int,
    only: str | tasks.Asked | None = None,
    several: float = 0,
    longest: int = LONGEST,
) -> tuple[Pair | None, str | None]:
    """(the pair, why it is not kept). There is no pair where the draw does not go together, or a template is at fault."""
    try:
        made = pair(curriculum, seed, number, only, several, longest)
    except Unfit as error:
        return None, f"unfit: {error}"
    except (TemplateError, YAMLError, UserError) as error:
        return None, f"template: {error}"
    return made, belongs_to_exam(made) or fault(made)


_curriculum: tasks.Curriculum | None = (
    None  # of the processes that draw, which inherit it: it is large, and slow to read
)


def batch(given: tuple[int, float, int, int, int]) -> list[tuple[dict | None, str | None]]:
    """(seed, share of several wishes, longest, first, last) -> what became of those draws, without the last."""
    seed, several, longest, first, last = given
    found = []
    for number in range(first, last):
        assert _curriculum, "pairs() has set it"
        made, why = one(_curriculum, seed, number, several=several, longest=longest)
        found.append((asdict(made) if made else None, why))
    return found


def pairs(
    curriculum: tasks.Curriculum, seed: int, draws: int, several: float, longest: int
) -> Iterator[tuple[dict | None, str | None]]:
    """What became of each draw, in order, made on all cores."""
    global _curriculum
    _curriculum = curriculum
    work = [(seed, several, longest, first, min(first + BATCH, draws)) for first in range(0, draws, BATCH)]
    for found in each(batch, work, WORKERS):
        yield from found


def figures(kept: list[dict], reasons: Counter, draws: int) -> dict:
    """How many pairs there are, of what, and how varied their words are."""
    words = [re.findall(r"[\w']+|[^\w\s]", row["request"].lower()) for row in kept]
    grams = Counter(tuple(each[n : n + 5]) for each in words for n in range(len(each) - 4))
    frames = Counter(re.sub(r"\d+(?:\.\d+)?", "0", row["request"].lower()) for row in kept)
    return {
        "draws": draws,
        "pairs": len(kept),
        "intents": dict(sorted(Counter(intent for row in kept for intent in row["intents"]).items())),
        "distinct_5grams": round(len(grams) / max(sum(grams.values()), 1), 4),
        "wordings_seen_once": round(sum(times == 1 for times in frames.values()) / max(len(kept), 1), 4),
        "programs": len({row["program"] for row in kept}),
        "rejected": dict(reasons.most_common(20)),
    }


def write(curriculum: tasks.Curriculum, draws: int, seed: int, several: float, longest: int) -> None:
    """Writes the pairs that are kept, the others with the reasons, and figures of both."""
    kept, rejected, requests, reasons = [], [], set(), Counter()
    with bar(draws, "curriculum", " pairs") as progress:
        for made, why in pairs(curriculum, seed, draws, several, longest):
            progress.update()
            if made and not why and made["request"].lower() in requests:
                why = "a request that there was before"
            if why or not made:
                reasons[(why or "").split(":")[0]] += 1
                rejected.append({"why": why, **(made or {})})
            else:
                requests.add(made["request"].lower())
                kept.append({key: made[key] for key in ("request", "program", "board", "intents", "made_of")})
    for path, rows in ((TAUGHT, kept), (CURRICULUM / "rejected.jsonl", rejected)):
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_json(METRICS / "curriculum.json", figures(kept, reasons, draws))
    print(f"curriculum: {len(kept):,} pairs of {draws:,} draws, {len(curriculum.intents)} intents")


def main(config) -> None:
    c = config.params.curriculum
    write(reader.load(), c.draws, c.seed, c.several, c.longest)


if __name__ == "__main__":
    from pipeline.core import stage  # `run` is the board's here

    stage.run("curriculum", main)
