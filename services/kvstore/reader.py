"""Reads blocks from the arena: mapped read-only, no RPC, nothing believed that does not verify.

Every failure is a miss: damaged bytes, a slot reused while it was copied, another identity, an owner that died or
was succeeded, a file cut short. Correctness rests on the digest of the copy and the sequence read again after it.
"""

from __future__ import annotations

import mmap
import os
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from services.kvstore import layout
from services.kvstore.index import IndexReader
from services.kvstore.layout import ENTRY, ENTRY_BODY_BYTES, ENTRY_BYTES, BadArena, Header

_MAX_SUSPECTS = 256
_POPULATE_LIMIT_BYTES = 4 << 30  # mapping pages ahead takes 25 ms a GiB


class Reader:
    """One owner's arena. Once ``alive`` is false, attach again. The mapping goes with the last reference."""

    def __init__(self, path: Path, identity: bytes) -> None:
        """Map the arena. BadArena when it is not one, or nobody owns it."""
        if len(identity) != layout.IDENTITY_BYTES:
            raise ValueError(f"an identity has {layout.IDENTITY_BYTES} bytes, not {len(identity)}")
        self._identity = identity
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadArena(f"{path}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._fd)
        try:
            self.header = Header.unpack(os.pread(self._fd, layout.PAGE, 0))
            if os.fstat(self._fd).st_size != self.header.file_bytes:
                raise BadArena(f"{path}: was cut or grown")
            flags = mmap.MAP_SHARED
            if self.header.file_bytes <= _POPULATE_LIMIT_BYTES:
                flags |= mmap.MAP_POPULATE
            self._map = mmap.mmap(self._fd, self.header.file_bytes, flags, mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise BadArena(f"{path}: cannot be mapped") from error
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._index = IndexReader(self.header, self._map)
        self._suspects: deque[bytes] = deque(maxlen=_MAX_SUSPECTS)  # keys whose bytes did not verify

    def alive(self) -> bool:
        """Whether the owner that wrote this header still owns the arena, beats, and the file is whole."""
        header, words = self.header, self._words
        return (
            os.fstat(self._fd).st_size == header.file_bytes
            and words[layout.OWNER_EPOCH_WORD] == header.owner_epoch
            and time.monotonic_ns() - words[layout.HEARTBEAT_WORD] < header.owner_timeout_ns
        )

    def lookup(self, keys: Sequence[bytes]) -> int:
        """How many leading keys have an entry that verifies. Their payloads are verified by ``load``."""
        if not keys or not self.alive():
            return 0
        for n, (key, entry) in enumerate(zip(keys, self._index.find(keys), strict=True)):
            if entry < 0 or self._entry(entry, key) is None:
                return n
        return len(keys) if self._words[layout.OWNER_EPOCH_WORD] == self.header.owner_epoch else 0

    def load(self, keys: Sequence[bytes], into: Sequence[Any]) -> int:
        """Copy blocks into writable buffers of their exact size, in order, up to the first miss; how many.

        Buffers after those hold anything.
        """
        if not keys or not self.alive():
            return 0
        for n, (key, entry, target) in enumerate(zip(keys, self._index.find(keys), into, strict=True)):
            if entry < 0 or not self._copy(entry, key, memoryview(target).cast("B")):
                return n
        return len(keys)

    def take_suspects(self, limit: int) -> list[bytes]:
        """Keys whose bytes did not verify since the last time, for the owner to look at."""
        return [self._suspects.popleft() for _ in range(min(limit, len(self._suspects)))]

    def _entry(self, entry: int, key: bytes) -> tuple[int, int, int, int, bytes, bytes, int] | None:
        """A verified entry of this key, identity and owner."""
        at = self.header.entries_offset + entry * ENTRY_BYTES
        raw = bytes(self._bytes[at : at + ENTRY.size])
        fields = ENTRY.unpack(raw)
        if (
            fields[0] & 1
            or fields[6] != xxhash.xxh3_64_intdigest(raw[:ENTRY_BODY_BYTES] + key)
            or fields[5] != self._identity
            or fields[3] != self.header.owner_epoch
        ):
            return None
        return fields

    def _copy(self, entry: int, key: bytes, target: memoryview) -> bool:
        fields = self._entry(entry, key)
        if fields is None:
            return False
        sequence, offset, length, epoch, digest, _, _ = fields
        if length != len(target):
            return False
        target[:] = self._bytes[offset : offset + length]
        words = self._words
        # Read again after the copy: not reused, not erased, not another owner's by now.
        if (
            words[(self.header.entries_offset + entry * ENTRY_BYTES) // 8] != sequence
            or words[layout.OWNER_EPOCH_WORD] != epoch
        ):
            return False
        if xxhash.xxh3_128_digest(target, xxhash.xxh3_64_intdigest(key + self._identity)) != digest:
            self._suspects.append(key)
            return False
        return True
