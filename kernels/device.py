"""Device functions that the attention kernels share: finding pages, reading keys or values of any KV type, softmax.

KIND is "plain" (numbers of the queries' width or narrower), "int8", "int4" or "fp8"; ``quantised.py`` has the layouts.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def find_pages(
    row_table_ptr,  # the row's table
    start,  # a multiple of PAGE
    valid,  # [BLOCK], which tokens from start on are read
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    PAGE: tl.constexpr,
):
    """Pages of the block's tokens: [BLOCK] for the types read token by token, else [BLOCK // PAGE]."""
    if (KIND == "int8") | (KIND == "int4"):
        i_page = tl.arange(0, BLOCK // PAGE)
        m_page = tl.max(tl.reshape(valid.to(tl.int32), [BLOCK // PAGE, PAGE]), axis=1) > 0
        page = tl.load(row_table_ptr + start // PAGE + i_page, mask=m_page, other=0)
    else:
        token = start + tl.arange(0, BLOCK)
        page = tl.load(row_table_ptr + token // PAGE, mask=valid, other=0)
    return page.to(tl.int64)


@triton.jit
def read_block(
    pool_ptr,  # numbers, or uint8 codes
    params_ptr,  # fp16 scales and minima of this part (int8, int4); otherwise not read
    page,  # from find_pages
    start,
    valid,  # [BLOCK]
    kv_head,
    dtype: tl.constexpr,  # of the result
    PART: tl.constexpr,  # 0 keys, 1 values
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    """[BLOCK, WIDTH_PAD] keys or values. Masked places are not read: what lies past a row's end may be NaN."""
    if (KIND == "int8") | (KIND == "int4"):
        b_tile = _read_codes(
            pool_ptr, params_ptr, page, valid, kv_head, PART, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD
        )
    else:
        i_width = tl.arange(0, WIDTH_PAD)
        slot = (start + tl.arange(0, BLOCK)) % PAGE
        o_token = ((page * 2 + PART) * KV_HEADS + kv_head) * PAGE * WIDTH + slot * WIDTH
        m_tile = valid[:, None] & (i_width < WIDTH)[None, :]
        p_tile = pool_ptr + o_token[:, None] + i_width[None, :]
        if KIND == "fp8":
            b_tile = decode_e4m3(tl.load(p_tile, mask=m_tile, other=0))
        else:
            b_tile = tl.load(p_tile, mask=m_tile, other=0.0)
    return b_tile.to(dtype)


@triton.jit
def _read_codes(
    pool_ptr,
    params_ptr,
    page,
    valid,
    kv_head,
    PART: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    PER_BYTE: tl.constexpr = 2 if KIND == "int4" else 1
    PAGES: tl.constexpr = BLOCK // PAGE
    i_slot = tl.arange(0, PAGE)
    i_byte = tl.arange(0, WIDTH_PAD // PER_BYTE)
    i_width = tl.arange(0, WIDTH_PAD)
    o_head = ((page * 2 + PART) * KV_HEADS + kv_head) * PAGE * (WIDTH // PER_BYTE)
    o_code = o_head[:, None, None] + (i_slot * (WIDTH // PER_BYTE))[None, :, None] + i_byte[None, None, :]
    m_token = tl.reshape(valid, [PAGES, PAGE])
    m_code = m_token[:, :, None] & (i_byte < WIDTH // PER_BYTE)[None, None, :]
    b_code = tl.load(pool_ptr + o_code, mask=m_code, other=0)
    if KIND == "int4":
        b_code = tl.reshape(tl.join(b_code & 15, b_code >> 4), [PAGES, PAGE, WIDTH_PAD])
    if PART == 0:  # a scale and a minimum for each channel of a page
        m_page = tl.max(m_token.to(tl.int32), axis=1) > 0
        o_param = ((page * KV_HEADS + kv_head) * 2 * WIDTH)[:, None, None] + i_width[None, None, :]
        m_param = m_page[:, None, None] & (i_width < WIDTH)[None, None, :]
        o_low = WIDTH
    else:  # a scale and a minimum for each group of 32 channels of a token
        GROUPS: tl.constexpr = WIDTH_PAD // 32
        i_group = tl.arange(0, GROUPS)
        o_page = (page * KV_HEADS + kv_head) * 2 * PAGE * (WIDTH // 32)
        o_slot = o_page[:, None] + (i_slot * (WIDTH // 32))[None, :]
        o_param = o_slot[:, :, None, None] + i_group[None, None, :, None]
        m_param = m_token[:, :, None, None] & (i_group < WIDTH // 32)[None, None, :, None]
        o_low = PAGE * (WIDTH // 32)
        b_code = tl.reshape(b_code, [PAGES, PAGE, GROUPS, 32])
    b_scale = tl.load(params_ptr + o_param, mask=m_param, other=0.0).to(tl.float32)
    b_low = tl.load(params_ptr + o_param + o_low, mask=m_param, other=0.0).to(tl.float32)
    return tl.reshape(b_code.to(tl.float32) * b_scale + b_low, [BLOCK, WIDTH_PAD])


@triton.jit
def decode_e4m3(code):
    """uint8 codes of fp8 e4m3 as fp16, 256 times too small: the exponent's bias is 7 there and 15 here.

    Integer arithmetic, since sm_80 has no fp8. The codes of NaN (0x7f, 0xff) are not known here; kv_write writes none.
    """
    bits = code.to(tl.uint16)
    return (((bits & 0x80) << 8) | ((bits & 0x7F) << 7)).to(tl.float16, bitcast=True)


@triton.jit
def visible(token, position, end, WINDOW: tl.constexpr, SINKS: tl.constexpr, older):
    """Which tokens a query at ``position`` sees: those before ``end`` within the window, and the first SINKS of all.

    ``older``: tokens of the sequence before this table's first.
    """
    seen = (token < end) & (token <= position)
    if WINDOW > 0:
        near = token > position - WINDOW
        if SINKS > 0:
            near = near | (token < SINKS - older)
        seen = seen & near
    return seen


@triton.jit
def cap_scores(score, SOFTCAP: tl.constexpr):
    """SOFTCAP * tanh(score / SOFTCAP); 0 leaves scores as they are."""
    if SOFTCAP > 0:
        score = SOFTCAP - 2 * SOFTCAP / (tl.exp(score * (2 / SOFTCAP)) + 1.0)
    return score


@triton.jit
def absorb(top, total, acc, score, b_value, PRECISION: tl.constexpr):
    """Online softmax: takes one block of scores (-inf where masked) and values into the running state."""
    new_top = tl.maximum(top, tl.max(score, axis=1))
    pivot = tl.where(new_top == -float("inf"), 0.0, new_top)
    weight = tl.exp(score - pivot[:, None])
    old_scale = tl.exp(top - pivot)
    total = total * old_scale + tl.sum(weight, axis=1)
    acc = acc * old_scale[:, None]
    acc = tl.dot(weight.to(b_value.dtype), b_value, acc, input_precision=PRECISION)
    return new_top, total, acc


@triton.jit
def finish(top, total, acc):
    """(out, lse) of a running state; (0, -inf) where no key was seen."""
    empty = total == 0.0
    divisor = tl.where(empty, 1.0, total)
    return acc / divisor[:, None], tl.where(empty, -float("inf"), top + tl.log(divisor))


@triton.jit
def round_even(x):
    """The nearest whole number below 2^22 in size, halves to even: adding 1.5 * 2^23 leaves no place for a fraction."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def encode_e4m3(x):
    """fp32 to the codes of fp8 e4m3, nearest, halves to even; beyond 448 the greatest. NaN becomes the greatest too."""
    bits = x.to(tl.uint32, bitcast=True)
    sign = (bits >> 24) & 0x80
    size = tl.minimum(tl.abs(x), 448.0)
    size = tl.where(x == x, size, 448.0)
    # Normal numbers: drop 20 of 23 mantissa bits, rounding, and move the exponent's bias from 127 to 7.
    wide = size.to(tl.uint32, bitcast=True)
    normal = ((wide + 0x7FFFF + ((wide >> 20) & 1)) >> 20) - (120 << 3)
    # Below 2^-6 the codes are multiples of 2^-9.
    small = round_even(size * 512.0).to(tl.uint32)
    return (sign | tl.where(size < 0.015625, small, normal)).to(tl.uint8)
