"""Paged decode in torch operations for a CPU: gather the pages of a batch once, then one fused attention call.

``DecodePlan`` holds what depends on tables and lengths only, so that an engine makes it once a step and every layer
of the model uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.layout import PAGE_TOKENS, accumulation_dtype

# Rows are batched with others of like length: the longest of a bucket has at most this many times the pages of the
# shortest, plus the slack, so that padding stays a small part of what is read.
_BUCKET_RATIO = 1.5
_BUCKET_SLACK = 4


@dataclass(frozen=True, slots=True)
class _Bucket:
    rows: Tensor  # [n] int64, indices into the batch
    pages: Tensor  # [n * width] int64, gathered in this order; padding repeats a row's own first page
    mask: Tensor  # [n, 1, 1, width * PAGE_TOKENS] additive, 0 or -inf
    partial: Tensor  # [m] int64, places in ``pages`` that hold slots past their row's end
    hidden: Tensor  # [m, PAGE_TOKENS] bool: those slots


@dataclass(frozen=True, slots=True)
class DecodePlan:
    buckets: tuple[_Bucket, ...]
    rows: int


def plan_decode(block_table: Tensor, seq_lens: Tensor, *, window: int, dtype: torch.dtype) -> DecodePlan:
    lengths: list[int] = seq_lens.tolist()
    firsts = [max(0, n - window) if window else 0 for n in lengths]
    spans = [(first // PAGE_TOKENS, -(-n // PAGE_TOKENS)) for first, n in zip(firsts, lengths, strict=True)]
    order = sorted((row for row, n in enumerate(lengths) if n), key=lambda row: spans[row][1] - spans[row][0])
    buckets: list[_Bucket] = []
    start = 0
    while start < len(order):
        shortest = spans[order[start]][1] - spans[order[start]][0]
        end = start
        while end < len(order) and _fits(spans[order[end]], shortest):
            end += 1
        members = order[start:end]
        buckets.append(_bucket(block_table, members, spans, firsts, lengths, dtype))
        start = end
    return DecodePlan(tuple(buckets), len(lengths))


def _fits(span: tuple[int, int], shortest: int) -> bool:
    return span[1] - span[0] <= shortest * _BUCKET_RATIO + _BUCKET_SLACK


def _bucket(
    block_table: Tensor,
    members: list[int],
    spans: list[tuple[int, int]],
    firsts: list[int],
    lengths: list[int],
    dtype: torch.dtype,
) -> _Bucket:
    device = block_table.device
    rows = torch.tensor(members, dtype=torch.int64, device=device)
    begin = torch.tensor([spans[row][0] for row in members], device=device)
    end = torch.tensor([spans[row][1] for row in members], device=device)
    width = int((end - begin).max())
    column = begin[:, None] + torch.arange(width, device=device)
    # A padded place may read any page that exists: all its slots are hidden.
    pages = block_table[rows[:, None], torch.where(column < end[:, None], column, begin[:, None])].to(torch.int64)
    token = (begin[:, None] * PAGE_TOKENS + torch.arange(width * PAGE_TOKENS, device=device)).view(-1, PAGE_TOKENS)
    first = torch.tensor([firsts[row] for row in members], device=device).repeat_interleave(width)[:, None]
    length = torch.tensor([lengths[row] for row in members], device=device).repeat_interleave(width)[:, None]
    mask = torch.zeros(token.shape, dtype=dtype, device=device)
    mask.masked_fill_((token < first) | (token >= length), -torch.inf)
    past = token >= length
    partial = past.any(dim=1).nonzero().view(-1)
    return _Bucket(rows, pages.reshape(-1), mask.view(len(members), 1, 1, -1), partial, past[partial])


def paged_decode_portable(q: Tensor, pool: Tensor, plan: DecodePlan, *, scale: float) -> tuple[Tensor, Tensor]:
    rows, heads, width = q.shape
    kv_heads = pool.shape[2]
    out = torch.zeros_like(q)
    lse = torch.full((rows, heads), -torch.inf, dtype=accumulation_dtype(q.dtype), device=q.device)
    head_major = pool.permute(1, 2, 0, 3, 4)
    for bucket in plan.buckets:
        n = bucket.rows.shape[0]
        kv = torch.index_select(head_major, 2, bucket.pages)  # [2, kv_heads, n * pages, 16, width]
        # Slots past a row's end may hold anything, NaN too: they are replaced, since no mask survives NaN.
        tails = kv[:, :, bucket.partial]
        kv[:, :, bucket.partial] = tails.masked_fill_(bucket.hidden[None, None, :, :, None], 0.0)
        kv = kv.view(2, kv_heads, n, -1, width)
        # The heads of a group are rows of one query tile, so keys and values are never expanded.
        tile = q[bucket.rows].view(n, kv_heads, heads // kv_heads, width)
        part, part_lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            tile, kv[0].transpose(0, 1), kv[1].transpose(0, 1), 0.0, False, attn_mask=bucket.mask, scale=scale
        )
        out[bucket.rows] = part.reshape(n, heads, width)
        lse[bucket.rows] = part_lse.reshape(n, heads)
    return out, lse
