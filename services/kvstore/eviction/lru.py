"""Least recently used. The naive policy: the specification and the baseline."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from services.kvstore.eviction.base import EvictionPolicy


class LeastRecentlyUsed(EvictionPolicy):
    """Of one chain the end goes first: without its beginning nothing after it can be used."""

    def __init__(self) -> None:
        self._order: OrderedDict[bytes, None] = OrderedDict()

    def stored(self, keys: Sequence[bytes]) -> None:
        for key in reversed(keys):
            self._order[key] = None
            self._order.move_to_end(key)

    def used(self, keys: Sequence[bytes]) -> None:
        for key in reversed(keys):
            if key in self._order:
                self._order.move_to_end(key)

    def removed(self, key: bytes) -> None:
        self._order.pop(key, None)

    def victims(self) -> Iterator[bytes]:
        return iter(self._order)
