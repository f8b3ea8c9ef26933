"""Nearest dense keys of one namespace, exact, in memory: what the embedded index searches by.

Milvus Lite walks every row in Python under the interpreter's lock: 18 ms for a search over 20,000 rows, in which no
other call of the process moves. The same search here is one matrix product of 1 ms that holds no lock. It costs
1.5 KiB of memory a key, so a Milvus server, which is for more than that, is searched there (HNSW).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.embed import DIMENSION
from services.episodic.columns import Column, meets
from services.episodic.plugins.base import Vector

_FIRST_LOOK = 256
_REWRITE_FROM = 1_024


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Keys as they were: rows are only ever appended, so it can be searched while others write."""

    rows: npt.NDArray[np.float32]  # [n, DIMENSION], unit
    weights: npt.NDArray[np.float32]  # [n], 0 where the key is gone
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    owners: list[str]  # may have grown since

    def nearest(self, vector: Vector, start_us: int | None, end_us: int | None) -> Iterator[tuple[str, float]]:
        """(owner, cosine x weight, rounded to 1e-6), best first, of every key whose event meets [start, end).

        An owner comes once for each of its keys.
        """
        there = (self.weights > 0.0) & meets(self.starts, self.ends, start_us, end_us)
        numbers = np.flatnonzero(there)
        # Few: only those. Many: the whole product is cheaper than a copy of the rows.
        rows = self.rows[numbers] @ vector if len(numbers) * 4 < len(there) else (self.rows @ vector)[numbers]
        scores = np.round(rows.astype(np.float64) * self.weights[numbers], 6)
        for at in _descending(scores):
            yield self.owners[numbers[at]], float(scores[at])


def _descending(scores: npt.NDArray[np.float64]) -> Iterator[int]:
    """Places by score, the best sorted first and the rest only where somebody reads on."""
    if len(scores) <= _FIRST_LOOK:
        yield from np.argsort(-scores, kind="stable").tolist()
        return
    parted = np.argpartition(-scores, _FIRST_LOOK)
    for part in (parted[:_FIRST_LOOK], parted[_FIRST_LOOK:]):
        yield from part[np.argsort(-scores[part], kind="stable")].tolist()


class Vectors:
    """Dense keys of one namespace. Not thread-safe, but for what ``snapshot`` returned: its directory locks it."""

    def __init__(self) -> None:
        self._rows = np.empty((8, DIMENSION), np.float32)
        self._weights = Column(np.float32)  # 0 once removed
        self._starts = Column(np.int64)
        self._ends = Column(np.int64)
        self._owners: list[str] = []
        self._of: dict[str, list[int]] = {}
        self._count = 0

    def add(self, owner: str, vector: Vector, weight: float, event: tuple[int, int]) -> None:
        """Add a key of engram ``owner``: unit ``vector``, its weight in the score, its event in microseconds."""
        number = len(self._owners)
        if number == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[number] = vector
        self._weights.append(weight)
        self._starts.append(event[0])
        self._ends.append(event[1])
        self._owners.append(owner)
        self._of.setdefault(owner, []).append(number)
        self._count += 1

    def remove(self, owner: str) -> None:
        """Forget the keys of an engram, bytes and all; rewritten whole once half of all are dead."""
        for number in self._of.pop(owner, ()):
            self._weights.values[number] = 0.0
            self._rows[number] = 0.0
            self._count -= 1
        if len(self._owners) > _REWRITE_FROM and self._count * 2 < len(self._owners):
            self._rewrite()

    def snapshot(self) -> Snapshot:
        n = len(self._owners)
        weights, starts, ends = self._weights.values, self._starts.values, self._ends.values
        return Snapshot(self._rows[:n], weights, starts, ends, self._owners)

    def _rewrite(self) -> None:
        fresh = Vectors()
        for owner, numbers in self._of.items():
            for n in numbers:
                event = int(self._starts.values[n]), int(self._ends.values[n])
                fresh.add(owner, self._rows[n], float(self._weights.values[n]), event)
        self.__dict__.update(fresh.__dict__)
