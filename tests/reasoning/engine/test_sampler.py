"""The sampler: which tokens can be drawn, how often, and that a draw is a function of its counter alone."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from services.reasoning.engine.port import Sampling
from services.reasoning.engine.sampler import BadLogits, choose, uniform

LOGITS = torch.tensor([1.0, 3.0, 2.0, 3.0, -1.0, 0.5])
DRAWS = 4_000


def drawn(sampling: Sampling, logits: torch.Tensor = LOGITS) -> Counter[int]:
    return Counter(choose(logits, sampling, sample=0, position=p) for p in range(DRAWS))


def assert_follows(counts: Counter[int], weights: dict[int, float]) -> None:
    """Frequencies within four standard deviations of ``weights``, and nothing else drawn."""
    assert set(counts) <= set(weights)
    total = sum(weights.values())
    for token, weight in weights.items():
        share = weight / total
        assert abs(counts[token] - DRAWS * share) <= 4 * math.sqrt(DRAWS * share * (1 - share)) + 1


def exp(tokens: list[int], temperature: float = 1.0) -> dict[int, float]:
    return {t: math.exp(float(LOGITS[t]) / temperature) for t in tokens}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    assert_follows(drawn(Sampling(temperature)), exp([0, 1, 2, 3, 4, 5], temperature))


@pytest.mark.parametrize(
    ("k", "kept"), [(1, [1]), (2, [1, 3]), (3, [1, 2, 3]), (4, [0, 1, 2, 3]), (6, [0, 1, 2, 3, 4, 5]), (99, range(6))]
)
def test_top_k_keeps_the_k_likeliest_and_cuts_ties_by_id(k: int, kept: list[int]) -> None:
    assert_follows(drawn(Sampling(1.0, top_k=k)), exp(list(kept)))


def nucleus(p: float) -> list[int]:
    """The definition, one token at a time."""
    weights = exp(list(range(6)))
    total, mass, kept = sum(weights.values()), 0.0, []
    for token in sorted(weights, key=lambda t: (-weights[t], t)):
        kept.append(token)
        mass += weights[token] / total
        if mass >= p:
            break
    return kept


@pytest.mark.parametrize("p", [0.01, 0.38, 0.5, 0.8, 0.95, 0.9999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(p: float) -> None:
    counts = drawn(Sampling(1.0, top_p=p))
    assert_follows(counts, exp(nucleus(p)))


def test_top_p_is_taken_of_what_top_k_left() -> None:
    # Of tokens 1, 3 and 2 (shares .42, .42, .16 among themselves) the first two reach .8.
    assert_follows(drawn(Sampling(1.0, top_k=3, top_p=0.8)), exp([1, 3]))


def test_greedy_takes_the_first_of_equals_whatever_the_seed() -> None:
    assert {choose(LOGITS, Sampling(seed=s), 0, 0) for s in range(5)} == {1}


def test_invariant_28_one_counter_based_uniform_per_draw() -> None:
    """Every part of the counter matters, and nothing else does; 10,000 numbers are uniform."""
    base = (1, 2, 3, 4)
    others = [(9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9), (2, 1, 3, 4)]
    assert len({uniform(*c) for c in [base, *others]}) == 6
    assert uniform(*base) == uniform(*base)
    numbers = torch.tensor([uniform(7, 0, p, 0) for p in range(10_000)], dtype=torch.float64)
    assert float(numbers.min()) >= 0
    assert float(numbers.max()) < 1
    assert float(numbers.histc(20, 0, 1).sub(500).square().sum() / 500) < 45  # chi-square, 19 degrees, p < .001
    together = numbers[:-1] * numbers[1:]
    assert abs(float(together.mean()) - 0.25) < 0.01


def test_negative_and_large_seeds_are_seeds() -> None:
    assert uniform(-1, 0, 0, 0) != uniform(2**62, 0, 0, 0)


@pytest.mark.parametrize("bad", [[1.0, math.nan], [math.inf, 1.0], [-math.inf, -math.inf]])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, top_k=1), Sampling(1.0, top_p=0.5)])
def test_what_is_no_distribution_is_not_drawn_from(bad: list[float], sampling: Sampling) -> None:
    with pytest.raises(BadLogits):
        choose(torch.tensor(bad), sampling, 0, 0)


def test_minus_infinity_is_never_drawn() -> None:
    logits = torch.tensor([0.0, -math.inf, 0.0])
    assert set(drawn(Sampling(1.0), logits)) == {0, 2}
