"""Cascade decode, written to be believed: sharing changes what is read, never the answer."""

from __future__ import annotations

from torch import Tensor

from kernels.paged_decode.reference import paged_decode_reference
from kernels.quantised import KVPool


def cascade_decode_reference(
    q: Tensor, pool: KVPool, block_table: Tensor, seq_lens: Tensor, *, scale: float, softcap: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Plain decode of every row over its whole table, whatever rows share."""
    return paged_decode_reference(q, pool, block_table, seq_lens, scale=scale, softcap=softcap)
