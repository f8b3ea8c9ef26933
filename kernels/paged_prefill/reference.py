"""Chunked causal prefill over pages, written to be believed: one query row at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype, gather_tokens


def paged_prefill_reference(
    q: Tensor,
    pool: Tensor,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    window: int = 0,
) -> tuple[Tensor, Tensor]:
    """See paged_prefill in host.py for the shapes and the promises."""
    total, heads, _ = q.shape
    group = heads // pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    out = torch.zeros_like(q)
    lse = torch.full((total, heads), -torch.inf, dtype=wide)
    for sequence in range(seq_lens.shape[0]):
        begin, end = int(row_starts[sequence]), int(row_starts[sequence + 1])
        for row in range(begin, end):
            position = int(seq_lens[sequence]) - (end - row)
            first = max(0, position + 1 - window) if window else 0
            keys, values = gather_tokens(pool, block_table[sequence], first, position + 1)
            for head in range(heads):
                scores = (keys[:, head // group].to(wide) @ q[row, head].to(wide)) * scale
                lse[row, head] = torch.logsumexp(scores, dim=0)
                out[row, head] = (torch.softmax(scores, dim=0) @ values[:, head // group].to(wide)).to(q.dtype)
    return out, lse
