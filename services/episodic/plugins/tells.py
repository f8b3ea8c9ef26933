"""Whether a text tells something that a question asks for, or only asks itself, or only names the topic.

"Noted: serial number of the boiler." has every word of "What is the serial number of the boiler?" and no answer. So a
text that says nothing beyond the question's own words and words about talk does not tell. Where the question may be
answered by its own words ("Is the heater fixed?", "parking permit"), any statement tells.
"""

from __future__ import annotations

import re

from services.common.text import lexical
from services.episodic.plugins.base import Context, Record
from services.episodic.plugins.turns import speaker

_ASKS = ("?", "？", "؟", "՞", "\u037e")  # the last is the Greek question mark
_WORD = re.compile(r"\w+")
_OPEN = frozenset(
    """
    who whom whose what which when where why how
    wer wen wem wessen was wann wo woher wohin warum wie welche welcher welches welchen welchem wieviel
    qui que quoi quel quelle quels quelles quand où comment combien pourquoi
    quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas
    quem qual quais quando onde como quanto quantos chi che cosa quale quali dove come quanti
    wie wat waar wanneer hoe welk welke hoeveel vem vad var när hur vilken vilket
    """.split()
)
# Of talk itself, and of where something is to be read.
_OF_TALK = frozenset(
    lexical.terms(
        """
        note noted reminder remind remember subject regarding concerning topic question ask asked asking tell say said
        mention thanks thank ok okay yes sure got received understood wrote write down written see seen above below here
        following attached again name called give gave sent send look find found check know need want forgot added
        saved kept right good great list listed info information details please re
        """
    )
)


class Tells:
    """``Tells(question, ctx)(record)``. Remembers what it was asked; made for one recall."""

    def __init__(self, question: str, ctx: Context) -> None:
        self._ctx = ctx
        self._known = _OF_TALK.union(ctx.terms(question))
        self._is_open = not _OPEN.isdisjoint(_WORD.findall(question.casefold()))
        self._of: dict[tuple[str, str], bool] = {}
        self._long = 4 * len(question.split()) + 20  # words; a longer text says more than a short question

    def __call__(self, record: Record) -> bool:
        key = speaker(record), record.text
        if key not in self._of:
            self._of[key] = not asks(record.text) and self._says_more(*key)
        return self._of[key]

    def _says_more(self, speaker: str, text: str) -> bool:
        if not self._is_open or len(text) > 10 * self._long or len(text.split()) > self._long:
            return True
        known = self._known.union(self._ctx.terms(speaker))
        for word in text.split():  # most texts tell in their first words, and need not be cut whole
            if not lexical.is_function_word(word) and not known.issuperset(self._ctx.terms(word)):
                return True
        return not known.issuperset(self._ctx.terms(text))


def asks(text: str) -> bool:
    """Whether a text ends as a question."""
    return text.rstrip().endswith(_ASKS)
