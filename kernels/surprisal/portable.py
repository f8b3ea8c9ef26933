"""Surprisal and entropy in torch operations, some rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import accumulation_dtype

# Rows widened at once: 16 rows of a vocabulary of 128,000 are 8 MB in fp32.
_ROWS = 16


def surprisal_portable(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    wide = accumulation_dtype(logits.dtype)
    minus_ln_p = torch.empty(logits.shape[0], dtype=wide, device=logits.device)
    entropy = torch.empty_like(minus_ln_p)
    for start in range(0, logits.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        scores, target = logits[rows].to(wide), targets[rows].long()
        lse = torch.logsumexp(scores, dim=1)
        at_target = scores.gather(1, target.clamp(min=0)[:, None])[:, 0]
        minus_ln_p[rows] = torch.where(target >= 0, lse - at_target, torch.nan)
        ln_p = scores - lse[:, None]
        # p ln p is 0 where p is: a masked logit of -inf would make it NaN.
        entropy[rows] = -(ln_p.exp() * ln_p.clamp(min=torch.finfo(wide).min)).sum(dim=1)
    return minus_ln_p, entropy
