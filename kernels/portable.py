"""Attention in torch operations over keys and values that are gathered already: what the CPU paths share."""

from __future__ import annotations

import torch
from torch import Tensor


def attend(
    tile: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    scale: float,
    softcap: float = 0.0,
    causal: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(out, lse) of query rows [batch, heads, rows, width] over [batch, heads, n, width], one fused call.

    ``mask``: additive, 0 or -inf, of the tile's dtype. ``causal`` hides token t from row i where t > i; not with a
    mask or a soft cap. Scores that are capped are made whole, rows x n of them: no fused call caps. A row that sees
    no key: out = 0, lse = -inf.
    """
    if not softcap:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            tile, keys, values, 0.0, causal, attn_mask=mask, scale=scale
        )
        return out, lse
    if causal:
        raise ValueError("a soft cap needs its causal mask made")
    scores = softcap * torch.tanh((tile @ keys.transpose(-1, -2)).to(_wide(tile)) * (scale / softcap))
    if mask is not None:
        scores = scores + mask
    lse = torch.logsumexp(scores, dim=-1)
    weights = torch.where(scores == -torch.inf, 0.0, torch.exp(scores - lse[..., None]))
    return weights.to(values.dtype) @ values, lse


def _wide(given: Tensor) -> torch.dtype:
    return torch.float64 if given.dtype == torch.float64 else torch.float32
