"""Surprise: the invariants of its method sheet, each as a test."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.perception.sessions.segmentation.base import Unit, Vector
from services.perception.sessions.segmentation.surprise import Surprise, best_split
from tests.perception.segmentation.folding import Sent, axis, episodes, host, lengths, near, units


def two_topics(first: int, second: int) -> list[Vector]:
    return [near(axis(0), seed=n, noise=0.1) for n in range(first)] + [
        near(axis(1), seed=n, noise=0.1) for n in range(first, first + second)
    ]


def test_a_change_of_topic_begins_an_episode_where_it_happens() -> None:
    # Look-ahead makes the candidate too early by up to two units; refinement puts it right. gamma 3: above the noise.
    found = episodes(Surprise(gamma=3.0), units(two_topics(18, 14)))
    assert [(len(ids), reason) for ids, reason in found] == [(18, "surprise"), (14, "end")]


def test_gamma_to_infinity_leaves_only_hard_boundaries() -> None:
    vectors = [near(axis(n % 4), seed=n) for n in range(40)]
    sent = units(vectors[:25]) + [Sent(bytes([n]), 10_000 + n * 60.0, v) for n, v in enumerate(vectors[25:])]
    assert [(len(i), r) for i, r in episodes(Surprise(gamma=math.inf), sent)] == [(25, "gap"), (15, "end")]


def test_gamma_to_minus_infinity_cuts_at_every_minimum_length() -> None:
    found = episodes(Surprise(gamma=-math.inf), units([near(axis(n % 4), seed=n) for n in range(40)]), end=False)
    assert set(lengths(found)) == {4}
    assert len(found) >= 8


@pytest.mark.parametrize("gamma", [0.0, 1.0, -5.0])
def test_a_constant_stream_has_no_boundary(gamma: float) -> None:
    constant = near(axis(0), seed=1)
    assert lengths(episodes(Surprise(gamma=gamma), units([constant] * 60))) == [60]


def test_no_episode_that_surprise_cuts_is_shorter_than_the_minimum() -> None:
    vectors = [near(axis(n % 5), seed=n, noise=0.8) for n in range(200)]
    found = episodes(Surprise(gamma=0.0), units(vectors), end=False)
    assert len(found) > 3
    assert min(lengths(found)) >= 4


def test_a_long_silence_cuts() -> None:
    sent = [Sent(bytes([n]), n * 60.0 + (1_801 if n >= 5 else 0), axis(0)) for n in range(10)]
    assert [(len(i), r) for i, r in episodes(Surprise(), sent)] == [(5, "gap"), (5, "end")]


def test_a_silence_far_out_of_the_sessions_own_rhythm_cuts() -> None:
    at = [n * 5.0 for n in range(12)] + [55 + 600.0 + n * 5.0 for n in range(5)]
    sent = [Sent(bytes([n]), t, axis(0)) for n, t in enumerate(at)]
    assert [(len(i), r) for i, r in episodes(Surprise(), sent)] == [(12, "gap"), (5, "end")]


def test_an_even_rhythm_is_not_cut_by_a_slightly_longer_pause() -> None:
    at = [n * 60.0 for n in range(12)] + [11 * 60 + 90.0]
    assert lengths(episodes(Surprise(), [Sent(bytes([n]), t, axis(0)) for n, t in enumerate(at)])) == [13]


@pytest.mark.parametrize(("left", "right"), [(4, 4), (5, 11), (12, 4), (7, 30)])
def test_two_blocks_are_split_exactly_between(left: int, right: int) -> None:
    affinity = np.zeros((left + right, left + right), dtype=np.int64)
    affinity[:left, :left] = 1
    affinity[left:, left:] = 1
    assert best_split(affinity, 4) == left


def test_a_flat_matrix_ties_to_the_earliest_place() -> None:
    assert best_split(np.ones((20, 20), dtype=np.int64), 4) == 4


@given(st.integers(8, 24), st.integers(2, 1_000), st.randoms(use_true_random=False))
def test_scaling_the_matrix_moves_nothing(n: int, factor: int, rng: object) -> None:
    values = np.random.default_rng(n).integers(0, 2**28, (n, n))
    affinity = values + values.T
    assert best_split(affinity, 4) == best_split(affinity * factor, 4)


def test_the_split_is_the_one_of_the_formula_in_floats() -> None:
    """Against the sheet's formula, written out naively."""
    for seed in range(20):
        values = np.random.default_rng(seed).integers(0, 1_000, (15, 15))
        a = (values + values.T).astype(np.int64)
        k, two_m = a.sum(axis=1), a.sum()

        def q(t: int, a: np.ndarray = a, k: np.ndarray = k, two_m: int = two_m) -> float:
            parts = [range(t), range(t, 15)]
            return float(sum((a[i, j] - k[i] * k[j] / two_m) / two_m for p in parts for i in p for j in p))

        assert best_split(a, 3) == max(range(3, 13), key=lambda t: (round(q(t), 12), -t))


def test_vectors_a_hairs_breadth_apart_cut_alike() -> None:
    """A batch of another size moves an embedding by 1e-6 or so; boundaries must not follow."""
    vectors = [near(axis(n // 15), seed=n) for n in range(60)]
    moved = [(v + 1e-7).astype(np.float32) for v in vectors]
    assert episodes(Surprise(), units(vectors)) == episodes(Surprise(), units(moved))


def test_nothing_is_embedded_before_an_episode_could_be_split() -> None:
    asked: list[int] = []
    sent = units([near(axis(0), seed=n) for n in range(12)])

    def vectors(ids: Sequence[bytes]) -> list[Vector]:
        asked.append(len(ids))
        return list(host(sent)(ids))

    state = b""
    for one in sent[:7]:
        state, _ = Surprise().push(state, Unit(one.id, one.at), vectors)
    Surprise().end(state, vectors)
    assert asked == []
    for one in sent[7:]:
        state, _ = Surprise().push(state, Unit(one.id, one.at), vectors)
    assert asked == [8, 1, 1, 1, 1]  # the first eight at once, then each as it comes
