"""The Triton kernel of surprisal: one program reads one row of logits once."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def surprisal_kernel(
    logits_ptr,  # [rows, row_stride], the last dimension contiguous
    targets_ptr,  # [rows] int32
    surprisal_ptr,  # [rows] fp32
    entropy_ptr,  # [rows] fp32
    vocab,
    row_stride,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    p_row = logits_ptr + row.to(tl.int64) * row_stride
    i_block = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0  # of exp(x - top)
    moment = 0.0  # of exp(x - top) * (x - top): small numbers, which x itself is not
    for start in range(0, vocab, BLOCK):
        i_token = start + i_block
        b_x = tl.load(p_row + i_token, mask=i_token < vocab, other=-float("inf")).to(tl.float32)
        new_top = tl.maximum(top, tl.max(b_x, axis=0))
        pivot = tl.where(new_top == -float("inf"), 0.0, new_top)
        # A logit of -inf has weight 0 and no part in the moment: 0 * -inf is NaN.
        away = tl.where(b_x == -float("inf"), 0.0, b_x - pivot)
        weight = tl.where(b_x == -float("inf"), 0.0, tl.exp(away))
        moved = tl.where(top == -float("inf"), 0.0, top - pivot)
        old_scale = tl.where(top == -float("inf"), 0.0, tl.exp(moved))
        moment = (moment + total * moved) * old_scale + tl.sum(weight * away, axis=0)
        total = total * old_scale + tl.sum(weight, axis=0)
        top = new_top
    ln_total = tl.log(total)
    target = tl.load(targets_ptr + row)
    b_target = tl.load(p_row + target, mask=target >= 0, other=float("nan")).to(tl.float32)
    tl.store(surprisal_ptr + row, top - b_target + ln_total)
    tl.store(entropy_ptr + row, ln_total - moment / total)
