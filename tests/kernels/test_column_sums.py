"""column_sums' torch backend against its reference in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.column_sums import portable
from tests.kernels.checks import check_column_sums
from tests.kernels.problems import plant, problem, quantised

LENGTHS, ROWS = [33, 16, 150, 17, 5, 0], [33, 16, 70, 1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("options", [{}, {"window": 20}, {"softcap": 5.0}])
def test_column_sums_equals_reference(dtype: torch.dtype, options: dict[str, float]) -> None:
    check_column_sums(problem(LENGTHS, ROWS, dtype=dtype), "torch", **options)


def test_column_sums_of_a_quantised_pool() -> None:
    check_column_sums(quantised(problem(LENGTHS, ROWS, heads=2, kv_heads=1), "int4"), "torch")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("token > position", "token >= position"),
        ("token <= position - window", "token < position - window"),
        ("+= weights.sum", "= weights.sum"),
        ("width).permute(1, 2, 0, 3)", "width).flip(0).permute(1, 2, 0, 3)"),
    ],
)
def test_mutants_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, portable, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_column_sums(problem(LENGTHS, ROWS), "torch", window=30)
