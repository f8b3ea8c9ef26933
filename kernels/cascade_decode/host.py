"""cascade_decode: decode that reads what rows share once, then each row's own tail, and merges."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.cascade_decode.kernel import shared_level_kernel
from kernels.cascade_decode.plan import CascadePlan
from kernels.cascade_decode.portable import shared_levels_portable
from kernels.layout import Backend, accumulation_dtype, check_pool, device_pool, generation
from kernels.merge_states.host import merge_states
from kernels.paged_decode.host import SPLIT_TOKENS, paged_decode
from kernels.paged_prefill.host import PRECISION
from kernels.paged_prefill.tiles import tiles
from kernels.quantised import KVPool

# Splits of a node at most: its states are fp32 for every member, so that more splits write more than they read.
MAX_SPLITS = 16


def cascade_decode(
    q: Tensor,
    pool: KVPool,
    plan: CascadePlan,
    *,
    scale: float,
    backend: Backend,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """What paged_decode returns for the table and lengths that ``plan`` was made of (plan_cascade), without a window.

    Each node that the plan kept is read once for all its rows, whatever its level in the tree; each row's other
    tokens once. No node kept: plain decode, the same bits. ValueError for shapes that do not fit.
    """
    tails = paged_decode(
        q,
        pool,
        plan.tail_tables,
        plan.tail_lens,
        scale=scale,
        backend=backend,
        softcap=softcap,
        max_len=plan.longest_tail,
    )
    if not plan.nodes:
        return tails
    check_pool(q, pool, plan.tables, plan.lengths, backend)
    if backend == "torch":
        parts = shared_levels_portable(q, pool, plan, scale=scale, softcap=softcap)
    else:
        parts = _launch(q, pool, plan, scale, softcap)
    wide = accumulation_dtype(q.dtype)
    rows, heads, width = q.shape
    outs = torch.empty((plan.depth + 1, rows, heads, width), dtype=wide, device=q.device)
    lses = torch.full((plan.depth + 1, rows, heads), -torch.inf, dtype=wide, device=q.device)
    outs[0], lses[0] = tails
    outs[plan.levels + 1, plan.members.long()], lses[plan.levels + 1, plan.members.long()] = parts
    return merge_states(outs, lses, backend=backend, out_dtype=q.dtype)


def _launch(q: Tensor, pool: KVPool, plan: CascadePlan, scale: float, softcap: float) -> tuple[Tensor, Tensor]:
    heads, width = q.shape[1:]
    kv_heads = pool.shape[2]
    made = device_pool(pool)
    tile = tiles(q.dtype, pool, made.constants["WIDTH_PAD"], generation(q))
    members = plan.members.shape[0]
    splits = min(MAX_SPLITS, -(-plan.longest_node // SPLIT_TOKENS))
    programs = -(-plan.most_members * (heads // kv_heads) // tile.pairs)
    outs = torch.empty((splits, members, heads, width), dtype=torch.float32, device=q.device)
    lses = torch.empty((splits, members, heads), dtype=torch.float32, device=q.device)
    shared_level_kernel[(programs * splits, kv_heads, len(plan.nodes))](
        q.contiguous(),
        *made.pointers,
        plan.tables,
        plan.lengths,
        plan.starts,
        plan.members,
        outs,
        lses,
        members,
        plan.tables.stride(0),
        scale,
        SOFTCAP=softcap,
        SPLIT=SPLIT_TOKENS,
        MAX_SPLITS=MAX_SPLITS,
        TILE=tile.pairs,
        BLOCK=tile.block,
        PRECISION=PRECISION,
        GROUP=heads // kv_heads,
        TILES=programs,
        **made.constants,
        num_warps=tile.warps,
    )
    return (outs[0], lses[0]) if splits == 1 else merge_states(outs, lses, backend="triton")
