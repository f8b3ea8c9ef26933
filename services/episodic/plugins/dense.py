"""Nearest keys by the cosine of their embeddings. Finds other words for the same thing; weak on names and dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.episodic.plugins.base import Candidate, Context, Plan, Plugin
from services.episodic.plugins.search import over, recalled


@dataclass(frozen=True)
class Dense(Plugin):
    """``weight`` in the fusion; lexical has 1."""

    name: ClassVar[str] = "dense"
    weight: float = 0.8

    def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
        if not plan.text.strip():
            return {"dense": ()}
        vector, wanted = ctx.embed([plan.text])[0], recalled(plan)
        return {"dense": over(plan, ctx, lambda ns: ctx.knn(vector, plan.depth, ns, wanted), plan.depth)}
