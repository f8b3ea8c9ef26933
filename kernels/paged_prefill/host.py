"""paged_prefill: chunks of new tokens of several sequences, each over its cached prefix and itself."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from kernels.layout import PAGE_TOKENS, Backend, check_pool
from kernels.paged_prefill.kernel import paged_prefill_kernel
from kernels.paged_prefill.portable import paged_prefill_portable

# (row, head) pairs of a program, and tokens read at once. Not tuned yet: no GPU has run them.
TILE_PAIRS = 64
BLOCK_TOKENS = 64


def paged_prefill(
    q: Tensor,
    pool: Tensor,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    backend: Backend,
    window: int = 0,
    max_rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Causal attention of the newest tokens of each sequence over its pages.

    ``q`` [total, heads, width], the chunks one after another; ``row_starts`` [sequences + 1] int32, where each chunk
    starts in ``q``; ``seq_lens`` [sequences] int32, tokens in the pool with the chunk's own, whose keys and values
    are written already: the chunk's last row is token seq_len - 1. ``pool``, ``block_table`` and ``window`` as in
    paged_decode: a row at position p sees p - window < token <= p. ``max_rows``: the longest chunk, for callers that
    know it (spares a GPU a synchronisation).

    Returns (out [total, heads, width], lse [total, heads] fp32, fp64 for fp64). Chunks may be empty. Sums are kept
    in fp32 (fp64 for fp64, torch only). ValueError for shapes that do not fit.
    """
    check_pool(q, pool, block_table, seq_lens, backend)
    if row_starts.dtype != torch.int32 or row_starts.shape[0] != seq_lens.shape[0] + 1:
        raise ValueError("row_starts: int32, one more entry than seq_lens, is needed")
    if backend == "torch":
        return paged_prefill_portable(q, pool, block_table, row_starts, seq_lens, scale=scale, window=window)
    longest = int((row_starts[1:] - row_starts[:-1]).max()) if max_rows is None else max_rows
    total, heads, width = q.shape
    kv_heads = pool.shape[2]
    group = heads // kv_heads
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    lse = torch.empty((total, heads), dtype=torch.float32, device=q.device)
    tiles = -(-longest * group // TILE_PAIRS)
    if tiles == 0:
        return out, lse
    paged_prefill_kernel[(seq_lens.shape[0], kv_heads, tiles)](
        q.contiguous(),
        pool,
        block_table,
        row_starts,
        seq_lens,
        out,
        lse,
        block_table.stride(0),
        scale,
        WINDOW=window,
        TILE=TILE_PAIRS,
        BLOCK=BLOCK_TOKENS,
        PAGE=PAGE_TOKENS,
        KV_HEADS=kv_heads,
        GROUP=group,
        WIDTH=width,
        WIDTH_PAD=max(16, triton.next_power_of_2(width)),
    )
    return out, lse
