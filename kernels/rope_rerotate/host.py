"""rope_rerotate: pages of rotated keys, moved from their positions to others."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from kernels.layout import Backend, accumulation_dtype, check_backend, device_pool
from kernels.quantised import PAGE_TOKENS
from kernels.rope_rerotate.kernel import rope_rerotate_kernel


def rope_rerotate(
    pool: Tensor,
    sources: Tensor,
    targets: Tensor,
    old: Tensor,
    new: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    backend: Backend,
    interleaved: bool = False,
) -> None:
    """Copies pages ``sources`` [n] int64 to ``targets`` [n] int64, keys rotated from positions ``old`` to ``new``.

    ``old``, ``new`` [n, 16] int32: positions of a page's slots (any valid one where no token lies). ``cos``, ``sin``
    [positions, pairs] fp32 (fp64 for fp64): the model's own tables, so that a moved key is what the model would have
    written there; 2 * pairs may be less than the width, further channels are copied. Channel i turns with i + pairs;
    ``interleaved``: 2 i with 2 i + 1. The rotation is in fp32 (fp64), rounded once. A target may be its own source;
    it must be no other's source, nor twice a target. ValueError for shapes that do not fit.
    """
    check_backend(pool, backend)
    n, pairs = sources.shape[0], cos.shape[1]
    if targets.shape != (n,) or old.shape != (n, PAGE_TOKENS) or new.shape != old.shape:
        raise ValueError("targets [n], old and new [n, 16] are needed for n sources")
    if old.dtype != torch.int32 or new.dtype != torch.int32 or {sources.dtype, targets.dtype} != {torch.int64}:
        raise ValueError("sources and targets must be int64, old and new int32")
    if cos.shape != sin.shape or 2 * pairs > pool.shape[4] or cos.dtype != accumulation_dtype(pool.dtype):
        raise ValueError(
            f"cos and sin: {accumulation_dtype(pool.dtype)} [positions, at most half the width] are needed"
        )
    if backend == "torch":
        _portable(pool, sources, targets, old.long(), new.long(), cos, sin, interleaved)
    elif n:
        made = device_pool(pool)
        del made.constants["KIND"]
        rope_rerotate_kernel[(n, pool.shape[2])](
            pool, sources, targets, old.contiguous(), new.contiguous(), cos.contiguous(), sin.contiguous(),
            INTERLEAVED=interleaved, PAIRS=pairs, PAIRS_PAD=triton.next_power_of_2(pairs), **made.constants,
        )  # fmt: skip


def _portable(
    pool: Tensor,
    sources: Tensor,
    targets: Tensor,
    old: Tensor,
    new: Tensor,
    cos: Tensor,
    sin: Tensor,
    interleaved: bool,
) -> None:
    pages = pool[sources]
    by = cos[new] * cos[old] + sin[new] * sin[old], sin[new] * cos[old] - cos[new] * sin[old]
    c, s = (table[:, None] for table in by)  # [n, 1, 16, pairs]
    pairs = cos.shape[1]
    keys = pages[:, 0]
    turned = keys[..., : 2 * pairs].to(cos.dtype)
    x, y = (turned[..., ::2], turned[..., 1::2]) if interleaved else turned.chunk(2, dim=-1)
    made = (x * c - y * s, x * s + y * c)
    joined = torch.stack(made, dim=-1).flatten(-2) if interleaved else torch.cat(made, dim=-1)
    keys[..., : 2 * pairs] = joined.to(pool.dtype)
    pool[targets] = pages
