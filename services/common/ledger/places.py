"""Where the ledger holds what a namespace was told, so that no other's entries are read to find it again.

12 bytes an entry, and for each episode 4 bytes an observation.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from mneme.v1.ledger_pb2 import LedgerEntry, StoredBoundary, StoredPlaces

from services.common.ledger.entries import text_bytes

_PREFIX = 4  # bytes of an observation's hash; whoever looks for one reads the entry, and knows it by all of them


class Places:
    """Ledger offsets of one namespace. Not thread-safe."""

    def __init__(self) -> None:
        self._told = array("q")  # ascending
        self._sizes = array("I")  # of each of these, the bytes of its text; of a boundary 0
        # By session: the offset of each boundary, and the beginnings of what it holds.
        self._boundaries: dict[bytes, dict[int, bytes]] = {}

    def add(self, entry: LedgerEntry, offset: int) -> None:
        """Entries come in ledger order; again is once."""
        if self._told and offset <= self._told[-1]:
            return
        self._told.append(offset)
        self._sizes.append(text_bytes(entry))
        if entry.HasField("episode_closed"):
            closed = entry.episode_closed
            held = b"".join(mac[:_PREFIX] for mac in closed.id_macs)
            self._boundaries.setdefault(closed.session_mac, {})[offset] = held

    def told(self, end: float) -> list[int]:
        """Of everything told before ``end``."""
        return list(self._told[: bisect_left(self._told, end)])

    def sizes(self, offsets: Iterable[int]) -> list[int]:
        """Bytes of the texts that were told there, as they are sealed; 0 where nothing was."""
        places = ((offset, bisect_left(self._told, offset)) for offset in offsets)
        return [
            self._sizes[place] if place < len(self._told) and self._told[place] == offset else 0
            for offset, place in places
        ]

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
        return StoredPlaces(told=self._told, sizes=self._sizes, boundaries=boundaries)

    @staticmethod
    def restored(one: StoredPlaces) -> Places:
        places = Places()
        places._told.extend(one.told)
        places._sizes.extend(one.sizes)
        for boundary in one.boundaries:
            places._boundaries.setdefault(boundary.session_mac, {})[boundary.offset] = boundary.held
        return places
