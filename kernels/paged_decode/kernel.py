"""The Triton kernel of paged_decode: one program reads one split of one row's keys for one kv head."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def paged_decode_kernel(
    q_ptr,  # [rows, heads, WIDTH] contiguous
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous
    table_ptr,  # [rows, table_stride] int32
    lens_ptr,  # [rows] int32
    out_ptr,  # [splits, rows, heads, WIDTH]; fp32 when there are several splits
    lse_ptr,  # [splits, rows, heads] fp32
    rows,
    table_stride,
    scale,
    WINDOW: tl.constexpr,  # 0: no window
    SPLIT: tl.constexpr,  # tokens of a split, a multiple of BLOCK
    BLOCK: tl.constexpr,  # tokens read at once
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    GROUP_PAD: tl.constexpr,  # >= 16, what tl.dot asks for
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    row = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    length = tl.load(lens_ptr + row)
    first = 0
    if WINDOW > 0:
        first = tl.maximum(length - WINDOW, 0)
    # Splits lie on a fixed grid of positions, so that a row's sums do not depend on its neighbours in the batch.
    begin = split * SPLIT
    end = tl.minimum(begin + SPLIT, length)
    begin = tl.maximum(begin, first // BLOCK * BLOCK)

    i_group = tl.arange(0, GROUP_PAD)
    i_width = tl.arange(0, WIDTH_PAD)
    i_block = tl.arange(0, BLOCK)
    m_group = i_group < GROUP
    m_width = i_width < WIDTH
    heads = KV_HEADS * GROUP
    head = kv_head * GROUP + i_group
    m_tile = m_group[:, None] & m_width[None, :]
    b_q = tl.load(q_ptr + (row * heads + head)[:, None] * WIDTH + i_width[None, :], mask=m_tile, other=0.0)

    top = tl.full([GROUP_PAD], -float("inf"), dtype=tl.float32)
    total = tl.zeros([GROUP_PAD], dtype=tl.float32)
    acc = tl.zeros([GROUP_PAD, WIDTH_PAD], dtype=tl.float32)
    for start in range(begin, end, BLOCK):
        token = start + i_block
        valid = (token >= first) & (token < end)
        page = tl.load(table_ptr + row * table_stride + token // PAGE, mask=valid, other=0).to(tl.int64)
        o_key = (page * 2 * KV_HEADS + kv_head) * PAGE * WIDTH + (token % PAGE) * WIDTH
        # Masked places are never read: what lies in a page past the row's end may be anything, NaN too.
        m_kv = valid[:, None] & m_width[None, :]
        p_key = pool_ptr + o_key[:, None] + i_width[None, :]
        b_key = tl.load(p_key, mask=m_kv, other=0.0)
        b_value = tl.load(p_key + KV_HEADS * PAGE * WIDTH, mask=m_kv, other=0.0)
        score = tl.dot(b_q, tl.trans(b_key), input_precision="ieee") * scale
        score = tl.where(valid[None, :], score, -float("inf"))
        new_top = tl.maximum(top, tl.max(score, axis=1))
        pivot = tl.where(new_top == -float("inf"), 0.0, new_top)
        weight = tl.exp(score - pivot[:, None])
        old_scale = tl.exp(top - pivot)
        total = total * old_scale + tl.sum(weight, axis=1)
        acc = acc * old_scale[:, None] + tl.dot(weight.to(b_value.dtype), b_value, input_precision="ieee")
        top = new_top

    empty = total == 0.0
    divisor = tl.where(empty, 1.0, total)
    acc = acc / divisor[:, None]
    lse = tl.where(empty, -float("inf"), top + tl.log(divisor))
    cell = (split * rows + row).to(tl.int64) * heads + head
    p_out = out_ptr + cell[:, None] * WIDTH + i_width[None, :]
    tl.store(p_out, acc.to(out_ptr.dtype.element_ty), mask=m_tile)
    tl.store(lse_ptr + cell, lse, mask=m_group)
