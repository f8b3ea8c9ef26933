"""Time ranges of a namespace's engrams, in memory: which of them meet a range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from services.episodic.columns import Column, meets


class Times:
    """Event and mentioned times by engram, in microseconds. Not thread-safe: its directory locks it."""

    def __init__(self) -> None:
        self._starts = Column(np.int64)
        self._ends = Column(np.int64)
        self._is_event = Column(np.bool_)
        self._alive = Column(np.bool_)
        self._owners: list[str] = []
        self._of: dict[str, list[int]] = {}

    def add(self, owner: str, event: tuple[int, int], mentioned: Iterable[tuple[int, int]]) -> None:
        for is_event, (start, end) in ((True, event), *((False, m) for m in mentioned)):
            self._of.setdefault(owner, []).append(len(self._owners))
            self._owners.append(owner)
            self._starts.append(start)
            self._ends.append(end)
            self._is_event.append(is_event)
            self._alive.append(True)

    def remove(self, owner: str) -> None:
        for number in self._of.pop(owner, ()):
            self._alive.values[number] = False

    def nearest(self, start: int, end: int) -> Iterator[tuple[str, int]]:
        """(owner, distance between the middles) of every time that meets [start, end), nearest first."""
        starts, ends = self._starts.values, self._ends.values
        met = np.flatnonzero(self._alive.values & meets(starts, ends, start, end))
        middle = start + (end - start) // 2
        away = np.abs(starts[met] + (ends[met] - starts[met]) // 2 - middle)
        for at in np.argsort(away, kind="stable"):
            yield self._owners[met[at]], int(away[at])

    def span(self) -> tuple[int, int] | None:
        """Earliest start and latest end of the events."""
        live = self._alive.values & self._is_event.values
        if not live.any():
            return None
        return int(self._starts.values[live].min()), int(self._ends.values[live].max())
