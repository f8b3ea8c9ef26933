"""cascade_decode and ragged_decode: torch backends against their references, and the plan."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.cascade_decode import host, plan, portable
from kernels.cascade_decode.host import cascade_decode
from kernels.cascade_decode.plan import CascadePlan, Shared, plan_cascade
from kernels.layout import Backend
from kernels.paged_decode.host import paged_decode
from kernels.ragged_decode import host as ragged_host
from kernels.ragged_decode.host import pages_held
from tests.kernels.checks import check_cascade, check_ragged, int32
from tests.kernels.problems import Problem, plant, problem, sharing

# Rows 0 to 3 share 64 tokens; 0 and 1 then 50 (48 on whole pages), 2 and 3 then 16; row 4 is alone, 5 empty.
LENGTHS = [130, 115, 80, 97, 33, 0]
TREE = [Shared((0, 1, 2, 3), 0, 64), Shared((1, 0), 64, 114), Shared((2, 3), 64, 80)]


def made(p: Problem, nodes: list[Shared], *, gate: bool = True, backend: Backend = "torch") -> CascadePlan:
    sizes = {"heads": 9, "kv_heads": 3, "width": 64}
    return plan_cascade(p.block_table, p.seq_lens, nodes, backend=backend, gate=gate, **sizes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("softcap", [0.0, 5.0])
def test_cascade_decode_equals_plain_decode(dtype: torch.dtype, softcap: float) -> None:
    check_cascade(problem(LENGTHS, dtype=dtype), TREE, "torch", softcap=softcap)


@settings(max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.lists(st.integers(0, 40), min_size=4, max_size=4))
def test_any_chain_of_levels_gives_the_same(levels: list[int], tails: list[int]) -> None:
    """Level i, of some pages, is shared by the first 4 - i rows."""
    nodes, at, lengths = [], 0, list(tails)
    for i, pages in enumerate(levels):
        nodes.append(Shared(tuple(range(4 - i)), at, at + 16 * pages))
        for row in range(4 - i):
            lengths[row] += 16 * pages
        at += 16 * pages
    check_cascade(problem(lengths, heads=4, kv_heads=2, width=24), nodes, "torch")


def test_the_plan_reads_shared_tokens_once() -> None:
    plan = made(sharing(problem(LENGTHS), TREE), TREE, gate=False)
    assert [node.end - node.begin for node in plan.nodes] == [64, 48, 16]
    assert plan.tail_lens.tolist() == [18, 3, 0, 17, 33, 0]
    assert (plan.tokens_read, plan.tokens_plain) == (64 + 48 + 16 + 71, sum(LENGTHS))


def test_without_sharing_no_level_is_kept_and_the_bits_are_plain_decode() -> None:
    p = problem(LENGTHS)
    plan = made(p, [Shared((0,), 0, 128)])
    assert plan.nodes == ()
    out = cascade_decode(p.q, p.pool, plan, scale=p.scale, backend="torch")
    plain = paged_decode(p.q, p.pool, p.block_table, p.seq_lens, scale=p.scale, backend="torch")
    assert torch.equal(out[0], plain[0])
    assert torch.equal(out[1], plain[1])


def test_the_gate_drops_what_costs_more_than_it_saves() -> None:
    """9 heads of 64: a row's states cost 7,020 bytes; 16 tokens of 3 kv heads are 12,288, saved by all rows but one."""
    p = sharing(problem(LENGTHS), TREE)
    assert [node.begin for node in made(p, TREE).nodes] == [0, 64]
    assert [node.end for node in made(p, TREE).nodes] == [64, 112]
    on_gpu = made(p, TREE, backend="triton")
    assert on_gpu.nodes == ()
    assert on_gpu.tail_lens.tolist() == LENGTHS
    check_cascade(problem(LENGTHS), TREE, "torch", gate=True)


def test_extending_one_rows_tail_changes_no_bit_of_another() -> None:
    p = sharing(problem(LENGTHS), TREE)
    before = cascade_decode(p.q, p.pool, made(p, TREE, gate=False), scale=p.scale, backend="torch")
    p.plain[int(p.block_table[4, 2]), :, :, 0] = 9.0
    after = cascade_decode(p.q, p.pool, made(p, TREE, gate=False), scale=p.scale, backend="torch")
    same = [0, 1, 2, 3, 5]
    assert torch.equal(before[0][same], after[0][same])
    assert not torch.equal(before[0][4], after[0][4])


def test_nodes_that_are_not_shared_or_overlap_are_refused() -> None:
    p = problem(LENGTHS)
    with pytest.raises(ValueError, match="does not share"):
        made(p, [Shared((0, 1), 0, 32)])
    shared = sharing(p, TREE)
    with pytest.raises(ValueError, match="overlap"):
        made(shared, [*TREE, Shared((0, 1), 48, 80)], gate=False)
    with pytest.raises(ValueError, match="does not share"):
        made(shared, [Shared((2, 3), 64, 96)])


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        # A page that only some of the rows share.
        (
            plan,
            "-(-node.begin // PAGE_TOKENS), node.end // PAGE_TOKENS",
            "node.begin // PAGE_TOKENS, 1 + node.end // PAGE_TOKENS",
        ),
        (plan, "if c not in held", "if c not in held or c == 0"),
        (plan, "levels.append(len(taken[row]))", "levels.append(0)"),
        (portable, "plan.members[own]", "plan.members[own].flip(0)"),
        (host, "outs[0], lses[0] = tails", "outs[0], lses[0] = tails[0], tails[1] * 0"),
        (host, "lses[plan.levels + 1, plan.members.long()] = parts", "lses[plan.levels, plan.members.long()] = parts"),
    ],
)
def test_mutants_fail(module: ModuleType, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, module, old, new, tmp_path)
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        check_cascade(problem(LENGTHS), TREE, "torch")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_ragged_decode_equals_reference(dtype: torch.dtype) -> None:
    check_ragged("torch", dtype, 6, [[40, 3], [0, 17], [16, 130]])
    check_ragged("torch", dtype, 3, [[5, 0, 31]], softcap=4.0)


def test_what_one_head_evicts_frees_pages() -> None:
    assert pages_held(int32(160, 160, 16, 0).view(2, 2)).tolist() == [20, 1]


def test_a_pool_whose_pages_hold_all_heads_is_refused() -> None:
    p = problem([5, 6], heads=2, kv_heads=2)
    with pytest.raises(ValueError, match="a page has one kv head"):
        ragged_host.ragged_decode(
            p.q, p.pool, p.block_table[:, None].expand(2, 2, -1), int32(5, 5, 6, 6).view(2, 2), scale=1, backend="torch"
        )
