"""paged_prefill: chunks of new tokens of several sequences, each over its cached prefix and itself."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import Backend, check_pool, device_pool, generation, placed
from kernels.paged_prefill.kernel import paged_prefill_kernel
from kernels.paged_prefill.portable import Seen, paged_prefill_portable
from kernels.paged_prefill.tiles import tiles
from kernels.quantised import KVPool

# fp32 products as three tf32 ones: tensor cores at fp32's precision.
PRECISION = "tf32x3"


def paged_prefill(
    q: Tensor,
    pool: KVPool,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    backend: Backend,
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
    older: Tensor | None = None,
    newer: Tensor | None = None,
    max_rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Causal attention of the newest tokens of each sequence over its pages.

    ``q`` [total, heads, width], the chunks one after another; ``row_starts`` [sequences + 1] int32, where each chunk
    starts in ``q``; ``seq_lens`` [sequences] int32, tokens in the pool with the chunk's own, whose keys and values
    are written already: the chunk's last row is token seq_len - 1. ``pool``, ``block_table``, ``window``, ``sinks``,
    ``softcap``, ``older`` and ``newer`` as in paged_decode (the two [sequences] int32; the chunk's last row is then
    token seq_len + newer - 1 of the table): a row at position p sees p - window < token <= p. ``max_rows``: the
    longest chunk, for callers that know it (spares a GPU a synchronisation).

    Returns (out [total, heads, width], lse [total, heads] fp32, fp64 for fp64). Chunks may be empty. Sums are kept
    in fp32 (fp64 for fp64, torch only). ValueError for shapes that do not fit.
    """
    check_pool(q, pool, block_table, seq_lens, backend)
    if row_starts.dtype != torch.int32 or row_starts.shape[0] != seq_lens.shape[0] + 1:
        raise ValueError("row_starts: int32, one more entry than seq_lens, is needed")
    if backend == "torch":
        seen = Seen(window, sinks, softcap)
        return paged_prefill_portable(q, pool, block_table, row_starts, seq_lens, older, newer, scale=scale, seen=seen)
    longest = int((row_starts[1:] - row_starts[:-1]).max()) if max_rows is None else max_rows
    total, heads, _ = q.shape
    kv_heads = pool.shape[2]
    group = heads // kv_heads
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    lse = torch.empty((total, heads), dtype=torch.float32, device=q.device)
    made = device_pool(pool)
    tile = tiles(q.dtype, pool, made.constants["WIDTH_PAD"], generation(q))
    programs = -(-longest * group // tile.pairs)
    if programs == 0:
        return out, lse
    paged_prefill_kernel[(seq_lens.shape[0], kv_heads, programs)](
        q.contiguous(),
        *made.pointers,
        block_table,
        row_starts,
        seq_lens,
        *placed((older, newer), seq_lens),
        out,
        lse,
        block_table.stride(0),
        scale,
        PLACED=(older, newer) != (None, None),
        WINDOW=window,
        SINKS=sinks,
        SOFTCAP=softcap,
        TILE=tile.pairs,
        BLOCK=tile.block,
        PRECISION=PRECISION,
        GROUP=group,
        **made.constants,
        num_warps=tile.warps,
    )
    return out, lse
