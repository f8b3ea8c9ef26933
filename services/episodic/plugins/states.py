"""Whether a text that has no word beyond an open question states what it asks about, or only names it.

"I sold the piano." answers no part of "Why did Ann sell the piano?", yet it speaks of the sale, and "The piano." does
not. So a statement has the question's own verb as a verb ("sold"), or a form of "to be" and the like with words of the
question on both its sides ("The cat is sick."; not "Here is the alarm code."). English is tagged for that. Of other
languages, forms of "to be" are listed; a question without one has a verb of its own, and what says all its words says
that too. So does an English text whose verb was taken for a noun ("My flight leaves."), unless it has words about talk
("Ferry cost, thanks.").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from services.common.cached import cached_property
from services.common.text import lexical, tagger
from services.common.text.tagger import Token
from services.episodic.plugins.base import Context

_WORD = re.compile(r"[^\W_]+")
_TO_BE = frozenset(
    """
    ist sind war waren bin wird wurde est sont était étaient suis es está son están era estaba estaban fue soy estoy
    é são era estava foi sou estou è sono erano fu sta is zijn was waren ben wordt werd är var blev er ble
    """.split()
)
_DO = frozenset({"do", "does", "did"})
_LONGEST = 1000  # characters of a question and of a text that are looked at: a longer one is told by other means


class States:
    """``States(question, of_talk, ctx)(speaker, text)``. Made for one recall."""

    def __init__(self, question: str, of_talk: Collection[str], ctx: Context) -> None:
        self._question, self._of_talk, self._ctx = question, frozenset(of_talk), ctx
        self._asked = frozenset(ctx.terms(question))

    def __call__(self, speaker: str, text: str) -> bool:
        if max(len(self._question), len(text)) > _LONGEST:
            return False
        if not self._is_english:
            words = _WORD.findall(text.casefold())
            forms = [n for n, word in enumerate(words) if word in _TO_BE]
            return self._joins(words, forms) or (not self._is_of_to_be and self._says_all(speaker, text))
        tokens = tagger.tag(text)
        finite = frozenset(n for n in range(len(tokens)) if _is_finite(tokens, n))
        if finite and not self._verbs.isdisjoint(self._verbs_of(tokens, finite) - self._of_talk):
            return True
        helping = [n for n in finite if not self._ctx.terms(tokens[n].text)]
        return self._joins([t.text for t in tokens], helping) or (bool(self._verbs) and self._says_all(speaker, text))

    @cached_property
    def _is_english(self) -> bool:
        return "en" in lexical.languages(self._question)

    @cached_property
    def _is_of_to_be(self) -> bool:
        return not _TO_BE.isdisjoint(_WORD.findall(self._question.casefold()))

    @cached_property
    def _verbs(self) -> frozenset[str]:
        """What may be one in an English question, but for "do", "have" and the like: behind "did" a last word is often
        taken for a noun ("When did the tent leak?")."""
        tokens = tagger.tag(self._question)
        did = next((n for n, token in enumerate(tokens) if token.text.casefold() in _DO), len(tokens))
        verbs = (token.text for n, token in enumerate(tokens) if n > did or token.tag.startswith("VB"))
        return self._asked.intersection(self._terms(verbs))

    def _verbs_of(self, tokens: Sequence[Token], finite: Collection[int]) -> frozenset[str]:
        """Finite ones, and what stands behind one ("has been sold")."""
        first = min(finite)
        return self._terms(
            token.text for n, token in enumerate(tokens) if n in finite or (n > first and _is_behind(token))
        )

    def _joins(self, words: Sequence[str], at: Iterable[int]) -> bool:
        """Whether words of the question, other than about talk, stand on both sides of one of these places."""
        topic = self._asked - self._of_talk
        places = [n for n, word in enumerate(words) if not topic.isdisjoint(self._ctx.terms(word))]
        return bool(places) and any(places[0] < n < places[-1] for n in at)

    def _says_all(self, speaker: str, text: str) -> bool:
        said = self._terms(text.split())
        return said.isdisjoint(self._of_talk - self._asked) and self._asked <= said.union(self._ctx.terms(speaker))

    def _terms(self, words: Iterable[str]) -> frozenset[str]:
        return frozenset(term for word in words for term in self._ctx.terms(word))


def _is_finite(tokens: Sequence[Token], at: int) -> bool:
    """ "Sold the van." leaves out who did; "Concert start" does not agree."""
    tag, before = tokens[at].tag, tokens[at - 1].tag if at else ""
    return tag in ("VBD", "VBZ", "MD") or (tag == "VBP" and before not in ("NN", "NNP")) or (tag == "VB" and not at)


def _is_behind(token: Token) -> bool:
    return token.tag in ("VB", "VBN", "VBG", "JJ")
