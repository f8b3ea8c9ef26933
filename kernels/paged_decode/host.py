"""paged_decode: one query row per sequence against keys and values that lie in pages."""

from __future__ import annotations

from typing import Literal

import torch
import triton
from torch import Tensor

from kernels.layout import PAGE_TOKENS, Backend, check_pool
from kernels.merge_states.host import merge_states
from kernels.paged_decode.kernel import paged_decode_kernel
from kernels.paged_decode.native import paged_decode_native
from kernels.paged_decode.portable import DecodePlan, paged_decode_portable, plan_decode

# Tokens of a split. Fixed, not derived from the batch (invariant 28); below 256 the merge costs more than it gains.
SPLIT_TOKENS = 256
# Tokens read at once: four pages keep 8 KiB of bf16 keys in flight at width 64.
BLOCK_TOKENS = 64


def paged_decode(
    q: Tensor,
    pool: Tensor,
    block_table: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    backend: Backend | Literal["native"],
    window: int = 0,
    max_len: int | None = None,
    plan: DecodePlan | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of the newest token of each sequence over its pages.

    ``q`` [rows, heads, width]; ``pool`` [pages, 2, kv_heads, 16, width] of the same dtype; ``block_table``
    [rows, columns] int32, entry j the page of tokens 16 j to 16 j + 15; ``seq_lens`` [rows] int32, the newest token
    included, whose key and value are in the pool already. ``window`` > 0: only the last ``window`` tokens count.
    ``max_len``: the largest of seq_lens, for callers that know it (spares a GPU a synchronisation). ``plan``: from
    plan_decode for the same tables, lengths and window; spares the torch backend making it again for every layer.

    Returns (out [rows, heads, width], lse [rows, heads] fp32, fp64 for fp64). A row of length 0: out = 0,
    lse = -inf. Sums are kept in fp32 (fp64 for fp64, torch only). Table entries past a row's end and slots past its
    last token may hold anything. ValueError for shapes that do not fit.
    """
    check_pool(q, pool, block_table, seq_lens, "torch" if backend == "native" else backend)
    if backend == "native":
        return paged_decode_native(q, pool, block_table, seq_lens, scale=scale, window=window)
    if backend == "torch":
        made = plan or plan_decode(block_table, seq_lens, window=window, dtype=q.dtype)
        return paged_decode_portable(q, pool, made, scale=scale)
    return _launch(q, pool, block_table, seq_lens, scale, window, max_len)


def _launch(
    q: Tensor, pool: Tensor, block_table: Tensor, seq_lens: Tensor, scale: float, window: int, max_len: int | None
) -> tuple[Tensor, Tensor]:
    rows, heads, width = q.shape
    longest = int(seq_lens.max()) if max_len is None else max_len
    splits = max(1, -(-longest // SPLIT_TOKENS))
    kv_heads = pool.shape[2]
    group = heads // kv_heads
    parts = torch.empty((splits, rows, heads, width), dtype=q.dtype if splits == 1 else torch.float32, device=q.device)
    lses = torch.empty((splits, rows, heads), dtype=torch.float32, device=q.device)
    paged_decode_kernel[(rows, kv_heads, splits)](
        q.contiguous(),
        pool,
        block_table,
        seq_lens,
        parts,
        lses,
        rows,
        block_table.stride(0),
        scale,
        WINDOW=window,
        SPLIT=SPLIT_TOKENS,
        BLOCK=BLOCK_TOKENS,
        PAGE=PAGE_TOKENS,
        KV_HEADS=kv_heads,
        GROUP=group,
        GROUP_PAD=max(16, triton.next_power_of_2(group)),
        WIDTH=width,
        WIDTH_PAD=max(16, triton.next_power_of_2(width)),
    )
    if splits == 1:
        return parts[0], lses[0]
    return merge_states(parts, lses, backend="triton", out_dtype=q.dtype)
