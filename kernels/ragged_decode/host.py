"""ragged_decode: decode where each kv head has a table and a length of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import Backend
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.portable import DecodePlan
from kernels.quantised import KVPool


def ragged_decode(
    q: Tensor,
    pool: KVPool,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    scale: float,
    backend: Backend,
    softcap: float = 0.0,
    max_len: int | None = None,
    plan: DecodePlan | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of the newest token of each row, every kv head over pages of its own.

    ``q`` [rows, heads, width]; ``pool`` [pages, 2, 1, 16, width]: a page belongs to one kv head, so that what one head
    evicts frees pages whatever the others keep; ``block_tables`` [rows, kv_heads, columns] int32 and ``lengths``
    [rows, kv_heads] int32, both contiguous. Slots have no order here and no window: a policy chose what is kept, and
    positions lie in the keys. ``plan``: plan_decode of the two, flattened to [rows * kv_heads, ...].

    Returns (out [rows, heads, width], lse [rows, heads]) as paged_decode. A head of length 0: out = 0, lse = -inf.
    ValueError for shapes that do not fit.
    """
    if len(pool.shape) != 5 or pool.shape[2] != 1:
        raise ValueError(f"pool: shape {tuple(pool.shape)}, not [pages, 2, 1, 16, width]: a page has one kv head")
    if block_tables.dim() != 3 or lengths.shape != block_tables.shape[:2] or block_tables.shape[0] != q.shape[0]:
        raise ValueError("block_tables [rows, kv_heads, columns] and lengths [rows, kv_heads] are needed")
    rows, heads, width = q.shape
    kv_heads = block_tables.shape[1]
    if heads % kv_heads:
        raise ValueError(f"q: {heads} heads are no multiple of {kv_heads} kv heads")
    out, lse = paged_decode(
        q.reshape(rows * kv_heads, heads // kv_heads, width),
        pool,
        block_tables.flatten(0, 1),
        lengths.flatten(),
        scale=scale,
        backend=backend,
        softcap=softcap,
        max_len=max_len,
        plan=plan,
    )
    return out.view(rows, heads, width), lse.view(rows, heads)


def pages_held(lengths: Tensor) -> Tensor:
    """Pages that each row holds, all its kv heads together: what eviction frees shows here. [rows] int64."""
    return torch.div(lengths + 15, 16, rounding_mode="floor").sum(dim=1)
