"""Surprisal and entropy, written to be believed: the softmax in full, row by row."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype


def surprisal_reference(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """See surprisal in host.py for the shapes and the promises."""
    wide = accumulation_dtype(logits.dtype)
    minus_ln_p = torch.empty(logits.shape[0], dtype=wide)
    entropy = torch.empty(logits.shape[0], dtype=wide)
    for row in range(logits.shape[0]):
        p = torch.softmax(logits[row].to(wide), dim=0)
        target = int(targets[row])
        minus_ln_p[row] = -torch.log(p[target]) if target >= 0 else torch.nan
        entropy[row] = -sum(x * torch.log(x) for x in p[p > 0])
    return minus_ln_p, entropy
