"""Attention mass per key, written to be believed: one query row, one head at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype, gather_tokens
from kernels.quantised import PAGE_TOKENS, KVPool


def column_sums_reference(
    q: Tensor,
    lse: Tensor,
    pool: KVPool,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    window: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """See column_sums in host.py for the shapes and the promises."""
    heads = q.shape[1]
    group = heads // pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    sums = torch.zeros((seq_lens.shape[0], heads, block_table.shape[1] * PAGE_TOKENS), dtype=wide)
    for sequence in range(seq_lens.shape[0]):
        begin, end = int(row_starts[sequence]), int(row_starts[sequence + 1])
        length = int(seq_lens[sequence])
        keys, _ = gather_tokens(pool, block_table[sequence], range(length), dtype=wide)
        for row in range(begin, end):
            position = length - (end - row)
            first = max(0, position + 1 - window) if window else 0
            for head in range(heads):
                scores = keys[first : position + 1, head // group] @ q[row, head].to(wide) * scale
                if softcap:
                    scores = softcap * torch.tanh(scores / softcap)
                sums[sequence, head, first : position + 1] += torch.exp(scores - lse[row, head].to(wide))
    return sums
