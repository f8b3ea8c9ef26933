"""checked_copy, written to be believed: copy, then digest the copy. The digest is the ``xxhash`` package's."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import xxhash


def checked_copy_reference(
    sources: Sequence[int], targets: Sequence[int], lengths: Sequence[int], seeds: Sequence[int]
) -> bytes:
    """See checked_copy in host.py."""
    digests = b""
    for source, target, length, seed in zip(sources, targets, lengths, seeds, strict=True):
        ctypes.memmove(target, source, length)
        digests += xxhash.xxh3_128_digest(ctypes.string_at(target, length), seed)
    return digests
