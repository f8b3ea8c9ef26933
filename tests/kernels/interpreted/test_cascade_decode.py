"""cascade_decode and ragged_decode: Triton kernels against their references in fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.cascade_decode import host, kernel
from kernels.cascade_decode.plan import Shared
from kernels.quantised import Kind
from tests.kernels.checks import check_cascade, check_ragged
from tests.kernels.problems import plant, problem, quantised

torch.set_num_threads(1)

LENGTHS = [130, 115, 80, 97, 33, 0]
TREE = [Shared((0, 1, 2, 3), 0, 64), Shared((1, 0), 64, 114), Shared((2, 3), 64, 80)]


@pytest.mark.parametrize(("dtype", "heads", "width"), [(torch.float32, 6, 40), (torch.float16, 6, 64)])
def test_cascade_decode(dtype: torch.dtype, heads: int, width: int) -> None:
    check_cascade(problem(LENGTHS, heads=heads, kv_heads=2, width=width, dtype=dtype), TREE, "triton", softcap=9.0)


def test_a_node_of_several_splits_and_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "MAX_SPLITS", 2)
    monkeypatch.setattr(host, "SPLIT_TOKENS", 64)
    rows = tuple(range(18))
    p = problem([144 + row for row in rows], heads=4, kv_heads=1, width=24, dtype=torch.float16)
    check_cascade(p, [Shared(rows, 0, 144)], "triton")


@pytest.mark.parametrize("kind", ["int4", "fp8"])
def test_cascade_decode_of_quantised_pools(kind: Kind) -> None:
    check_cascade(quantised(problem([70, 65], heads=4, kv_heads=2), kind), [Shared((1, 0), 0, 64)], "triton")


def test_ragged_decode() -> None:
    check_ragged("triton", torch.float32, 6, [[40, 3], [0, 17], [16, 300]])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("members_ptr + begin_member + member", "members_ptr + member"),
        ("kv_head * GROUP + pair % GROUP", "kv_head + KV_HEADS * (pair % GROUP)"),
        ("tl.minimum(begin + tokens, length)", "tl.minimum(begin + tokens, length - 16)"),
        ("begin = split * tokens", "begin = split * SPLIT"),
    ],
)
def test_mutants_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, kernel, old, new, tmp_path)
    monkeypatch.setattr(host, "SPLIT_TOKENS", 16)
    monkeypatch.setattr(host, "MAX_SPLITS", 2)
    tree = [*TREE[:1], Shared((1, 0), 64, 112)]
    with pytest.raises(AssertionError):
        check_cascade(problem(LENGTHS, heads=4, kv_heads=2, width=24), tree, "triton")
