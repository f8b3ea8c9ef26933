"""The Triton kernel of paged_prefill: one program, one tile of query rows of one sequence, one kv head."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import absorb, cap_scores, find_pages, finish, read_block, visible


@triton.jit
def paged_prefill_kernel(
    q_ptr,  # [total, heads, WIDTH] contiguous
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous; int4 codes: WIDTH / 2
    key_params_ptr,  # of quantised pools
    value_params_ptr,
    table_ptr,  # [sequences, table_stride] int32
    starts_ptr,  # [sequences + 1] int32
    lens_ptr,  # [sequences] int32
    older_ptr,  # [sequences] int32: tokens of the sequence before this table's first
    newer_ptr,  # [sequences] int32: tokens after its last, up to the chunk's last
    out_ptr,  # [total, heads, WIDTH]
    lse_ptr,  # [total, heads] fp32
    table_stride,
    scale,
    PLACED: tl.constexpr,  # whether older and newer are given; otherwise both are 0
    WINDOW: tl.constexpr,  # 0: no window
    SINKS: tl.constexpr,  # first tokens that a window does not hide
    SOFTCAP: tl.constexpr,  # 0: none
    TILE: tl.constexpr,  # (row, head of the group) pairs of a program
    BLOCK: tl.constexpr,  # tokens read at once
    PRECISION: tl.constexpr,  # of fp32 products
    KIND: tl.constexpr,
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
    before = length - rows  # position of the chunk's first row, counted from the table's first token
    older = 0
    if PLACED:
        older = tl.load(older_ptr + sequence)
        before += tl.load(newer_ptr + sequence)

    # A tile holds pairs, head of the group fastest: all heads that share keys read them together.
    pair = tile * TILE + tl.arange(0, TILE)
    row = pair // GROUP
    m_row = row < rows
    position = before + row
    head = kv_head * GROUP + pair % GROUP
    i_width = tl.arange(0, WIDTH_PAD)
    heads = KV_HEADS * GROUP
    cell = (row_begin + row).to(tl.int64) * heads + head
    m_tile = m_row[:, None] & (i_width < WIDTH)[None, :]
    b_q = tl.load(q_ptr + cell[:, None] * WIDTH + i_width[None, :], mask=m_tile, other=0.0)
    value_scale = 1.0
    if KIND == "fp8":
        scale *= tl.load(key_params_ptr + kv_head) * 256
        value_scale = tl.load(value_params_ptr + kv_head) * 256

    first_row = tile * TILE // GROUP
    last_row = tl.minimum((tile * TILE + TILE - 1) // GROUP, rows - 1)
    end = tl.where(first_row < rows, tl.minimum(before + last_row + 1, length), 0)
    begin = 0
    if WINDOW > 0:
        begin = tl.maximum(before + first_row + 1 - WINDOW, 0) // BLOCK * BLOCK
        begin = tl.minimum(begin, tl.cdiv(end, BLOCK) * BLOCK)  # the window may have left this table
        sink_blocks = tl.maximum(tl.cdiv(SINKS - older, BLOCK), 0)
        # The loop counts blocks: those of the sinks first, then those of the window.
        begin = tl.maximum(begin - sink_blocks * BLOCK, 0)

    top = tl.full([TILE], -float("inf"), dtype=tl.float32)
    total = tl.zeros([TILE], dtype=tl.float32)
    acc = tl.zeros([TILE, WIDTH_PAD], dtype=tl.float32)
    dtype: tl.constexpr = q_ptr.dtype.element_ty
    p_table = table_ptr + sequence.to(tl.int64) * table_stride
    for at in range(begin, end, BLOCK):
        start = at
        if (WINDOW > 0) & (SINKS > 0):
            start = tl.where(at - begin < sink_blocks * BLOCK, at - begin, at)
        token = start + tl.arange(0, BLOCK)
        seen = visible(token[None, :], position[:, None], length, WINDOW, SINKS, older)
        valid = token < end
        if WINDOW > 0:
            # Pages that no row of the tile sees may have been given away.
            valid = valid & ((token > before + first_row - WINDOW) | (token < SINKS - older))
        page = find_pages(p_table, start, valid, KIND, BLOCK, PAGE)
        b_key = read_block(
            pool_ptr, key_params_ptr, page, start, valid, kv_head,
            dtype, 0, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD,
        )  # fmt: skip
        b_value = read_block(
            pool_ptr, value_params_ptr, page, start, valid, kv_head,
            dtype, 1, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD,
        )  # fmt: skip
        score = cap_scores(tl.dot(b_q, tl.trans(b_key), input_precision=PRECISION) * scale, SOFTCAP)
        score = tl.where(seen, score, -float("inf"))
        top, total, acc = absorb(top, total, acc, score, b_value, PRECISION)

    out, lse = finish(top, total, acc)
    p_out = out_ptr + cell[:, None] * WIDTH + i_width[None, :]
    tl.store(p_out, (out * value_scale).to(out_ptr.dtype.element_ty), mask=m_tile)
    tl.store(lse_ptr + cell, lse, mask=m_row)
