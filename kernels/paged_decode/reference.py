"""Paged decode attention, written to be believed: one row, one head at a time, fp64 when it is given fp64."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype, gather_tokens


def paged_decode_reference(
    q: Tensor, pool: Tensor, block_table: Tensor, seq_lens: Tensor, *, scale: float, window: int = 0
) -> tuple[Tensor, Tensor]:
    """See paged_decode in host.py for the shapes and the promises."""
    rows, heads, _ = q.shape
    group = heads // pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    out = torch.zeros_like(q)
    lse = torch.full((rows, heads), -torch.inf, dtype=wide)
    for row in range(rows):
        length = int(seq_lens[row])
        first = max(0, length - window) if window else 0
        if length == 0:
            continue
        keys, values = gather_tokens(pool, block_table[row], first, length)
        for head in range(heads):
            scores = (keys[:, head // group].to(wide) @ q[row, head].to(wide)) * scale
            lse[row, head] = torch.logsumexp(scores, dim=0)
            out[row, head] = (torch.softmax(scores, dim=0) @ values[:, head // group].to(wide)).to(q.dtype)
    return out, lse
