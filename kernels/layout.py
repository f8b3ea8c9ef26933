"""What every operator agrees on: the shape of a page pool, and how a caller names a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import triton
from torch import Tensor

from kernels.quantised import PAGE_TOKENS, VALUE_GROUP, KVPool, QuantisedPool, select_pages

__all__ = [
    "PAGE_TOKENS",
    "Backend",
    "DevicePool",
    "accumulation_dtype",
    "attend_one",
    "check_backend",
    "check_pool",
    "device_pool",
    "gather_tokens",
    "generation",
    "pad_width",
    "placed",
]

Backend = Literal["torch", "triton"]
"""Which implementation runs. The caller names it; nothing falls back to another."""

_NARROWER = {
    torch.float64: {torch.float32, torch.float16, torch.bfloat16},
    torch.float32: {torch.float16, torch.bfloat16},
}


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """What sums and log-sum-exps are kept in: fp64 for fp64, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def pad_width(width: int) -> int:
    """The tile that holds a row of ``width`` numbers: a power of two, at least 16, as tl.dot asks."""
    return max(16, int(triton.next_power_of_2(width)))


def check_backend(given: Tensor, backend: Backend) -> None:
    """ValueError where ``backend`` cannot run on what it is given."""
    if backend == "torch" and given.device.type != "cpu":
        raise ValueError(f"the torch backend runs on a CPU, not on {given.device}: name the triton backend")
    if backend == "triton" and given.dtype == torch.float64:
        raise ValueError("q is float64: the Triton kernels keep their sums in fp32; name the torch backend")


def check_pool(q: Tensor, pool: KVPool, block_table: Tensor, seq_lens: Tensor, backend: Backend) -> None:
    """Shapes, dtypes and device that all paged operators ask for. ValueError names the first that is wrong."""
    check_backend(q, backend)
    if len(pool.shape) != 5 or pool.shape[1] != 2 or pool.shape[3] != PAGE_TOKENS:
        raise ValueError(f"pool: shape {tuple(pool.shape)}, not [pages, 2, kv_heads, {PAGE_TOKENS}, width]")
    if q.dim() != 3 or q.shape[2] != pool.shape[4]:
        raise ValueError(f"q: shape {tuple(q.shape)}, not [rows, heads, {pool.shape[4]}]")
    if q.shape[1] % pool.shape[2]:
        raise ValueError(f"q: {q.shape[1]} heads are no multiple of the pool's {pool.shape[2]} kv heads")
    if isinstance(pool, Tensor) and q.dtype != pool.dtype and pool.dtype not in _NARROWER.get(q.dtype, ()):
        raise ValueError(f"q is {q.dtype}, the pool {pool.dtype}: they must be equal, or the pool narrower")
    if isinstance(pool, QuantisedPool) and pool.kind != "fp8" and q.shape[2] % VALUE_GROUP:
        raise ValueError(f"q: width {q.shape[2]} is no multiple of the {VALUE_GROUP} channels of a value group")
    if block_table.dim() != 2 or block_table.shape[0] != seq_lens.shape[0]:
        raise ValueError("block_table: one row for each entry of seq_lens is needed")
    if block_table.dtype != torch.int32 or seq_lens.dtype != torch.int32:
        raise ValueError("block_table and seq_lens must be int32")


def generation(given: Tensor) -> int:
    """First digit of the GPU's compute capability: 8 for sm_80, 9 for sm_90; 9 in the interpreter."""
    return torch.cuda.get_device_capability(given.device)[0] if given.is_cuda else 9


@dataclass(frozen=True, slots=True)
class DevicePool:
    """A pool as the Triton kernels take it: pointers first, then what is fixed at compile time."""

    pointers: tuple[Tensor, Tensor, Tensor]  # numbers or codes, parameters of keys, of values
    constants: dict[str, Any]


def device_pool(pool: KVPool) -> DevicePool:
    """Arguments that describe ``pool`` to a kernel. Copies nothing; ValueError for a pool that is not contiguous."""
    first = pool if isinstance(pool, Tensor) else pool.codes
    if not first.is_contiguous():
        raise ValueError("pool: must be contiguous")
    constants = {"KIND": "plain" if isinstance(pool, Tensor) else pool.kind, "PAGE": PAGE_TOKENS}
    constants |= {"KV_HEADS": pool.shape[2], "WIDTH": pool.shape[4], "WIDTH_PAD": pad_width(pool.shape[4])}
    if isinstance(pool, Tensor):
        return DevicePool((pool, pool, pool), constants)
    return DevicePool((pool.codes, pool.key_params, pool.value_params), constants)


def gather_tokens(
    pool: KVPool, table_row: Tensor, tokens: Sequence[int], *, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Keys and values [len(tokens), kv_heads, width] of these tokens. The naive way: one by one."""
    shape = (len(tokens), pool.shape[2], pool.shape[4])
    keys = torch.empty(shape, dtype=dtype, device=table_row.device)
    values = torch.empty_like(keys)
    columns = sorted({token // PAGE_TOKENS for token in tokens})
    pages = {c: select_pages(pool, table_row[c : c + 1].long(), dtype)[0] for c in columns}
    for i, token in enumerate(tokens):
        keys[i], values[i] = pages[token // PAGE_TOKENS][:, :, token % PAGE_TOKENS]
    return keys, values


def attend_one(q: Tensor, keys: Tensor, values: Tensor, scale: float, softcap: float = 0.0) -> tuple[Tensor, Tensor]:
    """One query [width] over keys and values [n, width], the definition: (out, lse). n = 0: (0, -inf)."""
    scores = (keys @ q) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if not scores.numel():
        return torch.zeros_like(q), scores.new_tensor(-torch.inf)
    return torch.softmax(scores, dim=0) @ values, torch.logsumexp(scores, dim=0)


def placed(place: tuple[Tensor | None, Tensor | None], seq_lens: Tensor) -> list[Tensor]:
    """(older, newer) with zeros for the one that is None."""
    if place == (None, None):
        return [seq_lens, seq_lens]  # the kernel reads neither
    return [torch.zeros_like(seq_lens) if given is None else given for given in place]
