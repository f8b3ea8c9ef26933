"""Whose words they are: what a record says itself counts before what only its neighbours say.

A key holds the turn before (``turns``), so a question that names what was just said matches the turn *after* the answer
as well, and often better. Ranks cannot tell the two apart; the texts can. Each fused hit is scored again by

    (fused + said + SPEAKER x speaker + STATEMENT x statement) / what a hit can have of it at most

``said`` is the share of the question's idf that is spoken here: a word counts in full where the record, its speaker or
its day has it, ``BEFORE`` where only the turn before does, ``AFTER`` where only the turn after does. ``speaker``:
the question names who said it. ``statement``: it does not ask something itself; a question is seldom an answer.
A record whose own text is the question, word for word, comes before all others.

The four shares are a listwise logistic fit on LoCoMo's development half, rounded (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import ClassVar

from services.episodic.plugins.base import Context, Plan, Plugin, Ranked, Record
from services.episodic.plugins.search import idf, neighbours, order
from services.episodic.plugins.spoken import Spoken, bare
from services.episodic.plugins.turns import day_words, speaker

BEFORE, AFTER = 0.6, 0.3
SPEAKER, STATEMENT = 0.25, 0.4
_ASKS = ("?", "？", "؟", "՞", "\u037e")  # the last is the Greek question mark


@dataclass(frozen=True)
class OwnWords(Plugin):
    """``weight`` of ``said`` beside the fused score; 0 leaves the order of the fusion but for exact texts."""

    name: ClassVar[str] = "own_words"
    weight: float = 1.0

    def rerank(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Sequence[Ranked]:
        asked, whole = Asked(plan, ctx), bare(plan.query.text)
        scored = [(bare(item.record.text) != whole, replace(item, score=self._score(item, asked))) for item in items]
        scored.sort(key=lambda pair: (pair[0], order(pair[1].score, pair[1].record.event.start, pair[1].record.id)))
        return [
            replace(item, trace=(*item.trace, (self.name, rank, item.score)))
            for rank, (_, item) in enumerate(scored, 1)
        ]

    def _score(self, item: Ranked, asked: Asked) -> float:
        """In (0, 1], rounded to 1e-6."""
        record = item.record
        is_asked_for = bool(asked.spoken.in_(speaker(record)))
        statement = not record.text.rstrip().endswith(_ASKS)
        own = item.score + self.weight * asked.said(record) + SPEAKER * is_asked_for + STATEMENT * statement
        return round(own / (1.0 + self.weight + SPEAKER + STATEMENT), 6)


class Asked:
    """The words of a question, and how much of them is said where."""

    def __init__(self, plan: Plan, ctx: Context) -> None:
        self.weights = idf(plan.text, plan.query.namespaces, ctx)
        self.spoken = Spoken(self.weights, ctx)
        self._plan, self._ctx = plan, ctx
        self._total = sum(self.weights.values())

    def said(self, record: Record) -> float:
        """Share of the question's idf that is spoken here, 0 to 1; see above."""
        if not self._total:
            return 0.0
        own = self._in(record) | self.spoken.in_(day_words(record.event.start))
        share, left = self._sum(own), self.weights.keys() - own
        if left:
            for nearby, counts in zip(neighbours(record, self._plan, self._ctx), (BEFORE, AFTER), strict=True):
                there = left.intersection(*map(self._in, nearby)) if nearby else set()
                share += counts * self._sum(there)
                left = left - there
        return share / self._total

    def _in(self, record: Record) -> frozenset[str]:
        return self.spoken.in_(speaker(record)) | self.spoken.in_(record.text)

    def _sum(self, terms: Set[str]) -> float:
        return sum(self.weights[term] for term in sorted(terms))
