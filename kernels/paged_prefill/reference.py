"""Chunked causal prefill over pages, written to be believed: one query row at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype, attend_one, gather_tokens
from kernels.quantised import KVPool


def paged_prefill_reference(
    q: Tensor,
    pool: KVPool,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
    older: Tensor | None = None,
    newer: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See paged_prefill in host.py for the shapes and the promises."""
    total, heads, _ = q.shape
    group = heads // pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    out = torch.zeros_like(q)
    lse = torch.full((total, heads), -torch.inf, dtype=wide)
    for sequence in range(seq_lens.shape[0]):
        begin, end = int(row_starts[sequence]), int(row_starts[sequence + 1])
        length = int(seq_lens[sequence])
        before = 0 if older is None else int(older[sequence])
        last = length + (0 if newer is None else int(newer[sequence]))
        keys, values = gather_tokens(pool, block_table[sequence], range(length), dtype=wide)
        for row in range(begin, end):
            position = last - (end - row)
            seen = [
                token
                for token in range(min(position + 1, length))
                if not window or token > position - window or before + token < sinks
            ]
            for head in range(heads):
                of_head = (slice(None), head // group)
                one = attend_one(q[row, head].to(wide), keys[of_head][seen], values[of_head][seen], scale, softcap)
                out[row, head], lse[row, head] = one[0].to(q.dtype), one[1]
    return out, lse
