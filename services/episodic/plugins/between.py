"""The time index: what happened in the range that the plan understood, the best matches of the question first.

A preference, never a gate: it is one more channel, and what lies outside the range keeps its place in the others.
Where the question's other words match nothing in the range, its records come nearest the middle first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from services.episodic.plugins.base import Candidate, Composition, Context, Interval, Plan, Plugin, Ranked
from services.episodic.plugins.search import best_first, over, recalled, shows


@dataclass(frozen=True)
class Between(Plugin):
    """``weight`` in the fusion; ``depth``: how many of the range are ranked.

    ``anchored_weight`` where the time was given by an event: its words are then out of the text that the other
    channels search, while a date is in it, and in the keys.
    """

    name: ClassVar[str] = "between"
    weight: float = 0.5
    anchored_weight: float = 1.0
    depth: int = 25

    def weight_in(self, plan: Plan) -> float:
        return self.weight if plan.anchor is None else self.anchored_weight

    def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
        if plan.time is None:
            return {}
        hits: dict[tuple[str, str], Candidate] = {}
        for time in (plan.time, *plan.other_times):
            for hit in self._inside(plan, ctx, time):
                known = hits.get((hit.namespace, hit.id))
                if known is None or hit.score > known.score:  # what is told of one day may be said on another
                    hits[hit.namespace, hit.id] = hit
        # Other readings stand beside the first, by what they match; the first comes first where they are equal.
        return {"time": sorted(hits.values(), key=lambda hit: -hit.score)[: self.depth]}

    def compose(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Composition:
        """Where the time was given by an event, what lies in it comes first; the rest keeps its order behind it.

        The soft filter of LongMemEval (Wu et al., ICLR 2025): nothing is dropped.
        """
        if plan.time is None or plan.anchor is None:
            return Composition(tuple(items))
        asked = (plan.time, *plan.other_times)
        inside = [i for i in items if any(shows(t, i.record.event.start) for t in asked)]
        return Composition((*inside, *(i for i in items if i not in inside)))

    def _inside(self, plan: Plan, ctx: Context, time: Interval) -> list[Candidate]:
        wanted = replace(recalled(plan), days=time)
        score: dict[tuple[str, str], float] = {}
        if plan.text.strip():
            vector = ctx.embed([plan.text])[0]
            for hits in (
                over(plan, ctx, lambda ns: ctx.bm25(plan.text, self.depth, ns, wanted), self.depth),
                over(plan, ctx, lambda ns: ctx.knn(vector, self.depth, ns, wanted), self.depth),
            ):
                for rank, hit in enumerate(hits, 1):
                    key = (hit.namespace, hit.id)
                    score[key] = score.get(key, 0.0) + 1.0 / (10 + rank)
        every = over(plan, ctx, lambda ns: ctx.between(time, self.depth, ns, recalled(plan)), self.depth)
        for rank, hit in enumerate(every, 1):
            # Half a voice: it knows when, not what; and it alone sees the times that a text speaks of.
            key = (hit.namespace, hit.id)
            score[key] = score.get(key, 0.0) + 0.5 / (10 + rank)
        why = f"in the time asked for ({time.start:%Y-%m-%d} to {time.end:%Y-%m-%d})"
        return best_first([Candidate(id, ns, round(s, 6), why) for (ns, id), s in score.items()], ctx)
