"""The Triton kernel of rope_rerotate: one program per (page, kv head)."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rope_rerotate_kernel(
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous
    sources_ptr,  # [n] int64
    targets_ptr,  # [n] int64
    old_ptr,  # [n, PAGE] int32
    new_ptr,  # [n, PAGE] int32
    cos_ptr,  # [positions, PAIRS] fp32
    sin_ptr,
    INTERLEAVED: tl.constexpr,
    PAIRS: tl.constexpr,
    PAIRS_PAD: tl.constexpr,
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    i = tl.program_id(0)
    kv_head = tl.program_id(1)
    source = tl.load(sources_ptr + i)
    target = tl.load(targets_ptr + i)
    i_slot = tl.arange(0, PAGE)
    i_pair = tl.arange(0, PAIRS_PAD)
    m_pair = (i_pair < PAIRS)[None, :]
    old = tl.load(old_ptr + i * PAGE + i_slot).to(tl.int64)
    new = tl.load(new_ptr + i * PAGE + i_slot).to(tl.int64)
    o_old = old[:, None] * PAIRS + i_pair[None, :]
    o_new = new[:, None] * PAIRS + i_pair[None, :]
    b_cos_old = tl.load(cos_ptr + o_old, mask=m_pair, other=1.0)
    b_sin_old = tl.load(sin_ptr + o_old, mask=m_pair, other=0.0)
    b_cos_new = tl.load(cos_ptr + o_new, mask=m_pair, other=1.0)
    b_sin_new = tl.load(sin_ptr + o_new, mask=m_pair, other=0.0)
    # One rotation, by the difference of the two angles.
    cos = b_cos_new * b_cos_old + b_sin_new * b_sin_old
    sin = b_sin_new * b_cos_old - b_cos_new * b_sin_old

    first = i_pair
    second = i_pair + PAIRS
    if INTERLEAVED:
        first = 2 * i_pair
        second = 2 * i_pair + 1
    o_slot = i_slot[:, None] * WIDTH
    p_source = pool_ptr + (source * 2 * KV_HEADS + kv_head) * PAGE * WIDTH + o_slot
    p_target = pool_ptr + (target * 2 * KV_HEADS + kv_head) * PAGE * WIDTH + o_slot
    b_x = tl.load(p_source + first[None, :], mask=m_pair, other=0.0).to(tl.float32)
    b_y = tl.load(p_source + second[None, :], mask=m_pair, other=0.0).to(tl.float32)
    dtype: tl.constexpr = pool_ptr.dtype.element_ty
    tl.store(p_target + first[None, :], (b_x * cos - b_y * sin).to(dtype), mask=m_pair)
    tl.store(p_target + second[None, :], (b_x * sin + b_y * cos).to(dtype), mask=m_pair)
    # Channels without a rotation, and values, are copied.
    i_width = tl.arange(0, WIDTH_PAD)[None, :]
    m_rest = (i_width >= 2 * PAIRS) & (i_width < WIDTH)
    tl.store(p_target + i_width, tl.load(p_source + i_width, mask=m_rest), mask=m_rest)
    o_value = KV_HEADS * PAGE * WIDTH + i_width
    m_value = i_width < WIDTH
    tl.store(p_target + o_value, tl.load(p_source + o_value, mask=m_value), mask=m_value)
