"""The Triton kernel of merge_states: one program merges all parts of one (row, head)."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def merge_states_kernel(
    outs_ptr,  # [parts, cells, width] contiguous; a cell is a (row, head)
    lses_ptr,  # [parts, cells] fp32
    out_ptr,  # [cells, width]
    lse_ptr,  # [cells] fp32
    parts,
    cells,
    PARTS: tl.constexpr,  # parts read at once
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    cell = tl.program_id(0)
    i_width = tl.arange(0, WIDTH_PAD)
    m_width = i_width < WIDTH
    top = -float("inf")
    total = 0.0
    acc = tl.zeros([WIDTH_PAD], dtype=tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        b_lse = tl.load(lses_ptr + part * cells + cell, mask=part < parts, other=-float("inf"))
        # An empty part is skipped, not multiplied by zero: its output may hold anything, NaN too.
        m_part = (b_lse > -float("inf"))[:, None] & m_width[None, :]
        o_part = (part.to(tl.int64) * cells + cell) * WIDTH
        b_out = tl.load(outs_ptr + o_part[:, None] + i_width[None, :], mask=m_part, other=0.0)
        new_top = tl.maximum(top, tl.max(b_lse, axis=0))
        pivot = tl.where(new_top == -float("inf"), 0.0, new_top)
        old_scale = tl.exp(top - pivot)
        weight = tl.exp(b_lse - pivot)
        acc = acc * old_scale + tl.sum(b_out.to(tl.float32) * weight[:, None], axis=0)
        total = total * old_scale + tl.sum(weight, axis=0)
        top = new_top
    empty = total == 0.0
    acc = acc / tl.where(empty, 1.0, total)
    lse = tl.where(empty, -float("inf"), top + tl.log(tl.where(empty, 1.0, total)))
    tl.store(out_ptr + cell * WIDTH + i_width, acc.to(out_ptr.dtype.element_ty), mask=m_width)
    tl.store(lse_ptr + cell, lse)
