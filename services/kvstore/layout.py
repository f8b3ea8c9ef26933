"""The bytes that an owner and its readers share: the arena's header, its index, and how both are checked.

    header (one page) | keys: 16 bytes an entry | entries: 80 bytes an entry | payload

Numbers are little-endian. The header's static part is written once by each owner and has a checksum. Its two live
words change: the owner's epoch (0 while nobody owns the arena) and its heartbeat. An entry is valid while its
sequence word is even, the key before it is the one looked for, and its checksum covers both; only the payload's own
digest makes bytes a hit. An entry's sequence only ever grows, so whoever reads it again after copying knows
whether the bytes were someone else's in between.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash

MAGIC = b"MNEMEKV1"
VERSION = 1
PAGE = 4096
WAYS = 8  # entries in a bucket; a key may lie in either of two buckets
KEY_BYTES = 16
IDENTITY_BYTES = 16
DIGEST_BYTES = 16

_STATIC = struct.Struct("<8sIIQQQQQQQQ16s")
_CHECK = struct.Struct("<Q")

# Live words, as indices into the file read as 64-bit words. On cache lines of their own.
OWNER_EPOCH_WORD = 64
HEARTBEAT_WORD = 72

ENTRY = struct.Struct("<QQQQ16s16sQ")  # sequence, offset, length, owner epoch, digest, identity, checksum
ENTRY_BYTES = 80
_ENTRY_BODY = struct.Struct("<QQQQ16s16s")


class BadArena(Exception):
    """The file is no arena of this version, or was damaged."""


@dataclass(frozen=True, slots=True)
class Header:
    """The static part. Sizes and offsets in bytes."""

    file_bytes: int
    buckets: int
    keys_offset: int
    entries_offset: int
    payload_offset: int
    payload_bytes: int
    owner_epoch: int
    owner_timeout_ns: int  # a heartbeat older than this is a dead owner's
    arena_id: bytes  # 16 random bytes, new with every owner

    def pack(self) -> bytes:
        body = _STATIC.pack(
            MAGIC,
            VERSION,
            WAYS,
            self.file_bytes,
            self.buckets,
            self.keys_offset,
            self.entries_offset,
            self.payload_offset,
            self.payload_bytes,
            self.owner_epoch,
            self.owner_timeout_ns,
            self.arena_id,
        )
        return body + _CHECK.pack(xxhash.xxh3_64_intdigest(body))

    @classmethod
    def unpack(cls, raw: bytes) -> Header:
        """The header at the start of ``raw``. BadArena."""
        if len(raw) < _STATIC.size + _CHECK.size:
            raise BadArena("too short for a header")
        body = raw[: _STATIC.size]
        magic, version, ways, *fields = _STATIC.unpack(body)
        if magic != MAGIC or version != VERSION or ways != WAYS:
            raise BadArena("not an arena of this version")
        if _CHECK.unpack_from(raw, _STATIC.size)[0] != xxhash.xxh3_64_intdigest(body):
            raise BadArena("the header does not verify")
        return cls(*fields)


def plan(payload_bytes: int, min_block_bytes: int) -> tuple[int, int, int, int, int]:
    """(buckets, keys offset, entries offset, payload offset, file bytes) of an arena.

    The index has room for twice as many blocks as fit at the smallest size, so that its buckets hardly ever
    overflow; where one does, a block is evicted.
    """
    wanted = max(1, 2 * payload_bytes // min_block_bytes // WAYS)
    buckets = 1 << (wanted - 1).bit_length()
    entries = buckets * WAYS
    entries_offset = PAGE + round_up(entries * KEY_BYTES, PAGE)
    payload_offset = entries_offset + round_up(entries * ENTRY_BYTES, PAGE)
    return buckets, PAGE, entries_offset, payload_offset, round_up(payload_offset + payload_bytes, PAGE)


def pack_entry(
    key: bytes, sequence: int, offset: int, length: int, epoch: int, digest: bytes, identity: bytes
) -> bytes:
    body = _ENTRY_BODY.pack(sequence, offset, length, epoch, digest, identity)
    return body + _CHECK.pack(entry_check(body, key))


def entry_check(body: bytes, key: bytes) -> int:
    return xxhash.xxh3_64_intdigest(body + key)


ENTRY_BODY_BYTES = _ENTRY_BODY.size


def payload_seed(key: bytes, identity: bytes) -> int:
    """Seeds a payload's digest, so that right bytes under a wrong key or identity do not verify."""
    return xxhash.xxh3_64_intdigest(key + identity)


def payload_digest(payload: bytes | bytearray | memoryview, key: bytes, identity: bytes) -> bytes:
    """XXH3-128 of a payload stored under ``key`` by ``identity``."""
    return xxhash.xxh3_128_digest(payload, payload_seed(key, identity))


def round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
