"""paged_decode's native backend, on every instruction set of this processor, against its reference in fp64."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.native.library import Native
from kernels.paged_decode import native
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from tests.kernels.native_library import ISAS, mutated, requires_native, with_isa
from tests.kernels.problems import Problem, assert_close, poisoned, problem

pytestmark = requires_native

# Around a page (16) and around a block (128), of one and of several blocks.
LENGTHS = [1, 15, 16, 17, 0, 100, 33, 127, 128, 129, 257, 700]


def solution(p: Problem, window: int) -> tuple[Tensor, Tensor]:
    wide = p.to(torch.float64)
    return paged_decode_reference(wide.q, wide.pool, wide.block_table, wide.seq_lens, scale=p.scale, window=window)


@cache
def solved(
    dtype: torch.dtype, window: int, heads: int, kv_heads: int, width: int
) -> tuple[Problem, tuple[Tensor, Tensor]]:
    """The problem of LENGTHS, and what it comes to: once for every instruction set."""
    p = problem(LENGTHS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype)
    return p, solution(p, window)


def check_lengths(
    dtype: torch.dtype = torch.float32, window: int = 0, heads: int = 9, kv_heads: int = 3, width: int = 64
) -> None:
    p, expected = solved(dtype, window, heads, kv_heads, width)
    compare(p, window, expected)


def check(p: Problem, window: int = 0) -> None:
    compare(p, window, solution(p, window))


def compare(p: Problem, window: int, expected: tuple[Tensor, Tensor]) -> None:
    with poisoned():
        actual = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, window=window, backend="native")
    assert_close(actual, expected, p.pool)


def use(library: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: library)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(9, 3, 64), (4, 4, 96), (11, 1, 40), (2, 1, 256), (5, 5, 7)])
def test_native_decode_equals_reference(
    isa: str, dtype: torch.dtype, heads: int, kv_heads: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(with_isa(isa), monkeypatch)
    check_lengths(dtype, 0, heads, kv_heads, width)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("window", [1, 16, 20, 130, 1000])
def test_native_decode_sees_only_the_window(isa: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(with_isa(isa), monkeypatch)
    check_lengths(window=window)
    check_lengths(torch.bfloat16, window)


@settings(max_examples=40, derandomize=True)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=6),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 160),
    st.sampled_from([8, 24, 32, 64]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_native_decode_on_any_shape(
    lengths: list[int], kv_heads: int, group: int, window: int, width: int, dtype: torch.dtype
) -> None:
    check(problem(lengths, heads=kv_heads * group, kv_heads=kv_heads, width=width, dtype=dtype), window=window)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_invariant_28_native_decode_does_not_depend_on_the_batch_or_the_threads(dtype: torch.dtype) -> None:
    p = problem([700, 3, 257, 129], dtype=dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="native")
        torch.set_num_threads(1)
        for row in range(4):
            one = slice(row, row + 1)
            alone = paged_decode(p.q[one], p.pool, p.block_table[one], p.seq_lens[one], scale=p.scale, backend="native")
            assert torch.equal(alone[0][0], together[0][row])
            assert torch.equal(alone[1][0], together[1][row])
    finally:
        torch.set_num_threads(threads)


def test_a_long_sequence_of_large_scores_keeps_its_weights() -> None:
    """Scores that rise along the sequence: every block rescales what came before."""
    p = problem([2000], heads=3, kv_heads=1)
    assert isinstance(p.pool, torch.Tensor)
    for page in range(125):
        p.pool[p.block_table[0, page], 0] *= 0.01 + page / 40
    check(p)


def test_views_as_an_engine_passes_them() -> None:
    """Queries that are a slice of wider rows, and a table that is a slice of a wider table."""
    p = problem([33, 129])
    wide = torch.randn(2, 15, 64)
    wide[:, :9] = p.q
    table = torch.full((2, 40), 7, dtype=torch.int32)
    table[:, : p.block_table.shape[1]] = p.block_table
    sliced = (wide[:, :9], p.pool, table[:, : p.block_table.shape[1]], p.seq_lens)
    expected = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="native")
    actual = paged_decode(*sliced, scale=p.scale, backend="native")
    assert torch.equal(actual[0], expected[0])


def test_what_lies_outside_is_refused_not_read() -> None:
    p = problem([33])
    with pytest.raises(IndexError, match="row 0"):
        paged_decode(p.q, p.pool, p.block_table[:, :2], p.seq_lens, scale=1.0, backend="native")
    p.block_table[0, 1] = p.pool.shape[0]
    with pytest.raises(IndexError, match="row 0"):
        paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=1.0, backend="native")
    p.block_table[0, 1] = -1
    with pytest.raises(IndexError, match="row 0"):
        paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=1.0, backend="native")


def test_what_the_library_does_not_compute_is_refused() -> None:
    p = problem([5])
    assert isinstance(p.pool, torch.Tensor)
    for asked in ({"sinks": 1}, {"softcap": 5.0}, {"older": p.seq_lens, "newer": p.seq_lens}):
        with pytest.raises(ValueError, match="native backend has no sinks"):
            paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=1.0, backend="native", **asked)
    wide = p.to(torch.float64)
    with pytest.raises(ValueError, match="not torch.float64"):
        paged_decode(wide.q, wide.pool, p.block_table, p.seq_lens, scale=1.0, backend="native")
    with pytest.raises(ValueError, match="contiguous"):
        paged_decode(p.q, p.pool.transpose(0, 1).contiguous().transpose(0, 1), p.block_table, p.seq_lens, scale=1.0,
                     backend="native")  # fmt: skip
    with pytest.raises(ValueError, match="not torch.bfloat16"):
        paged_decode(p.q, p.pool.bfloat16(), p.block_table, p.seq_lens, scale=1.0, backend="native")
    big = problem([5], width=514)
    with pytest.raises(ValueError, match="at most 512"):
        paged_decode(big.q, big.pool, big.block_table, big.seq_lens, scale=1.0, backend="native")


def check_both() -> None:
    check_lengths()
    check_lengths(window=50)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("paged_decode/native.h", "length - a->window : 0", "length - a->window + 1 : 0"),
        ("paged_decode/native.h", "t = last; t < tokens", "t = last + 1; t < tokens"),
        ("paged_decode/native.h", "t >= first && t < last", "t >= first && t <= last"),
        ("paged_decode/native.h", "(kv_head * group + h0) * width", "(kv_head + h0) * width"),
        ("paged_decode/native.h", "a->pool + kv_head * PAGE_TOKENS", "a->pool + kv_head / 2 * PAGE_TOKENS"),
        ("paged_decode/native.h", "*total = *total * kept + sum(sums)", "*total = *total + sum(sums)"),
        ("paged_decode/native_tiles.h", "i + c * LANES) * kept[h]", "i + c * LANES)"),
        ("paged_decode/native.h", "p == 0 ? 0 : 2", "0"),
        ("native/vectors.h", "5.550332471e-2f", "5.6e-2f"),
    ],
)
def test_mutants_of_the_native_decode_fail(
    file: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(mutated("paged_decode", file, old, new, tmp_path), monkeypatch)
    with pytest.raises(AssertionError):
        check_both()


@pytest.mark.skipif("avx512bf16" not in ISAS, reason="needs a processor with AVX512-BF16")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_mm512_set1_epi32(8)", "_mm512_set1_epi32(4)"),
        ("_mm512_unpackhi_epi16(even, odd)", "_mm512_unpackhi_epi16(odd, even)"),
        ("acc + h * width + i + 16), _mm512_set1_ps(kept[h])", "acc + h * width + i + 16), _mm512_set1_ps(1.0f)"),
        ("_mm512_shuffle_f32x4(a, b, 0x88)", "_mm512_shuffle_f32x4(b, a, 0x88)"),
    ],
)
def test_mutants_of_the_bfloat16_products_fail(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "paged_decode/native_tiles.h"
    use(mutated("paged_decode", file, old, new, tmp_path, isa="avx512bf16"), monkeypatch)
    with pytest.raises(AssertionError):
        check_lengths(torch.bfloat16)
