"""Scores of sealed pages, written to be believed: one query, one page at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype


def block_score_reference(
    q: Tensor, summaries: Tensor, block_table: Tensor, counts: Tensor, *, by: str, reduce: str
) -> Tensor:
    """See block_score in host.py for the shapes and the promises."""
    rows, heads, _ = q.shape
    kv_heads = summaries.shape[2]
    wide = accumulation_dtype(q.dtype)
    scores = torch.full((rows, kv_heads, block_table.shape[1]), -torch.inf, dtype=wide)
    for row in range(rows):
        for column in range(int(counts[row])):
            low, high, mean = summaries[int(block_table[row, column])].to(wide)
            for kv_head in range(kv_heads):
                group = []
                for head in range(kv_head * (heads // kv_heads), (kv_head + 1) * (heads // kv_heads)):
                    query = q[row, head].to(wide)
                    best = torch.maximum(query * low[kv_head], query * high[kv_head])
                    group.append(best.sum() if by == "minmax" else query @ mean[kv_head])
                scores[row, kv_head, column] = max(group) if reduce == "max" else sum(group) / len(group)
    return scores


def top_blocks_reference(scores: Tensor, k: int) -> Tensor:
    """See top_blocks in host.py."""
    chosen = torch.full((*scores.shape[:-1], k), -1, dtype=torch.int32)
    for row in range(scores.shape[0]):
        for head in range(scores.shape[1]):
            values = scores[row, head].tolist()
            order = sorted((c for c, x in enumerate(values) if x > -torch.inf), key=lambda c: (-values[c], c))
            for place, column in enumerate(order[:k]):
                chosen[row, head, place] = column
    return chosen
