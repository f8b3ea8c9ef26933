"""How far the ledger is applied."""

from __future__ import annotations

import threading
from collections.abc import Mapping


class Progress:
    """How far the ledger is applied and visible, by partition. Thread-safe."""

    def __init__(self, partitions: int) -> None:
        self._next = [0] * partitions
        self._changed = threading.Condition()

    def advance(self, partition: int, next_offset: int) -> None:
        with self._changed:
            self._next[partition] = max(self._next[partition], next_offset)
            self._changed.notify_all()

    def reached(self, wanted: Mapping[int, int]) -> bool:
        """Whether everything before these offsets is visible."""
        with self._changed:
            return all(self._next[partition] >= offset for partition, offset in wanted.items())

    def snapshot(self) -> list[int]:
        with self._changed:
            return list(self._next)

    def wait(self, wanted: Mapping[int, int], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: all(self._next[p] >= offset for p, offset in wanted.items()), timeout_s
            )
