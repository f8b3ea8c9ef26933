"""paged_prefill's Triton kernel against its reference in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.paged_prefill import kernel
from kernels.quantised import Kind
from tests.kernels.checks import check_prefill, int32
from tests.kernels.problems import DEVICE, plant, problem, quantised

torch.set_num_threads(1)

# Tokens in all, and how many of them are the chunk: first chunks, later ones, one row, none, borders of pages.
LENGTHS, ROWS = [33, 50, 17, 80, 5], [33, 7, 1, 16, 0]
# The interpreter has no bf16 products.
BF16_ON_A_GPU = [(torch.bfloat16, 9, 3, 64, {}), (torch.bfloat16, 32, 4, 128, {"window": 33, "sinks": 3})]
BF16_ON_A_GPU = BF16_ON_A_GPU if DEVICE == "cuda" else []


@pytest.mark.parametrize(
    ("dtype", "heads", "kv_heads", "width", "options"),
    [
        (torch.float32, 9, 3, 64, {}),
        (torch.float32, 4, 4, 96, {"window": 20}),
        (torch.float16, 6, 1, 40, {"softcap": 5.0}),
        (torch.float16, 4, 2, 128, {"window": 18, "sinks": 3}),
        (torch.float32, 2, 1, 256, {"softcap": 2.0, "window": 30, "sinks": 17}),
        *BF16_ON_A_GPU,
    ],
)
def test_paged_prefill(dtype: torch.dtype, heads: int, kv_heads: int, width: int, options: dict[str, float]) -> None:
    check_prefill(problem(LENGTHS, ROWS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype), "triton", **options)


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_paged_prefill_of_quantised_pools(kind: Kind, dtype: torch.dtype) -> None:
    p = problem([33, 50, 5], [9, 18, 0], heads=4, kv_heads=2, dtype=dtype)
    check_prefill(quantised(p, kind), "triton", window=29, sinks=2)


def test_a_table_may_hold_a_part_of_its_sequence() -> None:
    p = problem([33, 20, 64, 10], [3, 12, 5, 1], heads=4, kv_heads=2, width=32)
    older, newer = int32(0, 5, 2, 30), int32(3, 0, 90, 17)
    check_prefill(p, "triton", older=older, newer=newer)
    check_prefill(p, "triton", window=25, sinks=4, older=older, newer=newer)


def test_sinks_far_from_the_window() -> None:
    check_prefill(problem([300], [5], heads=2, kv_heads=1, width=24), "triton", window=70, sinks=67)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("length, WINDOW, SINKS, older)", "length - 1, WINDOW, SINKS, older)"),
        ("position = before + row", "position = before + row - 1"),
        ("before + first_row + 1 - WINDOW, 0", "before + last_row + 1 - WINDOW, 0"),
        ("kv_head * GROUP + pair % GROUP", "kv_head + KV_HEADS * (pair % GROUP)"),
        ("before + last_row + 1, length", "before + last_row, length"),
        ("begin = tl.maximum(begin - sink_blocks * BLOCK, 0)", "begin = tl.maximum(begin, 0)"),
    ],
)
def test_mutants_of_the_kernel_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, kernel, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_prefill(problem([230], [38], heads=4, kv_heads=2, width=40), "triton", window=66, sinks=3)
