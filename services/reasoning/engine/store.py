"""The block store, as the engine sees it: opaque frames under keys. Losing all of it costs time only."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.reasoning.blocks import EngramRef, Lineage


class StoreFailure(Exception):
    """The store did not answer, not in time, or not soundly. To the engine: a miss, counted."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block to be kept. ``frame`` is the caller's again once ``put`` returns."""

    key: bytes
    parent: bytes
    frame: memoryview
    lineage: Lineage


class BlockStore(Protocol):
    """Every call keeps a deadline of its own and raises nothing but StoreFailure.

    A frame is the stored form of a block: ``[layer][kv_head][K, V][16][head_dim]``, ``blocks.Frame.nbytes`` bytes.
    ``lookup``, ``load``, ``begin`` and ``used`` are called between steps, so they should take milliseconds at most;
    ``put`` and ``end`` may be called from a thread of their own, one at a time.
    """

    def lookup(self, keys: Sequence[bytes]) -> int:
        """How many of ``keys`` are there, counted from the first: the longest prefix. A hint; ``load`` decides."""
        ...

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        """Fills ``frames`` with the verified bytes of ``keys``; how many, up to the first that is not there.

        What a frame past the count holds is undefined.
        """
        ...

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        """Keeps blocks of one chain, in its order; how many. First put wins.

        ``namespace``: acted for. Blocks are not kept when they are there already, when there is no room, or when one
        of ``epochs`` is out of date.
        """
        ...

    def begin(self, keys: Sequence[bytes]) -> bool:
        """Announces that the caller computes ``keys``, for a time that the store bounds.

        False when somebody else has announced the first of them, or it has just come: look up again; nothing is
        announced. True otherwise; those that nobody has announced are the caller's.
        """
        ...

    def end(self, keys: Sequence[bytes]) -> None:
        """Takes back the caller's announcements: put, or given up. Others than the caller's are left alone."""
        ...

    def used(self, keys: Sequence[bytes]) -> None:
        """A whole chain was used just now, so that its end is evicted before its beginning. A hint."""
        ...


class MemoryStore:
    """A dictionary: the naive BlockStore, and the specification of the others. Several engines may share one."""

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
