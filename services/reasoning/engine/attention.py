"""Attention over the pool: writes the step's keys and values into their pages, then asks ``kernels/``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.layout import Backend
from kernels.native.library import CpuBackend
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.portable import DecodePlan, plan_decode
from kernels.paged_prefill.host import paged_prefill
from kernels.rope_kv_write.host import rope_kv_write
from services.common.models.packages import ModelError
from services.reasoning.blocks import BLOCK_TOKENS
from services.reasoning.engine.pool import PagePool
from services.reasoning.models.config import ModelConfig


@dataclass(frozen=True, slots=True)
class StepTables:
    """Where the tokens of one step lie. Decode rows come first, then the chunks, one after another."""

    # For every token, its page and its place there: [tokens] int64.
    pages: Tensor
    places: Tensor
    # Rows that are the one new token of their sequence: tables [rows, columns], lengths [rows], int32.
    decode_tables: Tensor
    decode_lens: Tensor
    # Chunks: tables [chunks, columns], lengths with the chunk [chunks], first rows [chunks + 1] from 0; int32.
    chunk_tables: Tensor
    chunk_lens: Tensor
    chunk_starts: Tensor
    longest_decode: int
    longest_chunk: int


def check_backend(backend: Backend, device: torch.device, dtype: torch.dtype) -> None:
    """ModelError when ``backend`` cannot run there. Nothing else is chosen instead."""
    if backend == "torch" and device.type != "cpu":
        raise ModelError(f"attention: torch runs on a CPU, the model is on {device}. Set attention to triton.")
    if backend == "triton" and device.type == "cpu":
        raise ModelError("attention: triton needs a GPU, the model is on the CPU. Set attention to torch.")
    if backend == "triton" and dtype == torch.float64:
        raise ModelError("attention: triton has no float64. Set dtype to float32 or bfloat16.")


class PagedAttention:
    """One step's attention: the ``Attend`` that a Transformer is given."""

    def __init__(
        self,
        config: ModelConfig,
        pool: PagePool,
        backend: Backend,
        tables: StepTables,
        kernels: CpuBackend = "torch",
    ) -> None:
        """``kernels``: native replaces torch's decode and rotation; there is no native prefill."""
        self._heads = config.heads
        self._windows = config.windows
        self._scale = config.head_dim**-0.5
        self._pool = pool
        self._backend: Backend = backend
        self._kernels: CpuBackend = kernels
        self._t = tables
        self._plans: dict[int, DecodePlan] = {}

    def __call__(self, layer: int, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        pages = self._pool.layers[layer]
        t = self._t
        q = rope_kv_write(qkv, cos, sin, t.pages, t.places, pages, heads=self._heads, backend=self._kernels)
        window = self._windows[layer]
        decoding = t.decode_lens.shape[0]
        if decoding == q.shape[0]:
            return self._decode(q, pages, window)
        if decoding == 0:
            return self._prefill(q, pages, window)
        decoded = self._decode(q[:decoding], pages, window)
        return torch.cat((decoded, self._prefill(q[decoding:], pages, window)))

    def _decode(self, q: Tensor, pages: Tensor, window: int) -> Tensor:
        t = self._t
        out, _ = paged_decode(
            q,
            pages,
            t.decode_tables,
            t.decode_lens,
            scale=self._scale,
            backend=self._kernels if self._kernels == "native" else self._backend,
            window=window,
            max_len=t.longest_decode,
            plan=self._plan(window, q.dtype),
        )
        return out

    def _prefill(self, q: Tensor, pages: Tensor, window: int) -> Tensor:
        t = self._t
        out, _ = paged_prefill(
            q,
            pages,
            t.chunk_tables,
            t.chunk_starts,
            t.chunk_lens,
            scale=self._scale,
            backend=self._backend,
            window=window,
            max_rows=t.longest_chunk,
        )
        return out

    def _plan(self, window: int, dtype: torch.dtype) -> DecodePlan | None:
        if self._backend != "torch" or self._kernels == "native":
            return None
        if window not in self._plans:
            t = self._t
            self._plans[window] = plan_decode(t.decode_tables, t.decode_lens, window=window, dtype=dtype)
        return self._plans[window]


def pages_for(tokens: int) -> int:
    """Pages that ``tokens`` tokens need."""
    return -(-tokens // BLOCK_TOKENS)
