"""Scores of sealed pages in torch operations, row by row: the summaries of one row are gathered at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype


def block_score_portable(
    q: Tensor, summaries: Tensor, block_table: Tensor, counts: Tensor, *, by: str, reduce: str
) -> Tensor:
    rows, heads, width = q.shape
    kv_heads = summaries.shape[2]
    wide = accumulation_dtype(q.dtype)
    scores = torch.full((rows, kv_heads, block_table.shape[1]), -torch.inf, dtype=wide, device=q.device)
    for row, count in enumerate(counts.tolist()):
        if not count:
            continue
        low, high, mean = summaries[block_table[row, :count].long()].to(wide).unbind(dim=1)  # [count, kv_heads, width]
        query = q[row].to(wide).view(kv_heads, heads // kv_heads, width)
        if by == "minmax":
            # max(q low, q high) is q high where q is positive, else q low: two products instead of a 4-d tensor.
            found = torch.einsum("kgw,ckw->kgc", query.clamp(min=0), high)
            found = found + torch.einsum("kgw,ckw->kgc", query.clamp(max=0), low)
        else:
            found = torch.einsum("kgw,ckw->kgc", query, mean)
        scores[row, :, :count] = found.amax(dim=1) if reduce == "max" else found.mean(dim=1)
    return scores
