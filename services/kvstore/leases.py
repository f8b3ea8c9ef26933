"""Leases: blocks that must not be evicted while their holder copies them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class _Lease:
    holder: str
    keys: tuple[bytes, ...]
    ends_at: float


class Leases:
    """Pins by key, bounded in number (``limit`` leases) and in time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._leases: dict[int, _Lease] = {}
        self._pins: Counter[bytes] = Counter()
        self._ids = itertools.count(1)

    def __len__(self) -> int:
        return len(self._leases)

    def take(self, holder: str, keys: Sequence[bytes], ends_at: float) -> int | None:
        """A new lease, or None when there are too many."""
        if len(self._leases) >= self._limit:
            return None
        number = next(self._ids)
        self._leases[number] = _Lease(holder, tuple(keys), ends_at)
        self._pins.update(keys)
        return number

    def is_pinned(self, key: bytes) -> bool:
        return key in self._pins

    def release(self, number: int, holder: str) -> None:
        lease = self._leases.get(number)
        if lease is not None and lease.holder == holder:
            self._end(number)

    def expire(self, now: float) -> int:
        dead = [number for number, lease in self._leases.items() if lease.ends_at <= now]
        for number in dead:
            self._end(number)
        return len(dead)

    def _end(self, number: int) -> None:
        for key in self._leases.pop(number).keys:
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]
