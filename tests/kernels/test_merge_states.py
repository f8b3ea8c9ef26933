"""merge_states: the algebra that split keys, chunks and tiers rest on."""

from __future__ import annotations

import torch

from kernels.merge_states.host import merge_states
from kernels.merge_states.reference import merge_states_reference


def states(parts: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    outs = torch.randn(parts, 5, 3, 7, generator=g, dtype=torch.float64)
    return outs, torch.randn(parts, 5, 3, generator=g, dtype=torch.float64) * 20


def test_parts_of_the_keys_merge_to_the_whole() -> None:
    g = torch.Generator().manual_seed(1)
    scores = torch.randn(2, 3, 50, generator=g, dtype=torch.float64) * 5
    values = torch.randn(2, 3, 50, 7, generator=g, dtype=torch.float64)
    cuts = [(0, 1), (1, 20), (20, 20), (20, 50)]
    outs = torch.stack(
        [
            (torch.softmax(scores[..., a:b], -1)[..., None] * values[:, :, a:b]).sum(2)
            if a < b
            else torch.nan * torch.ones(2, 3, 7, dtype=torch.float64)
            for a, b in cuts
        ]
    )
    lses = torch.stack([torch.logsumexp(scores[..., a:b], -1) for a, b in cuts])
    out, lse = merge_states(outs, lses, backend="torch")
    torch.testing.assert_close(out, (torch.softmax(scores, -1)[..., None] * values).sum(2), atol=1e-14, rtol=0)
    torch.testing.assert_close(lse, torch.logsumexp(scores, -1), atol=1e-13, rtol=0)


def test_merging_is_associative_and_free_of_order() -> None:
    outs, lses = states(4)
    whole = merge_states_reference(outs, lses)
    turned = merge_states_reference(outs.flip(0), lses.flip(0))
    left = merge_states_reference(outs[:2], lses[:2])
    right = merge_states_reference(outs[2:], lses[2:])
    nested = merge_states_reference(torch.stack((left[0], right[0])), torch.stack((left[1], right[1])))
    for other in (turned, nested):
        torch.testing.assert_close(other[0], whole[0], atol=1e-14, rtol=0)
        torch.testing.assert_close(other[1], whole[1], atol=1e-13, rtol=0)


def test_an_empty_part_is_the_identity_and_all_empty_is_empty() -> None:
    outs, lses = states(2)
    outs[1], lses[1] = torch.nan, -torch.inf
    out, lse = merge_states_reference(outs, lses)
    assert torch.equal(out, outs[0])
    torch.testing.assert_close(lse, lses[0], atol=0, rtol=0)
    lses[0] = -torch.inf
    out, lse = merge_states_reference(outs, lses)
    assert (out == 0).all()
    assert (lse == -torch.inf).all()
