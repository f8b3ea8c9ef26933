"""Paged decode attention, written to be believed: one row, one head at a time, fp64 when it is given fp64."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype, attend_one, gather_tokens
from kernels.quantised import KVPool


def paged_decode_reference(
    q: Tensor,
    pool: KVPool,
    block_table: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
    older: Tensor | None = None,
    newer: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See paged_decode in host.py for the shapes and the promises."""
    rows, heads, _ = q.shape
    group = heads // pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    out = torch.zeros_like(q)
    lse = torch.full((rows, heads), -torch.inf, dtype=wide)
    for row in range(rows):
        before = 0 if older is None else int(older[row])
        position = int(seq_lens[row]) - 1 + (0 if newer is None else int(newer[row]))
        tokens = [
            token
            for token in range(int(seq_lens[row]))
            if not window or token > position - window or before + token < sinks
        ]
        keys, values = gather_tokens(pool, block_table[row], tokens, dtype=wide)
        for head in range(heads):
            one = attend_one(q[row, head].to(wide), keys[:, head // group], values[:, head // group], scale, softcap)
            out[row, head], lse[row, head] = one[0].to(q.dtype), one[1]
    return out, lse
