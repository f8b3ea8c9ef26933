"""Whose words they are: what a record says itself counts before what only its neighbours say.

A key holds the turn before (``turns``), so a question that names what was just said matches the turn *after* the answer
as well, and often better. Ranks cannot tell the two apart; the texts can. Each fused hit is scored again by

    (fused + said + SPEAKER x speaker + STATEMENT x statement + THEN x then) / what a hit can have of it at most

``said`` is the share of the question's idf that is spoken here: a word counts in full where the record or its speaker
has it, ``BEFORE`` where only the turn before does, ``AFTER`` where only the turn after does; of a date that the
question speaks of, the record's day has the words. ``speaker``: the question names who said it. ``statement``: it tells
something; what asks, or only names what is asked for, seldom answers, and the words of the latter are the question's
rather than an answer's: they count ``BEFORE``. ``then``: it was said on the one day that the question asks about, or
speaks of that day. Longer times ("last year") hold too much to tell hits apart; the channel of times has them.

Where one hit says all that another says of the question, and more, the score does not decide (``precedence``): borrowed
words never beat own words. A record whose own text is the question, word for word, comes before all others.

The shares of who says it and what are a listwise logistic fit on LoCoMo's development half, rounded; ``THEN`` was
chosen with the demo's diary (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar

from services.common.cached import cached_property
from services.common.text import times
from services.episodic.plugins.base import Context, Plan, Plugin, Ranked, Record
from services.episodic.plugins.inflected import inflected
from services.episodic.plugins.precedence import Says, ids, lifted, nearer
from services.episodic.plugins.search import idf, neighbours, order, shows
from services.episodic.plugins.spoken import Spoken, Words
from services.episodic.plugins.tells import Tells, asks
from services.episodic.plugins.turns import day_words, speaker

_DAY = timedelta(days=1)
BEFORE, AFTER = 0.6, 0.3
SPEAKER, STATEMENT, THEN = 0.25, 0.4, 0.4


@dataclass(frozen=True)
class OwnWords(Plugin):
    """``weight`` of ``said`` beside the fused score; 0 leaves the order of the fusion but for exact texts."""

    name: ClassVar[str] = "own_words"
    weight: float = 1.0

    def rerank(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Sequence[Ranked]:
        asked = Asked(plan, ctx)
        scored = [replace(item, score=self._score(item, asked)) for item in items]
        if self.weight:
            scored = nearer(scored, asked.says, asked.before, ctx, plan.text)
            scored = lifted(scored, asked.says, asked.beside)
        ordered = sorted(
            scored,
            key=lambda i: (not asked.is_asked_for(i.record.text), order(i.score, i.record.event.start, i.record.id)),
        )
        return [
            replace(item, trace=(*item.trace, (self.name, rank, item.score))) for rank, item in enumerate(ordered, 1)
        ]

    def _score(self, item: Ranked, asked: Asked) -> float:
        """In (0, 1], rounded to 1e-6."""
        record = item.record
        is_asked_for, tells = bool(asked.spoken.in_(speaker(record))), asked.tells(record)
        said = asked.said(record) * (1.0 if tells or asks(record.text) else BEFORE)
        own = item.score + self.weight * said + SPEAKER * is_asked_for + STATEMENT * tells
        best = 1.0 + self.weight + SPEAKER + STATEMENT
        if asked.days:
            own, best = own + THEN * asked.then(record), best + THEN
        return round(own / best, 6)


class Asked:
    """The words of a question, and how much of them is said where."""

    def __init__(self, plan: Plan, ctx: Context) -> None:
        self.weights = idf(plan.text, plan.query.namespaces, ctx)
        self.spoken = Spoken(self.weights, ctx, inflected(plan.text))
        self.tells = Tells(plan.text, ctx)
        self.is_asked_for = Words(plan.query.text)
        self._plan, self._ctx = plan, ctx
        self._total = sum(self.weights.values())
        self._ids = ids(plan.text)
        asked_for = (plan.time, *plan.other_times) if plan.time and not plan.anchor else ()
        self.days = tuple(time for time in asked_for if time.end - time.start <= _DAY)

    def said(self, record: Record) -> float:
        """Share of the question's idf that is spoken here, 0 to 1; see above."""
        if not self._total:
            return 0.0
        own = self._in(record)
        if self._dated:
            day = self._dated if self.then(record) else self.spoken.in_(day_words(record.event.start))
            own |= self._dated & day
        share, left = self._sum(own), self.weights.keys() - own
        if left:
            for nearby, counts in zip(neighbours(record, self._plan, self._ctx), (BEFORE, AFTER), strict=True):
                there = left.intersection(*map(self._in, nearby)) if nearby else set()
                share += counts * self._sum(there)
                left = left - there
        return share / self._total

    def then(self, record: Record) -> bool:
        """Whether it was said on the day that the question asks about, or speaks of that day."""
        moments = [t.start for t in (record.event, *record.times) if t.end - t.start <= _DAY]
        return any(shows(day, at) for day in self.days for at in moments)

    def says(self, record: Record) -> Says:
        """What it has of the question itself."""
        words = self._in(record)
        figures = {word for word in words - self._dated if any(c.isdigit() for c in word)}
        written = self._ids & ids(record.text) if figures else frozenset()
        more = self.tells.more(record) or self.is_asked_for(record.text)
        return Says(words, written | figures, self.tells(record), more)

    def before(self, record: Record) -> list[str]:
        """Id of the turn before it."""
        return [near.id for near in neighbours(record, self._plan, self._ctx)[0]]

    def beside(self, record: Record) -> list[str]:
        """Ids of the turns before and after it, whose words it may borrow."""
        before, after = neighbours(record, self._plan, self._ctx)
        return [near.id for near in (*before, *after)]

    @cached_property
    def _dated(self) -> frozenset[str]:
        """Words of the dates that the question surely speaks of; "Friday" may be a parrot's name."""
        found = times.find(self._plan.query.text, self._plan.query.asked_at)
        return frozenset(term for mention in found for term in self._ctx.terms(mention.text))

    def _in(self, record: Record) -> frozenset[str]:
        return self.spoken.in_(speaker(record)) | self.spoken.in_(record.text)

    def _sum(self, terms: Set[str]) -> float:
        return sum(self.weights[term] for term in sorted(terms & self.weights.keys()))
