"""The records of the keys topic as far as they were read: keys that are there, by id, by namespace and by time.

What is held is what the log holds, keys wrapped; what was replaced or removed there is so here once that is read.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from mneme.v1.ledger_pb2 import DataKey

from services.common.ledger import topics
from services.common.log.base import Log


class KeyRecords:
    """Thread-safe. What is asked for one id takes no lock."""

    def __init__(self, log: Log, partitions: Sequence[int] | None) -> None:
        """``partitions``: those of which ``refresh`` reads; None: all."""
        self._log = log
        self._partitions = partitions
        self._held: dict[str, bytes] = {}  # as the log has them: a parsed one takes several times the room
        self._keys: defaultdict[str, set[str]] = defaultdict(set)  # by namespace, name keys too
        self._naming: defaultdict[str, set[str]] = defaultdict(set)  # name keys by namespace
        self._trees: defaultdict[str, set[str]] = defaultdict(set)  # by name key
        self._until: dict[str, float] = {}  # of keys that are of use for so long only
        self._next: dict[int, int] = {}
        self.on_replaced: Callable[[str], None] = lambda id: None  # called with the id of what was replaced or removed
        self._reading = threading.Lock()
        self._lock = threading.Lock()

    def refresh(self, partition: int | None = None) -> None:
        """Read what is new: of one partition, or of all that are followed. LogUnavailable."""
        followed = range(self._log.partitions(topics.KEYS)) if self._partitions is None else self._partitions
        for each in followed if partition is None else [partition]:
            with self._reading:
                for record in self._log.read(topics.KEYS, each, self._next.get(each, 0)):
                    with self._lock:
                        self._read(record.key.decode(), record.value)
                    self._next[each] = record.offset + 1

    def get(self, id: str) -> bytes | None:
        """The record, serialized; None where none was read."""
        return self._held.get(id)

    def add(self, key: DataKey) -> None:
        """One that was made here and is to be appended."""
        with self._lock:
            self._read(key.key_id, key.SerializeToString())

    def drop(self, ids: Iterable[str]) -> None:
        """Forget those that were made here and are in no log."""
        with self._lock:
            for id in ids:
                self._read(id, None)

    def ids_of(self, namespace: str, *, naming: bool | None) -> list[str]:
        """Of a namespace: only its name keys, or all but them, or all."""
        with self._lock:
            names = self._naming.get(namespace, set())
            trees = (self._trees.get(id, set()) for id in names)
            others = self._keys.get(namespace, set()).union(*trees) - names
            return sorted(names if naming else others if naming is False else names | others)

    def name_key_of(self, namespace: str) -> str | None:
        """The one that is used, where several processes made one."""
        with self._lock:
            return min(self._naming.get(namespace, ()), default=None)

    def named(self) -> list[str]:
        """Namespaces that have a name key."""
        with self._lock:
            return [name for name, ids in self._naming.items() if ids]

    def over_by(self, now: float) -> list[str]:
        """Keys whose time has passed."""
        with self._lock:
            return [id for id, until in self._until.items() if until < now]

    def _read(self, id: str, value: bytes | None) -> None:
        before = self._held.pop(id, None)
        if before is not None:
            self._until.pop(id, None)
            self.on_replaced(id)
            for index, owner in self._indexes(DataKey.FromString(before)):
                index[owner].discard(id)
                if not index[owner]:
                    del index[owner]
        if value is None:
            return
        key = DataKey.FromString(value)
        self._held[id] = value
        for index, owner in self._indexes(key):
            index[owner].add(id)
        if key.until:
            self._until[id] = key.until

    def _indexes(self, key: DataKey) -> list[tuple[defaultdict[str, set[str]], str]]:
        """Where a key is listed, and under what."""
        if key.nodes:
            return [(self._trees, key.name_key_id)]
        listed = [(self._keys, key.namespace)]
        return [*listed, (self._naming, key.namespace)] if key.pseudonym else listed
