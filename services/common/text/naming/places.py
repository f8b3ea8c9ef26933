"""Given names that are also places ("Jordan", "Paris"), and streets and stations that are named after persons."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries
from services.common.text.normal import normalize

PLACE = "it may be a place of that name"

_WORD = re.compile(r"[^\W\d_]+")
_LAST = re.compile(r"([^\W\d_]+)\s+$")
_NEXT = re.compile(r"\s+([^\W\d_]+)")
_REGION = re.compile(r",\s+([^\W\d_]+)")
_OWNED = re.compile(r"['’]s?\b(?:\s+([^\W\d_]+))?", re.IGNORECASE)
# Behind "Amman, Jordan" as a place: nothing that goes on about a person, or another of a list.
_CITY = re.compile(r"(?:^|[^,\w]\s*|[,;(]\s+)([^\W\d_][\w'’-]+),\s+$")
_AS_PLACE = re.compile(
    r"\s*(?:$|[.!?;:)\n])|,?\s+(?:in|on|at|for|with|last|next|this|during|until|by|before|after|where|which)\b|,\s+[a-z](?!nd\b)"
)
_SAID_OF_PLACES = re.compile(
    r"\s+(?:(?:is|was|gets|got|looks|looked|can be)\s+(?:(?:so|very|too|really|quite|always|often)\s+)?(?:hot|cold|warm"
    r"|wet|humid|sunny|rainy|lovely|beautiful|crowded|expensive|cheap|huge|far|close|nearby|founded|bombed|built|located"
    r"|famous|known|worth|where|(?:an?|the)\s+(?:\w+\s+)?(?:country|city|town|place|capital|state|kingdom|island|port"
    r"|region|district)|(?:in|near)\s+[A-Z]\w+)"
    r"|(?:has|had)\s+(?:an?|the|many|no|some|two|three|good|great)\b|lies\b|borders\b|and its\b)"
)
# "I love Paris in the spring": a season is no when of a person whom somebody loves.
_LIKED = re.compile(
    r"\b(?:love|loves|loved|like|likes|liked|adore|adores|adored|prefer|prefers|miss|misses)\s+$", re.IGNORECASE
)
_IN_SEASON = re.compile(
    r"\s+in\s+(?:the\s+)?(?:spring(?:time)?|summer(?:time)?|autumn|fall|winter(?:time)?|rain|snow)\b"
)
_ADDRESSES = frozenset("hi hey hello dear thanks thank sorry yes no ok okay oh well so bye please".split())
_ENDS_CLAUSE = re.compile(r"[.!?;:…\n]")
_LOOK_BACK = 96  # characters, in which the verb of a clause is looked for
_LOOK_ON = 32


@cache
def _table() -> Mapping[str, frozenset[str]]:
    table: dict[str, set[str]] = defaultdict(set)
    for line in entries("places.txt"):
        kind, *words = line.split()
        table[kind].update(map(folded, words) if kind == "name" else words)
    return {kind: frozenset(words) for kind, words in table.items()}


def doubt(name: str, text: str, start: int, end: int) -> str:
    """Why what stands there may be a place; "" where it is a person. ``name``: one folded word."""
    table = _table()
    following = _NEXT.match(text, end, end + _LOOK_ON)
    behind = following.group(1).lower() if following else ""
    if behind in table["street"]:
        return PLACE
    if name not in table["name"]:
        return ""
    if (owned := _OWNED.match(text, end)) is not None:
        return PLACE if (owned.group(1) or "").lower() in table["owns"] else ""
    if _SAID_OF_PLACES.match(text, end) is not None:
        return PLACE
    head = _ENDS_CLAUSE.split(normalize("NFC", text[max(0, start - _LOOK_BACK) : start]))[-1]
    match = _LAST.search(head)
    before = match.group(1).lower() if match else ""
    if before == "the" and following is not None and following.group(1).islower():
        return PLACE  # "the Paris office"
    if _LIKED.search(head) and _IN_SEASON.match(text, end):
        return PLACE
    region = _REGION.match(text, end, end + _LOOK_ON)
    is_within = region is not None and region.group(1).lower() in table["region"]
    if is_within or behind in table["behind"] or before in table["before"] | table["visits"] or _is_of(head, text, end):
        return PLACE
    return PLACE if before in table["in"] and _is_gone_to(head[: match.start()] if match else "", before) else ""


def _is_of(head: str, text: str, end: int) -> bool:
    """Whether a city stands before it: "Amman, Jordan", and not "Hi, Jordan" or "Tom, Jordan and Ann"."""
    city = _CITY.search(head)
    if city is None or not city.group(1)[0].isupper() or city.group(1).lower() in _ADDRESSES:
        return False
    return _AS_PLACE.match(text, end) is not None


def _is_gone_to(head: str, preposition: str) -> bool:
    """Whether the last verb before it, if any tells, is none of what is said or given to a person."""
    table = _table()
    for word in reversed([match.group().lower() for match in _WORD.finditer(head)]):
        if word in table["goes"]:
            return True
        if word in table["gives"]:
            return False
    return preposition not in table["motion"] or not head.strip()
