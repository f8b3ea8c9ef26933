"""Which of a few terms a text says, and whether two texts say the same: what is asked of every hit, so it is quick.

Cutting a text into terms takes 5 us a word, and a recall looks at some ninety texts. Here only words that begin like
one of the terms are cut; the answer is the same. Only for texts of ASCII letters, in whatever quotes: others are cut
whole, for a letter may be folded to another there. So are all where a term is a name that is a function word as well
("Will"): which of the two it is, its neighbours tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import regex

from services.common.text import lexical
from services.common.text.stems import FORMS
from services.common.text.words import normal, with_ascii_marks
from services.episodic.plugins.base import Context
from services.episodic.plugins.inflected import as_asked, beginning

_OTHERS = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_SHORT = 3  # letters of a stem: "die", of "dying"


class Spoken:
    """Remembers what it was asked; made for one recall."""

    def __init__(self, terms: Collection[str], ctx: Context, inflected: Collection[str] = ()) -> None:
        """``inflected``: those that a text says in another form as well (``inflected.py``)."""
        self._terms = frozenset(terms)
        self._inflected = self._terms.intersection(inflected)
        self._ctx = ctx
        self._of: dict[str, frozenset[str]] = {}
        self._like: re.Pattern[str] | None = None
        if self._terms and all(term.isascii() and not lexical.is_function_word(term) for term in self._terms):
            # A stem and its word agree in three letters, those of three and less in the first; irregular ones do not.
            like = {*self._terms, *(form for term in self._terms for form in FORMS.get(term, ()))}
            begins = {re.escape(word[: 1 if len(word) <= _SHORT else _SHORT]) for word in like}
            begins.update(map(beginning, self._inflected))
            like_one = rf"(?<![A-Za-z0-9])(?:{'|'.join(sorted(begins))})[A-Za-z0-9'+#]*(?:--(?![A-Za-z0-9-]))?"
            self._like = re.compile(like_one, re.IGNORECASE)
        self._has_figures = any(c.isdigit() for term in self._terms for c in term)

    def in_(self, text: str) -> frozenset[str]:
        """The terms that ``text`` says."""
        found = self._of.get(text)
        if found is None:
            found = self._of[text] = self._asked(self._cut(text)) if self._terms else frozenset()
        return found

    def _asked(self, said: Collection[str]) -> frozenset[str]:
        return self._terms.intersection(as_asked(said, self._inflected))

    def _cut(self, text: str) -> Collection[str]:
        plain = with_ascii_marks(text.replace("\u2018", "'").replace("\u2019", "'"))
        if not plain.isascii() or self._like is None:
            return self._ctx.terms(text)
        plain = normal(plain) if self._has_figures else plain  # "99,000" is one figure
        return [term for word in set(self._like.findall(plain)) for term in self._word(word)]

    def _word(self, word: str) -> frozenset[str]:
        known = self._of.get(word)
        if known is None:
            known = self._of[word] = self._asked(self._ctx.terms(word))
        return known


def bare(text: str) -> str:
    """Equal for texts of the same words: without case, white space and punctuation; a text of nothing else, as it is.

    So "PX-88" is "px 88"; marks, which are letters in many scripts, stay.
    """
    return _of_words(text) or text


def _of_words(text: str) -> str:
    return _OTHERS.sub(" ", normal(text).casefold()).strip()


class Words:
    """``Words(text)(other)``: whether another text is of the same words, as ``bare`` says. Quick for long ones."""

    def __init__(self, text: str) -> None:
        self._opening, self._whole = opening(text), bare(text)

    def __call__(self, text: str) -> bool:
        return opening(text) == self._opening and bare(text) == self._whole


def opening(text: str) -> str:
    """The first characters of ``bare``; of a long text the rest is not looked at."""
    looked_at = _LOOKED_AT
    while looked_at < len(text):
        head = _of_words(text[:looked_at])
        if len(head) >= _OPENING + _BEYOND:
            return head[:_OPENING]
        looked_at *= 4
    return bare(text)[:_OPENING]


_LOOKED_AT = 512
_OPENING = 64
_BEYOND = 64  # characters before the end of what is looked at, that may read otherwise with what follows
