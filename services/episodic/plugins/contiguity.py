"""What stood next to a hit: links in session order, and neighbours in what is returned.

``link`` keeps the way back to the turn before. ``compose`` gives ``share`` of the places to the neighbours of the
best hits, next first, then previous, in the order of their hits (EM-LLM's contiguity buffer, Fountas et al., ICLR
2025: 0.3). Over keys that hold the turn before (``turns``) neighbours win on one kind of question what they lose on
another (docs/methods.md), so the share is 0 by default and the links remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.episodic.plugins.base import Composition, Context, Link, Operation, Plan, Plugin, Ranked, Record
from services.episodic.plugins.search import neighbours


@dataclass(frozen=True)
class Contiguity(Plugin):
    """``share`` of the places that go to neighbours, 0 to 1. 0: none."""

    name: ClassVar[str] = "contiguity"
    share: float = 0.0

    def link(self, record: Record, ctx: Context) -> Sequence[Operation]:
        before, _ = ctx.neighbours(record, 1, 0)
        return [Link(record.id, "previous", b.id) for b in before]

    def compose(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Composition:
        limit = min(plan.query.limit, len(items))
        kept = math.ceil((1.0 - self.share) * limit)
        if kept == limit:
            return Composition(tuple(items))
        have = {i.record.id for i in items[:kept]}
        brought: list[Ranked] = []
        for neighbour in _neighbours(items[:kept], plan, ctx):
            if len(brought) == limit - kept:
                break
            if neighbour.record.id not in have:
                have.add(neighbour.record.id)
                brought.append(neighbour)
        rest = [i for i in items[kept:] if i.record.id not in have]
        return Composition((*items[:kept], *brought, *rest))


def _neighbours(hits: Sequence[Ranked], plan: Plan, ctx: Context) -> Iterator[Ranked]:
    for rank, hit in enumerate(hits, 1):
        before, after = neighbours(hit.record, plan, ctx)
        for record, side in [(r, "after") for r in after] + [(r, "before") for r in before]:
            yield Ranked(record, hit.score, (("contiguity", rank, hit.score),), f"stands {side} hit {rank}")
