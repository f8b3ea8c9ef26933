"""Chunked prefill in torch operations for a CPU: a sequence's unmasked prefix and its causal chunk, merged by lse."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import PAGE_TOKENS, accumulation_dtype
from kernels.merge_states.reference import merge_states_reference


def paged_prefill_portable(
    q: Tensor,
    pool: Tensor,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    window: int,
) -> tuple[Tensor, Tensor]:
    out = torch.empty_like(q)
    lse = torch.empty(q.shape[:2], dtype=accumulation_dtype(q.dtype), device=q.device)
    starts: list[int] = row_starts.tolist()
    for sequence, length in enumerate(seq_lens.tolist()):
        rows = slice(starts[sequence], starts[sequence + 1])
        if rows.start < rows.stop:
            out[rows], lse[rows] = _chunk(q[rows], pool, block_table[sequence], length, scale, window)
    return out, lse


def _chunk(q: Tensor, pool: Tensor, table_row: Tensor, length: int, scale: float, window: int) -> tuple[Tensor, Tensor]:
    rows = q.shape[0]
    before = length - rows
    # The oldest token that any row of the chunk may see, rounded down to its page.
    first = max(0, before + 1 - window) // PAGE_TOKENS * PAGE_TOKENS if window else 0
    pages = table_row[first // PAGE_TOKENS : -(-length // PAGE_TOKENS)].to(torch.int64)
    kv_heads, width = pool.shape[2], pool.shape[4]
    kv = torch.index_select(pool.permute(1, 2, 0, 3, 4), 2, pages).view(2, kv_heads, -1, width)
    keys, values = kv[0, :, : length - first], kv[1, :, : length - first]
    # [group, kv_heads, rows, width]: heads of a group share keys by a batch stride of zero, without a copy.
    tile = q.view(rows, kv_heads, -1, width).permute(2, 1, 0, 3)
    if window:
        position = torch.arange(before, length, device=q.device)[:, None]
        token = torch.arange(first, length, device=q.device)[None, :]
        hidden = (token > position) | (token <= position - window)
        mask = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill_(hidden, -torch.inf)
        out, lse = _attend(tile, keys, values, scale, mask=mask)
    elif before == 0:
        out, lse = _attend(tile, keys, values, scale, causal=True)
    else:
        prefix = _attend(tile, keys[:, :before], values[:, :before], scale)
        chunk = _attend(tile, keys[:, before:], values[:, before:], scale, causal=True)
        out, lse = merge_states_reference(torch.stack((prefix[0], chunk[0])), torch.stack((prefix[1], chunk[1])))
    return out.permute(2, 1, 0, 3).reshape(q.shape), lse.permute(2, 1, 0).reshape(q.shape[:2])


def _attend(
    tile: Tensor, keys: Tensor, values: Tensor, scale: float, *, causal: bool = False, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    shape = (tile.shape[0], *keys.shape)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        tile, keys.expand(shape), values.expand(shape), 0.0, causal, attn_mask=mask, scale=scale
    )
    return out, lse
