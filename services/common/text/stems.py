"""A word's stem, by the stemmer of its script: Snowball's, and a few rules for Hebrew and Korean, which it lacks, for
English words whose forms share no stem, and for the one clitic of Latin letters that nearly every noun takes, the
Indonesian and Malay "-nya".

Of the word alone, never of the text around it: so a text and a question about it come to the same stem.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import regex
import Stemmer

from services.common.text import irregular

# Where the letters of a script begin, and the stemmer of the words that begin with one. Latin letters get the English
# stemmer in every language: two guesses at the language of a text and of its question may differ.
_SCRIPTS = {
    "\x00": "english", "\u0370": "greek", "\u0400": "russian", "\u0530": "armenian", "\u0590": "hebrew",
    "\u0600": "arabic", "\u0700": "", "\u0900": "hindi", "\u0980": "", "\u0b80": "tamil", "\u0c00": "",
    "\u1e00": "english", "\u1f00": "greek", "\u2000": "", "\uac00": "korean", "\ud7b0": "",
}  # fmt: skip
_BEGIN, _STEMMERS = list(_SCRIPTS), list(_SCRIPTS.values())

# "And", "the", "in", "to", "from", "that", "as", written together with what follows; three letters at least are left.
_HEBREW_PREFIX = regex.compile(r"[והבלמכש](?=\p{Hebrew}{3})")
# Particles, and the copula. Those of one syllable that also end nouns leave two at least.
_KOREAN_ENDING = regex.compile(
    r"(?<=.)(?:에서|에게|에|를|입니다|입니까|이에요|예요|인가요|이었다|였다)$"
    r"|(?<=..)(?:에서는|에게서|으로|까지|부터|처럼|보다|이나|한테|이다|[은는이가을의도만와과로])$"
)

_CLITIC = regex.compile(r"(?<=\p{Latin}{4})nya$")  # "Kenya" and "Tanya" stay


# PyStemmer's stemmers keep a buffer of their own: one of each a thread.
class _Local(threading.local):
    def __init__(self) -> None:
        self.stemmers: dict[str, Any] = {}


_local = _Local()


def stem(word: str) -> str:
    """The stem of a folded word of letters or figures; the word itself where its script has no stemmer."""
    first = next((c for c in word if c.isalpha()), "\x00")
    name = _STEMMERS[bisect_right(_BEGIN, first) - 1]
    if not name:
        return word
    return _OWN[name](word) if name in _OWN else _snowball(name, word)


def _snowball(name: str, word: str) -> str:
    if name not in _local.stemmers:
        _local.stemmers[name] = Stemmer.Stemmer(name)
    stemmed: str = _local.stemmers[name].stemWord(word)
    return stemmed or word


def _english(word: str) -> str:
    return _snowball("english", irregular.BASE.get(word) or _CLITIC.sub("", word))


def _hebrew(word: str) -> str:
    while prefix := _HEBREW_PREFIX.match(word):
        word = word[prefix.end() :]
    return word


def _korean(word: str) -> str:
    while ending := _KOREAN_ENDING.search(word):
        word = word[: ending.start()]
    return word


_OWN: Mapping[str, Callable[[str], str]] = {
    "english": _english,
    "hebrew": _hebrew,
    "korean": _korean,
}


FORMS: Mapping[str, tuple[str, ...]] = {stem(base): others for base, others in irregular.OTHERS.items()}
"""Forms that a stem stands for and that do not begin like it."""
