"""block_score and top_blocks: which sealed pages a group of queries should read."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kernels.block_score.kernel import block_score_kernel
from kernels.block_score.portable import block_score_portable
from kernels.layout import Backend, check_backend, pad_width

# Pages of a program: a tile of 32 x 128 fp32 for each of least and greatest fits the registers.
BLOCK_PAGES = 32


def block_score(
    q: Tensor,
    summaries: Tensor,
    block_table: Tensor,
    counts: Tensor,
    *,
    backend: Backend,
    by: Literal["minmax", "mean"] = "minmax",
    reduce: Literal["max", "mean"] = "max",
) -> Tensor:
    """``q`` [rows, heads, width] against ``summaries`` (block_summary) of a row's first ``counts`` [rows] int32 pages.

    ``by`` "minmax": sum over channels of max(q low, q high), which no key's score q . k exceeds (Quest); "mean":
    q . mean (Kinetics). ``reduce``: over the heads that share a kv head. ``block_table`` [rows, columns] int32.

    Returns [rows, kv_heads, columns] fp32, fp64 for fp64, unscaled; -inf from a row's count on. Entries of the table
    from there on may be anything. ValueError for shapes that do not fit.
    """
    check_backend(q, backend)
    rows, heads, width = q.shape
    if summaries.dim() != 4 or summaries.shape[1] != 3 or summaries.shape[3] != width or heads % summaries.shape[2]:
        raise ValueError(f"summaries: shape {tuple(summaries.shape)} does not fit q's {tuple(q.shape)}")
    if block_table.dtype != torch.int32 or counts.dtype != torch.int32 or counts.shape != (rows,):
        raise ValueError("block_table and counts must be int32, one row and one count for each row of q")
    if backend == "torch":
        return block_score_portable(q, summaries, block_table, counts, by=by, reduce=reduce)
    kv_heads, columns = summaries.shape[2], block_table.shape[1]
    scores = torch.empty((rows, kv_heads, columns), dtype=torch.float32, device=q.device)
    if scores.numel():
        block_score_kernel[(-(-columns // BLOCK_PAGES), kv_heads, rows)](
            q.contiguous(),
            summaries.contiguous(),
            block_table,
            counts,
            scores,
            block_table.stride(0),
            columns,
            MINMAX=by == "minmax",
            MAXIMUM=reduce == "max",
            BLOCK=BLOCK_PAGES,
            KV_HEADS=kv_heads,
            GROUP=heads // kv_heads,
            WIDTH=width,
            WIDTH_PAD=pad_width(width),
        )
    return scores


def top_blocks(scores: Tensor, k: int) -> Tensor:
    """The ``k`` columns of the greatest scores, [rows, kv_heads, k] int32, greatest first, on any device.

    Of equal scores the lower column comes first, always: a stable sort, since torch.topk leaves ties open. Where
    fewer than k scores are above -inf the rest is -1.
    """
    if k < 1:
        raise ValueError(f"k is {k}: at least one block must be asked for")
    best, order = torch.sort(scores, dim=-1, descending=True, stable=True)
    best, order = best[..., :k], order[..., :k]
    chosen = torch.full((*scores.shape[:-1], k), -1, dtype=torch.int32, device=scores.device)
    chosen[..., : order.shape[-1]] = torch.where(best > -torch.inf, order, -1).to(torch.int32)
    return chosen
