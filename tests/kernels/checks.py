"""Operators against their references in fp64, with every allocation poisoned: one check for all backends."""

from __future__ import annotations

from typing import Any

import torch

from kernels.layout import Backend
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from kernels.paged_prefill.host import paged_prefill
from kernels.paged_prefill.reference import paged_prefill_reference
from tests.kernels.problems import DEVICE, Problem, assert_close, poisoned


def check_decode(p: Problem, backend: Backend, **options: Any) -> None:
    wide = p.to(torch.float64)
    expected = paged_decode_reference(wide.q, wide.pool, wide.block_table, wide.seq_lens, scale=p.scale, **options)
    p, options = moved(p, options) if backend == "triton" else (p, options)
    with poisoned():
        actual = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend=backend, **options)
    assert_close(actual, expected, wide.pool)


def check_prefill(p: Problem, backend: Backend, **options: Any) -> None:
    wide = p.to(torch.float64)
    expected = paged_prefill_reference(
        wide.q, wide.pool, wide.block_table, wide.row_starts, wide.seq_lens, scale=p.scale, **options
    )
    p, options = moved(p, options) if backend == "triton" else (p, options)
    with poisoned():
        actual = paged_prefill(
            p.q, p.pool, p.block_table, p.row_starts, p.seq_lens, scale=p.scale, backend=backend, **options
        )
    assert_close(actual, expected, wide.pool)


def moved(p: Problem, options: dict[str, Any]) -> tuple[Problem, dict[str, Any]]:
    return p.on_device(), {k: v.to(DEVICE) if isinstance(v, torch.Tensor) else v for k, v in options.items()}


def int32(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)
