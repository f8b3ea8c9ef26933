"""Records for a namespace that nobody has created yet: held a while, in order, for it may be created a moment later.

In memory alone. Their partition's offset is not committed past the first of them, so whoever takes over reads them
again; what behind them was taken meanwhile comes again too, and is known by its id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from services.common.log.base import Record, TopicPartition

MAX_HELD = 1_000  # records of one topic; more are refused at once
MAX_HELD_BYTES = 32 * 1024 * 1024  # of their values
_LOOK_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: Record
    namespace: str
    until: float

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)

    @property
    def size_bytes(self) -> int:
        return len(self.record.value or b"")


class Held:
    """Not thread-safe."""

    def __init__(self, wait_s: float) -> None:
        """``wait_s``: 0 holds nothing."""
        self._wait_s = wait_s
        self._waiting: list[_Waiting] = []
        self._namespaces: set[str] = set()
        self._looked_at = 0.0

    def waits_for(self, namespace: str) -> bool:
        """Whether a record of this namespace is held: one behind it must not overtake it."""
        return namespace in self._namespaces

    def hold(self, record: Record, namespace: str) -> bool:
        """Hold it, behind what is held; False where its topic has as many held as may be, or none is to be."""
        same = [w for w in self._waiting if w.record.topic == record.topic]
        one = _Waiting(record, namespace, time.monotonic() + self._wait_s)
        full = len(same) >= MAX_HELD or sum(w.size_bytes for w in (*same, one)) > MAX_HELD_BYTES
        if full or not self._wait_s:
            return False
        self._keep([*self._waiting, one])
        return True

    def due(self, exists: Callable[[str], bool]) -> list[Record]:
        """Release those whose namespace exists by now, and those that waited long enough; in order."""
        now = time.monotonic()
        if not self._waiting or now - self._looked_at < _LOOK_PERIOD_S:
            return []
        self._looked_at = now
        created = {name for name in self._namespaces if exists(name)}
        released = [w for w in self._waiting if w.namespace in created or w.until <= now]
        self._keep([w for w in self._waiting if w.namespace not in created and w.until > now])
        return [w.record for w in released]

    def first(self, partition: TopicPartition) -> int | None:
        """The offset of the first that is held of a partition."""
        return min((w.record.offset for w in self._waiting if w.partition == partition), default=None)

    def keep(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of what lies in other partitions: whoever has those reads it."""
        if self._waiting:
            self._keep([w for w in self._waiting if w.partition in partitions])

    def clear(self) -> None:
        self._keep([])

    def _keep(self, waiting: list[_Waiting]) -> None:
        self._waiting = waiting
        self._namespaces = {w.namespace for w in waiting}
