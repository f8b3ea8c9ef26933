"""Merging attention states, written to be believed."""

from __future__ import annotations

import torch
from torch import Tensor


def merge_states_reference(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """``outs`` [parts, rows, heads, width] and ``lses`` [parts, rows, heads] to (out, lse).

    A part with lse = -inf saw no key; what its ``out`` holds does not count. All parts empty: out = 0, lse = -inf.
    """
    lse = torch.logsumexp(lses, dim=0)
    weights = torch.where(lses == -torch.inf, 0.0, torch.exp(lses - lse))
    weighted = torch.where(lses[..., None] == -torch.inf, 0.0, outs.to(lses.dtype) * weights[..., None])
    return weighted.sum(dim=0).to(outs.dtype), lse
