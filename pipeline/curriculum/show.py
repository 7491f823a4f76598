"""Shows what the curriculum makes of a skill or a form: requests, programs, and why what is not kept is not.

python -m pipeline.curriculum.show [NAME] [-n 10] [--seed 1] [--quiet]
"""

import argparse
import time
from collections import Counter

from pipeline.core.errors import UserError, suggestion
from pipeline.curriculum import make, tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="of a skill, a form or a rule, or `cannot`; by default all are drawn")
    parser.add_argument("-n", type=int, default=10, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true", help="only what is not kept, and why")
    given = parser.parse_args()
    curriculum = tasks.load()
    if given.name and given.name not in (known := [*curriculum.skills, *curriculum.forms, *curriculum.rules, "cannot"]):
        raise UserError(f"{given.name!r}: no skill or form{suggestion(given.name, known)}")
    began, reasons, kept = time.perf_counter(), Counter(), 0
    for number in range(given.n):
        made, why = make.one(curriculum, given.seed, number, given.name)
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
