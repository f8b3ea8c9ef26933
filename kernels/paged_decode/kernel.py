"""The Triton kernel of paged_decode: one program reads one split of one row's keys for one kv head."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import absorb, cap_scores, find_pages, finish, read_block, visible


@triton.jit
def paged_decode_kernel(
    q_ptr,  # [rows, heads, WIDTH] contiguous
    pool_ptr,  # [pages, 2, KV_HEADS, PAGE, WIDTH] contiguous; int4 codes: WIDTH / 2
    key_params_ptr,  # of quantised pools
    value_params_ptr,
    table_ptr,  # [rows, table_stride] int32
    lens_ptr,  # [rows] int32
    older_ptr,  # [rows] int32: tokens of the sequence before this table's first
    newer_ptr,  # [rows] int32: tokens after its last, the query's own included
    out_ptr,  # [splits, rows, heads, WIDTH]; fp32 when there are several splits
    lse_ptr,  # [splits, rows, heads] fp32
    rows,
    table_stride,
    scale,
    PLACED: tl.constexpr,  # whether older and newer are given; otherwise both are 0
    WINDOW: tl.constexpr,  # 0: no window
    SINKS: tl.constexpr,  # first tokens that a window does not hide
    SOFTCAP: tl.constexpr,  # 0: none
    SPLIT: tl.constexpr,  # least tokens of a split, a multiple of BLOCK
    MAX_SPLITS: tl.constexpr,  # longer rows have longer splits
    BLOCK: tl.constexpr,  # tokens read at once
    KIND: tl.constexpr,
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
    older = 0
    position = length - 1
    if PLACED:
        older = tl.load(older_ptr + row)
        position += tl.load(newer_ptr + row)
    # Splits are a function of the row's own length, so that its sums do not depend on its neighbours in the batch.
    tokens = tl.maximum(SPLIT, tl.cdiv(tl.cdiv(length, MAX_SPLITS), BLOCK) * BLOCK)
    begin = split * tokens
    end = tl.minimum(begin + tokens, length)
    if WINDOW > 0:
        near = tl.maximum(position + 1 - WINDOW, 0) // BLOCK * BLOCK
        begin = tl.where(begin < SINKS - older, begin, tl.maximum(begin, near))

    i_group = tl.arange(0, GROUP_PAD)
    i_width = tl.arange(0, WIDTH_PAD)
    m_group = i_group < GROUP
    heads = KV_HEADS * GROUP
    head = kv_head * GROUP + i_group
    m_tile = m_group[:, None] & (i_width < WIDTH)[None, :]
    b_q = tl.load(q_ptr + (row * heads + head)[:, None] * WIDTH + i_width[None, :], mask=m_tile, other=0.0)
    value_scale = 1.0
    if KIND == "fp8":
        scale *= tl.load(key_params_ptr + kv_head) * 256
        value_scale = tl.load(value_params_ptr + kv_head) * 256

    top = tl.full([GROUP_PAD], -float("inf"), dtype=tl.float32)
    total = tl.zeros([GROUP_PAD], dtype=tl.float32)
    acc = tl.zeros([GROUP_PAD, WIDTH_PAD], dtype=tl.float32)
    dtype: tl.constexpr = q_ptr.dtype.element_ty
    p_table = table_ptr + row.to(tl.int64) * table_stride
    for start in range(begin, end, BLOCK):
        seen = visible(start + tl.arange(0, BLOCK), position, end, WINDOW, SINKS, older)
        page = find_pages(p_table, start, seen, KIND, BLOCK, PAGE)
        b_key = read_block(
            pool_ptr, key_params_ptr, page, start, seen, kv_head,
            dtype, 0, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD,
        )  # fmt: skip
        b_value = read_block(
            pool_ptr, value_params_ptr, page, start, seen, kv_head,
            dtype, 1, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD,
        )  # fmt: skip
        score = cap_scores(tl.dot(b_q, tl.trans(b_key), input_precision="tf32x3") * scale, SOFTCAP)
        score = tl.where(seen[None, :], score, -float("inf"))
        top, total, acc = absorb(top, total, acc, score, b_value, "tf32x3")

    out, lse = finish(top, total, acc)
    cell = (split * rows + row).to(tl.int64) * heads + head
    p_out = out_ptr + cell[:, None] * WIDTH + i_width[None, :]
    tl.store(p_out, (out * value_scale).to(out_ptr.dtype.element_ty), mask=m_tile)
    tl.store(lse_ptr + cell, lse, mask=m_group)
