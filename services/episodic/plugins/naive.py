"""Plain BM25 over what records say themselves: the baseline, and the specification of a retrieving plug-in.

Alone in the list, no plug-in gives records keys, so their own texts are searched. It is what every other method
here is measured against (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.episodic.plugins.base import Candidate, Context, Plan, Plugin
from services.episodic.plugins.search import over, recalled


@dataclass(frozen=True)
class Naive(Plugin):
    name: ClassVar[str] = "naive"

    def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
        wanted = recalled(plan)
        return {"naive": over(plan, ctx, lambda ns: ctx.bm25(plan.text, plan.depth, ns, wanted), plan.depth)}
