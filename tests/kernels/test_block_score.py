"""block_summary, block_score and top_blocks: torch backends against their references."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.block_score import host, portable
from kernels.block_score.host import block_score, top_blocks
from kernels.block_score.reference import top_blocks_reference
from kernels.block_summary.host import block_summary
from tests.kernels.checks import check_score, check_summary, int32
from tests.kernels.problems import plant


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_block_summary_equals_reference(dtype: torch.dtype) -> None:
    check_summary("torch", dtype)


@pytest.mark.parametrize("by", ["minmax", "mean"])
@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_block_score_equals_reference(by: str, reduce: str) -> None:
    check_score("torch", by, reduce)


def test_no_key_scores_above_its_pages_bound() -> None:
    g = torch.Generator().manual_seed(8)
    pool = torch.randn(4, 2, 2, 16, 24, generator=g, dtype=torch.float64)
    summaries = torch.empty(4, 3, 2, 24, dtype=torch.float64)
    block_summary(pool, torch.arange(4), summaries, backend="torch")
    q = torch.randn(1, 2, 24, generator=g, dtype=torch.float64)
    bound = block_score(q, summaries, int32(0, 1, 2, 3)[None], int32(4), backend="torch")[0]
    real = torch.einsum("hw,phtw->hpt", q[0], pool[:, 0]).amax(dim=2)
    assert (real <= bound + 1e-12).all()
    assert (bound < real + 60).all()


@settings(max_examples=30, derandomize=True)
@given(st.lists(st.sampled_from([-1.0, 0.0, 0.0, 2.0, float("-inf")]), min_size=1, max_size=30), st.integers(1, 9))
def test_of_equal_scores_the_lower_column_is_chosen(values: list[float], k: int) -> None:
    scores = torch.tensor(values).expand(2, 3, -1)
    assert torch.equal(top_blocks(scores, k), top_blocks_reference(scores, k))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clamp(max=0), low", "clamp(max=0), high"),
        ("block_table[row, :count]", "block_table[row, :count].flip(0)"),
        ("found.amax(dim=1)", "found.amin(dim=1)"),
    ],
)
def test_mutants_of_block_score_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, portable, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_score("torch", "minmax", "max")


def test_a_mutant_of_top_blocks_that_leaves_ties_open_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, host, "torch.where(best > -torch.inf, order, -1)", "order", tmp_path)
    scores = torch.tensor([1.0, -torch.inf]).expand(1, 1, -1)
    assert not torch.equal(host.top_blocks(scores, 2), top_blocks_reference(scores, 2))
