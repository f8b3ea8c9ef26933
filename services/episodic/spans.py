"""Time ranges of a namespace's engrams, in memory: which of them meet a range."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from services.episodic.columns import Column


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

    def meeting(self, start: int, end: int) -> dict[str, int]:
        """Owners of a time that meets [start, end), with the least distance between the middles. A time without
        length counts as a point."""
        starts, ends = self._starts.values, self._ends.values
        met = self._alive.values & (np.maximum(ends, starts + 1) > start) & (starts < end)
        middle = start + (end - start) // 2
        away: dict[str, int] = {}
        for number in np.flatnonzero(met):
            owner = self._owners[number]
            distance = abs(int(starts[number]) + (int(ends[number]) - int(starts[number])) // 2 - middle)
            away[owner] = min(distance, away.get(owner, distance))
        return away

    def span(self) -> tuple[int, int] | None:
        """Earliest start and latest end of the events."""
        live = self._alive.values & self._is_event.values
        if not live.any():
            return None
        return int(self._starts.values[live].min()), int(self._ends.values[live].max())
