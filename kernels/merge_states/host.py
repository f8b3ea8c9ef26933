"""merge_states: one state from several, each computed over a part of the keys."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from kernels.layout import Backend
from kernels.merge_states.kernel import merge_states_kernel
from kernels.merge_states.reference import merge_states_reference

# Parts read at once: a row of 128 splits takes eight rounds, and a tile of 16 x 256 fp32 fits the registers.
PARTS_AT_ONCE = 16


def merge_states(
    outs: Tensor, lses: Tensor, *, backend: Backend, out_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """``outs`` [parts, rows, heads, width] and ``lses`` [parts, rows, heads] to (out [rows, heads, width], lse).

    Associative and commutative up to rounding; the identity is (anything, -inf). ``out_dtype`` defaults to that of
    ``outs``. Allocates the result; changes nothing it is given.
    """
    dtype = outs.dtype if out_dtype is None else out_dtype
    if backend == "torch":
        out, lse = merge_states_reference(outs, lses)
        return out.to(dtype), lse
    parts, rows, heads, width = outs.shape
    out = torch.empty((rows, heads, width), dtype=dtype, device=outs.device)
    lse = torch.empty((rows, heads), dtype=torch.float32, device=outs.device)
    merge_states_kernel[(rows * heads,)](
        outs.contiguous(),
        lses.contiguous(),
        out,
        lse,
        parts,
        rows * heads,
        PARTS=PARTS_AT_ONCE,
        WIDTH=width,
        WIDTH_PAD=triton.next_power_of_2(width),
    )
    return out, lse
