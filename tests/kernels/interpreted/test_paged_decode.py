"""paged_decode's Triton kernel against its reference in fp64, small: 6 ms for each program and block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import device
from kernels.paged_decode import host, kernel
from kernels.paged_decode.host import paged_decode
from kernels.quantised import Kind
from tests.kernels.checks import check_decode, int32
from tests.kernels.problems import DEVICE, plant, problem, quantised

torch.set_num_threads(1)

LENGTHS = [1, 16, 0, 65, 300]
# The interpreter has no bf16 products.
BF16_ON_A_GPU = [(torch.bfloat16, 9, 3, 64, {}), (torch.bfloat16, 32, 4, 128, {"window": 33, "sinks": 3})]
BF16_ON_A_GPU = BF16_ON_A_GPU if DEVICE == "cuda" else []


@pytest.mark.parametrize(
    ("dtype", "heads", "kv_heads", "width", "options"),
    [
        (torch.float32, 9, 3, 64, {}),
        (torch.float32, 4, 4, 96, {"window": 20}),
        (torch.float16, 6, 1, 40, {"softcap": 5.0}),
        (torch.float16, 4, 2, 128, {"window": 33, "sinks": 3}),
        (torch.float32, 2, 1, 256, {"softcap": 2.0, "window": 70, "sinks": 17}),
        *BF16_ON_A_GPU,
    ],
)
def test_paged_decode(dtype: torch.dtype, heads: int, kv_heads: int, width: int, options: dict[str, float]) -> None:
    check_decode(problem(LENGTHS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype), "triton", **options)


@pytest.mark.parametrize(("kind", "width"), [("int8", 64), ("int4", 64), ("fp8", 64), ("int4", 96), ("int8", 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_paged_decode_of_quantised_pools(kind: Kind, width: int, dtype: torch.dtype) -> None:
    p = problem([1, 0, 77, 96], heads=4, kv_heads=2, width=width, dtype=dtype)
    check_decode(quantised(p, kind), "triton", window=66, sinks=2)


def test_queries_may_be_wider_than_the_pool() -> None:
    p = problem([40, 3], heads=4, kv_heads=2)
    narrow = p.to(torch.bfloat16)
    check_decode(type(p)(p.q, narrow.pool, p.block_table, p.row_starts, p.seq_lens, p.scale), "triton")


def test_a_table_may_hold_a_part_of_its_sequence() -> None:
    p = problem([33, 20, 64, 10, 0], heads=4, kv_heads=2, width=32)
    older, newer = int32(0, 5, 2, 30, 4), int32(3, 0, 90, 17, 4)
    check_decode(p, "triton", window=25, sinks=4, older=older, newer=newer)


@settings(max_examples=8, derandomize=True)
@given(st.lists(st.integers(0, 70), min_size=1, max_size=3), st.integers(1, 2), st.integers(1, 3), st.integers(0, 40))
def test_paged_decode_on_any_shape(lengths: list[int], kv_heads: int, group: int, window: int) -> None:
    check_decode(problem(lengths, heads=kv_heads * group, kv_heads=kv_heads, width=24), "triton", window=window)


def test_a_row_has_the_same_bits_whatever_its_neighbours() -> None:
    p = problem(LENGTHS).on_device()
    together = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="triton")
    # On its own, row 3 (65 tokens, one split) runs without the merge that row 4 (300 tokens) brings in.
    alone = paged_decode(
        p.q[3:4], p.pool, p.block_table[3:4].contiguous(), p.seq_lens[3:4], scale=p.scale, backend="triton"
    )
    assert torch.equal(together[0][3], alone[0][0])
    assert torch.equal(together[1][3], alone[1][0])


def test_rows_longer_than_all_splits_have_longer_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "SPLIT_TOKENS", 64)
    monkeypatch.setattr(host, "MAX_SPLITS", 2)
    check_decode(problem([64, 300, 129], heads=2, kv_heads=1), "triton")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tl.minimum(begin + tokens, length)", "tl.minimum(begin + tokens, length - 1)"),
        ("tl.maximum(position + 1 - WINDOW, 0)", "tl.maximum(position + 65 - WINDOW, 0)"),
        ("kv_head * GROUP + i_group", "kv_head + KV_HEADS * i_group"),
        ("position = length - 1", "position = length - 2"),
        ("tl.maximum(SPLIT, ", "tl.maximum(SPLIT // 2, "),
        ("dtype, 1, KIND", "dtype, 0, KIND"),
    ],
)
def test_mutants_of_the_kernel_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_decode(problem([300], heads=4, kv_heads=2, width=40), "triton", window=230)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("near = token > position - WINDOW", "near = token >= position - WINDOW"),
        ("token < SINKS - older", "token <= SINKS - older"),
        ("token < SINKS - older", "token < SINKS"),
        ("(token < end) & (token <= position)", "(token <= end) & (token <= position)"),
        ("acc = acc * old_scale[:, None]", "acc = acc * 1.0"),
        ("total = total * old_scale + tl.sum", "total = total + tl.sum"),
        ("SOFTCAP - 2 * SOFTCAP /", "SOFTCAP - 1.9 * SOFTCAP /"),
        (") % PAGE\n", ") % PAGE // 2\n"),
        ("((page * 2 + PART) * KV_HEADS + kv_head) * PAGE * WIDTH", "((page * 2) * KV_HEADS + kv_head) * PAGE * WIDTH"),
        ('tl.where(empty, -float("inf"), top', "tl.where(empty, 0.0, top"),
    ],
)
def test_mutants_of_what_kernels_share_fail(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, device, old, new, tmp_path)
    p = problem([0, 100, 75], heads=4, kv_heads=2, width=40)
    with pytest.raises(AssertionError):
        check_decode(p, "triton", window=60, sinks=5, softcap=4.0, older=int32(0, 0, 3), newer=int32(0, 0, 7))


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("int4", "tl.join(b_code & 15, b_code >> 4)", "tl.join(b_code >> 4, b_code & 15)"),
        ("int8", "o_low = WIDTH\n", "o_low = 0\n"),
        ("int8", "(i_slot * (WIDTH // 32))", "(i_slot * 0)"),
        ("int4", "i_group[None, None, :, None]\n", "0 * i_group[None, None, :, None]\n"),
        ("fp8", "(bits & 0x80) << 8", "(bits & 0x80) << 7"),
    ],
)
def test_mutants_of_dequantisation_fail(
    kind: Kind, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, device, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_decode(quantised(problem([40], heads=4, kv_heads=2), kind), "triton")
