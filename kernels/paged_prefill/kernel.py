"""The Triton kernel of paged_prefill: one program, one tile of query rows of one sequence, one kv head."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def paged_prefill_kernel(
    q_ptr,  # [total, heads, WIDTH] contiguous
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous
    table_ptr,  # [sequences, table_stride] int32
    starts_ptr,  # [sequences + 1] int32
    lens_ptr,  # [sequences] int32
    out_ptr,  # [total, heads, WIDTH]
    lse_ptr,  # [total, heads] fp32
    table_stride,
    scale,
    WINDOW: tl.constexpr,  # 0: no window
    TILE: tl.constexpr,  # (row, head of the group) pairs of a program
    BLOCK: tl.constexpr,  # tokens read at once
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    sequence = tl.program_id(0)
    kv_head = tl.program_id(1)
    tile = tl.program_id(2)
    row_begin = tl.load(starts_ptr + sequence)
    rows = tl.load(starts_ptr + sequence + 1) - row_begin
    length = tl.load(lens_ptr + sequence)
    before = length - rows

    # A tile holds pairs, head of the group fastest: all heads that share keys read them together.
    pair = tile * TILE + tl.arange(0, TILE)
    row = pair // GROUP
    m_row = row < rows
    position = before + row
    head = kv_head * GROUP + pair % GROUP
    i_width = tl.arange(0, WIDTH_PAD)
    i_block = tl.arange(0, BLOCK)
    m_width = i_width < WIDTH
    heads = KV_HEADS * GROUP
    cell = (row_begin + row).to(tl.int64) * heads + head
    m_tile = m_row[:, None] & m_width[None, :]
    b_q = tl.load(q_ptr + cell[:, None] * WIDTH + i_width[None, :], mask=m_tile, other=0.0)

    first_row = tile * TILE // GROUP
    last_row = tl.minimum((tile * TILE + TILE - 1) // GROUP, rows - 1)
    end = tl.where(first_row < rows, before + last_row + 1, 0)
    begin = 0
    if WINDOW > 0:
        begin = tl.maximum(before + first_row + 1 - WINDOW, 0) // BLOCK * BLOCK

    top = tl.full([TILE], -float("inf"), dtype=tl.float32)
    total = tl.zeros([TILE], dtype=tl.float32)
    acc = tl.zeros([TILE, WIDTH_PAD], dtype=tl.float32)
    for start in range(begin, end, BLOCK):
        token = start + i_block
        valid = token < end
        page = tl.load(table_ptr + sequence * table_stride + token // PAGE, mask=valid, other=0).to(tl.int64)
        o_key = (page * 2 * KV_HEADS + kv_head) * PAGE * WIDTH + (token % PAGE) * WIDTH
        # Masked places are never read: what lies in a page past the sequence's end may be anything, NaN too.
        m_kv = valid[:, None] & m_width[None, :]
        p_key = pool_ptr + o_key[:, None] + i_width[None, :]
        b_key = tl.load(p_key, mask=m_kv, other=0.0)
        b_value = tl.load(p_key + KV_HEADS * PAGE * WIDTH, mask=m_kv, other=0.0)
        score = tl.dot(b_q, tl.trans(b_key), input_precision="ieee") * scale
        seen = token[None, :] <= position[:, None]
        if WINDOW > 0:
            seen = seen & (token[None, :] > position[:, None] - WINDOW)
        score = tl.where(seen & valid[None, :], score, -float("inf"))
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
    p_out = out_ptr + cell[:, None] * WIDTH + i_width[None, :]
    tl.store(p_out, acc.to(out_ptr.dtype.element_ty), mask=m_tile)
    tl.store(lse_ptr + cell, lse, mask=m_row)
