"""A memory made large: a conversation in an exact host, and beside it filler that is searched with it as one namespace.

The filler's words count in the namespace's statistics, through the lexicon that the service itself searches, and its
vectors are nearest where they are. It has no neighbours and no episodes, and is not found by its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from services.common import ids
from services.common.text import lexical
from services.episodic.plugins.base import Candidate, Context, Filter, Interval, Record, Vector
from services.episodic.plugins.exact import Embed, ExactContext, ExactHost, best, matches
from services.episodic.search.terms import Lexicon

_AT = datetime.fromisoformat("2023-06-01T12:00:00+00:00")
_EVENT = (0, 1)


class Filler:
    """Sentences as turns, with what searches them: made once, for many memories."""

    def __init__(self, texts: Sequence[str], embed: Embed) -> None:
        made = (Record(ids.digest(t), "", "turn", t, Interval(_AT, _AT)) for t in texts)
        self.records = {record.id: record for record in made}
        self.vectors = embed([record.text for record in self.records.values()])
        self.lexicon = Lexicon()
        self._numbers: dict[str, int] = {}
        for record in self.records.values():
            self.add(record.id, lexical.terms(record.text))

    def add(self, owner: str, terms: Sequence[str]) -> None:
        """A document of the lexicon."""
        self.lexicon.add(owner, {self.number(t): n for t, n in Counter(terms).items()}, 1.0, _EVENT)

    def number(self, term: str) -> int:
        return self._numbers.setdefault(term, len(self._numbers))


class Grown:
    """What ``benchmarks.locomo.recall`` needs of a host. One at a time over one filler: ``close`` it."""

    def __init__(self, host: ExactHost, namespace: str, filler: Filler) -> None:
        self.plugins, self.host, self.namespace, self.filler = host.plugins, host, namespace, filler
        space = host.spaces[namespace]
        vectors = host.vectors(space)
        self.own = [r.id for r in space.records.values() if r.is_base]
        for id in self.own:
            filler.add(id, [t for key in space.records[id].keys for t in lexical.terms(key.text)])
        self.ids = [*self.own, *filler.records]
        self.vectors = np.vstack([*(vectors[id][0][1] for id in self.own), filler.vectors])

    def close(self) -> None:
        for id in self.own:
            self.filler.lexicon.remove(id)

    def context(self, now: datetime) -> _Context:
        return _Context(self, now)

    def fetch(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        added = {key: self.added(key[1]) for key in wanted if key[1] in self.filler.records}
        return {**self.host.fetch(wanted), **{key: r for key, r in added.items() if r is not None}}

    def added(self, id: str) -> Record | None:
        found = self.filler.records.get(id)
        return replace(found, namespace=self.namespace) if found else None


class _Context(ExactContext):
    def __init__(self, grown: Grown, now: datetime) -> None:
        super().__init__(grown.host, now, grown.host.context(now).rng)
        self._grown = grown

    def get(self, namespace: str, id: str) -> Record | None:
        return super().get(namespace, id) or self._grown.added(id)

    def began(self, namespace: str, ids: Iterable[str]) -> Mapping[str, datetime]:
        return {id: r.event.start for id in ids if (r := self.get(namespace, id)) is not None}

    def knn(self, vector: Vector, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        scores = self._grown.vectors @ vector
        rows = np.argpartition(-scores, min(k, len(scores) - 1))[: k + 1]
        return self._candidates([(self._grown.ids[row], float(scores[row])) for row in rows], k, namespace, filter)

    def bm25(self, text: str, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        if filter.kinds == ("episode",):  # those have statistics of their own
            return super().bm25(text, k, namespace, filter)
        query = {self._grown.filler.number(t): float(n) for t, n in Counter(lexical.terms(text)).items()}
        found = self._grown.filler.lexicon.search(query, k, lambda owner: True, (None, None))
        return self._candidates(found, k, namespace, filter)

    def idf(self, text: str, namespace: str) -> Mapping[str, float]:
        filler = self._grown.filler
        return {t: filler.lexicon.idf(filler.number(t)) for t in set(lexical.terms(text))}

    def _candidates(
        self, found: Iterable[tuple[str, float]], k: int, namespace: str, filter: Filter
    ) -> list[Candidate]:
        records = ((score, self.get(namespace, id)) for id, score in found)
        return best([(score, r) for score, r in records if r is not None and matches(r, filter)], k)


_: type[Context] = _Context
