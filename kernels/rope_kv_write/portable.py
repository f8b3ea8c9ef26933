"""RoPE and KV write in torch operations, for any device and dtype."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x`` [tokens, heads, width] turned by the angles of its tokens ([tokens, width / 2]).

    Halves are rotated against each other, as in Hugging Face. Computed in the table's dtype, rounded once to x's.
    """
    first, second = x.to(cos.dtype).chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def rope_kv_write_portable(
    qkv: Tensor, cos: Tensor, sin: Tensor, pages: Tensor, places: Tensor, pool: Tensor, *, heads: int
) -> Tensor:
    """See rope_kv_write in host.py."""
    turned = heads + pool.shape[2]
    rotated = rotate(qkv[:, :turned], cos, sin)
    by_token = pool.permute(0, 3, 1, 2, 4)  # [page, place, K/V, kv_head, width], a view
    by_token[:, :, 0][pages, places] = rotated[:, heads:]
    by_token[:, :, 1][pages, places] = qkv[:, turned:]
    return rotated[:, :heads]
