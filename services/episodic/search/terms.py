"""BM25 over one namespace, exact, in memory.

Terms are keyed hashes; a document is one lexical key of an engram. The counts live in the index (its sparse field)
and are read back from there at start. Searching them here and not there keeps the statistics of one tenant free of
every other's and always exact, and costs 1 ms at 20,000 documents where the embedded index takes 17.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.common.text.lexical import K1, B, idf
from services.episodic.search.columns import Column, Rows, meets


class Lexicon:
    """Documents of one namespace and their statistics. Not thread-safe: its directory locks it."""

    def __init__(self) -> None:
        self._postings: dict[int, tuple[Column, Column]] = {}  # term -> documents, counts
        self._frequency: dict[int, int] = {}
        self._rows = Rows()  # documents
        self._terms: list[Sequence[int]] = []  # of each document; () once removed
        self._weights = Column(np.float64)  # 0 once removed
        self._lengths = Column(np.float64)
        self._starts = Column(np.int64)
        self._ends = Column(np.int64)
        self._total = 0.0

    @property
    def documents(self) -> int:
        return self._rows.live

    def add(self, owner: str, counts: Mapping[int, int], weight: float, event: tuple[int, int]) -> None:
        """Add a document of engram ``owner``: how often it holds each term, and its event in microseconds."""
        number = self._rows.add(owner)
        length = float(sum(counts.values()))
        self._terms.append(tuple(counts))
        self._weights.append(weight)
        self._lengths.append(length)
        self._starts.append(event[0])
        self._ends.append(event[1])
        self._total += length
        for term, count in counts.items():
            documents, numbers = self._postings.setdefault(term, (Column(np.int64), Column(np.float64)))
            documents.append(number)
            numbers.append(count)
            self._frequency[term] = self._frequency.get(term, 0) + 1

    def remove(self, owner: str) -> None:
        """Forget the documents of an engram."""
        for number in self._rows.remove(owner):
            for term in self._terms[number]:
                self._frequency[term] -= 1
            self._terms[number] = ()
            self._total -= float(self._lengths.values[number])
            self._weights.values[number] = 0.0
        keep = self._rows.compact()
        if keep is not None:
            self._keep(keep)

    def idf(self, term: int) -> float:
        return idf(self.documents, self._frequency.get(term, 0))

    def search(
        self, query: Mapping[int, float], k: int, allowed: Callable[[str], bool], during: tuple[int | None, int | None]
    ) -> list[tuple[str, float]]:
        """The ``k`` best engrams with their scores, and every one that ties with the last; best first.

        ``query`` maps terms to how often the query says them. An engram counts by its best document, and only where
        its event meets the range ``during``.
        """
        if not self.documents or k <= 0:
            return []
        scores = np.zeros(len(self._rows))
        norm = K1 * (1.0 - B + B * np.asarray(self._lengths.values) * (self.documents / max(self._total, 1.0)))
        for term, times in sorted(query.items()):
            found = self._postings.get(term)
            if found is not None and self._frequency[term]:
                rows, counts = found[0].values, found[1].values
                scores[rows] += times * self.idf(term) * counts * (K1 + 1.0) / (counts + norm[rows])
        scores *= self._weights.values
        if during != (None, None):
            scores *= meets(self._starts.values, self._ends.values, *during)
        return self._best(np.round(scores, 6), k, allowed)

    def _best(self, scores: npt.NDArray[np.float64], k: int, allowed: Callable[[str], bool]) -> list[tuple[str, float]]:
        hits = np.flatnonzero(scores)
        best: dict[str, float] = {}
        last = 0.0
        for number in hits[np.argsort(-scores[hits], kind="stable")]:
            score, owner = float(scores[number]), self._rows.owners[number]
            if len(best) >= k and score < last:
                break
            if owner not in best and allowed(owner):
                best[owner] = last = score
        return list(best.items())

    def _keep(self, documents: npt.NDArray[np.int64]) -> None:
        """Only these, numbered from 0; and only terms that one of them holds."""
        renumbered = np.full(len(self._terms), -1, np.int64)
        renumbered[documents] = np.arange(len(documents))
        self._terms = [self._terms[n] for n in documents]
        for column in (self._weights, self._lengths, self._starts, self._ends):
            column.keep(documents)
        self._frequency = {term: count for term, count in self._frequency.items() if count}
        self._postings = {term: self._postings[term] for term in self._frequency}
        for held_by, counts in self._postings.values():
            numbers = renumbered[held_by.values]
            live = np.flatnonzero(numbers >= 0)
            held_by.keep(live)
            held_by.values[:] = numbers[live]
            counts.keep(live)
