"""silu_mul: the gated middle of a Llama MLP, in one pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.native.library import CpuBackend, library, not_computed


def silu_mul(gate_up: Tensor, *, backend: CpuBackend, out: Tensor | None = None) -> Tensor:
    """SiLU(gate) · up, where ``gate_up`` [rows, 2 width] holds them side by side. Returns [rows, width].

    ``out``: a contiguous tensor of that shape and dtype that the result may be written to; spares an allocation a
    layer. native: float32 and bfloat16 on a CPU, computed in fp32 and rounded once. ValueError for what does not fit;
    NativeUnavailable where there is no library.
    """
    if backend == "torch":
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate) * up
    native = library()
    how = native.how.get(gate_up.dtype)
    if how is None:
        raise not_computed(gate_up.dtype)
    rows, both = gate_up.shape
    width = both // 2
    if out is None:
        out = torch.empty((rows, width), dtype=gate_up.dtype)
    # A one-row call takes 2.5 us in all: the checks are written for speed.
    if both % 2 or gate_up.is_cuda or out.is_cuda or not (gate_up.is_contiguous() and out.is_contiguous()):
        raise ValueError(f"gate_up {tuple(gate_up.shape)} or out: not two contiguous halves on the CPU")
    if out.dtype != gate_up.dtype or out.numel() != rows * width:
        raise ValueError(f"out: {tuple(out.shape)} {out.dtype} is not what gate_up {tuple(gate_up.shape)} makes")
    native.calls.mneme_silu_mul(how, torch.get_num_threads(), gate_up.data_ptr(), out.data_ptr(), rows, width)
    return out
