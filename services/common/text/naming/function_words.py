"""Names in Latin letters told from other words by small words: determiners before them, and pronouns they may be."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import cache

from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries
from services.common.text.normal import normalize

_ENGLISH = "en"
_NAMES = ("opener", "noun", "word")  # kinds of what may be a name, which is looked up folded
_WORD = re.compile(r"[^\W\d_]+")
_CAPITAL = re.compile(r"(?:^|[.!?…]\s+)[^\w\s]*(\w)")
_LAST = re.compile(r"([^\W\d_]+)\s+$")
_ELIDED = re.compile(r"([^\W\d_]+['’])$")
_JOINED_BEFORE = re.compile(r"[^\W\d_][-‐‑]$")
_JOINED_AFTER = re.compile(r"[-‐‑][^\W\d_]")
_LOOK_BACK = 32
_LOOK_ON = 96
_ENDS_SENTENCE = re.compile(r"[.!?;:…\n]")
_TOLD = re.compile(r"([^\W\d_]+)\s+(?:a|à|al|till|til|aan|zu)\s+$")


@cache
def _table() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """By kind and language."""
    table: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for line in entries("function_words.txt"):
        language, kind, *words = line.split()
        of = table[kind]
        of[language] = of.get(language, frozenset()).union(map(folded, words) if kind in _NAMES else words)
    return table


@cache
def _every(kind: str) -> frozenset[str]:
    return frozenset[str]().union(*_table()[kind].values())


def is_any(word: str) -> bool:
    """Whether a folded name is a pronoun or the like of some language."""
    return word in _every("opener")


def is_one(word: str, languages: Collection[str]) -> bool:
    """Whether it is of English, which short texts do not always tell, or of one of the languages."""
    return any(word in _table()["opener"].get(each, ()) for each in (_ENGLISH, *languages))


def is_english(word: str) -> bool:
    return word in _table()["opener"][_ENGLISH]


def is_noun(word: str, languages: Collection[str]) -> bool:
    """Whether a folded name is a noun of one of the languages, of any where none is known, that may open a sentence."""
    nouns = _table()["noun"]
    return any(word in nouns.get(each, ()) for each in languages or nouns)


def is_listed(word: str) -> bool:
    """Whether a folded name is a word in any list of this file."""
    return any(word in _every(kind) for kind in _NAMES)


def does(text: str, end: int) -> bool:
    """Whether the rest of the sentence says what persons do, where a verb ends it."""
    rest = _ENDS_SENTENCE.split(text[end : end + _LOOK_ON])[0]
    return any(match.group().lower() in _every("does") for match in _WORD.finditer(rest))


def is_told(text: str, start: int) -> bool:
    """Whether something is said or given to somebody there: "ho detto a chiara"."""
    match = _TOLD.search(normalize("NFC", text[max(0, start - _LOOK_BACK) : start]))
    return match is not None and match.group(1).lower() in _every("told")


def stands_before(text: str, start: int, languages: Collection[str]) -> bool:
    """Whether a determiner stands before a place: of one of the languages, of any where none is known."""
    head = normalize("NFC", text[max(0, start - _LOOK_BACK) : start])
    if elided := _ELIDED.search(head):
        return elided.group(1).lower().replace("’", "'") in _every("determiner")
    match, determiners = _LAST.search(head), _table()["determiner"]
    return match is not None and any(
        match.group(1).lower() in determiners.get(each, ()) for each in languages or determiners
    )


def is_asked(text: str, start: int) -> bool:
    """Whether somebody is asked or greeted there."""
    match = re.search(r"([^\W\d_]+),?\s+$", text[max(0, start - _LOOK_BACK) : start])
    return match is not None and match.group(1).lower() in _every("asked")


def joins(text: str, start: int, end: int) -> bool:
    """Whether a hyphen joins it to another word."""
    head = text[max(0, start - 2) : start]
    return _JOINED_BEFORE.search(head) is not None or _JOINED_AFTER.match(text, end) is not None


def writes_capitals(text: str) -> bool:
    """Whether a capital begins a sentence or a word of more than capitals."""
    if any(match.group(1).isupper() for match in _CAPITAL.finditer(text)):
        return True
    words = (match.group() for match in _WORD.finditer(text))
    return any(len(word) > 1 and word[0].isupper() and word[1].islower() for word in words)
