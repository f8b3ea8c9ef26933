"""What the retrieving plug-ins share: which kinds are recalled, one search over several namespaces, and the one order
of equal scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import get_args

from services.episodic.plugins.base import Candidate, Context, Filter, Kind, Plan

# An episode stands for its members: it lifts them, and is returned itself only where the caller asks for its kind.
CONTAINERS: tuple[Kind, ...] = ("episode", "session")
RECALLED: tuple[Kind, ...] = tuple(k for k in get_args(Kind) if k not in CONTAINERS)


def recalled(plan: Plan) -> Filter:
    """The query's filter; without kinds, every kind but the containers."""
    wanted = plan.query.filter
    return wanted if wanted.kinds else replace(wanted, kinds=RECALLED)


def over(plan: Plan, ctx: Context, search: Callable[[str], Sequence[Candidate]], k: int) -> list[Candidate]:
    """The ``k`` best hits of one search in every namespace of the query."""
    return best_first([hit for namespace in plan.query.namespaces for hit in search(namespace)], ctx)[:k]


def best_first(hits: Collection[Candidate], ctx: Context) -> list[Candidate]:
    """By score descending; equal ones (to 1e-6) by event time descending, then id. What is gone comes last."""
    began = {
        namespace: ctx.began(namespace, [hit.id for hit in hits if hit.namespace == namespace])
        for namespace in {hit.namespace for hit in hits}
    }
    return sorted(hits, key=lambda hit: order(hit.score, began[hit.namespace].get(hit.id), hit.id))


def order(score: float, began: datetime | None, id: str) -> tuple[float, float, str]:
    """Sort key of a scored hit, whose event began then, or is not known: as ``best_first`` says."""
    return -round(score, 6), -began.timestamp() if began else inf, id


def idf(text: str, namespaces: Sequence[str], ctx: Context) -> Mapping[str, float]:
    """Terms of a text with their idf; over several namespaces, in the one that knows a word best."""
    merged: dict[str, float] = {}
    for namespace in namespaces:
        for term, weight in ctx.idf(text, namespace).items():
            merged[term] = min(weight, merged.get(term, weight))
    return merged
