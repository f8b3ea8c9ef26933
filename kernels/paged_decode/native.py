"""The native backend of paged_decode: native.h through the library's C ABI."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.native.library import MAX_WIDTH, library, not_computed


def paged_decode_native(
    q: Tensor, pool: Tensor, block_table: Tensor, seq_lens: Tensor, *, scale: float, window: int
) -> tuple[Tensor, Tensor]:
    """See paged_decode in host.py, which has checked the shapes. NativeUnavailable where there is no library."""
    native = library()
    rows, heads, width = q.shape
    how = native.how.get(q.dtype)
    if how is None:
        raise not_computed(q.dtype)
    if width > MAX_WIDTH:
        raise ValueError(f"the native backend has heads of at most {MAX_WIDTH}, not {width}: name the torch backend")
    if pool.dtype != q.dtype:
        raise ValueError(f"the native backend reads pages of q's dtype, {q.dtype}, not {pool.dtype}: name torch")
    if not pool.is_contiguous():
        raise ValueError("pool: the native backend needs it contiguous")
    if q.stride(2) != 1 or q.stride(1) != width:
        q = q.contiguous()
    table = block_table if block_table.stride(1) == 1 else block_table.contiguous()
    lens = seq_lens.contiguous()
    out = torch.empty((rows, heads, width), dtype=q.dtype)
    lse = torch.empty((rows, heads), dtype=torch.float32)
    bad = native.calls.mneme_paged_decode(
        how,
        torch.get_num_threads(),
        q.data_ptr(),
        pool.data_ptr(),
        table.data_ptr(),
        lens.data_ptr(),
        out.data_ptr(),
        lse.data_ptr(),
        rows,
        heads,
        pool.shape[2],
        width,
        q.stride(0),
        table.stride(0),
        table.shape[1],
        pool.shape[0],
        window,
        scale,
    )
    if bad >= 0:
        raise IndexError(f"row {bad}: its length or one of its pages lies outside block_table or pool")
    return out, lse
