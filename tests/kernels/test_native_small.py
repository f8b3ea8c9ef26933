"""add_rms_norm, rope_kv_write and silu_mul: both backends against their references in fp64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels.add_rms_norm import host as norm_host
from kernels.add_rms_norm.host import add_rms_norm
from kernels.add_rms_norm.reference import add_rms_norm_reference
from kernels.native.library import CpuBackend, Native
from kernels.rope_kv_write import host as rope_host
from kernels.rope_kv_write.host import rope_kv_write
from kernels.rope_kv_write.reference import rope_kv_write_reference
from kernels.silu_mul import host as silu_host
from kernels.silu_mul.host import silu_mul
from kernels.silu_mul.reference import silu_mul_reference
from tests.kernels.native_library import ISAS, MISSING, mutated, requires_native, with_isa
from tests.kernels.problems import TOLERANCE, poisoned

# The torch twins once, the native operators on every instruction set of this processor; without a library they skip.
BACKENDS = [
    pytest.param("torch", id="torch"),
    *(pytest.param(isa, id=isa) for isa in ISAS),
    *([pytest.param("none", marks=requires_native)] if MISSING else []),
]
DTYPES = [torch.float32, torch.bfloat16]
# Widths: SmolLM2's; not a multiple of any vector; smaller than one.
WIDTHS = [576, 43, 3]


def use(library: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in (norm_host, rope_host, silu_host):
        monkeypatch.setattr(host, "library", lambda: library)


def choose(backend: str, monkeypatch: pytest.MonkeyPatch) -> CpuBackend:
    if backend == "torch":
        return "torch"
    use(with_isa(backend), monkeypatch)
    return "native"


def near(actual: Tensor, expected: Tensor, bound: float) -> None:
    """Within ``bound`` of fp64, in units of the largest number there; NaN nowhere."""
    assert not actual.isnan().any()
    assert float((actual.double() - expected.double()).abs().max()) <= bound * float(expected.abs().max())


def check_norm(dtype: torch.dtype, width: int, backend: CpuBackend, *, reuse: bool = False) -> None:
    g = torch.Generator().manual_seed(width)
    x, added = torch.randn(2, 7, width, generator=g, dtype=torch.float64).to(dtype)
    added[3], x[5] = 0.0, -added[5]  # a row that stays, and one whose sum is zero: only eps keeps it finite
    weight = torch.randn(width, generator=g).to(dtype)
    total = (x.double() + added.double()).to(dtype)
    _, normed = add_rms_norm_reference(total.double(), torch.zeros_like(total).double(), weight.double(), eps=1e-5)
    with poisoned():
        actual = add_rms_norm(x, added, weight, eps=1e-5, backend=backend, reuse=reuse)
    torch.testing.assert_close(actual[0], total, atol=0, rtol=0)
    near(actual[1], normed, TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_add_rms_norm_equals_reference(
    backend: str, dtype: torch.dtype, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose(backend, monkeypatch)
    check_norm(dtype, width, chosen)
    check_norm(dtype, width, chosen, reuse=True)


def check_silu(dtype: torch.dtype, width: int, backend: CpuBackend, *, with_out: bool = False) -> None:
    g = torch.Generator().manual_seed(width)
    gate_up = (torch.randn(5, 2 * width, generator=g, dtype=torch.float64) * 6).to(dtype)
    gate_up[0, :width] = torch.linspace(-200, 200, width)  # e^200 is no float32
    gate_up[0, 0] = 1e5
    expected = silu_mul_reference(gate_up.double())
    with poisoned():
        out = torch.empty(5, width, dtype=dtype) if with_out else None
        actual = silu_mul(gate_up, backend=backend, out=out)
    for row in range(5):  # by row: the first is much larger than the others
        near(actual[row], expected[row], TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1536, 43, 3])
def test_silu_mul_equals_reference(
    backend: str, dtype: torch.dtype, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose(backend, monkeypatch)
    check_silu(dtype, width, chosen)
    check_silu(dtype, width, chosen, with_out=True)


def check_rope(dtype: torch.dtype, width: int, backend: CpuBackend, rows: int = 9) -> None:
    heads, kv_heads, pages = 6, 2, 5
    g = torch.Generator().manual_seed(width)
    qkv = torch.randn(rows, heads + 2 * kv_heads, width, generator=g, dtype=torch.float64).to(dtype)
    angles = torch.rand(rows, width // 2, generator=g, dtype=torch.float64) * 6.3
    cos, sin = angles.cos().float(), angles.sin().float()
    slots = torch.randperm(pages * 16, generator=g)[:rows]
    page, place = slots // 16, slots % 16
    pool = torch.full((pages, 2, kv_heads, 16, width), torch.nan, dtype=dtype)
    wide = pool.double()
    expected = rope_kv_write_reference(qkv.double(), cos.double(), sin.double(), page, place, wide, heads=heads)
    with poisoned():
        actual = rope_kv_write(qkv, cos, sin, page, place, pool, heads=heads, backend=backend)
    near(actual, expected, TOLERANCE[dtype])
    assert torch.equal(pool.isnan(), wide.isnan()), "written where no token lies, or not where one does"
    assert torch.equal(pool[:, 1].nan_to_num(7), wide[:, 1].to(dtype).nan_to_num(7)), "values are copied as they are"
    near(pool[:, 0].nan_to_num(0), wide[:, 0].nan_to_num(0), TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [64, 40, 6])
def test_rope_kv_write_equals_reference(
    backend: str, dtype: torch.dtype, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_rope(dtype, width, choose(backend, monkeypatch))


@requires_native
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_rows_on_two_threads_equal_each_row_alone(dtype: torch.dtype) -> None:
    """More rows than one thread takes at a time: which thread computes a row changes nothing."""
    x, added = torch.randn(2, 200, 576).to(dtype)
    weight, gate_up = torch.randn(576).to(dtype), torch.randn(200, 600).to(dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        total, normed = add_rms_norm(x, added, weight, eps=1e-5, backend="native")
        activated = silu_mul(gate_up, backend="native")
        torch.set_num_threads(1)
        for row in range(0, 200, 13):
            one = slice(row, row + 1)
            alone = add_rms_norm(x[one], added[one], weight, eps=1e-5, backend="native")
            assert torch.equal(alone[0][0], total[row])
            assert torch.equal(alone[1][0], normed[row])
            assert torch.equal(silu_mul(gate_up[one], backend="native")[0], activated[row])
        torch.set_num_threads(2)
        check_rope(dtype, 64, "native", rows=80)
    finally:
        torch.set_num_threads(threads)


@requires_native
def test_a_place_outside_the_pool_is_refused_and_nothing_written() -> None:
    pool = torch.zeros(2, 2, 1, 16, 4)
    qkv, turn = torch.ones(2, 3, 4), torch.ones(2, 2)
    for page, place in ((2, 0), (-1, 0), (0, 16), (0, -1)):
        where = torch.tensor([0, page]), torch.tensor([0, place])
        with pytest.raises(IndexError, match="row 1"):
            rope_kv_write(qkv, turn, turn, *where, pool, heads=1, backend="native")
    assert not pool.any()


@requires_native
@pytest.mark.parametrize(
    "call",
    [
        lambda: silu_mul(torch.ones(2, 5), backend="native"),
        lambda: silu_mul(torch.ones(4, 4).t()[:, ::2], backend="native"),
        lambda: silu_mul(torch.ones(2, 4), backend="native", out=torch.ones(1, 2)),
        lambda: silu_mul(torch.ones(2, 4).half(), backend="native"),
        lambda: add_rms_norm(torch.ones(2, 4), torch.ones(1, 4), torch.ones(4), eps=1e-5, backend="native"),
        lambda: add_rms_norm(torch.ones(2, 4), torch.ones(2, 4), torch.ones(3), eps=1e-5, backend="native"),
        lambda: add_rms_norm(torch.ones(2, 4), torch.ones(2, 4).bfloat16(), torch.ones(4), eps=1e-5, backend="native"),
        lambda: rope_kv_write(
            torch.ones(2, 3, 4),
            torch.ones(2, 3),
            torch.ones(2, 3),
            torch.zeros(2).long(),
            torch.arange(2),
            torch.zeros(2, 2, 1, 16, 4),
            heads=1,
            backend="native",
        ),
    ],
)
def test_wrong_shapes_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"gate_up|out:|float16|added|cos and sin"):
        call()


MUTANTS: list[tuple[Callable[[], None], str, str, str]] = [
    (lambda: check_norm(torch.float32, 43, "native"), "add_rms_norm", "/ (float)width", "/ (float)(width + 1)"),
    (lambda: check_norm(torch.float32, 43, "native"), "add_rms_norm", "+ a->eps", ""),
    (lambda: check_norm(torch.float32, 43, "native"), "add_rms_norm", "square += widen", "square = widen"),
    (lambda: check_norm(torch.float32, 43, "native"), "add_rms_norm", "* load(weight + i)", ""),
    (lambda: check_silu(torch.float32, 43, "native"), "silu_mul", "gate + width", "gate + width - 1"),
    (lambda: check_silu(torch.float32, 43, "native"), "silu_mul", "row * 2 * width", "row * width"),
    (lambda: check_silu(torch.float32, 43, "native"), "silu_mul", "-1.44269504f", "-1.443f"),
    (
        lambda: check_rope(torch.float32, 40, "native"),
        "rope_kv_write",
        "first * c - second * s",
        "first * c + second * s",
    ),
    (lambda: check_rope(torch.float32, 40, "native"), "rope_kv_write", "a->places[row] * width", "0"),
    (lambda: check_rope(torch.float32, 40, "native"), "rope_kv_write", "key + a->kv_heads * head_numbers", "key"),
    (
        lambda: check_rope(torch.float32, 6, "native"),
        "rope_kv_write",
        "narrow(second * cos[i] + first * sin[i]",
        "narrow(second * cos[i] + first * sin[0]",
    ),
]


@requires_native
@pytest.mark.parametrize(("check", "operator", "old", "new"), MUTANTS, ids=[f"{m[1]}:{m[2]}" for m in MUTANTS])
def test_mutants_fail(
    check: Callable[[], None], operator: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(mutated(operator, f"{operator}/native.h", old, new, tmp_path), monkeypatch)
    with pytest.raises(AssertionError):
        check()
