"""The Triton kernels against their references in fp64, small: 6 ms for each program and block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.merge_states import host as merge_host
from kernels.merge_states import kernel as merge_kernel
from kernels.merge_states.host import merge_states
from kernels.merge_states.reference import merge_states_reference
from kernels.paged_decode import host as decode_host
from kernels.paged_decode import kernel as decode_kernel
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from kernels.paged_prefill import host as prefill_host
from kernels.paged_prefill import kernel as prefill_kernel
from kernels.paged_prefill.host import paged_prefill
from kernels.paged_prefill.reference import paged_prefill_reference
from tests.kernels.problems import Problem, assert_close, mutant, poisoned, problem

torch.set_num_threads(1)

DECODE_LENGTHS = [1, 16, 0, 65, 300]
PREFILL_LENGTHS, PREFILL_ROWS = [33, 50, 17, 80, 5], [33, 7, 1, 16, 0]


def check_decode(p: Problem, window: int = 0) -> None:
    wide = p.to(torch.float64)
    expected = paged_decode_reference(wide.q, wide.pool, wide.block_table, wide.seq_lens, scale=p.scale, window=window)
    with poisoned():
        actual = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, window=window, backend="triton")
    assert_close(actual, expected, p.pool)


def check_prefill(p: Problem, window: int = 0) -> None:
    wide = p.to(torch.float64)
    expected = paged_prefill_reference(
        wide.q, wide.pool, wide.block_table, wide.row_starts, wide.seq_lens, scale=p.scale, window=window
    )
    with poisoned():
        actual = paged_prefill(
            p.q, p.pool, p.block_table, p.row_starts, p.seq_lens, scale=p.scale, window=window, backend="triton"
        )
    assert_close(actual, expected, p.pool)


def check_merge() -> None:
    g = torch.Generator().manual_seed(3)
    outs = torch.randn(3, 4, 2, 40, generator=g)
    lses = torch.randn(3, 4, 2, generator=g) * 20
    outs[1, 0], lses[1, 0] = torch.nan, -torch.inf
    lses[:, 1] = -torch.inf
    expected = merge_states_reference(outs.double(), lses.double())
    with poisoned():
        assert_close(merge_states(outs, lses, backend="triton"), expected, outs)


CASES = [
    (torch.float32, 9, 3, 64, 0),
    (torch.float32, 4, 4, 96, 20),
    (torch.float16, 6, 1, 40, 0),
]


@pytest.mark.parametrize(("dtype", "heads", "kv_heads", "width", "window"), CASES)
def test_paged_decode(dtype: torch.dtype, heads: int, kv_heads: int, width: int, window: int) -> None:
    check_decode(problem(DECODE_LENGTHS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype), window)


@pytest.mark.parametrize(("dtype", "heads", "kv_heads", "width", "window"), CASES)
def test_paged_prefill(dtype: torch.dtype, heads: int, kv_heads: int, width: int, window: int) -> None:
    p = problem(PREFILL_LENGTHS, PREFILL_ROWS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype)
    check_prefill(p, window)


def test_merge_states() -> None:
    check_merge()


def test_a_row_has_the_same_bits_whatever_its_neighbours() -> None:
    p = problem(DECODE_LENGTHS)
    together = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="triton")
    # On its own, row 3 (65 tokens, one split) runs without the merge that row 4 (300 tokens) brings in.
    alone = paged_decode(
        p.q[3:4], p.pool, p.block_table[3:4].contiguous(), p.seq_lens[3:4], scale=p.scale, backend="triton"
    )
    assert torch.equal(together[0][3], alone[0][0])
    assert torch.equal(together[1][3], alone[1][0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tl.minimum(begin + SPLIT, length)", "tl.minimum(begin + SPLIT, length - 1)"),
        ("tl.maximum(length - WINDOW, 0)", "tl.maximum(length - WINDOW - 1, 0)"),
        ("kv_head * GROUP + i_group", "kv_head + KV_HEADS * i_group"),
        ("acc = acc * old_scale[:, None] + tl.dot", "acc = acc + tl.dot"),
        ("total = total * old_scale + tl.sum", "total = total + tl.sum"),
        ("(token % PAGE) * WIDTH", "(token % PAGE) * WIDTH // PAGE * PAGE // 2"),
        ("b_value = tl.load(p_key + KV_HEADS * PAGE * WIDTH, mask=m_kv, other=0.0)", "b_value = b_key"),
    ],
)
def test_mutants_of_paged_decode_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mutant(decode_kernel, old, new, tmp_path)
    monkeypatch.setattr(decode_host, "paged_decode_kernel", made.paged_decode_kernel)
    with pytest.raises(AssertionError):
        check_decode(problem([170], heads=4, kv_heads=2, width=40), window=70)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seen = token[None, :] <= position", "seen = token[None, :] < position"),
        ("token[None, :] > position[:, None] - WINDOW", "token[None, :] >= position[:, None] - WINDOW"),
        ("before + first_row + 1 - WINDOW, 0", "before + last_row + 1 - WINDOW, 0"),
        ("kv_head * GROUP + pair % GROUP", "kv_head + KV_HEADS * (pair % GROUP)"),
        ("acc = acc * old_scale[:, None] + tl.dot", "acc = acc + tl.dot"),
        ("before + last_row + 1, 0", "before + last_row, 0"),
    ],
)
def test_mutants_of_paged_prefill_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mutant(prefill_kernel, old, new, tmp_path)
    monkeypatch.setattr(prefill_host, "paged_prefill_kernel", made.paged_prefill_kernel)
    with pytest.raises(AssertionError):
        check_prefill(problem([160], [40], heads=4, kv_heads=2, width=40), window=81)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("acc = acc * old_scale + b_out", "acc = acc + b_out"),
        ("mask=m_width & (seen != 0)", "mask=m_width"),
        ('tl.where(empty, -float("inf"), top', "tl.where(empty, 0.0, top"),
    ],
)
def test_mutants_of_merge_states_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mutant(merge_kernel, old, new, tmp_path)
    monkeypatch.setattr(merge_host, "merge_states_kernel", made.merge_states_kernel)
    with pytest.raises(AssertionError):
        check_merge()
