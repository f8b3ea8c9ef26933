"""Words of a text of ASCII letters, which are cut by a quicker pattern: the same as those of any text."""

from __future__ import annotations

import random

import pytest

from services.common.text import words

PIECES = [
    *("C++", "C--", "F#", "A+", "B-", ".NET", ".net", "22nd", "don't", "a", "B", "1", "_"),
    *("-", "--", "–", "—", "'", "'s", "+", "#", ".", " ", "\n", "\x01", "“", "”", "„", "«", "»", "…", "\u00a0"),
]


@pytest.mark.parametrize("seed", range(4))
def test_print_and_ascii_are_cut_as_any_text_is(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(2_000):
        text = "".join(draw.choices(PIECES, k=draw.randint(1, 10)))
        behind = f"{text}\nй"  # a letter that ASCII has not, on a line of its own: cut by the pattern for any
        assert list(words.cut(text)) == list(words.cut(behind))[:-1]
