"""Other forms of a question's words, in languages whose forms no stemmer here joins.

Latin letters have the English stemmer alone, whatever the language, and Snowball's Russian one leaves many verbs apart:
"Ich wohne in Bremen." says "wohn", and "Wo wohnt Eva?" asks for "wohnt". So of a question that no English function word
shows to be English, a text has a word too where it has one that begins alike and goes on with a short ending; vowels
that change within a verb count as the same ("spreche", "spricht"). Names are asked for as they are. A rule, no lexicon:
it takes "camino" for a form of "camión" too, which costs a place in the order and, seldom, an answer that is none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

import regex

from services.common.text import lexical, tagger
from services.common.text.words import CACHED_LENGTH

_LEAST = 3  # letters that two forms begin with
_LONGEST_ENDING = 3  # behind more than so many
_BOTH = 4  # letters that both endings have at most together

_WORD = regex.compile(r"[\p{L}\p{M}]+")
_INFLECTED = regex.compile(r"[\p{Latin}\p{Cyrillic}\p{Greek}]+")
_UNINFLECTED = frozenset({"vi"})  # is never written without its marks
_MOST = 12  # words of a question that are looked for so
# "Gebe", "gibt"; "prefiro", "prefere"; "lese", "liest"; "durmo", "dorme"; "вижу", "видит"; "плачу", "платит".
_CHANGED = regex.compile("ie|[iu]|(?<=.)[гджзктсхчш]")
_EVEN = (
    {"ie": "e", "i": "e", "u": "o"} | dict.fromkeys("гджз", "ж") | dict.fromkeys("кт", "ч") | dict.fromkeys("сх", "ш")
)
_SPELLED = {"e": "(?:ie|[ei])", "o": "[ou]"}


def inflected(question: str) -> frozenset[str]:
    """Terms of a question that a text may say in another form; none of an English one."""
    spoken = lexical.languages(question)
    if lexical.is_surely_english(question) or (not _UNINFLECTED.isdisjoint(spoken) and not question.isascii()):
        return frozenset()
    is_told = bool(spoken - {"en"})  # "was" and "in" are English as well
    kept = (word for word in dict.fromkeys(_words(question)) if is_told or not tagger.knows(word))
    terms = (term for word in kept for term in lexical.terms(word))
    return frozenset(list(dict.fromkeys(terms))[:_MOST])


def _words(question: str) -> Iterator[str]:
    """In small letters those that have no capital, or are the first."""
    for at, match in enumerate(_WORD.finditer(question)):
        word = match.group()
        if (not at or not word[0].isupper()) and _LEAST <= len(word) <= CACHED_LENGTH and _INFLECTED.fullmatch(word):
            yield word.lower()


def form(term: str, asked: Collection[str]) -> str | None:
    """The term of ``asked`` that ``term`` is another form of, if any; of several the one that begins most alike."""
    near = [(head, other) for other in asked if (head := _common(term, other))]
    return max(near)[1] if near else None


def as_asked(terms: Iterable[str], asked: Collection[str]) -> list[str]:
    """Terms in order, each form of a word of ``asked`` as it is there."""
    if not asked:
        return list(terms)
    return [term if term in asked else form(term, asked) or term for term in terms]


def beginning(term: str) -> str:
    """A pattern of what its other forms begin with, in ASCII letters."""
    return "".join(_SPELLED.get(letter, re.escape(letter)) for letter in _even(term)[:_LEAST])


def _even(term: str) -> str:
    return _CHANGED.sub(lambda m: _EVEN.get(m.group(), m.group()), term)


def _common(one: str, other: str) -> int:
    """How many letters two forms of one word begin with; 0 where they are not forms of one."""
    return max(_shared(one, other), _shared(_even(one), _even(other)))


def _shared(one: str, other: str) -> int:
    if one[:_LEAST] != other[:_LEAST] or not _INFLECTED.fullmatch(one):
        return 0
    head = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    endings = (len(one) - head, len(other) - head)
    longest = _LONGEST_ENDING if head > _LEAST else 1 + (min(endings) == 0)  # "жив" and "живет"
    fits = max(endings) <= longest and sum(endings) <= _BOTH
    return head if head >= _LEAST and fits else 0
