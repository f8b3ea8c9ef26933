"""Operators against their references in fp64, with every allocation poisoned: one check for all backends."""

from __future__ import annotations

import copy
from typing import Any

import torch

from kernels.block_score.host import block_score
from kernels.block_score.reference import block_score_reference
from kernels.block_summary.host import block_summary
from kernels.block_summary.reference import block_summary_reference
from kernels.cascade_decode.host import cascade_decode
from kernels.cascade_decode.plan import Shared, plan_cascade
from kernels.cascade_decode.reference import cascade_decode_reference
from kernels.column_sums.host import column_sums
from kernels.column_sums.reference import column_sums_reference
from kernels.kv_write.host import kv_write, seal_pages
from kernels.kv_write.reference import kv_write_reference, seal_pages_reference
from kernels.layout import Backend, accumulation_dtype
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from kernels.paged_decode.sealed import sealed_decode
from kernels.paged_prefill.host import paged_prefill
from kernels.paged_prefill.reference import paged_prefill_reference
from kernels.quantised import LEVELS, VALUE_GROUP, Kind, KVPool, QuantisedPool, dequantise, empty_pool
from kernels.ragged_decode.host import ragged_decode
from kernels.ragged_decode.reference import ragged_decode_reference
from kernels.rope_rerotate.host import rope_rerotate
from kernels.rope_rerotate.reference import rope_rerotate_reference
from kernels.surprisal.host import surprisal
from kernels.surprisal.reference import surprisal_reference
from tests.kernels.problems import DEVICE, TOLERANCE, Problem, assert_close, poisoned, problem, sharing


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


def check_cascade(
    p: Problem, nodes: list[Shared], backend: Backend, *, gate: bool = False, softcap: float = 0.0
) -> None:
    p = sharing(p, nodes)
    wide = p.to(torch.float64)
    given = (wide.q, wide.pool, wide.block_table, wide.seq_lens)
    expected = cascade_decode_reference(*given, scale=p.scale, softcap=softcap)
    m = p.on_device() if backend == "triton" else p
    _, heads, width = p.q.shape
    sizes = {"heads": heads, "kv_heads": p.pool.shape[2], "width": width}
    plan = plan_cascade(m.block_table, m.seq_lens, nodes, **sizes, backend=backend, gate=gate)
    assert plan.tokens_read == sum(n.end - n.begin for n in plan.nodes) + int(plan.tail_lens.sum())
    with poisoned():
        actual = cascade_decode(m.q, m.pool, plan, scale=p.scale, backend=backend, softcap=softcap)
    assert_close(actual, expected, wide.pool)


def check_ragged(
    backend: Backend, dtype: torch.dtype, heads: int, lengths: list[list[int]], softcap: float = 0.0
) -> None:
    """A problem of one kv head, whose rows are the (row, kv head) pairs."""
    rows, kv_heads = len(lengths), len(lengths[0])
    p = problem([n for row in lengths for n in row], heads=heads // kv_heads, kv_heads=1, width=40, dtype=dtype)
    q = p.q.view(rows, heads, 40)
    tables, counts = p.block_table.view(rows, kv_heads, -1), p.seq_lens.view(rows, kv_heads)
    given = (q.double(), p.plain.double(), tables, counts)
    expected = ragged_decode_reference(*given, scale=p.scale, softcap=softcap)
    moved_to = [on(x, backend) for x in (q, p.plain, tables, counts)]
    with poisoned():
        actual = ragged_decode(*moved_to, scale=p.scale, softcap=softcap, backend=backend)
    assert_close(actual, expected, p.pool)


def check_write(backend: Backend, kind: Kind | None, dtype: torch.dtype = torch.float32) -> None:
    g = torch.Generator().manual_seed(9)
    key, value = (torch.randn(5, 2, 40, generator=g) * 3).to(dtype), torch.randn(5, 2, 40, generator=g).to(dtype)
    key[0, 0, :7] = torch.tensor([1e4, -1e4, 0.0, 0.0019, 0.00097, 0.00098, 0.53125])  # the last a tie
    slots = torch.tensor([17, 63, -1, 0, 16])
    pool: KVPool = torch.full((4, 2, 2, 16, 40), 7.0, dtype=dtype)
    if kind is not None:
        pool = empty_pool(kind, 4, 2, 40)
        pool.codes.fill_(9)
        pool.key_params.copy_(torch.tensor([0.5, 0.013]))
        pool.value_params.copy_(torch.tensor([1.0, 0.25]))
    expected, actual = copy.deepcopy(pool), copy.deepcopy(pool)
    if backend == "triton":
        actual = actual.to(DEVICE)
    kv_write_reference(key, value, expected, slots)
    kv_write(on(key, backend), on(value, backend), actual, on(slots, backend), backend=backend)
    assert torch.equal(_numbers(actual).cpu(), _numbers(expected))


def _numbers(pool: KVPool) -> torch.Tensor:
    return pool if isinstance(pool, torch.Tensor) else pool.codes


def check_seal(backend: Backend, kind: Kind, width: int = 96) -> None:
    g = torch.Generator().manual_seed(10)
    pool = torch.randn(5, 2, 2, 16, width, generator=g) * torch.rand(width, generator=g) * 4 + 1
    pool[3, 0, :, :, 5] = 2.5  # a constant channel
    pool[3, 1, 0, 4] = -1.25
    pool[0] = torch.nan  # not sealed
    sources, targets = torch.tensor([3, 1, 4]), torch.tensor([2, 0, 5])
    expected, actual = empty_pool(kind, 6, 2, width), empty_pool(kind, 6, 2, width)
    for made in (expected, actual):
        made.codes.fill_(255)
        made.key_params.fill_(3.0)
        made.value_params.fill_(3.0)
    seal_pages_reference(pool, sources, expected, targets)
    moved_to = actual.to(DEVICE) if backend == "triton" else actual
    seal_pages(on(pool, backend), on(sources, backend), moved_to, on(targets, backend), backend=backend)
    actual = moved_to.to("cpu")
    assert torch.equal(actual.key_params, expected.key_params)
    assert torch.equal(actual.value_params, expected.value_params)
    assert torch.equal(actual.codes, expected.codes)
    check_seal_error(pool[sources], actual.select(targets))


def check_seal_error(pages: torch.Tensor, sealed: QuantisedPool) -> None:
    """No number is off by more than half a step and what rounding scale and minimum to fp16 costs."""
    off = (dequantise(sealed, torch.float64) - pages.double()).abs()
    key_scale, key_low = sealed.key_params.double().unbind(dim=2)
    levels = LEVELS[sealed.kind]
    bound = (key_scale / 2 + 2**-11 * (key_low.abs() + levels * key_scale))[:, :, None] + 1e-6
    assert (off[:, 0] <= bound).all()
    value_scale, value_low = sealed.value_params.double().unbind(dim=2)
    bound = (value_scale / 2 + 2**-11 * (value_low.abs() + levels * value_scale))[..., None] + 1e-6
    assert (off[:, 1].view(*off[:, 1].shape[:-1], -1, VALUE_GROUP) <= bound).all()


def rope_tables(positions: int, pairs: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    angles = torch.arange(positions)[:, None] * 10000.0 ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def check_rerotate(backend: Backend, dtype: torch.dtype, pairs: int, *, interleaved: bool) -> None:
    g = torch.Generator().manual_seed(11)
    pool = torch.randn(6, 2, 2, 16, 40, generator=g).to(dtype)
    sources, targets = torch.tensor([1, 4, 0]), torch.tensor([1, 2, 5])
    old = torch.randint(0, 300, (3, 16), generator=g, dtype=torch.int32)
    new = torch.randint(0, 300, (3, 16), generator=g, dtype=torch.int32)
    wide = accumulation_dtype(dtype)
    expected = pool.double().clone()
    rope_rerotate_reference(expected, sources, targets, old, new, *rope_tables(300, pairs, torch.float64),
                            interleaved=interleaved)  # fmt: skip
    given = [on(x, backend) for x in (pool.clone(), sources, targets, old, new, *rope_tables(300, pairs, wide))]
    rope_rerotate(*given, backend=backend, interleaved=interleaved)
    made = given[0].cpu()
    untouched = [0, 3, 4]
    assert torch.equal(made[untouched], pool[untouched])
    assert torch.equal(made[targets, 1], pool[sources, 1])
    assert float((made.double() - expected).abs().max()) <= TOLERANCE[dtype] * float(pool.abs().max())


def check_sealed_decode(backend: Backend, kind: Kind, **options: Any) -> None:
    """Rows of 40, 7, 32 and 0 tokens, whose full pages are sealed: against one softmax over what the codes say."""
    p = problem([40, 7, 32, 0], heads=4, kv_heads=2)
    full = p.seq_lens // 16
    sealed = empty_pool(kind, p.pool.shape[0], 2, 64)
    for row, count in enumerate(full.tolist()):
        pages = p.block_table[row, :count].long()
        seal_pages(p.plain, pages, sealed, pages, backend="torch")
    # The truth: the plain pool, its sealed pages replaced by what their codes say.
    truth = p.plain.double()
    for row, count in enumerate(full.tolist()):
        pages = p.block_table[row, :count].long()
        truth[pages] = dequantise(sealed.select(pages), torch.float64)
    expected = paged_decode_reference(p.q.double(), truth, p.block_table, p.seq_lens, scale=p.scale, **options)
    tail_table = torch.stack([p.block_table[row, count : count + 1] for row, count in enumerate(full.tolist())])
    held = sealed.to(DEVICE) if backend == "triton" else sealed
    given = (p.block_table, full * 16, p.plain, tail_table, p.seq_lens - full * 16)
    moved_to = [on(x, backend) for x in given]
    with poisoned():
        actual = sealed_decode(on(p.q, backend), held, *moved_to, scale=p.scale, backend=backend, **options)
    assert_close(actual, expected, truth)


def check_writes(backend: Backend) -> None:
    """What a mutant of any of the writing operators must fail."""
    check_write(backend, None)
    check_write(backend, "fp8")
    check_seal(backend, "int4")
    check_rerotate(backend, torch.float32, 20, interleaved=False)
