"""SiLU·mul, written to be believed: fp64 when it is given fp64."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype


def silu_mul_reference(gate_up: Tensor) -> Tensor:
    """See silu_mul in host.py."""
    rows, both = gate_up.shape
    wide = gate_up.to(accumulation_dtype(gate_up.dtype))
    out = torch.empty((rows, both // 2), dtype=wide.dtype)
    for column in range(both // 2):
        gate, up = wide[:, column], wide[:, both // 2 + column]
        out[:, column] = gate / (1 + torch.exp(-gate)) * up
    return out.to(gate_up.dtype)
