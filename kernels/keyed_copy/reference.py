"""keyed_copy, written to be believed: find, copy, look again, digest the copy. Digests are the ``xxhash`` package's."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import xxhash

from kernels.keyed_copy.host import ENTRY_BYTES, KEY_BYTES, SHORTEST_BYTES, WAYS, BlockTable, Stop

_ENTRY = struct.Struct("<QQQQ16s")  # sequence, offset, length, owner epoch, digest; the rest is not looked at


def keyed_copy_reference(table: BlockTable, keys: Sequence[bytes], into: Sequence[Any]) -> tuple[int, Stop]:
    """See KeyedCopy in host.py."""
    for n, (key, target) in enumerate(zip(keys, into, strict=True)):
        why = _load(table, key, memoryview(target).cast("B"))
        if why is not Stop.NONE:
            return n, why
    return len(keys), Stop.NONE


def _load(table: BlockTable, key: bytes, target: memoryview) -> Stop:
    entry = _find(table, key)
    if entry is None:
        return Stop.MISS
    sequence, offset, length, epoch, digest = _ENTRY.unpack(ctypes.string_at(entry, _ENTRY.size))
    if sequence % 2 or epoch != table.epoch or length != len(target) or offset + length > table.size:
        return Stop.MISS
    if length < SHORTEST_BYTES:
        return Stop.SHORT
    target[:] = ctypes.string_at(table.base + offset, length)
    if _word(entry) != sequence or _word(table.owner) != table.epoch:
        return Stop.MOVED
    seed = xxhash.xxh3_64_intdigest(key + bytes(table.identity))
    return Stop.NONE if xxhash.xxh3_128_digest(target, seed) == digest else Stop.DAMAGED


def _find(table: BlockTable, key: bytes) -> int | None:
    """The address of its entry: the bucket of its low half first, then that of its high half."""
    for half in struct.unpack("<QQ", key):
        first = (half & table.mask) * WAYS
        for place in range(first, first + WAYS):
            if ctypes.string_at(table.keys + place * KEY_BYTES, KEY_BYTES) == key:
                return int(table.entries + place * ENTRY_BYTES)
    return None


def _word(address: int) -> int:
    return int.from_bytes(ctypes.string_at(address, 8), "little")
