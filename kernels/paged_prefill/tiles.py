"""Tiles of paged_prefill: a named list, by what is multiplied, the padded width and the GPU's generation.

Chosen without a GPU, by compiling: the largest tile that spills no register (tests/kernels/test_compiles.py holds
that). On sm_90 a tile of 64 pairs is the least that its tensor instruction (HGMMA) takes. Once a GPU has run them,
each row gets the shape and the gain that chose it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels.quantised import KVPool


@dataclass(frozen=True, slots=True)
class Tiles:
    pairs: int  # (row, head) pairs of a program
    block: int  # tokens read at once
    warps: int


# (numbers, padded width): tiles on sm_80, tiles on sm_90.
NAMED = {
    ("half", 64): (Tiles(64, 64, 4), Tiles(64, 64, 4)),
    ("half", 128): (Tiles(128, 64, 8), Tiles(128, 64, 8)),
    ("half", 256): (Tiles(64, 32, 8), Tiles(64, 64, 8)),
    # Dequantising takes registers, more where operands lie in them (sm_80).
    ("codes", 64): (Tiles(64, 64, 4), Tiles(64, 64, 4)),
    ("codes", 128): (Tiles(64, 32, 4), Tiles(128, 64, 8)),
    ("codes", 256): (Tiles(32, 32, 8), Tiles(64, 32, 8)),
    # Three tf32 products hold each operand twice. HGMMA spills at widths 128 and 256: HMMA there on sm_90 too.
    ("fp32", 64): (Tiles(64, 16, 4), Tiles(64, 32, 4)),
    ("fp32", 128): (Tiles(32, 16, 4), Tiles(32, 16, 4)),
    ("fp32", 256): (Tiles(16, 16, 8), Tiles(16, 16, 8)),
}


def tiles(dtype: torch.dtype, pool: KVPool, width_pad: int, generation: int) -> Tiles:
    """The tiles for queries of ``dtype``; ``generation`` is the compute capability's first digit."""
    numbers = "fp32" if dtype == torch.float32 else "half" if isinstance(pool, torch.Tensor) else "codes"
    return NAMED[numbers, max(64, width_pad)][0 if generation < 9 else 1]
