"""Weighted reciprocal rank fusion: what one service ranks, and what is gathered from several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

# Cormack et al. (SIGIR 2009) take 60, for many rankers of like quality. Ours are few and unlike, and 60 lets what
# stands tenth in two lists pass what stands first in one; 10 was chosen on LoCoMo's development half (docs/methods.md).
CONSTANT = 10


def ranks(scores: Sequence[float]) -> Iterator[int]:
    """Ranks from 1 of scores, best first. Equal ones share the better rank: what a channel cannot tell apart, the
    order of its hits must not."""
    rank, last = 0, None
    for place, score in enumerate(scores, 1):
        rank, last = (rank, last) if score == last else (place, score)
        yield rank


def leading(weights: Mapping[str, float], constant: float = CONSTANT) -> float:
    """What a hit gets that leads every one of these channels."""
    return sum(weights.values()) / (constant + 1)
