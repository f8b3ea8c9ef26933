"""paged_decode: one query row per sequence against keys and values that lie in pages."""

from __future__ import annotations

from typing import Literal

import torch
import triton
from torch import Tensor

from kernels.layout import Backend, check_pool, device_pool, placed
from kernels.merge_states.host import merge_states
from kernels.paged_decode.kernel import paged_decode_kernel
from kernels.paged_decode.native import paged_decode_native
from kernels.paged_decode.portable import DecodePlan, paged_decode_portable, plan_decode
from kernels.quantised import KVPool, QuantisedPool

# Least tokens of a split. Not derived from the batch (invariant 28); below 256 the merge costs more than it gains.
SPLIT_TOKENS = 256
# Beyond this many, splits grow instead: 128 of each kv head occupy any GPU, and their scratch stays small.
MAX_SPLITS = 128


def decode_block(dtype: torch.dtype, width: int) -> int:
    """Tokens read at once. Four pages keep 8 KiB of bf16 keys in flight at width 64; fp32 products spill at that."""
    if dtype != torch.float32:
        return 64
    return 32 if width <= 64 else 16


def decode_warps(dtype: torch.dtype, pool: KVPool) -> int:
    """Four warps a program; eight where a wide tile of fp32 or of codes would spill registers otherwise."""
    return 8 if pool.shape[4] > 128 and (dtype == torch.float32 or isinstance(pool, QuantisedPool)) else 4


def paged_decode(
    q: Tensor,
    pool: KVPool,
    block_table: Tensor,
    seq_lens: Tensor,
    *,
    scale: float,
    backend: Backend | Literal["native"],
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
    older: Tensor | None = None,
    newer: Tensor | None = None,
    max_len: int | None = None,
    plan: DecodePlan | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of the newest token of each sequence over its pages.

    ``q`` [rows, heads, width]; ``pool`` [pages, 2, kv_heads, 16, width] of the same dtype (or a narrower float), or a
    QuantisedPool; ``block_table`` [rows, columns] int32, entry j the page of tokens 16 j to 16 j + 15; ``seq_lens``
    [rows] int32, the newest token included, whose key and value are in the pool already. ``window`` > 0: only the
    last ``window`` tokens count, and the first ``sinks``. ``softcap`` > 0: scores s become softcap * tanh(s / softcap).

    ``older``, ``newer`` [rows] int32: where a table holds only a middle part of its sequence, the sequence's tokens
    before it and after it, for the window; its states are then merged with those of the other parts. ``max_len``:
    the largest of seq_lens, for callers that know it (spares a GPU a synchronisation). ``plan``: from plan_decode
    for the same tables, lengths, window and the rest; spares the torch backend making it again for every layer.

    Returns (out [rows, heads, width], lse [rows, heads] fp32, fp64 for fp64). A row that sees no token: out = 0,
    lse = -inf. Sums are kept in fp32 (fp64 for fp64, torch only). Table entries past a row's end and slots past its
    last token may hold anything. ValueError for shapes that do not fit.
    """
    check_pool(q, pool, block_table, seq_lens, "torch" if backend == "native" else backend)
    if backend == "native":
        if sinks or softcap or older is not None or newer is not None or not isinstance(pool, Tensor):
            raise ValueError("the native backend has no sinks, softcap, split tables or quantised pools: name torch")
        return paged_decode_native(q, pool, block_table, seq_lens, scale=scale, window=window)
    if backend == "torch":
        made = plan or plan_decode(
            block_table, seq_lens, window=window, dtype=q.dtype, sinks=sinks, older=older, newer=newer
        )
        return paged_decode_portable(q, pool, made, scale=scale, softcap=softcap)
    mask = {"WINDOW": window, "SINKS": sinks, "SOFTCAP": softcap}
    longest = int(seq_lens.max()) if max_len is None else max_len
    return _launch(q, pool, block_table, seq_lens, (older, newer), scale, longest, mask)


def _launch(
    q: Tensor,
    pool: KVPool,
    block_table: Tensor,
    seq_lens: Tensor,
    place: tuple[Tensor | None, Tensor | None],
    scale: float,
    longest: int,
    mask: dict[str, float],
) -> tuple[Tensor, Tensor]:
    rows, heads, width = q.shape
    splits = min(MAX_SPLITS, max(1, -(-longest // SPLIT_TOKENS)))
    kv_heads = pool.shape[2]
    group = heads // kv_heads
    parts = torch.empty((splits, rows, heads, width), dtype=q.dtype if splits == 1 else torch.float32, device=q.device)
    lses = torch.empty((splits, rows, heads), dtype=torch.float32, device=q.device)
    made = device_pool(pool)
    paged_decode_kernel[(rows, kv_heads, splits)](
        q.contiguous(),
        *made.pointers,
        block_table,
        seq_lens,
        *placed(place, seq_lens),
        parts,
        lses,
        rows,
        block_table.stride(0),
        scale,
        PLACED=place != (None, None),
        **mask,
        SPLIT=SPLIT_TOKENS,
        MAX_SPLITS=MAX_SPLITS,
        BLOCK=decode_block(q.dtype, width),
        GROUP=group,
        GROUP_PAD=max(16, triton.next_power_of_2(group)),
        **made.constants,
        num_warps=decode_warps(q.dtype, pool),
    )
    if splits == 1:
        return parts[0], lses[0]
    return merge_states(parts, lses, backend="triton", out_dtype=q.dtype)
