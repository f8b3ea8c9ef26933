"""The block store, as the engine sees it: opaque frames under keys. Losing all of it costs time only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.reasoning.blocks import Lineage


class StoreFailure(Exception):
    """The store did not answer, not in time, or not soundly. To the engine: a miss, counted."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block to be kept. ``frame`` is the caller's again once ``put`` returns."""

    key: bytes
    frame: memoryview
    lineage: Lineage


class BlockStore(Protocol):
    """Every call keeps a deadline of its own and raises nothing but StoreFailure.

    A frame is the stored form of a block: ``[layer][kv_head][K, V][16][head_dim]``, ``blocks.Frame.nbytes`` bytes.
    ``lookup``, ``load``, ``begin`` and ``used`` are called from one thread, one at a time, beside ``put`` and ``end``
    from another: nothing that runs waits for them, only the request whose prompt is looked for.
    """

    def lookup(self, keys: Sequence[bytes]) -> int:
        """How many of ``keys`` are there, counted from the first: the longest prefix. A hint; ``load`` decides."""
        ...

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        """Fills ``frames`` with the verified bytes of ``keys``; how many, up to the first that is not there.

        What a frame past the count holds is undefined.
        """
        ...

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        """Keeps blocks of one chain, in its order; how many. First put wins.

        ``namespace``: acted for. Blocks are not kept when they are there already, when there is no room, or when one
        of ``epochs`` is out of date.
        """
        ...

    def begin(self, keys: Sequence[bytes]) -> bool:
        """Announces that the caller computes ``keys``, for a time that the store bounds.

        False when somebody else has announced the first of them, or it has just come: look up again; nothing is
        announced. True otherwise; those that nobody has announced are the caller's.
        """
        ...

    def end(self, keys: Sequence[bytes]) -> None:
        """Takes back the caller's announcements: put, or given up. Others than the caller's are left alone."""
        ...

    def used(self, keys: Sequence[bytes]) -> None:
        """A whole chain was used just now, so that its end is evicted before its beginning. A hint."""
        ...
