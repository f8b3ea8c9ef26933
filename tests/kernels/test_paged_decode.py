"""paged_decode's torch backend against its reference in fp64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.paged_decode import portable
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from kernels.quantised import Kind
from tests.kernels.checks import check_decode, int32
from tests.kernels.problems import plant, problem, quantised

LENGTHS = [1, 15, 16, 17, 0, 100, 33, 257]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(9, 3, 64), (4, 4, 96), (6, 1, 40)])
def test_paged_decode_equals_reference(dtype: torch.dtype, heads: int, kv_heads: int, width: int) -> None:
    check_decode(problem(LENGTHS, heads=heads, kv_heads=kv_heads, width=width, dtype=dtype), "torch")


@pytest.mark.parametrize("window", [1, 16, 20, 1000])
def test_paged_decode_sees_only_the_window(window: int) -> None:
    check_decode(problem(LENGTHS), "torch", window=window)


@settings(max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, 130), min_size=1, max_size=6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 40))
def test_paged_decode_on_any_shape(lengths: list[int], kv_heads: int, group: int, window: int) -> None:
    check_decode(problem(lengths, heads=kv_heads * group, kv_heads=kv_heads, width=24), "torch", window=window)


def test_one_token_returns_its_value_and_equal_scores_the_mean() -> None:
    p = problem([1, 40], heads=2, kv_heads=2)
    p.q[1] = 0.0
    out, lse = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="torch")
    torch.testing.assert_close(out[0], p.plain[p.block_table[0, 0], 1, :, 0])
    pages = [int(p.block_table[1, j]) for j in range(3)]
    values = torch.cat([p.plain[page, 1] for page in pages], dim=1)[:, :40]
    torch.testing.assert_close(out[1], values.mean(dim=1), atol=1e-6, rtol=0)
    assert lse[1].tolist() == pytest.approx([math.log(40)] * 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("past = token >= length", "past = token > length"),
        ("token < first", "token <= first"),
        ("end = -(-length // PAGE_TOKENS)", "end = length // PAGE_TOKENS + 1"),
        ("place - sinks + begin)", "place + begin)"),
        (
            ".view(n, kv_heads, heads // kv_heads, width)",
            ".view(n, heads // kv_heads, kv_heads, width).transpose(1, 2)",
        ),
        ("tails.masked_fill_(bucket.hidden[None, None, :, :, None], 0.0)", "tails"),
    ],
)
def test_mutants_of_the_torch_backend_fail(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, portable, old, new, tmp_path)
    with pytest.raises((AssertionError, IndexError)):
        check_decode(problem(LENGTHS), "torch", window=20, sinks=2)


def test_wrong_shapes_are_refused() -> None:
    p = problem([5])
    with pytest.raises(ValueError, match="int32"):
        paged_decode(p.q, p.pool, p.block_table.long(), p.seq_lens, scale=1.0, backend="torch")
    with pytest.raises(ValueError, match="they must be equal"):
        paged_decode(p.q.half(), p.pool, p.block_table, p.seq_lens, scale=1.0, backend="torch")
    with pytest.raises(ValueError, match="no multiple"):
        paged_decode(p.q[:, :4], p.pool, p.block_table, p.seq_lens, scale=1.0, backend="torch")


@pytest.mark.parametrize("options", [{"softcap": 5.0}, {"window": 20, "sinks": 3}, {"window": 40, "sinks": 33}])
def test_paged_decode_caps_scores_and_keeps_sinks(options: dict[str, float]) -> None:
    check_decode(problem(LENGTHS), "torch", **options)


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_paged_decode_of_quantised_pools(kind: Kind, dtype: torch.dtype) -> None:
    p = problem(LENGTHS, heads=4, kv_heads=2, dtype=dtype)
    check_decode(quantised(p, kind), "torch")
    check_decode(quantised(p, kind), "torch", window=30, sinks=2)


def test_a_table_may_hold_a_part_of_its_sequence() -> None:
    p = problem([33, 20, 64, 10, 0, 200], heads=4, kv_heads=2, width=32)
    older, newer = int32(0, 5, 2, 30, 4, 0), int32(3, 0, 90, 17, 4, 150)
    check_decode(p, "torch", older=older, newer=newer)
    check_decode(p, "torch", window=25, sinks=4, older=older, newer=newer)


def test_the_definition_of_a_window_with_sinks_is_a_plain_softmax_over_what_is_seen() -> None:
    """The reference itself, by hand: two sinks and a window of three over ten tokens."""
    p = problem([10], heads=2, kv_heads=1, dtype=torch.float64)
    keys, values = p.plain[int(p.block_table[0, 0]), :, 0]
    seen = [0, 1, 7, 8, 9]
    weights = torch.softmax(p.q[0] @ keys[seen].T * p.scale, dim=1)
    out, _ = paged_decode_reference(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, window=3, sinks=2)
    torch.testing.assert_close(out[0], weights @ values[seen], atol=1e-13, rtol=0)
