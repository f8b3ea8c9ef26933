"""add_rms_norm: the residual sum and the norm of it, in one pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.native.library import CpuBackend, check_rows, library, not_computed


def add_rms_norm(
    x: Tensor, added: Tensor, weight: Tensor, *, eps: float, backend: CpuBackend, reuse: bool = False
) -> tuple[Tensor, Tensor]:
    """(sum, normed): sum = x + added, normed = sum / sqrt(mean(sum²) + eps) · weight, along the rows.

    ``x`` and ``added`` [rows, width], ``weight`` [width], all of one dtype, which both results have. ``reuse``: the
    results may lie in x and added, which are lost; spares two allocations a layer.

    native: float32 and bfloat16 on a CPU, squares summed in fp32, each result rounded once. ValueError for what does
    not fit; NativeUnavailable where there is no library.
    """
    if backend == "torch":
        total = x + added
        return total, F.rms_norm(total, weight.shape, weight, eps)
    native = library()
    how = native.how.get(x.dtype)
    if how is None:
        raise not_computed(x.dtype)
    check_rows("x", x)
    check_rows("added", added)
    rows, width = x.shape
    if added.shape != x.shape or weight.shape != (width,) or x.dtype != added.dtype or x.dtype != weight.dtype:
        raise ValueError(
            f"added {tuple(added.shape)} {added.dtype} or weight {tuple(weight.shape)} {weight.dtype} does not fit "
            f"x {tuple(x.shape)} {x.dtype}"
        )
    total, out = (x, added) if reuse else (torch.empty_like(x), torch.empty_like(x))
    native.calls.mneme_add_rms_norm(
        how,
        torch.get_num_threads(),
        x.data_ptr(),
        added.data_ptr(),
        weight.data_ptr(),
        total.data_ptr(),
        out.data_ptr(),
        rows,
        width,
        eps,
    )
    return total, out
