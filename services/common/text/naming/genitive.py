"""The s of a genitive that German, Swedish, Norwegian, Danish and Dutch write onto a name: "Evas Nummer"."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries

_GERMAN = "de"
_LANGUAGES = frozenset({_GERMAN, "sv", "da", "nl"})  # Norwegian is told from Danish by nobody here
_LEAST = 3  # letters of a name
_NOUN = re.compile(r"s\s+(?:[a-zäöüß]+e[nmrs]?\s+)?[A-ZÄÖÜ][^\W\d_]+")  # a German one, perhaps an adjective before it
_SMALL_NOUN = re.compile(r"s\s+([a-zåäöæøé]{2,})\b")
_VERB = re.compile(r"\w+(?:ade|ede|te|ar|er)$")
_CAPITALISED_BEFORE = re.compile(r"\b(?:[^\W\d_]+)\.?\s+$")
_ENDS = re.compile(r"[.!?…:;\n]\s*$")
_LOOK_ROUND = 48


@cache
def _table() -> Mapping[str, frozenset[str]]:
    table: dict[str, set[str]] = defaultdict(set)
    for line in entries("genitive.txt"):
        kind, *words = line.split()
        table[kind].update(map(folded, words))
    return {kind: frozenset(words) for kind, words in table.items()}


def is_one(text: str, name: Sequence[str], start: int, end: int, spoken: Collection[str]) -> bool:
    """Whether the s at ``end`` surely is one: a noun follows, and the name with the s is nobody else's.

    ``name``: its folded words. ``spoken``: the languages of the text, none where nothing tells.
    """
    if not text[start].isupper() or len(name[-1]) < _LEAST or not _may_be_spoken(spoken):
        return False
    table, with_s = _table(), name[-1] + "s"
    if with_s in table["given"] or not _is_followed_by_noun(text, end, spoken):
        return False
    return with_s not in table["surname"] or (len(name) == 1 and not _is_behind_a_name(text, start))


def _may_be_spoken(spoken: Collection[str]) -> bool:
    return not spoken or not _LANGUAGES.isdisjoint(spoken)


def _is_followed_by_noun(text: str, end: int, spoken: Collection[str]) -> bool:
    if (not spoken or _GERMAN in spoken) and _NOUN.match(text, end) is not None:
        return True
    if spoken and _LANGUAGES.isdisjoint({*spoken} - {_GERMAN}):
        return False
    small = _SMALL_NOUN.match(text, end)
    if small is None:
        return False
    word, table = folded(small.group(1)), _table()
    return word not in table["none"] and (word in table["noun"] or _VERB.match(word) is None)


def _is_behind_a_name(text: str, start: int) -> bool:
    """Whether a title or another name stands before it: "Frau Peters", "Klaus Peters"."""
    before = _CAPITALISED_BEFORE.search(text[max(0, start - _LOOK_ROUND) : start])
    return before is not None and before.group()[0].isupper() and _ENDS.search(before.group()) is None
