"""rope_kv_write: new tokens' queries and keys are rotated, keys and values written into their pages, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import PAGE_TOKENS
from kernels.native.library import CpuBackend, library, not_computed
from kernels.rope_kv_write.portable import rope_kv_write_portable


def rope_kv_write(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    pages: Tensor,
    places: Tensor,
    pool: Tensor,
    *,
    heads: int,
    backend: CpuBackend,
) -> Tensor:
    """The rotated queries [rows, heads, width]; the rotated keys and the values go into ``pool``.

    ``qkv`` [rows, heads + 2 kv_heads, width]: queries, keys, values of one token a row. ``cos``, ``sin``
    [rows, width / 2]: of each row's position. ``pages``, ``places`` [rows] int64: where the row's token lies; no two
    rows in the same place. ``pool`` [pages, 2, kv_heads, 16, width] of qkv's dtype. Halves are rotated against each
    other, as in Hugging Face, and rounded once.

    native: float32 and bfloat16 on a CPU, tables in float32, everything contiguous. ValueError for shapes that do not
    fit, IndexError for a place outside the pool (nothing is written then), NativeUnavailable without a library.
    """
    if backend == "torch":
        return rope_kv_write_portable(qkv, cos, sin, pages, places, pool, heads=heads)
    native = library()
    how = native.how.get(qkv.dtype)
    if how is None:
        raise not_computed(qkv.dtype)
    _check(qkv, cos, sin, pages, places, pool, heads)
    rows, _, width = qkv.shape
    q = torch.empty((rows, heads, width), dtype=qkv.dtype)
    bad = native.calls.mneme_rope_kv_write(
        how,
        torch.get_num_threads(),
        qkv.data_ptr(),
        cos.data_ptr(),
        sin.data_ptr(),
        pages.data_ptr(),
        places.data_ptr(),
        pool.data_ptr(),
        q.data_ptr(),
        rows,
        heads,
        pool.shape[2],
        width,
        pool.shape[0],
    )
    if bad >= 0:
        raise IndexError(f"row {bad}: page {int(pages[bad])}, place {int(places[bad])} lies outside the pool")
    return q


def _check(qkv: Tensor, cos: Tensor, sin: Tensor, pages: Tensor, places: Tensor, pool: Tensor, heads: int) -> None:
    if qkv.dim() != 3 or pool.dim() != 5 or pool.shape[1] != 2 or pool.shape[3] != PAGE_TOKENS:
        raise ValueError(f"qkv {tuple(qkv.shape)} or pool {tuple(pool.shape)}: not as many dimensions as needed")
    rows, all_heads, width = qkv.shape
    if all_heads != heads + 2 * pool.shape[2] or width != pool.shape[4] or width % 2 or qkv.dtype != pool.dtype:
        raise ValueError(f"qkv {tuple(qkv.shape)} {qkv.dtype} does not fit {heads} heads and pool {tuple(pool.shape)}")
    if cos.shape != (rows, width // 2) or sin.shape != cos.shape or not cos.dtype == sin.dtype == torch.float32:
        raise ValueError(f"cos and sin: float32 [{rows}, {width // 2}] is needed, not {tuple(cos.shape)} {cos.dtype}")
    if pages.shape != (rows,) or places.shape != (rows,) or not pages.dtype == places.dtype == torch.int64:
        raise ValueError("pages and places: one int64 for each row is needed")
    if any(not t.is_contiguous() or t.is_cuda for t in (qkv, cos, sin, pages, places, pool)):
        raise ValueError("the native backend needs all its tensors contiguous, on the CPU")
