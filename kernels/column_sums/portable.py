"""Attention mass per key in torch operations: scores of a sequence's rows against all its keys, head by head group."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype
from kernels.quantised import PAGE_TOKENS, KVPool, select_head_major

# Query rows whose scores are held at once.
_ROWS = 64


def column_sums_portable(
    q: Tensor,
    lse: Tensor,
    pool: KVPool,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    window: int,
    softcap: float,
) -> Tensor:
    heads, width = q.shape[1:]
    kv_heads = pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    sums = torch.zeros((seq_lens.shape[0], heads, block_table.shape[1] * PAGE_TOKENS), dtype=wide, device=q.device)
    starts: list[int] = row_starts.tolist()
    for sequence, length in enumerate(seq_lens.tolist()):
        end = starts[sequence + 1]
        if starts[sequence] == end:
            continue
        pages = block_table[sequence, : -(-length // PAGE_TOKENS)].long()
        keys = select_head_major(pool, pages, q.dtype)[0].view(kv_heads, -1, width)[:, :length]
        token = torch.arange(length, device=q.device)
        for first in range(starts[sequence], end, _ROWS):
            rows = slice(first, min(first + _ROWS, end))
            tile = q[rows].view(-1, kv_heads, heads // kv_heads, width).permute(1, 2, 0, 3)
            scores = (tile @ keys[:, None].transpose(-1, -2)).to(wide) * scale
            if softcap:
                scores = softcap * torch.tanh(scores / softcap)
            position = (length - end + torch.arange(rows.start, rows.stop, device=q.device))[:, None]
            hidden = token > position
            if window:
                hidden = hidden | (token <= position - window)
            of_row = lse[rows].to(wide).view(-1, kv_heads, heads // kv_heads).permute(1, 2, 0)[..., None]
            weights = torch.exp(scores - of_row).masked_fill_(hidden, 0.0)
            sums[sequence, :, :length] += weights.sum(dim=2).view(heads, length)
    return sums
