"""Weighted reciprocal rank fusion, and the one order of equal scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.fusion import CONSTANT, leading, ranks
from services.episodic.plugins.base import Candidate, Context, Plan, Plugin, Ranked, Record
from services.episodic.plugins.search import order

FUSED = "fused"  # the stage's name in a trace

Stage = tuple[str, int, float]  # name, rank from 1, score


@dataclass(frozen=True, slots=True)
class Fused:
    """A hit before its record is fetched."""

    namespace: str
    id: str
    score: float
    trace: tuple[Stage, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Channel:
    """Hits of one channel, best first, and its weight."""

    name: str
    weight: float
    hits: Sequence[Candidate]


def retrieve(plugins: Sequence[Plugin], plan: Plan, ctx: Context) -> list[Channel]:
    """The channels of all plug-ins. A name that two of them use is a ValueError."""
    channels: list[Channel] = []
    for plugin in plugins:
        for name, hits in plugin.retrieve(plan, ctx).items():
            if any(c.name == name for c in channels):
                raise ValueError(f"two plug-ins have a channel {name}")
            channels.append(Channel(name, plugin.weight_in(plan), hits))
    return channels


def reciprocal_rank(channels: Sequence[Channel], constant: float = CONSTANT) -> list[Fused]:
    """Sum of weight / (constant + rank) over the channels that hold a hit, best first; ties by id.

    Equal scores of a channel share a rank. No channel gates another: a hit of one enters. Scores are divided by what
    a hit that leads every channel would get, so they lie in (0, 1], and rounded to 1e-6.
    """
    best = leading({c.name: c.weight for c in channels if c.hits}, constant)
    scores: dict[tuple[str, str], float] = {}
    traces: dict[tuple[str, str], list[Stage]] = {}
    whys: dict[tuple[str, str], list[str]] = {}
    for channel in channels:
        for hit, rank in zip(channel.hits, ranks([hit.score for hit in channel.hits]), strict=True):
            key = (hit.namespace, hit.id)
            scores[key] = scores.get(key, 0.0) + channel.weight / (constant + rank)
            traces.setdefault(key, []).append((channel.name, rank, hit.score))
            if hit.why:
                whys.setdefault(key, []).append(hit.why)
    fused = [
        Fused(
            namespace,
            id,
            round(score / best, 6),
            tuple(traces[namespace, id]),
            "; ".join(whys.get((namespace, id), ())),
        )
        for (namespace, id), score in scores.items()
    ]
    return sorted(fused, key=lambda f: (-f.score, f.namespace, f.id))


def rank(fused: Sequence[Fused], records: Mapping[tuple[str, str], Record]) -> list[Ranked]:
    """Fused hits with their records, best first; equal scores by event time descending, then id.

    A hit without a record (erased since the search) is left out.
    """
    found = [(f, records[f.namespace, f.id]) for f in fused if (f.namespace, f.id) in records]
    ordered = sorted(found, key=lambda p: order(p[0].score, p[1].event.start, p[1].id))
    return [Ranked(record, f.score, (*f.trace, (FUSED, i, f.score)), f.why) for i, (f, record) in enumerate(ordered, 1)]
