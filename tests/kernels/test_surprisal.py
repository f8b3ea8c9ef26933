"""surprisal's torch backend against its reference in fp64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from kernels.surprisal import portable
from kernels.surprisal.host import surprisal
from tests.kernels.checks import check_surprisal, int32
from tests.kernels.problems import plant


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_surprisal_equals_reference(dtype: torch.dtype) -> None:
    check_surprisal("torch", dtype, 1003)


def test_equal_logits_surprise_by_the_log_of_their_number() -> None:
    made, entropy = surprisal(torch.full((20, 7), 3.0), torch.zeros(20, dtype=torch.int32), backend="torch")
    assert made.tolist() == pytest.approx([math.log(7)] * 20)
    assert entropy.tolist() == pytest.approx([math.log(7)] * 20)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("target >= 0", "target >= -1"),
        ("lse - at_target", "at_target - lse"),
        ("ln_p.clamp(min=torch.finfo(wide).min)", "ln_p"),
    ],
)
def test_mutants_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, portable, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_surprisal("torch", torch.float32, 100)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="targets"):
        surprisal(torch.zeros(2, 3), int32(1), backend="torch")
