"""Spoils the bytes of a real arena, behind its owner's back."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import NamedTuple

from services.kvstore import layout
from services.kvstore.layout import ENTRY, ENTRY_BYTES, KEY_BYTES, PAGE, Header


class Entry(NamedTuple):
    sequence: int
    offset: int
    length: int
    epoch: int
    digest: bytes
    identity: bytes
    check: int


class ArenaBytes:
    """Writes where only the owner should."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        self.header = Header.unpack(self.map[:PAGE])

    def key_at(self, key: bytes) -> int:
        at = self.map.find(key, self.header.keys_offset, self.header.entries_offset)
        assert at > 0
        return at

    def entry_at(self, key: bytes) -> int:
        return self.header.entries_offset + (self.key_at(key) - self.header.keys_offset) // KEY_BYTES * ENTRY_BYTES

    def entry(self, key: bytes) -> Entry:
        return Entry(*ENTRY.unpack_from(self.map, self.entry_at(key)))

    def payload_at(self, key: bytes) -> int:
        return self.entry(key).offset

    def flip(self, at: int, bit: int = 0) -> None:
        self.map[at] ^= 1 << bit

    def swap(self, one: int, other: int, size: int) -> None:
        self.map[one : one + size], self.map[other : other + size] = (
            self.map[other : other + size],
            self.map[one : one + size],
        )

    def rewrite(self, key: bytes, entry: Entry) -> None:
        """The entry, by someone who can compute its checksum."""
        raw = layout.pack_entry(key, *entry[:-1])
        at = self.entry_at(key)
        self.map[at : at + len(raw)] = raw
