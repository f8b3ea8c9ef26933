"""column_sums: how much attention each key received from the newest rows of its sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.column_sums.kernel import column_sums_kernel
from kernels.column_sums.portable import column_sums_portable
from kernels.layout import Backend, check_pool, device_pool
from kernels.quantised import PAGE_TOKENS, KVPool

# Tokens of a program and query rows at once. fp32 products hold their operands twice (tf32x3): smaller tiles.
BLOCK_TOKENS = 64
PRECISION = "tf32x3"


def query_rows(dtype: torch.dtype, width: int) -> int:
    return 64 if dtype != torch.float32 and width <= 128 else 16


def column_sums(
    q: Tensor,
    lse: Tensor,
    pool: KVPool,
    block_table: Tensor,
    row_starts: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    backend: Backend,
    window: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """Sum over a chunk's rows of the attention weight of each key, from the log-sum-exps that attention returned.

    Arguments as in paged_prefill, and ``lse`` [total, heads] as it returned it, with the same window and soft cap. To
    count the last w rows only (SnapKV), hand over their q and lse as the chunk: a chunk is the newest rows anyway.

    Returns [sequences, heads, 16 * columns of the table] fp32, fp64 for fp64: zero past a sequence's end, and for
    keys that no row sees. Each row adds 1 in all. Heads of a group are not reduced. ValueError as paged_prefill.
    """
    check_pool(q, pool, block_table, seq_lens, backend)
    if row_starts.dtype != torch.int32 or row_starts.shape[0] != seq_lens.shape[0] + 1:
        raise ValueError("row_starts: int32, one more entry than seq_lens, is needed")
    if lse.shape != q.shape[:2]:
        raise ValueError(f"lse: shape {tuple(lse.shape)}, not {tuple(q.shape[:2])}")
    if backend == "torch":
        return column_sums_portable(
            q, lse, pool, block_table, row_starts, seq_lens, scale=scale, window=window, softcap=softcap
        )
    heads = q.shape[1]
    columns = block_table.shape[1] * PAGE_TOKENS
    sums = torch.empty((seq_lens.shape[0], heads, columns), dtype=torch.float32, device=q.device)
    made = device_pool(pool)
    column_sums_kernel[(-(-columns // BLOCK_TOKENS), heads, seq_lens.shape[0])](
        q.contiguous(),
        lse.contiguous(),
        *made.pointers,
        block_table,
        row_starts,
        seq_lens,
        sums,
        block_table.stride(0),
        columns,
        scale,
        WINDOW=window,
        SOFTCAP=softcap,
        ROWS=query_rows(q.dtype, q.shape[2]),
        BLOCK=BLOCK_TOKENS,
        PRECISION=PRECISION,
        GROUP=heads // pool.shape[2],
        **made.constants,
    )
    return sums
