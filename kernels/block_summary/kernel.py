"""The Triton kernel of block_summary: one program per (page, kv head)."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_summary_kernel(
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous
    pages_ptr,  # [n] int64
    summaries_ptr,  # [pages, 3, KV_HEADS, WIDTH] contiguous
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    page = tl.load(pages_ptr + tl.program_id(0))
    kv_head = tl.program_id(1)
    i_slot = tl.arange(0, PAGE)
    i_width = tl.arange(0, WIDTH_PAD)
    m_width = i_width < WIDTH
    p_key = pool_ptr + (page * 2 * KV_HEADS + kv_head) * PAGE * WIDTH + i_slot[:, None] * WIDTH + i_width[None, :]
    b_key = tl.load(p_key, mask=m_width[None, :], other=0.0).to(tl.float32)
    dtype: tl.constexpr = summaries_ptr.dtype.element_ty
    p_out = summaries_ptr + (page * 3 * KV_HEADS + kv_head) * WIDTH + i_width
    tl.store(p_out, tl.min(b_key, axis=0).to(dtype), mask=m_width)
    tl.store(p_out + KV_HEADS * WIDTH, tl.max(b_key, axis=0).to(dtype), mask=m_width)
    tl.store(p_out + 2 * KV_HEADS * WIDTH, (tl.sum(b_key, axis=0) / PAGE).to(dtype), mask=m_width)
