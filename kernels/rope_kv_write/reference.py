"""RoPE and KV write, written to be believed: one token, one head, one pair at a time, fp64 when it is given fp64."""

from __future__ import annotations

import torch
from torch import Tensor


def rope_kv_write_reference(
    qkv: Tensor, cos: Tensor, sin: Tensor, pages: Tensor, places: Tensor, pool: Tensor, *, heads: int
) -> Tensor:
    """See rope_kv_write in host.py."""
    kv_heads, width = pool.shape[2], pool.shape[4]
    half = width // 2
    q = torch.empty((qkv.shape[0], heads, width), dtype=qkv.dtype)
    for row in range(qkv.shape[0]):
        page, place = int(pages[row]), int(places[row])
        for head in range(heads + kv_heads):
            turned = torch.empty(width, dtype=qkv.dtype)
            for i in range(half):
                # Each pair (x_i, x_{i + half}) is a complex number, turned by the angle.
                turn = complex(float(cos[row, i]), float(sin[row, i]))
                pair = complex(float(qkv[row, head, i]), float(qkv[row, head, half + i])) * turn
                turned[i], turned[half + i] = pair.real, pair.imag
            if head < heads:
                q[row, head] = turned
            else:
                pool[page, 0, head - heads, place] = turned
        for head in range(kv_heads):
            pool[page, 1, head, place] = qkv[row, heads + kv_heads + head]
    return q
