"""Moving rotated keys, written to be believed: one pair of channels at a time."""

from __future__ import annotations

from torch import Tensor

from kernels.layout import accumulation_dtype
from kernels.quantised import PAGE_TOKENS


def rope_rerotate_reference(
    pool: Tensor,
    sources: Tensor,
    targets: Tensor,
    old: Tensor,
    new: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    interleaved: bool = False,
) -> None:
    """See rope_rerotate in host.py for the shapes and the promises."""
    wide = accumulation_dtype(pool.dtype)
    pairs = cos.shape[1]
    moved = pool[sources].clone()
    for i in range(sources.shape[0]):
        for slot in range(PAGE_TOKENS):
            was, will = int(old[i, slot]), int(new[i, slot])
            for pair in range(pairs):
                a, b = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + pairs)
                # Back to where no rotation is, then to the new position.
                x, y = moved[i, 0, :, slot, a].to(wide), moved[i, 0, :, slot, b].to(wide)
                c, s = cos[was, pair].to(wide), -sin[was, pair].to(wide)
                x, y = x * c - y * s, x * s + y * c
                c, s = cos[will, pair].to(wide), sin[will, pair].to(wide)
                x, y = x * c - y * s, x * s + y * c
                moved[i, 0, :, slot, a], moved[i, 0, :, slot, b] = x.to(pool.dtype), y.to(pool.dtype)
    for i, target in enumerate(targets.tolist()):
        pool[target] = moved[i]
