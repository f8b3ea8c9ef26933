"""The shared index: an open hash table of buckets, found without asking anybody.

A key lies in one of two buckets of eight, chosen by its own bits, and never moves; so a reader looks at sixteen
places and is done, and a removed key leaves no tombstone.
"""

from __future__ import annotations

import mmap
import struct

from services.kvstore import layout
from services.kvstore.layout import ENTRY_BYTES, KEY_BYTES, WAYS, Header

_EMPTY = bytes(KEY_BYTES)
_HALVES = struct.Struct("<QQ")  # a key's two buckets: its low and its high half, modulo their number
_BUCKET_BYTES = WAYS * KEY_BYTES


class IndexReader:
    """Finds keys in a mapping of the arena. What it finds must be verified.

    Plain Python on purpose: a key costs 0.6 us, and a call no more than its keys. Vectorised with numpy, a key costs
    0.4 us and a call 90 us on top as soon as a copy of some megabytes has emptied the caches.
    """

    def __init__(self, header: Header, mapping: mmap.mmap) -> None:
        self._search = mapping.find
        self._mask = header.buckets - 1
        self._keys_offset = header.keys_offset
        self._entries_offset = header.entries_offset

    def find(self, key: bytes) -> int:
        """Where the entry of ``key`` is in the mapping, or -1."""
        search, mask, keys_offset = self._search, self._mask, self._keys_offset
        for home in _HALVES.unpack(key):
            at: int = keys_offset + (home & mask) * _BUCKET_BYTES
            place = search(key, at, at + _BUCKET_BYTES)
            while place >= 0:
                if not place % KEY_BYTES:  # the keys' offset is a multiple of it
                    return self._entries_offset + (place - keys_offset) // KEY_BYTES * ENTRY_BYTES
                place = search(key, place + 1, at + _BUCKET_BYTES)
        return -1


class IndexWriter:
    """The owner's side: publishes and withdraws entries, one writer only."""

    def __init__(self, header: Header, mapping: memoryview) -> None:
        self._header = header
        self._bytes = mapping
        self._words = mapping.cast("Q")

    def homes(self, key: bytes) -> list[int]:
        """Every entry where ``key`` may lie."""
        mask = self._header.buckets - 1
        first, second = ((half & mask) * WAYS for half in _HALVES.unpack(key))
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

    def is_intact(self, entry: int, key: bytes, offset: int, length: int, digest: bytes, identity: bytes) -> bool:
        """Whether the entry is what ``publish`` wrote from these."""
        sequence = self._words[self._sequence_word(entry)]
        raw = layout.pack_entry(key, sequence, offset, length, self._header.owner_epoch, digest, identity)
        at = self._entry_at(entry)
        return self.key_at(entry) == key and not sequence & 1 and self._bytes[at : at + len(raw)] == raw

    def release(self) -> None:
        self._words.release()

    def _key_at(self, entry: int) -> int:
        return self._header.keys_offset + entry * KEY_BYTES

    def _entry_at(self, entry: int) -> int:
        return self._header.entries_offset + entry * ENTRY_BYTES

    def _sequence_word(self, entry: int) -> int:
        return self._entry_at(entry) // 8
