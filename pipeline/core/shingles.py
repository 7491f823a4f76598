"""Runs of tokens or words (shingles, n-grams) as numbers, for whoever asks what two texts share.

The numbers are the same in every process and on every machine, which Python's own hash() does not promise. Numbers of parts have 32 bits, those of runs 64.
"""

import zlib
from collections.abc import Iterable

import numpy as np

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, and its bits look random: Knuth's multiplicative hashing


def hashed(parts: Iterable[str]) -> np.ndarray:
    return np.array([*map(zlib.crc32, map(str.encode, parts))], np.uint64)


def runs(numbers: np.ndarray, length: int) -> np.ndarray:
    """The different runs of so many hashed parts, as numbers, sorted."""
    count = len(numbers) - length + 1
    if count < 1:
        return np.empty(0, np.uint64)
    found = np.zeros(count, np.uint64)
    for start in range(length):
        found = found * FACTOR + numbers[start : start + count]
    return np.unique(found ^ (found >> np.uint64(29)))
