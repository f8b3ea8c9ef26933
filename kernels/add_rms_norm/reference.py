"""Add and RMSNorm, written to be believed: one row at a time, fp64 when it is given fp64."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype


def add_rms_norm_reference(x: Tensor, added: Tensor, weight: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """See add_rms_norm in host.py. The norm is of the sum as it was rounded to x's dtype."""
    wide = accumulation_dtype(x.dtype)
    total = (x.to(wide) + added.to(wide)).to(x.dtype)
    out = torch.empty_like(x)
    for row in range(x.shape[0]):
        s = total[row].to(wide)
        mean = sum(float(v) ** 2 for v in s) / x.shape[1]
        out[row] = (s / (mean + eps) ** 0.5 * weight.to(wide)).to(x.dtype)
    return total, out
