"""Time ranges of a namespace's engrams, in memory: which of them meet a range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from services.episodic.search.columns import Column, Rows, meets


class Times:
    """Event and mentioned times by engram, in microseconds. Not thread-safe: its directory locks it."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._starts = Column(np.int64)
        self._ends = Column(np.int64)
        self._is_event = Column(np.bool_)
        self._alive = Column(np.bool_)

    @property
    def size_bytes(self) -> int:
        """What it takes of memory, nearly."""
        columns = self._starts, self._ends, self._is_event, self._alive
        columns = self._starts, self._ends, self._is_event, self._alive
        return self._rows.size_bytes + sum(column.size_bytes for column in columns)

    def add(self, owner: str, event: tuple[int, int], mentioned: Iterable[tuple[int, int]]) -> None:
        for is_event, (start, end) in ((True, event), *((False, m) for m in mentioned)):
            self._rows.add(owner)
            self._starts.append(start)
            self._ends.append(end)
            self._is_event.append(is_event)
            self._alive.append(True)

    def remove(self, owner: str) -> None:
        self._alive.values[self._rows.remove(owner)] = False
        keep = self._rows.compact()
        if keep is not None:
            for column in (self._starts, self._ends, self._is_event, self._alive):
                column.keep(keep)

    def nearest(self, start: int, end: int) -> Iterator[tuple[str, int]]:
        """(owner, distance between the middles) of every time that meets [start, end), nearest first."""
        starts, ends = self._starts.values, self._ends.values
        met = np.flatnonzero(self._alive.values & meets(starts, ends, start, end))
        middle = start + (end - start) // 2
        away = np.abs(starts[met] + (ends[met] - starts[met]) // 2 - middle)
        for at in np.argsort(away, kind="stable"):
            yield self._rows.owners[met[at]], int(away[at])

    def span(self) -> tuple[int, int] | None:
        """Earliest start and latest end of the events."""
        live = self._alive.values & self._is_event.values
        if not live.any():
            return None
        return int(self._starts.values[live].min()), int(self._ends.values[live].max())
