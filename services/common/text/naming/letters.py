"""Letters that are folded together and may yet tell a name from another one, or from a word: Arabic and Han."""

from __future__ import annotations

import unicodedata

from services.common.text.naming import scripts
from services.common.text.normal import normalize

OTHER_LETTERS = "letters that are often written for one another tell it from the name"
VARIANT = "it is written with variants of its characters"

_SMALL_WORDS = frozenset(
    """على إلى الى متى حتى لدى سوى أنى مني منى منه عني عنه في فى له به لي لى هي هى أي أنا انا إن أن ان إلا الا ألا
    أما إما اما لنا""".split()
)
_HAMZAS = frozenset("أإآ")
_YEHS = frozenset("ىي")
_MOST_LETTERS = 48


def tells(form: str) -> bool:
    """Whether a folded name is written in such letters."""
    return scripts.script(form[0]) in ("ARABIC", "HAN")


def written(text: str) -> str:
    """The letters of a name, or of what stands for one, without vowel signs, spaces and what draws them out."""
    composed = normalize("NFKC", text[: 4 * _MOST_LETTERS])
    return "".join(c for c in composed if c != "ـ" and unicodedata.category(c)[0] == "L")[:_MOST_LETTERS]


def other(name: str, here: str, following: str) -> str | None:
    """Why letters ``here`` that are folded as ``name`` may not be it: "" (nothing), a doubt, or None (it is not).

    ``following``: the character behind them. None: they are a small word of the language, and the name is not.
    """
    given = written(name)
    if given == here:
        return ""
    if here in _SMALL_WORDS and not following.isalpha():
        return None
    for ours, theirs in zip(given, here, strict=False):
        if ours != theirs:
            if scripts.script(ours) == "HAN":
                return VARIANT
            if {ours, theirs} == _YEHS or {ours, theirs} <= _HAMZAS:
                return OTHER_LETTERS
    return ""
