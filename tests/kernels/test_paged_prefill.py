"""paged_prefill's torch backend against its reference in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.paged_prefill import portable
from kernels.quantised import Kind
from tests.kernels.checks import check_prefill, int32
from tests.kernels.problems import plant, problem, quantised

# Tokens in all, and how many of them are the chunk: first chunks, later ones, one row, none, borders of pages.
LENGTHS, ROWS = [33, 16, 50, 17, 32, 5], [33, 16, 7, 1, 16, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(9, 3, 64), (4, 4, 96), (6, 1, 40)])
def test_paged_prefill_equals_reference(dtype: torch.dtype, heads: int, kv_heads: int, width: int) -> None:
    check_prefill(problem(LENGTHS, ROWS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype), "torch")


@pytest.mark.parametrize("window", [1, 16, 20, 1000])
def test_paged_prefill_sees_only_the_window(window: int) -> None:
    check_prefill(problem(LENGTHS, ROWS), "torch", window=window)


@settings(max_examples=25, derandomize=True)
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
    check_prefill(problem(lengths, rows, heads=kv_heads * group, kv_heads=kv_heads, width=24), "torch", window=window)


@pytest.mark.parametrize(
    ("old", "new", "window"),
    [
        ("hidden = token > position", "hidden = token >= position", 20),
        ("(token <= position - seen.window)", "(token < position - seen.window)", 20),
        ("before + 1 - seen.window", "before + 18 - seen.window", 20),
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
    plant(monkeypatch, portable, old, new, tmp_path)
    with pytest.raises((AssertionError, RuntimeError)):
        check_prefill(problem(LENGTHS, ROWS), "torch", window=window)


@pytest.mark.parametrize("options", [{"softcap": 5.0}, {"window": 12, "sinks": 3}, {"window": 5, "sinks": 30}])
def test_paged_prefill_caps_scores_and_keeps_sinks(options: dict[str, float]) -> None:
    check_prefill(problem(LENGTHS, ROWS), "torch", **options)


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
def test_paged_prefill_of_quantised_pools(kind: Kind) -> None:
    check_prefill(quantised(problem(LENGTHS, ROWS, heads=4, kv_heads=2), kind), "torch", window=30, sinks=2)
    check_prefill(quantised(problem(LENGTHS, ROWS, heads=4, kv_heads=2), kind), "torch")


def test_a_table_may_hold_a_part_of_its_sequence() -> None:
    p = problem([33, 20, 64, 10], [3, 12, 5, 1], heads=4, kv_heads=2, width=32)
    older, newer = int32(0, 5, 2, 30), int32(3, 0, 90, 17)
    check_prefill(p, "torch", older=older, newer=newer)
    check_prefill(p, "torch", window=25, sinks=4, older=older, newer=newer)
