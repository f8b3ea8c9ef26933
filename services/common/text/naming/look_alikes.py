"""Letters of several alphabets that are written for one another ("Rуth", "Тоm"): which name's word one may be then."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache

from services.common.text.naming.word_lists import entries

ANOTHER_ALPHABET = "it is written in letters of another alphabet that look alike"

LATIN = "a-z\u00df-\u02af\u1e00-\u1eff"
OTHERS = "\u0370-\u052f\u1f00-\u1fff"  # Greek and Cyrillic
STRANGE = "\u0531-\u058f\u13a0-\u13fd\u2c80-\u2cff\ua4d0-\ua4f7"  # Armenian, Cherokee, Coptic, Lisu
_ALPHABETS = tuple(
    re.compile(f"[{letters}]") for letters in (LATIN, "\u0370-\u03ff\u1f00-\u1fff", "\u0400-\u052f", STRANGE)
)
_MOST_ALIKE = 16  # words of names that one word is compared with


@cache
def _table(kind: str) -> Mapping[str, frozenset[str]]:
    """By letter: the Latin ones that it is written for."""
    table = defaultdict[str, set[str]](set)
    for line in entries("look_alikes.txt"):
        if line.startswith(kind):
            _, latin, letters = line.split(" ")
            for letter in letters:
                table[letter].add(latin)
    return {letter: frozenset(latin) for letter, latin in table.items()}


@cache
def _looks(letter: str) -> frozenset[str]:
    return _table("shape").get(letter, frozenset()) | {letter}


@cache
def _stands_for(letter: str) -> frozenset[str]:
    """The letters that one in a word of several alphabets may be written for."""
    return _looks(letter) | _table("sound").get(letter, frozenset())


@cache
def _class(letter: str) -> str:
    """One of all letters that are connected so, the same for all of them."""
    known, found = {letter}, [letter]
    for each in found:
        others = {other for other in (*_table("shape"), *_table("sound")) if each in _stands_for(other)}
        found += sorted((_stands_for(each) | others) - known)
        known.update(found)
    return min(known)


def is_mixed(word: str) -> bool:
    """Whether letters of several alphabets stand in one folded word."""
    return not word.isascii() and sum(alphabet.search(word) is not None for alphabet in _ALPHABETS) > 1


class LookAlikes:
    """Folded words of names, found where they are written in look-alike letters. Immutable. Compares a word with few of
    them, whatever their number."""

    def __init__(self, words: Collection[str]) -> None:
        self._by_class: dict[str, list[str]] = defaultdict(list)
        for word in sorted(words):
            if len(alike := self._by_class[_key(word)]) < _MOST_ALIKE:
                alike.append(word)
        heads, letters = {word[0] for word in words}, (*_table("shape"), *map(chr, range(97, 123)))
        # What a word begins with that looks like one of them as a whole.
        self.heads = {c for c in letters if any(c != head and _meet(_looks, c, head) for head in heads)}

    def mixed(self, token: str) -> Iterator[str]:
        """Which of them a word of several alphabets may be."""
        return self._alike(token, _stands_for)

    def whole(self, token: str) -> Iterator[str]:
        """Which of them in another alphabet a word looks like, letter by letter."""
        if token[0] in self.heads:
            yield from (word for word in self._alike(token, _looks) if is_mixed(word[0] + token[0]))

    def _alike(self, token: str, reads: Callable[[str], frozenset[str]]) -> Iterator[str]:
        for word in self._by_class.get(_key(token), ()):
            if all(_meet(reads, a, b) for a, b in zip(token, word, strict=True)):
                yield word


def _key(word: str) -> str:
    return "".join(map(_class, word))


def _meet(reads: Callable[[str], frozenset[str]], a: str, b: str) -> bool:
    return not reads(a).isdisjoint(reads(b))
