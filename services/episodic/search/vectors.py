"""Nearest dense keys of one namespace, exact, in memory: what is searched where the index is embedded.

A search over 20,000 keys is one matrix product of 1 ms that holds no lock of the interpreter's. It costs
1.5 KiB of memory a key, so a Milvus server, which is for more than that, is searched there (HNSW).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.common.models.embed import DIMENSION, cosines
from services.episodic.plugins.base import Vector
from services.episodic.search.columns import Column, Rows, meets

_Numbers: TypeAlias = npt.NDArray[np.int64]
_FIRST_LOOK = 256
_COPIED = 4_096  # rows
_NEARLY = 1e-5  # more than a product in float32 of unit vectors is off by


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Keys as they were, searched while others write: rows are only ever appended, and wiped when no search that may
    see them is under way any more."""

    number: int
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
        for number, score in self._best(numbers, vector):
            yield self.owners[number], score

    def _best(self, numbers: _Numbers, vector: Vector) -> Iterator[tuple[int, float]]:
        """Rows with their scores, the best sorted first and the rest only where somebody reads on."""
        if len(numbers) > _FIRST_LOOK:
            near = self._nearly(numbers, vector)
            least = float(np.partition(near, -_FIRST_LOOK)[-_FIRST_LOOK])
            first = numbers[near >= least - _NEARLY]
            sure = [(number, score) for number, score in self._sorted(first, vector) if score >= least]
            yield from sure
            numbers = np.setdiff1d(numbers, [number for number, _ in sure], assume_unique=True)
        yield from self._sorted(numbers, vector)

    def _nearly(self, numbers: _Numbers, vector: Vector) -> npt.NDArray[np.float32]:
        """Scores but for their last digits."""
        # Few: only those. Many: the whole product is cheaper than a copy of the rows.
        few = len(numbers) * 4 < len(self.weights)
        product = self.rows[numbers] @ vector if few else (self.rows @ vector)[numbers]
        return np.asarray(product * self.weights[numbers])

    def _sorted(self, numbers: _Numbers, vector: Vector) -> list[tuple[int, float]]:
        scores = np.concatenate([np.empty(0), *(self._scores(part, vector) for part in _parts(numbers))])
        order = np.argsort(-scores, kind="stable")
        return list(zip(numbers[order].tolist(), scores[order].tolist(), strict=True))

    def _scores(self, numbers: _Numbers, vector: Vector) -> npt.NDArray[np.float64]:
        return np.round(cosines(self.rows[numbers], vector) * self.weights[numbers], 6)


def _parts(numbers: _Numbers) -> Iterator[_Numbers]:
    """So that few rows at a time are copied."""
    return (numbers[start : start + _COPIED] for start in range(0, len(numbers), _COPIED))


class Vectors:
    """Dense keys of one namespace. Not thread-safe, but for what ``snapshot`` returned: its directory locks it."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._vectors = Column(np.float32, DIMENSION)
        self._weights = Column(np.float32)  # 0 once removed
        self._starts = Column(np.int64)
        self._ends = Column(np.int64)
        self._snapshots = 0  # so far
        self._searched: set[int] = set()  # numbers of those that are not ended
        self._dead: deque[tuple[int, list[int]]] = deque()  # rows not yet wiped, and the last snapshot that shows them

    @property
    def size_bytes(self) -> int:
        """What it takes of memory, nearly."""
        columns = self._vectors, self._weights, self._starts, self._ends
        return self._rows.size_bytes + sum(column.size_bytes for column in columns)

    def add(self, owner: str, vector: Vector, weight: float, event: tuple[int, int]) -> None:
        """Add a key of engram ``owner``: unit ``vector``, its weight in the score, its event in microseconds."""
        self._rows.add(owner)
        self._vectors.append(vector)
        self._weights.append(weight)
        self._starts.append(event[0])
        self._ends.append(event[1])

    def fit(self) -> None:
        """Take no room for more vectors than there are, until one is added."""
        self._vectors.fit()

    def remove(self, owner: str) -> None:
        """Forget the keys of an engram, and their bytes as soon as no search reads them."""
        dead = self._rows.remove(owner)
        self._weights.values[dead] = 0.0
        self._dead.append((self._snapshots, dead))
        self._wipe()
        keep = self._rows.compact()
        if keep is not None:
            self._dead.clear()
            for column in (self._vectors, self._weights, self._starts, self._ends):
                column.keep(keep)

    def snapshot(self) -> Snapshot:
        """What there is now. ``end`` it, or nothing is wiped any more."""
        self._snapshots += 1
        self._searched.add(self._snapshots)
        weights = self._weights.values.copy()  # 5 us at 20,000 keys
        starts, ends = self._starts.values, self._ends.values
        return Snapshot(self._snapshots, self._vectors.values, weights, starts, ends, self._rows.owners)

    def end(self, snapshot: Snapshot) -> None:
        """It is not searched any more."""
        self._searched.discard(snapshot.number)
        self._wipe()

    def _wipe(self) -> None:
        oldest = min(self._searched, default=self._snapshots + 1)
        while self._dead and self._dead[0][0] < oldest:
            _, rows = self._dead.popleft()
            self._vectors.values[rows] = 0.0
