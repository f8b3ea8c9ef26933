"""One pass over shared nodes in torch operations: a node's pages are gathered once for all its members."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.cascade_decode.plan import CascadePlan
from kernels.layout import accumulation_dtype
from kernels.portable import attend
from kernels.quantised import PAGE_TOKENS, KVPool, select_head_major


def shared_levels_portable(
    q: Tensor, pool: KVPool, plan: CascadePlan, *, scale: float, softcap: float
) -> tuple[Tensor, Tensor]:
    """(out [members, heads, width], lse [members, heads]) of each member over its node."""
    heads, width = q.shape[1:]
    kv_heads = pool.shape[2]
    wide = accumulation_dtype(q.dtype)
    out = torch.empty((plan.members.shape[0], heads, width), dtype=wide, device=q.device)
    lse = torch.empty((plan.members.shape[0], heads), dtype=wide, device=q.device)
    starts: list[int] = plan.starts.tolist()
    for i, node in enumerate(plan.nodes):
        own = slice(starts[i], starts[i + 1])
        pages = plan.tables[i, : (node.end - node.begin) // PAGE_TOKENS].long()
        keys, values = select_head_major(pool, pages, q.dtype).view(2, 1, kv_heads, -1, width)
        # [1, kv_heads, members x group, width]: all members' heads are rows of one tile.
        tile = q[plan.members[own].long()].view(-1, kv_heads, heads // kv_heads, width).transpose(0, 1).flatten(1, 2)
        part, part_lse = attend(tile[None], keys, values, scale=scale, softcap=softcap)
        members = own.stop - own.start
        out[own] = part[0].view(kv_heads, members, -1, width).transpose(0, 1).reshape(members, heads, width).to(wide)
        lse[own] = part_lse[0].view(kv_heads, members, -1).transpose(0, 1).reshape(members, heads).to(wide)
    return out, lse
