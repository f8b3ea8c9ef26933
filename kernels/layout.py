"""What every operator agrees on: the shape of a page pool, and how a caller names a backend."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

PAGE_TOKENS = 16
"""Tokens of a page. A pool of one layer is ``[pages, 2 (K, V), kv_heads, PAGE_TOKENS, width]``."""

Backend = Literal["torch", "triton"]
"""Which implementation runs. The caller names it; nothing falls back to another."""


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """What sums and log-sum-exps are kept in: fp64 for fp64, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def check_pool(q: Tensor, pool: Tensor, block_table: Tensor, seq_lens: Tensor, backend: Backend) -> None:
    """Shapes, dtypes and device that all paged operators ask for. ValueError names the first that is wrong."""
    if backend == "torch" and q.device.type != "cpu":
        raise ValueError(f"the torch backend runs on a CPU, not on {q.device}: name the triton backend")
    if backend == "triton" and q.dtype == torch.float64:
        raise ValueError("q is float64: the Triton kernels keep their sums in fp32; name the torch backend")
    if pool.dim() != 5 or pool.shape[1] != 2 or pool.shape[3] != PAGE_TOKENS:
        raise ValueError(f"pool: shape {tuple(pool.shape)}, not [pages, 2, kv_heads, {PAGE_TOKENS}, width]")
    if q.dim() != 3 or q.shape[2] != pool.shape[4]:
        raise ValueError(f"q: shape {tuple(q.shape)}, not [rows, heads, {pool.shape[4]}]")
    if q.shape[1] % pool.shape[2]:
        raise ValueError(f"q: {q.shape[1]} heads are no multiple of the pool's {pool.shape[2]} kv heads")
    if q.dtype != pool.dtype:
        raise ValueError(f"q is {q.dtype}, the pool {pool.dtype}: they must be equal")
    if block_table.dim() != 2 or block_table.shape[0] != seq_lens.shape[0]:
        raise ValueError("block_table: one row for each entry of seq_lens is needed")
    if block_table.dtype != torch.int32 or seq_lens.dtype != torch.int32:
        raise ValueError("block_table and seq_lens must be int32")


def gather_tokens(pool: Tensor, table_row: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
    """Keys and values [last - first, kv_heads, width] of tokens first <= t < last. The naive way: one by one."""
    keys, values = [], []
    for token in range(first, last):
        page = int(table_row[token // PAGE_TOKENS])
        keys.append(pool[page, 0, :, token % PAGE_TOKENS])
        values.append(pool[page, 1, :, token % PAGE_TOKENS])
    if not keys:
        empty = pool.new_zeros((0, pool.shape[2], pool.shape[4]))
        return empty, empty
    return torch.stack(keys), torch.stack(values)
