"""Runs a model over a page pool in chunks, without an engine: what the parity tests measure."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.native.library import CpuBackend
from services.reasoning.blocks import BLOCK_TOKENS, Frame
from services.reasoning.engine.attention import PagedAttention, StepTables, pages_for
from services.reasoning.engine.pool import PagePool
from services.reasoning.models.transformer import Transformer


def paged_logits(model: Transformer, tokens: list[int], chunks: list[int], kernels: CpuBackend = "torch") -> Tensor:
    """Logits after every token, computed in ``chunks`` (their sum is len(tokens); a 1 runs as a decode step).

    Pages are taken in a shuffled order.
    """
    c = model.config
    pages = pages_for(len(tokens))
    pool = PagePool(Frame(c.layers, c.kv_heads, c.head_dim, 8), pages + 3, model.dtype, model.device)
    table = torch.randperm(pages + 3, generator=torch.Generator().manual_seed(0))[:pages].to(torch.int32)[None]
    parts = []
    start = 0
    for size in chunks:
        parts.append(_chunk(model, pool, table, tokens, start, start + size, kernels))
        start += size
    assert start == len(tokens)
    return torch.cat(parts)


def _chunk(
    model: Transformer, pool: PagePool, table: Tensor, tokens: list[int], start: int, end: int, kernels: CpuBackend
) -> Tensor:
    positions = torch.arange(start, end)
    decode = end - start == 1 and start > 0
    lens = torch.tensor([end], dtype=torch.int32)
    none, no_table = torch.empty(0, dtype=torch.int32), torch.empty((0, table.shape[1]), dtype=torch.int32)
    tables = StepTables(
        pages=table[0, positions // BLOCK_TOKENS].long(),
        places=positions % BLOCK_TOKENS,
        decode_tables=table if decode else no_table,
        decode_lens=lens if decode else none,
        chunk_tables=no_table if decode else table,
        chunk_lens=none if decode else lens,
        chunk_starts=torch.tensor([0] if decode else [0, end - start], dtype=torch.int32),
        longest_decode=end if decode else 0,
        longest_chunk=0 if decode else end - start,
    )
    attend = PagedAttention(model.config, pool, "torch", tables, kernels)
    known, rows = torch.tensor(tokens[start:end]), torch.arange(end - start)
    return model.forward(known, positions, rows, attend, kernels=kernels)
