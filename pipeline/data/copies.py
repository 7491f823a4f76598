"""Which files are copies of others, so that one of them is taught and not forty.

Two files are held against each other without their comments, so that a licence header neither makes two files alike nor hides that they are,
by two measures: the lines of both, and the runs of 5 tokens in both (a text is one token, in whichever quotation marks). What they share of
either, of all that they hold together (Jaccard), says how alike they are: lines forgive one function that was rewritten, runs a new
formatting. Files with fewer than 20 lines or runs are too small for it; of these, equal ones alone are copies.

Files come in the order of who is to stay. Each is held against those that stayed, so a family of forty costs forty comparisons, and nothing
is thrown out over a chain of small changes. Which ones are worth it, two ways tell. Up to `exact_bytes` of text all that can be alike are
found: of two such sets one shares a member with the rarest few of the other (Chaudhuri et al. 2006, Bayardo et al. 2007). Above, MinHash
does (Broder 1997; by multiply-shift, Dietzfelbinger et al. 1997): 192 bytes a file, in 24 bands of 5, which miss one pair in 80 that is alike
by 0.7 and one in a million by 0.85. Either way the comparison itself is exact, and a candidate costs time alone.

From 0.85 on, as The Stack has it (Kocetkov et al. 2022), the lesser one goes. In the default corpus the next pairs below are drivers of two
chips (mpu9250 and mpu9255, 0.81), two channels of one (hx710a and hx710b) and steps of a tutorial; above stand vendored packages, a helper
that seven drivers bring along, and examples that differ by the pins of a board.
"""

import hashlib
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.core import licenses
from pipeline.core.paths import SPLITS
from pipeline.core.shingles import FACTOR, hashed, runs
from pipeline.data import removal

SHORT = 12  # characters; a shorter line is everybody's
RUN = 5  # tokens
LEAST = 20  # lines or runs
BANDS, ROWS = 24, 5
AT_ONCE = 4096  # members of a set that are hashed in one go, so that a long file takes no more memory
# A text may be unfinished: what is compared need not be good code
TEXT = r"""\"{3}.*?(?:\"{3}|\Z) | '{3}.*?(?:'{3}|\Z) | '(?:\\.|[^'\\\n])*'? | "(?:\\.|[^"\\\n])*"?"""
COMMENT = re.compile(rf"(?axs) {TEXT} | (\#[^\n]*)")
TOKEN = re.compile(rf"(?axs) {TEXT} | \w+ | [^\s\w]")


class Copy(NamedTuple):
    of: int  # the one that stays
    alike: float


def lines(text: str) -> list[str]:
    """The lines that could tell where a text comes from, without their indentation."""
    return [line for line in map(str.strip, text.split("\n")) if len(line) >= SHORT]


def measured(text: str) -> tuple[np.ndarray, ...]:
    """(lines, runs of tokens) of a file, as numbers; empty where there are too few to tell."""
    bare = COMMENT.sub(lambda match: "" if match[1] else match[0], text).replace("'", '"')
    both = runs(hashed(lines(bare)), 1), runs(hashed(TOKEN.findall(bare)), RUN)
    return tuple(each if len(each) >= LEAST else np.empty(0, np.uint64) for each in both)


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared) if shared else 0.0


def alike(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The larger of both measures."""
    return max(jaccard(a, b) for a, b in zip(one, other, strict=True))


class Rarest:
    """All that can be alike by `least`, from the rarest members of each file that stayed."""

    def __init__(self, sets: dict[int, tuple[np.ndarray, ...]], least: float):
        self.sets, self.least, self.counts, self.holders = sets, least, [], []
        for kind in zip(*sets.values(), strict=True):
            self.counts.append(np.unique(np.concatenate(kind), return_counts=True))
            self.holders.append(defaultdict(list))

    def rarest(self, number: int) -> Iterable[tuple[dict, list[int]]]:
        """Of each kind: who holds what, and the members that one as much alike must hold one of."""
        for members, (known, counts), holders in zip(self.sets[number], self.counts, self.holders, strict=True):
            order = np.lexsort((members, counts[np.searchsorted(known, members)]))
            enough = len(members) - int(np.ceil(self.least * len(members) - 1e-9)) + 1
            yield holders, members[order[:enough]].tolist()

    def candidates(self, number: int) -> set[int]:
        return {
            holder for holders, members in self.rarest(number) for each in members for holder in holders.get(each, ())
        }

    def keep(self, number: int) -> None:
        for holders, members in self.rarest(number):
            for each in members:
                holders[each].append(number)


@cache
def factors() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.Generator(np.random.PCG64(16))
    both = draw.integers(0, 2**64, (2, BANDS * ROWS), dtype=np.uint64)
    return both[0] | np.uint64(1), both[1]


def bands(text: str) -> dict[str, np.ndarray]:
    """MinHash of a file, of each kind in BANDS numbers of 32 bits; 0 where it has too little of the kind."""
    times, plus = factors()
    found = []
    for members in measured(text):
        if not len(members):
            found += [0] * BANDS
            continue
        least = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, np.uint64)
        for start in range(0, len(members), AT_ONCE):
            block = members[start : start + AT_ONCE, None] * times + plus
            least = np.minimum(least, (block >> np.uint64(32)).min(axis=0))
        rows, band = least.reshape(BANDS, ROWS), np.zeros(BANDS, np.uint64)
        for row in range(ROWS):
            band = band * FACTOR + rows[:, row]
        found += np.maximum(band >> np.uint64(32), 1).tolist()
    return {"bands": np.array(found, np.uint32)}


class Bands:
    """Who shares a band with whom: of each band the first in the order, and whoever that one is a copy of."""

    def __init__(self, signatures: np.ndarray, order: Sequence[int], kept: dict[int, Copy]):
        self.kept, self.pairs, turns = kept, defaultdict(set), np.asarray(order)
        for band in signatures.T:
            mine = band[turns]
            _, first, back = np.unique(mine, return_index=True, return_inverse=True)
            later = np.flatnonzero((first[back] != np.arange(len(turns))) & (mine != 0))
            for place in later.tolist():
                self.pairs[int(turns[place])].add(int(turns[first[back[place]]]))

    def candidates(self, number: int) -> set[int]:
        others = self.pairs.get(number, ())
        return {copy.of if (copy := self.kept.get(other)) else other for other in others}

    def keep(self, number: int) -> None:
        pass


def copies(
    texts: Sequence[str], order: Sequence[int], known: set[int], least: float, signatures: np.ndarray | None = None
) -> dict[int, Copy]:
    """Of the texts that `order` names, the one to stay first, those that are alike by `least` to one that stays. Those in `known` come first
    and are never copies themselves. With `signatures` (of each text its bands) MinHash names who is compared."""
    found: dict[int, Copy] = {}
    if signatures is None:
        sets = {number: measured(texts[number]) for number in order}
        index, its = Rarest(sets, least), sets.__getitem__
    else:
        index, its = Bands(signatures, order, found), lru_cache(256)(lambda number: measured(texts[number]))
    place = {number: turn for turn, number in enumerate(order)}
    for number in order:
        if number not in known:
            for other in sorted(index.candidates(number), key=place.__getitem__):
                if (share := alike(its(number), its(other))) >= least:
                    found[number] = Copy(other, share)
                    break
        if number not in found:
            index.keep(number)
    return found


def rank(row: dict, license: str, size: int, categories: list[str]) -> tuple:
    """Who of several copies stays, the first: of the side that is taught, of the category of licences that prepare.licenses names first, the
    longest. A tenth more is not longer: of two copies of a whole package the one shall stay, not the longer half of either."""
    its = [categories.index(each) for each in licenses.categories(license) if each in categories]
    length = round(math.log(max(size, 1), 1.1))
    return (*SPLITS, "auto").index(row["split"]), max(its, default=0), -length, row["source"], row["path"]


def said(documents, texts: Sequence[str], rows: list[dict], reasons: dict[int, str], dials: dict) -> dict[int, str]:
    """A reason for each document that has none yet and is a copy: of one that stays, of one that may not be used by its licence, or of one
    that was to be removed. `texts` are those of `documents`."""
    names = [f"{row['source']}/{row['path']}" for row in rows]
    known = {n for n, reason in reasons.items() if reason.startswith("licence") or removal.with_copies(reason)}
    about = {
        n: (len(texts[n].encode()), document["license"])
        for n, document in enumerate(documents.select_columns(["license"]))
        if not reasons[n] or n in known
    }
    order = sorted(about, key=lambda n: (n not in known, rank(rows[n], about[n][1], about[n][0], dials["licenses"])))
    first, found = {}, {}
    for n in order:  # those of any size
        same = first.setdefault(hashlib.sha256(texts[n].encode()).digest(), n)
        if same != n and n not in known:
            found[n] = Copy(same, 1.0)
    signatures = None
    if sum(size for size, _ in about.values()) > dials["exact_bytes"]:
        signed = documents.map(
            bands, input_columns="text", num_proc=os.cpu_count(), remove_columns=documents.column_names, desc="compare"
        )
        signatures = signed.with_format("numpy")["bands"][:]
    found |= copies(texts, [n for n in order if n not in found], known, dials["max_alike"], signatures)

    def reason(copy: Copy, equal: bool) -> str:
        other, why = names[copy.of], reasons[copy.of]
        if why.startswith("removed"):
            return f"removed: a copy of {other}"
        if why:
            return f"licence: a copy of {other}, which stays out: {why.removeprefix('licence: ')}"
        return f"duplicate of {other}" if equal else f"near duplicate of {other}: {copy.alike:.0%} of both"

    return {n: reason(copy, texts[n] == texts[copy.of]) for n, copy in found.items()}
