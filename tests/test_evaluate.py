"""What the evaluate stage says of a model besides its loss, which test_parity.py and the whole chain see to."""

import random

import numpy as np

from pipeline.evaluation.evaluate import longest_copy


def by_hand(generated: list[int], text: list[int]) -> int:
    return max(
        (
            n
            for n in range(len(generated) + 1)
            for i in range(len(generated) - n + 1)
            for j in range(len(text) - n + 1)
            if generated[i : i + n] == text[j : j + n]
        ),
        default=0,
    )


def test_the_longest_copy_is_the_longest_common_passage():
    draw = random.Random(4)
    for _ in range(40):
        generated, text = ([draw.randrange(4) for _ in range(length)] for length in (12, 40))
        found = longest_copy(generated, np.array(text, dtype="<u2"))
        assert len(found) == by_hand(generated, text) and str(found)[1:-1] in str(text)
    assert longest_copy([7, 8], np.array([1, 2, 3], dtype="<u2")) == [] == longest_copy([], np.array([1], dtype="<u2"))
    assert longest_copy([9, 1, 2, 3, 9], np.array([0, 1, 2, 3], dtype="<u2")) == [1, 2, 3]
