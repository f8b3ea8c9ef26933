"""How names are declined in Latin, Cyrillic and Greek letters, and which of those languages a text is written in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from services.common.text.naming import scripts
from services.common.text.naming.folding import accented, folded
from services.common.text.naming.word_lists import entries
from services.common.text.normal import normalize

_WORD = re.compile(r"(?<!['’])\b[^\W\d_]+")
_HEAD = 4_000  # characters of a text, by which its language is guessed
_SAYS = 2  # what a word adds that tells a language, and the least that does
_CONSONANT = "-"
_NOTHING = "0"
_VOWELS = frozenset("aeiouyаеиіоуыэюяαεηιουω")


@dataclass(frozen=True, slots=True)
class Reading:
    """A word of a text, read as a case of a name's word.

    ``kept``: letters that both share. ``is_plain``: its own letters say that it is one.
    """

    word: str
    language: str
    kept: int
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Tongues:
    """What a text is written in: languages that decline names, or else ``is_other``: one that does not. ``spoken``:
    those of all that most speaks for, none where nothing does."""

    declining: frozenset[str]
    is_other: bool
    spoken: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Ending:
    lemma: str  # folded
    form: str  # with its accents
    after_consonant: bool
    language: str


@dataclass(frozen=True, slots=True)
class _Data:
    endings: Mapping[str, tuple[_Ending, ...]]  # by their folded form
    longest: int
    marks: Mapping[str, frozenset[str]]
    letters: Mapping[str, frozenset[str]]
    ends: Mapping[str, tuple[str, ...]]
    declining: frozenset[str]
    two: frozenset[str]


@cache
def _data() -> _Data:
    endings: dict[str, list[_Ending]] = defaultdict(list)
    marks, letters, ends = (defaultdict[str, set[str]](set) for _ in range(3))
    declining, two = set[str](), set[str]()
    for line in entries("inflections.txt"):
        language, kind, *given = line.split()
        if kind == "case":
            declining.add(language)
            for ending in _endings(language, given[0], given[1:]):
                endings[folded(ending.form)].append(ending)
        elif kind == "two":
            two.update(given)
        else:
            {"marks": marks, "letters": letters, "ends": ends}[kind][language].update(given)
    return _Data(
        {form: tuple(of) for form, of in endings.items()},
        max(map(len, endings)),
        {language: frozenset(of) for language, of in marks.items()},
        {language: frozenset(of) for language, of in letters.items()},
        {language: tuple(sorted(of)) for language, of in ends.items()},
        frozenset(declining),
        frozenset(two),
    )


def _endings(language: str, lemma: str, forms: list[str]) -> Iterator[_Ending]:
    bare = "" if lemma == _CONSONANT else folded(lemma)
    for form in forms:
        yield _Ending(bare, "" if form == _NOTHING else form, lemma == _CONSONANT, language)


def readings(token: str, written: str, known: Collection[str]) -> Iterator[Reading]:
    """Which ``known`` folded words of names a word may be a case of. ``token``: folded; ``written``: as it stands."""
    data = _data()
    for size in range(min(data.longest, len(token) - 1) + 1):
        stem = token[: len(token) - size]
        for ending in data.endings.get(token[len(stem) :], ()):
            word = stem + ending.lemma
            if word not in known or word == token or len(word) < 3 or not _fits(ending, stem):
                continue
            is_plain = _is_written(ending, written)
            if is_plain is not None:
                yield Reading(word, ending.language, len(stem), is_plain)
    if "o" in token and token.endswith("u") and (word := _unmutated(token)) in known:
        yield Reading(word, "is", len(word) - 1, not written.isascii())


def _unmutated(token: str) -> str:
    """The Icelandic name whose a's a u has changed: "Anna" of "Önnu"."""
    head, o, tail = token[:-1].rpartition("o")
    return f"{head}{'a' if o else ''}{tail}a"


def _fits(ending: _Ending, stem: str) -> bool:
    if ending.after_consonant:
        return stem[-1] not in _VOWELS and len(stem) > 2
    return len(stem) > 1 or len(ending.lemma) > 1


def _is_written(ending: _Ending, written: str) -> bool | None:
    """Whether accents or the script say that it is this ending; None where its accents are others."""
    if scripts.script(written[-1]) != "LATIN":
        return True
    here = accented(written)
    if here.endswith(ending.form):
        return not ending.form.isascii()
    return False if here.endswith(folded(ending.form)) else None


def is_another_name(word: str, token: str, written: str) -> bool:
    """Whether a case of a name is also somebody else's name: a woman's ("Karla", "Петрова"), a sister's ("Marie")."""
    if token == word + "а" and word.endswith(("ов", "ев", "ин")) and word not in ("константин", "мартин", "лев"):
        return True
    return accented(written) in _data().two


def tongues(text: str, beside: str = "") -> Tongues:
    """The languages with the most of their small words, letters and endings in a text; near ones all. ``beside``: a
    word that is not counted."""
    declining = _data().declining
    scores = _scores(text, beside.lower())
    most = {is_declining: 0 for is_declining in (True, False)}
    for language, score in scores.items():
        most[language in declining] = max(most[language in declining], score)
    best = max(most.values())
    spoken = frozenset(each for each, score in scores.items() if score == best > 0)
    if most[True] <= most[False] or most[True] < _SAYS:
        return Tongues(frozenset(), most[False] > most[True], spoken)
    near = frozenset(each for each, score in scores.items() if each in declining and 2 * score >= most[True])
    return Tongues(near, False, spoken)


def _scores(text: str, beside: str) -> Mapping[str, int]:
    """By language, also those that have none of it."""
    data = _data()
    scores = dict.fromkeys((*data.marks, *data.letters, *data.ends), 0)
    for n, match in enumerate(_WORD.finditer(normalize("NFC", text[:_HEAD]))):
        word = match.group()
        if n and not word[0].islower():
            continue  # a name, of whatever language
        if (word := word.lower()) == beside:
            continue
        seen = frozenset(word)
        for language, marks in data.marks.items():
            scores[language] += min(len(word), _SAYS) if word in marks else 0  # a single letter says little
        for language, letters in data.letters.items():
            scores[language] += 0 if seen.isdisjoint(letters) else _SAYS
        for language, ends in data.ends.items():
            scores[language] += _SAYS if len(word) > 4 and word.endswith(ends) else 0
    return scores
