"""What the ledger holds of texts that are not folded yet: a quota counts them too, whoever acknowledged them."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from itertools import islice

from services.common.ledger.entries import entry_of, text_bytes
from services.common.ledger.quota import Amount
from services.common.serving.errors import RETRY_AFTER, MnemeError
from services.episodic.write.writer import Host

_MOST = 20_000  # entries that one call reads: some tenths of a second
_RETRY_MS = "1000"


class _Texts:
    """Of one namespace, in ledger order: 16 bytes a text."""

    def __init__(self) -> None:
        self._offsets = array("q")
        self._sizes = array("q")

    def add(self, offset: int, size_bytes: int) -> None:
        self._offsets.append(offset)
        self._sizes.append(size_bytes)

    def drop_before(self, offset: int) -> None:
        gone = bisect_left(self._offsets, offset)
        del self._offsets[:gone], self._sizes[:gone]

    @property
    def is_empty(self) -> bool:
        return not self._offsets

    @property
    def amount(self) -> Amount:
        return Amount(len(self._sizes), sum(self._sizes))


class Ahead:
    """Of one partition. Every entry is read once, and only where somebody asks. Thread-safe."""

    def __init__(self, host: Host, most: int = _MOST) -> None:
        """``most``: entries that one call reads."""
        self._host = host
        self._most = most
        self._lock = threading.Lock()
        self._next = 0  # everything before is read, or folded
        self._texts: dict[str, _Texts] = {}

    def held(self, namespace: str) -> Amount:
        """What the namespace holds, by all that the ledger holds now. OVERLOADED where so much is not folded yet that
        one call does not read it all; the next one goes on. LogUnavailable."""
        with self._lock:
            self._read_on()
            held, counted = self._host.registry.held(namespace)
            texts = self._texts.get(namespace)
            if texts is None:
                return held
            texts.drop_before(counted)
            return held + texts.amount

    def _read_on(self) -> None:
        applied = self._host.applied
        for namespace, texts in list(self._texts.items()):
            texts.drop_before(applied)
            if texts.is_empty:
                del self._texts[namespace]
        start = self._next = max(self._next, applied)
        for record in islice(self._host.entries(start), self._most):
            entry = entry_of(record)
            if entry is not None and (size_bytes := text_bytes(entry)):
                self._texts.setdefault(entry.namespace, _Texts()).add(record.offset, size_bytes)
            self._next = record.offset + 1
        if self._next - start >= self._most and self._next < self._host.end():
            raise MnemeError(
                "OVERLOADED",
                "What the namespace was told before is not counted yet.",
                remedy="Send it again in a second, with the same id.",
                metadata={RETRY_AFTER: _RETRY_MS},
            )
