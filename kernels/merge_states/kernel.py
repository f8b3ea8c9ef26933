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
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
):
    cell = tl.program_id(0)
    i_width = tl.arange(0, WIDTH_PAD)
    m_width = i_width < WIDTH
    top = -float("inf")
    total = 0.0
    acc = tl.zeros([WIDTH_PAD], dtype=tl.float32)
    for part in range(parts):
        b_lse = tl.load(lses_ptr + part * cells + cell)
        # An empty part is skipped, not multiplied by zero: its output may hold anything, NaN too.
        seen = b_lse > -float("inf")
        b_out = tl.load(outs_ptr + (part * cells + cell) * WIDTH + i_width, mask=m_width & (seen != 0), other=0.0)
        new_top = tl.maximum(top, b_lse)
        pivot = tl.where(new_top == -float("inf"), 0.0, new_top)
        old_scale = tl.exp(top - pivot)
        weight = tl.exp(b_lse - pivot)
        acc = acc * old_scale + b_out.to(tl.float32) * weight
        total = total * old_scale + weight
        top = new_top
    empty = total == 0.0
    acc = acc / tl.where(empty, 1.0, total)
    lse = tl.where(empty, -float("inf"), top + tl.log(tl.where(empty, 1.0, total)))
    tl.store(out_ptr + cell * WIDTH + i_width, acc.to(out_ptr.dtype.element_ty), mask=m_width)
    tl.store(lse_ptr + cell, lse)
