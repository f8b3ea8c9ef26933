"""Summaries of sealed pages, written to be believed: one channel at a time."""

from __future__ import annotations

from torch import Tensor

from kernels.layout import accumulation_dtype


def block_summary_reference(pool: Tensor, pages: Tensor, summaries: Tensor) -> None:
    """See block_summary in host.py for the shapes and the promises."""
    wide = accumulation_dtype(pool.dtype)
    for page in pages.tolist():
        for head in range(pool.shape[2]):
            for channel in range(pool.shape[4]):
                keys = pool[page, 0, head, :, channel]
                summaries[page, 0, head, channel] = min(keys.tolist())
                summaries[page, 1, head, channel] = max(keys.tolist())
                summaries[page, 2, head, channel] = keys.to(wide).mean()
