"""paged_prefill's torch backend against its reference in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.paged_prefill import host, portable
from kernels.paged_prefill.host import paged_prefill
from kernels.paged_prefill.reference import paged_prefill_reference
from tests.kernels.problems import Problem, assert_close, mutant, poisoned, problem

# Tokens in all, and how many of them are the chunk: first chunks, later ones, one row, none, borders of pages.
LENGTHS, ROWS = [33, 16, 50, 17, 32, 5], [33, 16, 7, 1, 16, 0]


def check(p: Problem, window: int = 0) -> None:
    wide = p.to(torch.float64)
    expected = paged_prefill_reference(
        wide.q, wide.pool, wide.block_table, wide.row_starts, wide.seq_lens, scale=p.scale, window=window
    )
    with poisoned():
        actual = paged_prefill(
            p.q, p.pool, p.block_table, p.row_starts, p.seq_lens, scale=p.scale, window=window, backend="torch"
        )
    assert_close(actual, expected, p.pool)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(9, 3, 64), (4, 4, 96), (6, 1, 40)])
def test_paged_prefill_equals_reference(dtype: torch.dtype, heads: int, kv_heads: int, width: int) -> None:
    check(problem(LENGTHS, ROWS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype))


@pytest.mark.parametrize("window", [1, 16, 20, 1000])
def test_paged_prefill_sees_only_the_window(window: int) -> None:
    check(problem(LENGTHS, ROWS), window=window)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 40),
)
def test_paged_prefill_on_any_shape(parts: list[tuple[int, int]], kv_heads: int, group: int, window: int) -> None:
    if not any(rows for _, rows in parts):
        parts = [*parts, (3, 2)]
    lengths, rows = [before + rows for before, rows in parts], [rows for _, rows in parts]
    check(problem(lengths, rows, heads=kv_heads * group, kv_heads=kv_heads, width=24), window=window)


@pytest.mark.parametrize(
    ("old", "new", "window"),
    [
        ("hidden = (token > position)", "hidden = (token >= position)", 20),
        ("(token <= position - window)", "(token < position - window)", 20),
        ("before + 1 - window", "before + 18 - window", 20),
        ("keys[:, :before], values[:, :before], scale", "keys[:, :before - 1], values[:, :before - 1], scale", 0),
        (
            "q.view(rows, kv_heads, -1, width).permute(2, 1, 0, 3)",
            "q.view(rows, -1, kv_heads, width).permute(1, 2, 0, 3)",
            0,
        ),
    ],
)
def test_mutants_of_the_torch_backend_fail(
    old: str, new: str, window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mutant(portable, old, new, tmp_path)
    monkeypatch.setattr(host, "paged_prefill_portable", made.paged_prefill_portable)
    with pytest.raises((AssertionError, RuntimeError)):
        check(problem(LENGTHS, ROWS), window=window)
