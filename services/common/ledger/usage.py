"""How much a namespace was told, counted as the ledger is folded."""

from __future__ import annotations

from dataclasses import dataclass

from mneme.v1.ledger_pb2 import LedgerEntry, StoredUsage

from services.common.ledger.entries import text_bytes


@dataclass(slots=True)
class Usage:
    """Of the texts that a namespace was told, erased ones too."""

    texts: int = 0
    bytes: int = 0  # as they are sealed in the ledger
    erased_bytes: int = 0  # of those that are erased
    newest_us: int = 0  # Unix microseconds, by the clock of whoever wrote it; 0: there are none
    next: int = 0  # the offset behind the last that is counted

    def add(self, entry: LedgerEntry, offset: int) -> None:
        """A text. Entries come in ledger order; again is once."""
        if offset < self.next:
            return
        at = entry.ingested_at
        self.next = offset + 1
        self.texts += 1
        self.bytes += text_bytes(entry)
        self.newest_us = max(self.newest_us, at.seconds * 1_000_000 + at.nanos // 1_000)

    def stored(self) -> StoredUsage:
        stored = StoredUsage(texts=self.texts, bytes=self.bytes, erased_bytes=self.erased_bytes, next=self.next)
        stored.newest.FromMicroseconds(self.newest_us)
        return stored

    @staticmethod
    def restored(one: StoredUsage) -> Usage:
        return Usage(one.texts, one.bytes, one.erased_bytes, one.newest.ToMicroseconds(), one.next)
