"""The Triton kernel of block_score: one program, some pages of one row for one kv head."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_score_kernel(
    q_ptr,  # [rows, heads, WIDTH] contiguous
    summaries_ptr,  # [pages, 3, KV_HEADS, WIDTH] contiguous
    table_ptr,  # [rows, table_stride] int32
    counts_ptr,  # [rows] int32
    scores_ptr,  # [rows, KV_HEADS, columns] fp32
    table_stride,
    columns,
    MINMAX: tl.constexpr,  # else by the mean
    MAXIMUM: tl.constexpr,  # over the group's heads, else their mean
    BLOCK: tl.constexpr,  # pages of a program
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kv_head = tl.program_id(1)
    row = tl.program_id(2)
    valid = column < tl.load(counts_ptr + row)
    page = tl.load(table_ptr + row.to(tl.int64) * table_stride + column, mask=valid, other=0).to(tl.int64)
    i_width = tl.arange(0, WIDTH_PAD)
    m_width = i_width < WIDTH
    m_tile = valid[:, None] & m_width[None, :]
    p_low = summaries_ptr + ((page * 3 * KV_HEADS + kv_head) * WIDTH)[:, None] + i_width[None, :]
    if MINMAX:
        b_low = tl.load(p_low, mask=m_tile, other=0.0).to(tl.float32)
        b_high = tl.load(p_low + KV_HEADS * WIDTH, mask=m_tile, other=0.0).to(tl.float32)
    else:
        b_low = tl.load(p_low + 2 * KV_HEADS * WIDTH, mask=m_tile, other=0.0).to(tl.float32)
        b_high = b_low
    best = tl.full([BLOCK], -float("inf"), dtype=tl.float32)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    p_q = q_ptr + (row.to(tl.int64) * KV_HEADS + kv_head) * GROUP * WIDTH + i_width
    for head in range(GROUP):
        b_q = tl.load(p_q + head * WIDTH, mask=m_width, other=0.0).to(tl.float32)
        score = tl.sum(tl.maximum(b_q[None, :] * b_low, b_q[None, :] * b_high), axis=1)
        best = tl.maximum(best, score)
        total += score
    made = total / GROUP
    if MAXIMUM:
        made = best
    p_out = scores_ptr + (row.to(tl.int64) * KV_HEADS + kv_head) * columns + column
    tl.store(p_out, tl.where(valid, made, -float("inf")), mask=column < columns)
