"""The Triton kernel of column_sums: one program, one block of keys of one sequence and kv head, all query rows."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import cap_scores, find_pages, read_block, visible


@triton.jit
def column_sums_kernel(
    q_ptr,  # [total, heads, WIDTH] contiguous
    lse_ptr,  # [total, heads] fp32 contiguous
    pool_ptr,  # as in paged_decode
    key_params_ptr,
    value_params_ptr,
    table_ptr,  # [sequences, table_stride] int32
    starts_ptr,  # [sequences + 1] int32
    lens_ptr,  # [sequences] int32
    sums_ptr,  # [sequences, heads, columns] fp32
    table_stride,
    columns,
    scale,
    WINDOW: tl.constexpr,
    SOFTCAP: tl.constexpr,
    ROWS: tl.constexpr,  # query rows at once
    BLOCK: tl.constexpr,  # tokens of a program
    PRECISION: tl.constexpr,
    KIND: tl.constexpr,
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    start = tl.program_id(0) * BLOCK
    head = tl.program_id(1)
    sequence = tl.program_id(2)
    kv_head = head // GROUP
    heads = KV_HEADS * GROUP
    row_begin = tl.load(starts_ptr + sequence)
    rows = tl.load(starts_ptr + sequence + 1) - row_begin
    length = tl.load(lens_ptr + sequence)
    before = length - rows

    token = start + tl.arange(0, BLOCK)
    valid = token < length
    page = find_pages(table_ptr + sequence.to(tl.int64) * table_stride, start, valid, KIND, BLOCK, PAGE)
    dtype: tl.constexpr = q_ptr.dtype.element_ty
    b_key = read_block(
        pool_ptr, key_params_ptr, page, start, valid, kv_head, dtype, 0, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD
    )
    if KIND == "fp8":
        scale *= tl.load(key_params_ptr + kv_head) * 256
    i_width = tl.arange(0, WIDTH_PAD)
    sums = tl.zeros([BLOCK], dtype=tl.float32)
    # Rows that stand before the block's first token see none of it; past the window neither.
    first = tl.maximum(start - before, 0) // ROWS * ROWS
    last = tl.where(start < length, rows, 0)
    if WINDOW > 0:
        last = tl.minimum(last, start + BLOCK - 1 + WINDOW - before)
    for row_start in range(first, last, ROWS):
        row = row_start + tl.arange(0, ROWS)
        m_row = row < rows
        cell = (row_begin + row).to(tl.int64) * heads + head
        m_tile = m_row[:, None] & (i_width < WIDTH)[None, :]
        b_q = tl.load(q_ptr + cell[:, None] * WIDTH + i_width[None, :], mask=m_tile, other=0.0)
        b_lse = tl.load(lse_ptr + cell, mask=m_row, other=0.0)
        score = cap_scores(tl.dot(b_q, tl.trans(b_key), input_precision=PRECISION) * scale, SOFTCAP)
        seen = visible(token[None, :], (before + row)[:, None], length, WINDOW, 0, 0) & m_row[:, None]
        sums += tl.sum(tl.where(seen, tl.exp(score - b_lse[:, None]), 0.0), axis=0)
    p_sums = sums_ptr + (sequence * heads + head).to(tl.int64) * columns + token
    tl.store(p_sums, sums, mask=token < columns)
