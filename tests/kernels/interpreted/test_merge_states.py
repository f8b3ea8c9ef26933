"""merge_states' Triton kernel against its reference in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.merge_states import kernel
from kernels.merge_states.host import merge_states
from kernels.merge_states.reference import merge_states_reference
from tests.kernels.problems import DEVICE, assert_close, plant, poisoned

torch.set_num_threads(1)


def check(parts: int, dtype: torch.dtype = torch.float32) -> None:
    g = torch.Generator().manual_seed(3)
    outs = torch.randn(parts, 4, 2, 40, generator=g).to(dtype)
    lses = torch.randn(parts, 4, 2, generator=g) * 20
    outs[1, 0], lses[1, 0] = torch.nan, -torch.inf
    lses[:, 1] = -torch.inf
    expected = merge_states_reference(outs.double(), lses.double())
    with poisoned():
        assert_close(merge_states(outs.to(DEVICE), lses.to(DEVICE), backend="triton"), expected, outs)


@pytest.mark.parametrize(("parts", "dtype"), [(2, torch.float32), (3, torch.bfloat16), (19, torch.float32)])
def test_merge_states(parts: int, dtype: torch.dtype) -> None:
    check(parts, dtype)


def test_the_order_of_parts_does_not_matter_and_empty_ones_change_no_bit() -> None:
    g = torch.Generator().manual_seed(4)
    outs, lses = torch.randn(5, 2, 2, 40, generator=g).to(DEVICE), torch.randn(5, 2, 2, generator=g).to(DEVICE) * 20
    out, lse = merge_states(outs, lses, backend="triton")
    turned = merge_states(outs.flip(0), lses.flip(0), backend="triton")
    torch.testing.assert_close(turned[0], out, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[1], lse, atol=1e-5, rtol=0)
    padding = torch.full((20, 2, 2), -torch.inf, device=DEVICE)
    more = merge_states(
        torch.cat((outs, torch.full((20, 2, 2, 40), torch.nan, device=DEVICE))),
        torch.cat((lses, padding)),
        backend="triton",
    )
    assert torch.equal(more[0], out)
    assert torch.equal(more[1], lse)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("acc = acc * old_scale + tl.sum", "acc = acc + tl.sum"),
        ("total = total * old_scale + tl.sum", "total = total + tl.sum"),
        ('(b_lse > -float("inf"))[:, None] & m_width[None, :]', "(part < parts)[:, None] & m_width[None, :]"),
        ('tl.where(empty, -float("inf"), top', "tl.where(empty, 0.0, top"),
        ("mask=part < parts", "mask=part < parts - 1"),
    ],
)
def test_mutants_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check(19)
