"""Things that are named with a person's name and another word: "Earl Grey", "Big Ben"."""

from __future__ import annotations

import re
from functools import cache

from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries

THING = "with the word beside it, it names a thing"

_LAST = re.compile(r"([^\W\d_]+)['’]?s?[\s-]+$")
_NEXT = re.compile(r"(?:['’]s)?[\s-]+([^\W\d_]+)")
_LOOK_ROUND = 32


@cache
def _table() -> frozenset[tuple[str, str]]:
    both = (pair.split() for line in entries("things.txt") for pair in line.split(","))
    return frozenset((first, second) for first, second in both)


def doubt(name: str, text: str, start: int, end: int) -> str:
    """Why what stands there names no person; "" where nothing says so. ``name``: one folded word."""
    before, behind = _LAST.search(text[max(0, start - _LOOK_ROUND) : start]), _NEXT.match(text, end, end + _LOOK_ROUND)
    pairs = {(folded(before.group(1)), name)} if before else set()
    pairs |= {(name, folded(behind.group(1)))} if behind else set()
    return THING if not pairs.isdisjoint(_table()) else ""
