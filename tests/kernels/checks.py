"""Operators against their references in fp64, with every allocation poisoned: one check for all backends."""

from __future__ import annotations

from typing import Any

import torch

from kernels.block_score.host import block_score
from kernels.block_score.reference import block_score_reference
from kernels.block_summary.host import block_summary
from kernels.block_summary.reference import block_summary_reference
from kernels.column_sums.host import column_sums
from kernels.column_sums.reference import column_sums_reference
from kernels.layout import Backend, accumulation_dtype
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from kernels.paged_prefill.host import paged_prefill
from kernels.paged_prefill.reference import paged_prefill_reference
from kernels.surprisal.host import surprisal
from kernels.surprisal.reference import surprisal_reference
from tests.kernels.problems import DEVICE, TOLERANCE, Problem, assert_close, poisoned


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


def on(given: torch.Tensor, backend: Backend) -> torch.Tensor:
    return given.to(DEVICE) if backend == "triton" else given


def int32(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def check_surprisal(backend: Backend, dtype: torch.dtype, vocab: int) -> None:
    g = torch.Generator().manual_seed(5)
    logits = (torch.randn(6, vocab, generator=g, dtype=torch.float64) * 8 + 100).to(dtype)  # far from 0: cancellation
    targets = torch.randint(0, vocab, (6,), generator=g, dtype=torch.int32)
    logits[1, 1:] = -torch.inf  # one token can come
    targets[1] = 0
    logits[2, : vocab // 2] = -torch.inf
    targets[2] = 0  # what could not come came
    targets[3] = -1
    logits[4, -1] = 140  # the last block counts
    expected = surprisal_reference(logits.double(), targets)
    with poisoned():
        actual = surprisal(on(logits, backend), on(targets, backend), backend=backend)
    # Units in the last place of a log-sum-exp near 130, not of the result.
    for made, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(made.cpu().double(), wanted, atol=1e-4, rtol=0, equal_nan=True)
    assert actual[0][3].isnan()
    assert actual[0][2] == torch.inf
    assert actual[1][1] == 0


def check_column_sums(p: Problem, backend: Backend, **options: Any) -> None:
    wide = p.to(torch.float64)
    given = (wide.pool, wide.block_table, wide.row_starts, wide.seq_lens)
    _, lse = paged_prefill_reference(wide.q, *given, scale=p.scale, **options)
    expected = column_sums_reference(wide.q, lse, *given, scale=p.scale, **options)
    m = p.on_device() if backend == "triton" else p
    with poisoned():
        actual = column_sums(
            m.q,
            on(lse.to(accumulation_dtype(p.q.dtype)), backend),
            m.pool,
            m.block_table,
            m.row_starts,
            m.seq_lens,
            scale=p.scale,
            backend=backend,
            **options,
        ).cpu()
    rows = (wide.row_starts[1:] - wide.row_starts[:-1]).double()
    torch.testing.assert_close(expected.sum(dim=2), rows[:, None].expand(expected.shape[:2]), atol=1e-9, rtol=0)
    assert not actual.isnan().any()
    # A weight is off by as much as its score and lse are: ten times the table's, as in assert_close.
    bound = 10 * TOLERANCE[p.q.dtype] * max(1.0, float(expected.max()))
    assert float((actual.double() - expected).abs().max()) <= bound


def check_summary(backend: Backend, dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(6)
    pool = torch.randn(5, 2, 3, 16, 40, generator=g).to(dtype)
    pages = torch.tensor([3, 0, 4])
    expected = torch.full((5, 3, 3, 40), 7.0, dtype=dtype)
    actual = on(expected.clone(), backend)
    block_summary_reference(pool, pages, expected)
    block_summary(on(pool, backend), on(pages, backend), actual, backend=backend)
    assert torch.equal(actual.cpu()[:, :2], expected[:, :2])
    torch.testing.assert_close(actual.cpu()[:, 2], expected[:, 2], atol=TOLERANCE[dtype], rtol=0)


def check_score(backend: Backend, by: Any, reduce: Any, width: int = 40) -> None:
    g = torch.Generator().manual_seed(7)
    q = torch.randn(4, 6, width, generator=g)
    summaries = torch.randn(50, 3, 2, width, generator=g)
    summaries[:, 0], summaries[:, 1] = torch.aminmax(summaries[:, :2], dim=1)
    summaries[-1] = torch.nan
    counts = int32(0, 1, 40, 33)
    table = torch.full((4, 41), 2**30, dtype=torch.int32)
    for row, count in enumerate(counts.tolist()):
        table[row, :count] = torch.randperm(49, generator=g)[:count]
    expected = block_score_reference(q.double(), summaries.double(), table, counts, by=by, reduce=reduce)
    given = [on(x, backend) for x in (q, summaries, table, counts)]
    with poisoned():
        actual = block_score(*given, by=by, reduce=reduce, backend=backend).cpu()
    assert torch.equal(actual == -torch.inf, expected == -torch.inf)
    seen = expected > -torch.inf
    assert float((actual[seen].double() - expected[seen]).abs().max()) <= 1e-5 * width
