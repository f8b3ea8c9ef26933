"""BM25 over keys, each hit lifted by how well its episode matches.

score(record) = BM25(record) + episode_weight x the best BM25 of an episode that holds it. A record that shares no
word with the query enters by its episode alone. Granularity fusion as measured on LoCoMo (docs/methods.md).

A turn whose episode is still open has no lift yet; it can be recalled all the same. Nor has any where the query asks
for what was known at some time: an episode's words may have been said later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from services.episodic.plugins.base import Candidate, Context, Filter, Plan, Plugin
from services.episodic.plugins.search import best_first, over, recalled


@dataclass(frozen=True)
class Lexical(Plugin):
    """``episode_weight``: share of the episode's score, 0 for plain BM25. ``episodes``: how many are asked for."""

    name: ClassVar[str] = "lexical"
    episode_weight: float = 1.0
    episodes: int = 20

    def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
        weight = self.episode_weight if plan.query.known is None else 0.0
        return {"lexical": lexical_hits(plan, ctx, recalled(plan), weight, self.episodes)}


def lexical_hits(plan: Plan, ctx: Context, wanted: Filter, episode_weight: float, episodes: int) -> list[Candidate]:
    """The ``plan.depth`` best by the sum above, best first. With a filter, only records that were hits themselves."""
    depth = 4 * plan.depth if episode_weight else plan.depth  # deep enough that a lift can bring a hit forward
    hits = over(plan, ctx, lambda ns: ctx.bm25(plan.text, depth, ns, wanted), depth)
    if not episode_weight or not hits:
        return hits[: plan.depth]
    lifts = _lifts(plan, ctx, episodes)
    found = ((hit, lifts.pop((hit.namespace, hit.id), 0.0)) for hit in hits)
    scored = [_lifted(hit, episode_weight * lift) if lift else hit for hit, lift in found]
    if wanted == recalled(replace(plan, query=replace(plan.query, filter=Filter()))):
        # Not among the hits: the filter is known to hold for every base record.
        scored += [
            Candidate(id, namespace, round(episode_weight * lift, 6), "its episode matches")
            for (namespace, id), lift in lifts.items()
        ]
    return best_first(scored, ctx)[: plan.depth]


def _lifts(plan: Plan, ctx: Context, episodes: int) -> dict[tuple[str, str], float]:
    """Best score of an episode that holds it, by (namespace, id) of members."""
    kinds = Filter(kinds=("episode",))
    lifts: dict[tuple[str, str], float] = {}
    for episode in over(plan, ctx, lambda ns: ctx.bm25(plan.text, episodes, ns, kinds), episodes):
        for id in episode.sources:
            lifts.setdefault((episode.namespace, id), episode.score)
    return lifts


def _lifted(hit: Candidate, lift: float) -> Candidate:
    return replace(hit, score=round(hit.score + lift, 6), why="its episode matches too")
