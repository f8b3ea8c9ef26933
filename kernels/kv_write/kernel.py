"""Triton kernels of kv_write: tokens into slots, and full pages into fewer bits."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import encode_e4m3, round_even


@triton.jit
def kv_write_kernel(
    key_ptr,  # [tokens, KV_HEADS, WIDTH] contiguous
    value_ptr,
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous
    key_params_ptr,  # fp8: scales [KV_HEADS] fp32
    value_params_ptr,
    slots_ptr,  # [tokens] int64; below 0: not written
    KIND: tl.constexpr,  # "plain" or "fp8"
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    token = tl.program_id(0)
    kv_head = tl.program_id(1)
    slot = tl.load(slots_ptr + token)
    i_width = tl.arange(0, WIDTH_PAD)
    m_width = i_width < WIDTH
    o_given = (token.to(tl.int64) * KV_HEADS + kv_head) * WIDTH + i_width
    b_key = tl.load(key_ptr + o_given, mask=m_width, other=0.0)
    b_value = tl.load(value_ptr + o_given, mask=m_width, other=0.0)
    p_key = pool_ptr + ((slot // PAGE * 2 * KV_HEADS + kv_head) * PAGE + slot % PAGE) * WIDTH + i_width
    p_value = p_key + KV_HEADS * PAGE * WIDTH
    m_written = m_width & (slot >= 0)
    if KIND == "fp8":
        key_code = encode_e4m3(tl.div_rn(b_key.to(tl.float32), tl.load(key_params_ptr + kv_head)))
        value_code = encode_e4m3(tl.div_rn(b_value.to(tl.float32), tl.load(value_params_ptr + kv_head)))
        tl.store(p_key, key_code, mask=m_written)
        tl.store(p_value, value_code, mask=m_written)
    else:
        tl.store(p_key, b_key, mask=m_written)
        tl.store(p_value, b_value, mask=m_written)


@triton.jit
def seal_pages_kernel(
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous
    sources_ptr,  # [n] int64
    codes_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH or WIDTH / 2] uint8
    key_params_ptr,  # [pages, KV_HEADS, 2, WIDTH] fp16
    value_params_ptr,  # [pages, KV_HEADS, 2, PAGE, WIDTH / 32] fp16
    targets_ptr,  # [n] int64
    KIND: tl.constexpr,  # "int8" or "int4"
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    source = tl.load(sources_ptr + tl.program_id(0))
    target = tl.load(targets_ptr + tl.program_id(0))
    kv_head = tl.program_id(1)
    GROUPS: tl.constexpr = WIDTH_PAD // 32
    i_slot = tl.arange(0, PAGE)
    i_width = tl.arange(0, WIDTH_PAD)
    i_group = tl.arange(0, GROUPS)
    m_width = i_width < WIDTH
    p_page = pool_ptr + (source * 2 * KV_HEADS + kv_head) * PAGE * WIDTH
    p_key = p_page + i_slot[:, None] * WIDTH + i_width[None, :]
    b_key = tl.load(p_key, mask=m_width[None, :], other=0.0).to(tl.float32)
    b_value = tl.load(p_key + KV_HEADS * PAGE * WIDTH, mask=m_width[None, :], other=0.0).to(tl.float32)

    scale, low = _params(tl.min(b_key, axis=0), tl.max(b_key, axis=0), KIND)
    p_param = key_params_ptr + (target * KV_HEADS + kv_head) * 2 * WIDTH + i_width
    tl.store(p_param, scale, mask=m_width)
    tl.store(p_param + WIDTH, low, mask=m_width)
    key_code = _codes(b_key, scale[None, :], low[None, :], KIND)

    grouped = tl.reshape(b_value, [PAGE, GROUPS, 32])
    scale, low = _params(tl.min(grouped, axis=2), tl.max(grouped, axis=2), KIND)
    m_group = (i_group < WIDTH // 32)[None, :]
    o_param = (target * KV_HEADS + kv_head) * 2 * PAGE * (WIDTH // 32)
    p_param = value_params_ptr + o_param + i_slot[:, None] * (WIDTH // 32) + i_group[None, :]
    tl.store(p_param, scale, mask=m_group)
    tl.store(p_param + PAGE * (WIDTH // 32), low, mask=m_group)
    value_code = tl.reshape(_codes(grouped, scale[:, :, None], low[:, :, None], KIND), [PAGE, WIDTH_PAD])

    PER_BYTE: tl.constexpr = 2 if KIND == "int4" else 1
    ROW: tl.constexpr = WIDTH // PER_BYTE
    if KIND == "int4":
        key_code = _pack(key_code, PAGE, WIDTH_PAD)
        value_code = _pack(value_code, PAGE, WIDTH_PAD)
    i_byte = tl.arange(0, WIDTH_PAD // PER_BYTE)
    p_code = codes_ptr + (target * 2 * KV_HEADS + kv_head) * PAGE * ROW + i_slot[:, None] * ROW + i_byte[None, :]
    tl.store(p_code, key_code, mask=(i_byte < ROW)[None, :])
    tl.store(p_code + KV_HEADS * PAGE * ROW, value_code, mask=(i_byte < ROW)[None, :])


@triton.jit
def _params(least, greatest, KIND: tl.constexpr):
    """Scale and minimum of groups, as they are stored; a constant group has scale 0."""
    LEVELS: tl.constexpr = 15.0 if KIND == "int4" else 255.0
    low = least.to(tl.float16)
    span = tl.maximum(greatest - low.to(tl.float32), 0.0)
    return tl.div_rn(span, tl.full(span.shape, LEVELS, tl.float32)).to(tl.float16), low


@triton.jit
def _codes(numbers, scale, low, KIND: tl.constexpr):
    LEVELS: tl.constexpr = 15.0 if KIND == "int4" else 255.0
    divisor = tl.where(scale > 0, scale.to(tl.float32), float("inf"))
    away = numbers - low.to(tl.float32)
    code = round_even(tl.minimum(tl.maximum(tl.div_rn(away, tl.broadcast_to(divisor, away.shape)), 0.0), LEVELS))
    return code.to(tl.uint8)


@triton.jit
def _pack(code, PAGE: tl.constexpr, WIDTH_PAD: tl.constexpr):
    """Two channels a byte, the even one low."""
    even, odd = tl.split(tl.reshape(code, [PAGE, WIDTH_PAD // 2, 2]))
    return even | (odd << 4)
