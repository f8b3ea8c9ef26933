"""The port of eviction policies. A policy proposes; pins, quotas and sizes are the host's (``store.py``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence


class EvictionPolicy(ABC):
    """Ranks stored blocks. Knows keys and the order of events; no bytes, clock, namespaces or pins.

    The host tells every change and may ignore what it is proposed. Events of one chain come in chain order.
    """

    @abstractmethod
    def stored(self, keys: Sequence[bytes]) -> None:
        """Blocks of one chain were published."""

    @abstractmethod
    def used(self, keys: Sequence[bytes]) -> None:
        """Blocks of one chain were hit. Keys that are not stored are ignored."""

    @abstractmethod
    def removed(self, key: bytes) -> None:
        """A block is gone, for whatever reason."""

    @abstractmethod
    def victims(self) -> Iterator[bytes]:
        """All stored keys, the best to evict first. The host does not change anything while it iterates."""
