"""Things that are named with a person's name: with another word ("Earl Grey"), as one of many ("an Oscar"), as a shop
or a make ("at Wendy's")."""

from __future__ import annotations

import re
from functools import cache

from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries

THING = "with the word beside it, it names a thing"

_LAST = re.compile(r"([^\W\d_]+)['’]?s?[\s&-]+$")
# Between "my" and a make: "our old Mercedes".
_WORN = re.compile(
    r"\b(?:old|new|red|blue|black|white|grey|gray|silver|green|used|rented|leased|electric|second-hand|family)\s+$"
)
_NEXT = re.compile(r"(?:['’]s)?[\s&-]+([^\W\d_]+)")
_ARTICLE = re.compile(r"\b(?:ein|eine|einen|einem|einer|une?|uno|una|uma|een|ett)\s+$", re.IGNORECASE)
_ENGLISH_ARTICLE = re.compile(r"\ban?\s+$", re.IGNORECASE)
# What "a" and "an" are articles behind, where nothing else says that the text is English.
_BEFORE_ARTICLE = re.compile(
    r"\b(?:w[io]ns?|gets?|got|gave|dr[io]ves?|drove|bought|buys?|owns?|ha[sd]|have|rent(?:s|ed)?|like|is|was)\s+an?\s+$",
    re.IGNORECASE,
)
_SHOP = re.compile(
    r"['’]s\b(?=\s*(?:$|[^\w\s])|\s+(?:and|or|for|on|in|at|to|is|was|again|today|yesterday|last|with)\b)"
)
_LOOK_ROUND = 32
# Units, of whose names one is a person's, behind a number; and storms, which have one given.
_UNITS = frozenset(
    "mile miles watt watts kelvin newton pascal joule hertz tesla henry weber gray mark franc rand".split()
)
_NUMBER = re.compile(r"\d[\d.,]*\s+$")
_STORM = re.compile(r"\b(?:hurricane|cyclone|typhoon|tropical storm|storm)\s+$", re.IGNORECASE)


@cache
def _table() -> frozenset[tuple[str, str]]:
    """Pairs of words; of a shop its name and what it owns: nothing."""
    both = (pair.split() for line in entries("things.txt") for pair in line.split(","))
    return frozenset((first, "" if second == "'s" else second) for first, second in both)


def doubt(name: str, text: str, start: int, end: int) -> str:
    """Why what stands there names no person; "" where nothing says so. ``name``: one folded word."""
    head = text[max(0, start - _LOOK_ROUND) : start]
    if (name in _UNITS and _NUMBER.search(head)) or _STORM.search(head):
        return THING
    worn = _WORN.search(head)
    before, behind = _LAST.search(head[: worn.start()] if worn else head), _NEXT.match(text, end, end + _LOOK_ROUND)
    pairs = {(folded(before.group(1)), name)} if before else set()
    pairs |= {(name, folded(behind.group(1)))} if behind else set()
    pairs |= {(name, "")} if _SHOP.match(text, end) else set()
    return THING if not pairs.isdisjoint(_table()) else ""


def is_one_of_many(text: str, start: int, is_english: bool) -> bool:
    """Whether an indefinite article stands directly before a name: "an Oscar"."""
    head = text[max(0, start - _LOOK_ROUND) : start]
    if _ARTICLE.search(head) is not None:
        return True
    return (_ENGLISH_ARTICLE if is_english else _BEFORE_ARTICLE).search(head) is not None
