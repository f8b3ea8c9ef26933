"""The shared index: an open hash table of buckets, found without asking anybody.

A key lies in one of two buckets of eight, chosen by its own bits, and never moves; so a reader looks at sixteen
places and is done, and a removed key leaves no tombstone. Readers look up whole chains at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.kvstore import layout
from services.kvstore.layout import ENTRY_BYTES, KEY_BYTES, WAYS, Header

_EMPTY = bytes(KEY_BYTES)


class IndexReader:
    """Finds keys in a mapping of the arena. Knows no payload; what it finds must be verified."""

    def __init__(self, header: Header, mapping: Any) -> None:
        self._mask = np.uint64(header.buckets - 1)
        words = np.frombuffer(mapping, "<u8", header.buckets * WAYS * 2, header.keys_offset)
        self._buckets: npt.NDArray[np.uint64] = words.reshape(header.buckets, WAYS, 2)

    def find(self, keys: Sequence[bytes]) -> list[int]:
        """The entry of each key, -1 where it has none."""
        wanted = np.frombuffer(b"".join(keys), "<u8").reshape(len(keys), 2)
        homes = (wanted & self._mask).astype(np.int64)  # two buckets a key: its low and its high half
        rows = self._buckets[homes]  # [key, home, way, half]
        same = (rows == wanted[:, None, None, :]).all(axis=3).reshape(len(keys), 2 * WAYS)
        place = same.argmax(axis=1)
        each = np.arange(len(keys))
        entry = homes[each, place // WAYS] * WAYS + place % WAYS
        found: list[int] = np.where(same[each, place], entry, -1).tolist()
        return found


class IndexWriter:
    """The owner's side: publishes and withdraws entries, one writer only."""

    def __init__(self, header: Header, mapping: memoryview) -> None:
        self._header = header
        self._bytes = mapping
        self._words = mapping.cast("Q")

    def homes(self, key: bytes) -> list[int]:
        """Every entry where ``key`` may lie."""
        mask = self._header.buckets - 1
        low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
        first, second = (low & mask) * WAYS, (high & mask) * WAYS
        return list(dict.fromkeys([*range(first, first + WAYS), *range(second, second + WAYS)]))

    def key_at(self, entry: int) -> bytes:
        at = self._key_at(entry)
        return bytes(self._bytes[at : at + KEY_BYTES])

    def is_free(self, entry: int) -> bool:
        return self.key_at(entry) == _EMPTY

    def publish(self, entry: int, key: bytes, offset: int, length: int, digest: bytes, identity: bytes) -> None:
        """Make a block findable. Its payload must be in place already."""
        word = self._sequence_word(entry)
        sequence = (self._words[word] | 1) + 1
        self._words[word] = sequence - 1  # odd: being written
        raw = layout.pack_entry(key, sequence, offset, length, self._header.owner_epoch, digest, identity)
        at = self._entry_at(entry)
        self._bytes[at + 8 : at + len(raw)] = raw[8:]
        at = self._key_at(entry)
        self._bytes[at : at + KEY_BYTES] = key
        self._words[word] = sequence

    def withdraw(self, entry: int) -> None:
        """Make a block unfindable, at once and for readers in the middle of a copy too."""
        word = self._sequence_word(entry)
        self._words[word] |= 1
        at = self._key_at(entry)
        self._bytes[at : at + KEY_BYTES] = _EMPTY
        at = self._entry_at(entry)
        self._bytes[at + 8 : at + ENTRY_BYTES] = bytes(ENTRY_BYTES - 8)

    def is_intact(self, entry: int, key: bytes) -> bool:
        """Whether the published entry is what ``publish`` wrote for this key."""
        at = self._entry_at(entry)
        body = bytes(self._bytes[at : at + layout.ENTRY_BODY_BYTES])
        check = self._words[(at + layout.ENTRY_BODY_BYTES) // 8]
        return self.key_at(entry) == key and not body[0] & 1 and layout.entry_check(body, key) == check

    def release(self) -> None:
        self._words.release()

    def _key_at(self, entry: int) -> int:
        return self._header.keys_offset + entry * KEY_BYTES

    def _entry_at(self, entry: int) -> int:
        return self._header.entries_offset + entry * ENTRY_BYTES

    def _sequence_word(self, entry: int) -> int:
        return self._entry_at(entry) // 8
