"""Fills a token budget with the best items, in order; what does not fit is left out and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.episodic.plugins.base import Composition, Context, Plan, Plugin, Ranked


@dataclass(frozen=True)
class Pack(Plugin):
    """Greedy: an item too long for what is left is passed over, and shorter ones behind it still enter."""

    name: ClassVar[str] = "pack"

    def compose(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Composition:
        left, budget = plan.query.limit, plan.query.token_budget
        kept: list[Ranked] = []
        dropped: list[str] = []
        for item in items:
            if len(kept) == left:
                break
            tokens = 0 if budget is None else ctx.tok_count(item.record.text)
            if budget is not None and tokens > budget:
                dropped.append(item.record.id)
                continue
            budget = None if budget is None else budget - tokens
            kept.append(item)
        return Composition(tuple(kept), tuple(dropped))
