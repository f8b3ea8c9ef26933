"""surprisal, column_sums, block_summary and block_score: Triton kernels against their references in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.block_score import kernel as score_kernel
from kernels.block_summary import kernel as summary_kernel
from kernels.column_sums import kernel as sums_kernel
from kernels.quantised import Kind
from kernels.surprisal import host as surprisal_host
from kernels.surprisal import kernel as surprisal_kernel
from tests.kernels.checks import check_column_sums, check_score, check_summary, check_surprisal
from tests.kernels.problems import plant, problem, quantised

torch.set_num_threads(1)

LENGTHS, ROWS = [33, 150, 17, 5, 0], [33, 70, 1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_surprisal(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surprisal_host, "BLOCK", 128)
    check_surprisal("triton", dtype, 1003)


@pytest.mark.parametrize(
    ("dtype", "options"), [(torch.float32, {}), (torch.float16, {"window": 20}), (torch.float32, {"softcap": 5.0})]
)
def test_column_sums(dtype: torch.dtype, options: dict[str, float]) -> None:
    check_column_sums(problem(LENGTHS, ROWS, heads=4, kv_heads=2, width=40, dtype=dtype), "triton", **options)


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
def test_column_sums_of_quantised_pools(kind: Kind) -> None:
    check_column_sums(quantised(problem([70, 20], [9, 20], heads=2, kv_heads=1), kind), "triton")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_block_summary(dtype: torch.dtype) -> None:
    check_summary("triton", dtype)


@pytest.mark.parametrize(("by", "reduce"), [("minmax", "max"), ("minmax", "mean"), ("mean", "max")])
def test_block_score(by: str, reduce: str) -> None:
    check_score("triton", by, reduce)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("moment = (moment + total * moved) * old_scale", "moment = moment * old_scale"),
        ("total = total * old_scale", "total = total"),
        ("mask=i_token < vocab", "mask=i_token < vocab - 1"),
        ('away = tl.where(b_x == -float("inf"), 0.0, b_x - pivot)', "away = b_x - pivot"),
    ],
)
def test_mutants_of_surprisal_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surprisal_host, "BLOCK", 128)
    plant(monkeypatch, surprisal_kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_surprisal("triton", torch.float32, 1003)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kv_head = head // GROUP", "kv_head = head % KV_HEADS"),
        ("tl.maximum(start - before, 0)", "tl.maximum(start - before + ROWS, 0)"),
        ("start + BLOCK - 1 + WINDOW - before", "start + WINDOW - before - 16"),
        ("(before + row)[:, None]", "(before + row - 1)[:, None]"),
        ("score - b_lse[:, None]", "score"),
        ("sums += ", "sums = "),
    ],
)
def test_mutants_of_column_sums_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, sums_kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_column_sums(problem([150, 33], [70, 33], heads=4, kv_heads=2, width=40), "triton", window=30)


@pytest.mark.parametrize(
    ("old", "new"),
    [("tl.min(b_key", "tl.max(b_key"), ("/ PAGE)", "/ (PAGE - 1))"), ("page * 3 *", "page * 2 *")],
)
def test_mutants_of_block_summary_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, summary_kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_summary("triton", torch.float32)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tl.where(valid, made,", "tl.where(column < columns, made,"),
        ("KV_HEADS + kv_head) * GROUP * WIDTH", "KV_HEADS + kv_head) * WIDTH"),
        ("b_q[None, :] * b_high)", "b_q[None, :] * b_low)"),
        ("best = tl.maximum(best, score)", "best = score"),
    ],
)
def test_mutants_of_block_score_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, score_kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_score("triton", "minmax", "max")
