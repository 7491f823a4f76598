"""Shows what the curriculum makes of a skill or a form: requests, programs, and why what is not kept is not.

python -m pipeline.curriculum.show [NAME] [-n 10] [--seed 1] [--quiet]
python -m pipeline.curriculum.show --whole [NAME] [--file tasks/requests/lights.yaml]
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from random import Random

from pipeline.core.errors import UserError, suggestion
from pipeline.curriculum import make, reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="of a skill, a form or a rule, or `cannot`; by default all are drawn")
    parser.add_argument("-n", type=int, default=10, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true", help="only what is not kept, and why")
    parser.add_argument(
        "--whole", action="store_true", help="of the whole requests of tasks/requests/; NAME is then what they are of"
    )
    parser.add_argument("--file", type=Path, help="one of those files alone")
    given = parser.parse_args()
    curriculum = reader.load(requests=given.file)
    if given.whole:
        of = [each for each in curriculum.asked if given.name in (None, each.of)]
        if not of:
            raise UserError(
                f"{given.name!r}: no whole requests of it{suggestion(given.name, [each.of for each in curriculum.asked])}"
            )
    elif given.name and given.name not in (
        known := [*curriculum.skills, *curriculum.forms, *curriculum.rules, "cannot"]
    ):
        raise UserError(f"{given.name!r}: no skill or form{suggestion(given.name, known)}")
    began, reasons, kept = time.perf_counter(), Counter(), 0
    for number in range(given.n):
        only = (
            Random(f"{given.seed}/{number}/of").choices(of, [len(each.say) for each in of])[0]
            if given.whole
            else given.name
        )
        made, why = make.one(curriculum, given.seed, number, only)
        kept += why is None
        if why:
            reasons[f"{made.made_of if made else ''}: {why}"[:200]] += 1
        if made and (why or not given.quiet):
            print(
                f"--- {made.board}, {made.made_of}{f'   NOT KEPT: {why}' if why else ''}\n# {made.request}\n{made.program}"
            )
    print(f"kept {kept} of {given.n}, {(time.perf_counter() - began) / given.n * 1000:.0f} ms each")
    for reason, times in reasons.most_common(30):
        print(f"{times:4d}  {reason}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
