"""``mneme.state.v1`` as a process reads it, once for all partitions of the ledger that it owns."""

from __future__ import annotations

import threading

from services.common.ledger import topics
from services.common.log.base import Log


class StateTopic:
    """The newest committed value of every key. Thread-safe."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._values: dict[str, bytes] = {}
        self._next = 0
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read what is new. LogError."""
        with self._lock:
            for record in self.log.read(topics.STATE, 0, self._next):
                if record.value is None:
                    self._values.pop(record.key.decode(), None)
                else:
                    self._values[record.key.decode()] = record.value
                self._next = record.offset + 1

    def get(self, key: str) -> bytes | None:
        """As of the last refresh."""
        with self._lock:
            return self._values.get(key)

    def items(self, *prefixes: str) -> list[tuple[str, bytes]]:
        """Those whose key begins with one of ``prefixes``, in order, as of the last refresh."""
        with self._lock:
            return sorted(item for item in self._values.items() if item[0].startswith(prefixes))
