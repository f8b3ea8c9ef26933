"""A block store in a dictionary: what the port promises, and no more."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from services.reasoning.blocks import EngramRef, Lineage
from services.reasoning.engine.store import Block


class MemoryStore:
    """Several engines may share one."""

    def __init__(self, capacity: int) -> None:
        """``capacity`` in blocks; full, it keeps nothing more."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._frames: dict[bytes, bytes] = {}
        self._lineage: dict[bytes, Lineage] = {}
        self._computing: dict[bytes, object] = {}
        self._epochs: dict[str, int] = {}

    def of(self, owner: object) -> _MemoryClient:
        """The store as one engine sees it; ``owner`` tells its announcements from others'."""
        return _MemoryClient(self, owner)

    def drop(self, lineage: Collection[EngramRef], epochs: Mapping[str, int]) -> int:
        """Forgets every block whose lineage names one of ``lineage``; how many."""
        with self._lock:
            for namespace, epoch in epochs.items():
                self._epochs[namespace] = max(epoch, self._epochs.get(namespace, 0))
            gone = [key for key, ids in self._lineage.items() if not ids.isdisjoint(lineage)]
            for key in gone:
                del self._frames[key], self._lineage[key]
            return len(gone)

    def __len__(self) -> int:
        return len(self._frames)


class _MemoryClient:
    def __init__(self, store: MemoryStore, owner: object) -> None:
        self._s = store
        self._owner = owner

    def lookup(self, keys: Sequence[bytes]) -> int:
        with self._s._lock:
            return next((i for i, key in enumerate(keys) if key not in self._s._frames), len(keys))

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        with self._s._lock:
            for i, (key, frame) in enumerate(zip(keys, frames, strict=True)):
                found = self._s._frames.get(key)
                if found is None:
                    return i
                frame[:] = found
            return len(keys)

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        with self._s._lock:
            if any(epoch < self._s._epochs.get(name, 0) for name, epoch in epochs.items()):
                return 0
            kept = 0
            for block in blocks:
                if block.key not in self._s._frames and len(self._s._frames) < self._s._capacity:
                    self._s._frames[block.key] = bytes(block.frame)
                    self._s._lineage[block.key] = block.lineage
                    kept += 1
            return kept

    def used(self, keys: Sequence[bytes]) -> None:
        """Nothing is ever evicted."""

    def begin(self, keys: Sequence[bytes]) -> bool:
        with self._s._lock:
            if keys and self._s._computing.get(keys[0], self._owner) is not self._owner:
                return False
            for key in keys:
                self._s._computing.setdefault(key, self._owner)
            return True

    def end(self, keys: Sequence[bytes]) -> None:
        with self._s._lock:
            for key in keys:
                if self._s._computing.get(key) is self._owner:
                    del self._s._computing[key]
