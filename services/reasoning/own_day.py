"""Whether a note's own day is when something happened: only where the note states no other time for it.

"The boiler was fixed." tells of the day on which it is told; "Ida was born on 3 May 1990." does not. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.common.text import lexical
from services.common.text.sentences import ends
from services.common.text.times import Spoken
from services.common.text.words import cut, normal
from services.reasoning import numerals, quantities, spelled

# They take up the sentence before: "Ida was born in Rome. That was on 3 May 1990."
_TAKE_UP = frozenset("that this these those it then there afterwards later".split())
_CLAUSE_ENDS = re.compile(
    r"(?i)[,;:()\u2013\u2014]|\b(?:and|or|but|while|whereas|although|though|because|so|who|which|when|where)\b"
)
# Yesterday and the day before in the languages of ``spelled``, folded; their other ways to count days are not known.
_YESTERDAY = {
    "de": "gestern vorgestern", "nl": "gisteren eergisteren", "fr": "hier", "es": "ayer anteayer",
    "pt": "ontem anteontem", "it": "ieri altroieri", "ca": "ahir", "ro": "ieri alaltaieri",
    "fi": "eilen toissapaivana", "pl": "wczoraj przedwczoraj", "cs": "vcera predevcirem", "hu": "tegnap tegnapelott",
    "tr": "dun", "id": "kemarin", "ru": "вчера позавчера", "uk": "вчора позавчора", "bg": "вчера завчера",
    "el": "χθες χτες προχθες", "sv": "igar", "da": "igar", "nb": "igar",
}  # fmt: skip
_YEARS = range(1000, 2100)


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence of a note, with those behind it that take it up."""

    terms: frozenset[str]
    states_time: bool  # or one before it opens with a time: "Yesterday we went to Rome. We met Lars."


def passages(spoken: Spoken) -> list[Passage]:
    """Of a note's text, in order."""
    found, is_set = [], False
    for start, end in _stretches(spoken.text):
        text = spoken.text[start:end]
        places = [at for at, _ in spoken.places() if start <= at < end]
        found.append(Passage(frozenset(lexical.terms(text)), bool(is_set or places or _names_time(text))))
        is_set = is_set or any(not any(map(str.isalnum, spoken.text[start:at])) for at in places)
    return found


def likeness(passage: Passage, terms: frozenset[str]) -> int:
    """How many of a claim's words it holds: what holds the most is what the claim tells of."""
    return len(passage.terms & terms)


def is_untimed(found: Sequence[Passage], terms: frozenset[str], elsewhere: int) -> bool:
    """Whether what of a note is most like a claim of these words states no time.

    ``elsewhere``: the likeness of what is most like it and states a time, in any note: it must not be more like it.
    """
    most = max(likeness(passage, terms) for passage in found)
    return most >= elsewhere and not any(p.states_time for p in found if likeness(p, terms) == most)


def clause(text: str, start: int, end: int) -> str:
    """What ``text`` says about the time at [start, end), which is blanked there: up to the next clause either way."""
    begin = max((m.end() for m in _CLAUSE_ENDS.finditer(text, 0, start)), default=0)
    stop = next((m.start() for m in _CLAUSE_ENDS.finditer(text, end)), len(text))
    return text[begin:stop]


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    begin = last = 0
    for end in ends(text):
        opener = next(cut(normal(text[last:end])), None)
        if opener is None or opener.folded not in _TAKE_UP:
            if last > begin:
                yield begin, last
            begin = last
        last = end
    yield begin, len(text)


def _is_yesterday(text: str, language: str) -> bool:
    found = [word.folded for word in cut(normal(text))]
    together = [a + b for a, b in pairwise(found)]  # "i går"
    return not frozenset(_YESTERDAY.get(language, "").split()).isdisjoint(found + together)


def _names_time(text: str) -> bool:
    """In another language, or as a bare year: "Ida, born 1990, sings"."""
    spoken = spelled.languages(text, "")
    if spelled.days(text, spoken) or any(_is_yesterday(text, language) for language in spoken):
        return True
    numbers = quantities.amounts(numerals.figures(text))
    bare = (a for a in numbers if not (a.units or a.counted or a.label or a.is_ordinal))
    return any(len(a.run) == 4 and a.run.isdecimal() and int(a.run) in _YEARS for a in bare)
