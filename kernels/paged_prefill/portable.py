"""Chunked prefill in torch operations for a CPU: a sequence's unmasked prefix and its causal chunk, merged by lse."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.layout import PAGE_TOKENS, accumulation_dtype
from kernels.merge_states.reference import merge_states_reference
from kernels.portable import attend
from kernels.quantised import KVPool, select_head_major


@dataclass(frozen=True, slots=True)
class Seen:
    """What hides or damps a score, as in paged_decode."""

    window: int
    sinks: int
    softcap: float


def paged_prefill_portable(
    q: Tensor,
    pool: KVPool,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    older: Tensor | None,
    newer: Tensor | None,
    *,
    scale: float,
    seen: Seen,
) -> tuple[Tensor, Tensor]:
    out = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -torch.inf, dtype=accumulation_dtype(q.dtype), device=q.device)
    starts: list[int] = row_starts.tolist()
    for sequence, length in enumerate(seq_lens.tolist()):
        rows = slice(starts[sequence], starts[sequence + 1])
        if rows.start < rows.stop and length:
            before = 0 if older is None else int(older[sequence])
            last = length + (0 if newer is None else int(newer[sequence]))
            out[rows], lse[rows] = _chunk(q[rows], pool, block_table[sequence], length, (before, last), scale, seen)
    return out, lse


def _chunk(
    q: Tensor, pool: KVPool, table_row: Tensor, length: int, place: tuple[int, int], scale: float, seen: Seen
) -> tuple[Tensor, Tensor]:
    rows = q.shape[0]
    older, last = place
    before = last - rows
    # The oldest token that any row of the chunk may see, rounded down to its page.
    first = max(0, before + 1 - seen.window) // PAGE_TOKENS * PAGE_TOKENS if seen.window else 0
    first = min(first, (length - 1) // PAGE_TOKENS * PAGE_TOKENS)
    free = max(0, seen.sinks - older) if seen.window else 0
    sink_pages = min(-(-free // PAGE_TOKENS), first // PAGE_TOKENS)
    pages = table_row[first // PAGE_TOKENS : -(-length // PAGE_TOKENS)].to(torch.int64)
    if sink_pages:
        pages = torch.cat((table_row[:sink_pages].to(torch.int64), pages))
    kv_heads, width = pool.shape[2], pool.shape[4]
    count = sink_pages * PAGE_TOKENS + length - first
    kv = select_head_major(pool, pages, q.dtype).view(2, kv_heads, -1, width)[:, :, :count]
    keys, values = kv[0], kv[1]
    # [group, kv_heads, rows, width]: heads of a group share keys by a batch stride of zero, without a copy.
    tile = q.view(rows, kv_heads, -1, width).permute(2, 1, 0, 3)
    if seen.window or seen.softcap or length < last:
        slot = torch.arange(count, device=q.device)
        token = torch.where(slot < sink_pages * PAGE_TOKENS, slot, slot - sink_pages * PAGE_TOKENS + first)[None, :]
        position = torch.arange(before, last, device=q.device)[:, None]
        hidden = token > position
        if seen.window:
            hidden = hidden | ((token <= position - seen.window) & (token >= free))
        mask = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill_(hidden, -torch.inf)
        out, lse = _attend(tile, keys, values, scale, mask=mask, softcap=seen.softcap)
    elif before == 0:
        out, lse = _attend(tile, keys, values, scale, causal=True)
    else:
        prefix = _attend(tile, keys[:, :before], values[:, :before], scale)
        chunk = _attend(tile, keys[:, before:], values[:, before:], scale, causal=True)
        out, lse = merge_states_reference(torch.stack((prefix[0], chunk[0])), torch.stack((prefix[1], chunk[1])))
    return out.permute(2, 1, 0, 3).reshape(q.shape), lse.permute(2, 1, 0).reshape(q.shape[:2])


def _attend(
    tile: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    shape = (tile.shape[0], *keys.shape)
    return attend(
        tile, keys.expand(shape), values.expand(shape), scale=scale, softcap=softcap, causal=causal, mask=mask
    )
