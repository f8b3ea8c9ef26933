"""checked_copy: copies blocks and says what arrived, in one pass. Imports no torch: the KV store's readers call it."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import cache

from kernels.native.loading import NativeUnavailable, Opened, open_library

__all__ = ["DIGEST_BYTES", "SHORTEST_BYTES", "CheckedCopy", "NativeUnavailable", "native"]

DIGEST_BYTES = 16
SHORTEST_BYTES = 241
"""XXH3 digests shorter inputs in other ways, which are not written here: take the ``xxhash`` package for them."""

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


@cache
def native() -> CheckedCopy:
    """With the built library and the best instruction set of this processor. NativeUnavailable."""
    return CheckedCopy(open_library())


class CheckedCopy:
    """The operator on one instruction set."""

    def __init__(self, opened: Opened) -> None:
        self.isa = opened.isa
        self._how = 2 * opened.number
        self._call = opened.calls.mneme_checked_copy
        self._call.argtypes, self._call.restype = [_I, _I, *[_P] * 5, _L], _L

    def __call__(
        self, sources: Sequence[int], targets: Sequence[int], lengths: Sequence[int], seeds: Sequence[int]
    ) -> bytes:
        """Copy ``lengths`` bytes each from address to address; the XXH3-128 digests, 16 bytes each (big-endian), of
        what then lies in the targets, seeded (64 bits each).

        A source may be written meanwhile: the digest is then of what arrived, some of it old and some new. The caller
        answers for the addresses: sources readable, targets writable by nobody else, nothing overlapping. Runs on the
        calling thread, without the interpreter's lock. ValueError for a block below SHORTEST_BYTES, before any copy.
        """
        blocks = len(sources)
        if not blocks == len(targets) == len(lengths) == len(seeds):
            raise ValueError(f"{blocks} sources, {len(targets)} targets, {len(lengths)} lengths, {len(seeds)} seeds")
        columns = array("Q", sources), array("Q", targets), array("q", lengths), array("Q", seeds)
        digests = ctypes.create_string_buffer(DIGEST_BYTES * blocks)
        # One thread: readers run beside an engine that has the others.
        bad: int = self._call(self._how, 1, *(column.buffer_info()[0] for column in columns), digests, blocks)
        if bad >= 0:
            raise ValueError(f"block {bad} has {lengths[bad]} bytes; {SHORTEST_BYTES} is the least")
        return digests.raw
