"""Decode over a table per kv head, written to be believed."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype, attend_one, gather_tokens
from kernels.quantised import KVPool


def ragged_decode_reference(
    q: Tensor, pool: KVPool, block_tables: Tensor, lengths: Tensor, *, scale: float, softcap: float = 0.0
) -> tuple[Tensor, Tensor]:
    """See ragged_decode in host.py for the shapes and the promises."""
    rows, heads, _ = q.shape
    kv_heads = block_tables.shape[1]
    wide = accumulation_dtype(q.dtype)
    out = torch.zeros_like(q)
    lse = torch.full((rows, heads), -torch.inf, dtype=wide)
    for row in range(rows):
        for head in range(heads):
            kv_head = head // (heads // kv_heads)
            tokens = range(int(lengths[row, kv_head]))
            keys, values = gather_tokens(pool, block_tables[row, kv_head], tokens, dtype=wide)
            one = attend_one(q[row, head].to(wide), keys[:, 0], values[:, 0], scale, softcap)
            out[row, head], lse[row, head] = one[0].to(q.dtype), one[1]
    return out, lse
