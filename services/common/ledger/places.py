"""Where the ledger holds what a namespace was told, so that no other's entries are read to find it again.

8 bytes an entry, and for each episode 4 bytes an observation.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass

from mneme.v1.ledger_pb2 import LedgerEntry, StoredBoundary, StoredPlaces

from services.common.ledger.entries import seals_in

_PREFIX = 4  # bytes of an observation's hash; whoever looks for one reads the entry, and knows it by all of them


@dataclass(slots=True)
class Usage:
    """Of the texts that a namespace was told, erased ones too."""

    texts: int = 0
    bytes: int = 0  # as they are sealed in the ledger
    newest_us: int = 0  # Unix microseconds, by the clock of whoever wrote it; 0: there are none


class Places:
    """Ledger offsets of one namespace. Not thread-safe."""

    def __init__(self) -> None:
        self._told = array("q")  # ascending
        # By session: the offset of each boundary, and the beginnings of what it holds.
        self._boundaries: dict[bytes, dict[int, bytes]] = {}
        self.usage = Usage()

    def add(self, entry: LedgerEntry, offset: int) -> None:
        """Entries come in ledger order; again is once."""
        if self._told and offset <= self._told[-1]:
            return
        self._told.append(offset)
        if entry.HasField("episode_closed"):
            closed = entry.episode_closed
            held = b"".join(mac[:_PREFIX] for mac in closed.id_macs)
            self._boundaries.setdefault(closed.session_mac, {})[offset] = held
            return
        usage, at = self.usage, entry.ingested_at
        usage.texts += 1
        usage.bytes += sum(len(sealed.ciphertext) for sealed, _, id_mac in seals_in(entry) if id_mac)
        usage.newest_us = max(usage.newest_us, at.seconds * 1_000_000 + at.nanos // 1_000)

    def told(self, end: float) -> list[int]:
        """Of everything told before ``end``."""
        return list(self._told[: bisect_left(self._told, end)])

    def newest(self, end: float) -> int:
        """The last told before ``end``; -1 where nothing was."""
        count = bisect_left(self._told, end)
        return self._told[count - 1] if count else -1

    def boundaries(self, session_mac: bytes, id_mac: bytes = b"") -> list[int]:
        """Of a session's episodes; of those that may hold an observation, where one is named."""
        held = self._boundaries.get(session_mac, {})
        return [offset for offset, macs in held.items() if id_mac[:_PREFIX] in macs]

    def stored(self) -> StoredPlaces:
        boundaries = [
            StoredBoundary(session_mac=session_mac, offset=offset, held=held)
            for session_mac, session in self._boundaries.items()
            for offset, held in session.items()
        ]
        stored = StoredPlaces(told=self._told, boundaries=boundaries, bytes=self.usage.bytes)
        stored.newest.FromMicroseconds(self.usage.newest_us)
        return stored

    @staticmethod
    def restored(one: StoredPlaces) -> Places:
        places = Places()
        places._told.extend(one.told)
        for boundary in one.boundaries:
            places._boundaries.setdefault(boundary.session_mac, {})[boundary.offset] = boundary.held
        texts = len(one.told) - len(one.boundaries)
        places.usage = Usage(texts, one.bytes, one.newest.ToMicroseconds())
        return places
