"""block_summary: least, greatest and mean key of sealed pages, by channel."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.block_summary.kernel import block_summary_kernel
from kernels.layout import Backend, accumulation_dtype, check_backend, pad_width
from kernels.quantised import PAGE_TOKENS

LOW, HIGH, MEAN = 0, 1, 2
"""Places in the second dimension of summaries."""


def block_summary(pool: Tensor, pages: Tensor, summaries: Tensor, *, backend: Backend) -> None:
    """Writes ``summaries`` [pages, 3 (LOW, HIGH, MEAN), kv_heads, width] for ``pages`` [n] int64, which must be full.

    ``pool`` [pages, 2, kv_heads, 16, width] of the same dtype. Least and greatest are exact; the mean is summed in
    fp32 (fp64 for fp64) and rounded once. Rows of other pages are left alone. ValueError for shapes that do not fit.
    """
    check_backend(pool, backend)
    wanted = (pool.shape[0], 3, pool.shape[2], pool.shape[4])
    if summaries.shape != wanted or summaries.dtype != pool.dtype or not summaries.is_contiguous():
        raise ValueError(f"summaries: contiguous {wanted} of {pool.dtype} is needed, not {tuple(summaries.shape)}")
    if pages.dtype != torch.int64:
        raise ValueError("pages must be int64")
    if backend == "torch":
        keys = pool[pages, 0]
        summaries[pages, LOW], summaries[pages, HIGH] = torch.aminmax(keys, dim=2)
        summaries[pages, MEAN] = keys.to(accumulation_dtype(pool.dtype)).mean(dim=2).to(pool.dtype)
        return
    if pages.numel():
        kv_heads, width = pool.shape[2], pool.shape[4]
        block_summary_kernel[(pages.shape[0], kv_heads)](
            pool, pages, summaries, PAGE=PAGE_TOKENS, KV_HEADS=kv_heads, WIDTH=width, WIDTH_PAD=pad_width(width)
        )
