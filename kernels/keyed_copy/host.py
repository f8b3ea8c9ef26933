"""keyed_copy: finds blocks by their keys, copies them, and verifies what arrived, all of it in one call.

Imports no torch: the KV store's readers call it.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from typing import Any

from kernels.native.loading import NativeUnavailable, Opened, open_library

__all__ = ["BlockTable", "KeyedCopy", "NativeUnavailable", "Stop", "native"]

WAYS = 8
KEY_BYTES = 16
IDENTITY_BYTES = 16
ENTRY_BYTES = 80
SHORTEST_BYTES = 241
"""XXH3 digests shorter inputs in other ways, which are not written here: the caller takes such a block himself."""

_P, _I, _L, _W = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_uint64
_Start = ctypes.c_char * 0  # a buffer of any size, the empty one too, begins with it


class Stop(IntEnum):
    """Why a load ended where it did. No block after the first that fails is looked at."""

    NONE = 0
    """Every block arrived."""
    MISS = 1
    """No entry of this key, owner and length; or it is being written, or names bytes beyond the table."""
    MOVED = 2
    """The entry or the owner changed while the block was copied."""
    DAMAGED = 3
    """Nothing changed, and yet the digest is another one."""
    SHORT = 4
    """Fewer than SHORTEST_BYTES: nothing was copied or verified."""


class BlockTable(ctypes.Structure):
    """Where a table of blocks lies, and whose blocks count. The README says what its bytes mean."""

    _fields_ = [
        ("base", _P),
        ("size", _W),
        ("keys", _P),
        ("entries", _P),
        ("mask", _W),
        ("owner", _P),
        ("epoch", _W),
        ("identity", ctypes.c_uint8 * IDENTITY_BYTES),
    ]

    @classmethod
    def at(
        cls,
        base: int,
        size: int,
        *,
        buckets: int,
        keys_offset: int,
        entries_offset: int,
        owner_offset: int,
        epoch: int,
        identity: bytes,
    ) -> BlockTable:
        """Of ``size`` readable bytes from the address ``base`` on, for which the caller answers; offsets in bytes.

        ``owner_offset``: of the word that holds the owner's epoch of now; blocks count while that is ``epoch``.
        ValueError when the parts do not lie in the table, on multiples of eight.
        """
        ends = keys_offset + buckets * WAYS * KEY_BYTES, entries_offset + buckets * WAYS * ENTRY_BYTES, owner_offset + 8
        if buckets < 1 or buckets & (buckets - 1) or max(ends) > size:
            raise ValueError(f"{buckets} buckets: no power of two, or they do not lie in {size} bytes")
        if any(part % 8 or part < 0 for part in (base, keys_offset, entries_offset, owner_offset)):
            raise ValueError("a part of the table begins at no multiple of eight")
        if len(identity) != IDENTITY_BYTES:
            raise ValueError(f"an identity has {IDENTITY_BYTES} bytes, not {len(identity)}")
        parts = base + keys_offset, base + entries_offset
        named = (ctypes.c_uint8 * IDENTITY_BYTES)(*identity)
        return cls(base, size, *parts, buckets - 1, base + owner_offset, epoch, named)


@cache
def native() -> KeyedCopy:
    """With the built library and the best instruction set of this processor. NativeUnavailable."""
    return KeyedCopy(open_library())


class KeyedCopy:
    """The operator on one instruction set."""

    def __init__(self, opened: Opened) -> None:
        self.isa = opened.isa
        self._how = 2 * opened.number
        self._call = opened.calls.mneme_keyed_copy
        self._call.argtypes, self._call.restype = [_I, _P, ctypes.c_char_p, _P, _P, _L], _L

    def __call__(self, table: BlockTable, keys: Sequence[bytes], into: Sequence[Any]) -> tuple[int, Stop]:
        """Load blocks into buffers of their exact size, in order: how many leading ones arrived as they were put, and
        why no more did. Buffers after those hold anything.

        The table may be written meanwhile, by whoever counts an entry's sequence on. Runs on the calling thread,
        without the interpreter's lock. Before anything is copied: TypeError for a buffer that is read-only or not in
        one piece; ValueError for a key that is not of KEY_BYTES.
        """
        blocks = len(keys)
        if blocks != len(into):
            raise ValueError(f"{blocks} keys, {len(into)} buffers")
        if {*map(len, keys)} - {KEY_BYTES}:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        # Tenths of a microsecond a block matter here: memcpy takes six for 64 KiB.
        views = [target if type(target) is memoryview else memoryview(target) for target in into]
        held = list(map(_Start.from_buffer, views))  # which keeps the buffers where they are
        targets = array("Q", map(ctypes.addressof, held))
        lengths = array("q", [view.nbytes for view in views])
        # One thread: readers run beside an engine that has the others.
        answer: int = self._call(
            self._how, ctypes.byref(table), b"".join(keys), targets.buffer_info()[0], lengths.buffer_info()[0], blocks
        )
        arrived, why = divmod(answer, 8)
        return arrived, Stop(why)
