"""paged_decode's torch backend against its reference in fp64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.paged_decode import host, portable
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from tests.kernels.problems import Problem, assert_close, mutant, poisoned, problem

LENGTHS = [1, 15, 16, 17, 0, 100, 33, 257]


def check(p: Problem, window: int = 0) -> None:
    wide = p.to(torch.float64)
    expected = paged_decode_reference(wide.q, wide.pool, wide.block_table, wide.seq_lens, scale=p.scale, window=window)
    with poisoned():
        actual = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, window=window, backend="torch")
    assert_close(actual, expected, p.pool)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(9, 3, 64), (4, 4, 96), (6, 1, 40)])
def test_paged_decode_equals_reference(dtype: torch.dtype, heads: int, kv_heads: int, width: int) -> None:
    check(problem(LENGTHS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype))


@pytest.mark.parametrize("window", [1, 16, 20, 1000])
def test_paged_decode_sees_only_the_window(window: int) -> None:
    check(problem(LENGTHS), window=window)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 130), min_size=1, max_size=6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 40))
def test_paged_decode_on_any_shape(lengths: list[int], kv_heads: int, group: int, window: int) -> None:
    check(problem(lengths, heads=kv_heads * group, kv_heads=kv_heads, width=24), window=window)


def test_one_token_returns_its_value_and_equal_scores_the_mean() -> None:
    p = problem([1, 40], heads=2, kv_heads=2)
    p.q[1] = 0.0
    out, lse = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="torch")
    torch.testing.assert_close(out[0], p.pool[p.block_table[0, 0], 1, :, 0])
    pages = [int(p.block_table[1, j]) for j in range(3)]
    values = torch.cat([p.pool[page, 1] for page in pages], dim=1)[:, :40]
    torch.testing.assert_close(out[1], values.mean(dim=1), atol=1e-6, rtol=0)
    assert lse[1].tolist() == pytest.approx([math.log(40)] * 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| (token >= length)", "| (token > length)"),
        ("token < first", "token <= first"),
        ("-(-n // PAGE_TOKENS)", "n // PAGE_TOKENS + 1"),
        (
            ".view(n, kv_heads, heads // kv_heads, width)",
            ".view(n, heads // kv_heads, kv_heads, width).transpose(1, 2)",
        ),
        ("tails.masked_fill_(bucket.hidden[None, None, :, :, None], 0.0)", "tails"),
    ],
)
def test_mutants_of_the_torch_backend_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mutant(portable, old, new, tmp_path)
    monkeypatch.setattr(host, "plan_decode", made.plan_decode)
    monkeypatch.setattr(host, "paged_decode_portable", made.paged_decode_portable)
    with pytest.raises((AssertionError, IndexError)):
        check(problem(LENGTHS), window=20)


def test_wrong_shapes_are_refused() -> None:
    p = problem([5])
    with pytest.raises(ValueError, match="int32"):
        paged_decode(p.q, p.pool, p.block_table.long(), p.seq_lens, scale=1.0, backend="torch")
    with pytest.raises(ValueError, match="they must be equal"):
        paged_decode(p.q.half(), p.pool, p.block_table, p.seq_lens, scale=1.0, backend="torch")
    with pytest.raises(ValueError, match="no multiple"):
        paged_decode(p.q[:, :4], p.pool, p.block_table, p.seq_lens, scale=1.0, backend="torch")
