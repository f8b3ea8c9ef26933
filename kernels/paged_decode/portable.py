"""Paged decode in torch operations for a CPU: gather the pages of a batch once, then one fused attention call.

``DecodePlan`` holds what depends on tables and lengths only, so that an engine makes it once a step and every layer
of the model uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.layout import PAGE_TOKENS, accumulation_dtype
from kernels.portable import attend
from kernels.quantised import KVPool, select_head_major

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


@dataclass(frozen=True, slots=True)
class _Span:
    """What one row reads: its first ``sinks`` columns of the table, then columns begin <= c < end."""

    sinks: int
    begin: int
    end: int
    first: int  # oldest token of the window
    free: int  # tokens before this one are seen outside the window too
    length: int

    @property
    def pages(self) -> int:
        return self.sinks + self.end - self.begin


def plan_decode(
    block_table: Tensor,
    seq_lens: Tensor,
    *,
    window: int,
    dtype: torch.dtype,
    sinks: int = 0,
    older: Tensor | None = None,
    newer: Tensor | None = None,
) -> DecodePlan:
    lengths: list[int] = seq_lens.tolist()
    before: list[int] = [0] * len(lengths) if older is None else older.tolist()
    after: list[int] = [0] * len(lengths) if newer is None else newer.tolist()
    spans = [_span(*row, window, sinks) for row in zip(lengths, before, after, strict=True)]
    order = sorted((row for row, span in enumerate(spans) if span.pages), key=lambda row: spans[row].pages)
    buckets: list[_Bucket] = []
    start = 0
    while start < len(order):
        shortest = spans[order[start]].pages
        end = start
        while end < len(order) and spans[order[end]].pages <= shortest * _BUCKET_RATIO + _BUCKET_SLACK:
            end += 1
        members = order[start:end]
        buckets.append(_bucket(block_table, members, [spans[row] for row in members], dtype))
        start = end
    return DecodePlan(tuple(buckets), len(lengths))


def _span(length: int, older: int, newer: int, window: int, sinks: int) -> _Span:
    end = -(-length // PAGE_TOKENS)
    first = min(max(0, length + newer - window), length) if window else 0
    free = min(max(0, sinks - older), length) if window else 0
    begin, sink_pages = first // PAGE_TOKENS, -(-free // PAGE_TOKENS)
    if first == length:
        begin = end
    if sink_pages >= begin:
        sink_pages, begin = 0, 0
    if first == length and free == 0:
        return _Span(0, end, end, first, free, length)  # the window has left this table
    return _Span(sink_pages, begin, end, first, free, length)


def _bucket(block_table: Tensor, members: list[int], spans: list[_Span], dtype: torch.dtype) -> _Bucket:
    device = block_table.device
    rows = torch.tensor(members, dtype=torch.int64, device=device)
    sinks, begin, end, first, free, length = torch.tensor(
        [(s.sinks, s.begin, s.end, s.first, s.free, s.length) for s in spans], device=device
    ).T[:, :, None]
    width = max(span.pages for span in spans)
    place = torch.arange(width, device=device)
    column = torch.where(place < sinks, place, place - sinks + begin)
    # A padded place may read any page that exists: all its slots are hidden.
    spare = torch.where(sinks > 0, 0, begin)
    pages = block_table[rows[:, None], torch.where(column < end, column, spare)].to(torch.int64)
    token = (column[:, :, None] * PAGE_TOKENS + torch.arange(PAGE_TOKENS, device=device)).flatten(1)
    past = token >= length
    mask = torch.zeros(token.shape, dtype=dtype, device=device)
    mask.masked_fill_(past | ((token < first) & (token >= free)), -torch.inf)
    by_page = past.view(-1, PAGE_TOKENS)
    partial = by_page.any(dim=1).nonzero().view(-1)
    return _Bucket(rows, pages.reshape(-1), mask.view(len(members), 1, 1, -1), partial, by_page[partial])


def paged_decode_portable(
    q: Tensor, pool: KVPool, plan: DecodePlan, *, scale: float, softcap: float = 0.0
) -> tuple[Tensor, Tensor]:
    rows, heads, width = q.shape
    kv_heads = pool.shape[2]
    out = torch.zeros_like(q)
    lse = torch.full((rows, heads), -torch.inf, dtype=accumulation_dtype(q.dtype), device=q.device)
    for bucket in plan.buckets:
        n = bucket.rows.shape[0]
        kv = select_head_major(pool, bucket.pages, q.dtype)
        # Slots past a row's end may hold anything, NaN too: they are replaced, since no mask survives NaN.
        tails = kv[:, :, bucket.partial]
        kv[:, :, bucket.partial] = tails.masked_fill_(bucket.hidden[None, None, :, :, None], 0.0)
        kv = kv.view(2, kv_heads, n, -1, width)
        # The heads of a group are rows of one query tile, so keys and values are never expanded.
        tile = q[bucket.rows].view(n, kv_heads, heads // kv_heads, width)
        part, part_lse = attend(
            tile, kv[0].transpose(0, 1), kv[1].transpose(0, 1), mask=bucket.mask, scale=scale, softcap=softcap
        )
        out[bucket.rows] = part.reshape(n, heads, width)
        lse[bucket.rows] = part_lse.reshape(n, heads).to(lse.dtype)
    return out, lse
