"""What the plug-ins share: which kinds are recalled, what lies in a time, one search over several namespaces, and the
one order of equal scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from typing import get_args

from services.common.serving.clocks import as_shown
from services.episodic.plugins.base import Candidate, Context, Filter, Interval, Kind, Plan, Record

# An episode stands for its members: it lifts them, and is returned itself only where the caller asks for its kind.
CONTAINERS: tuple[Kind, ...] = ("episode", "session")
RECALLED: tuple[Kind, ...] = tuple(k for k in get_args(Kind) if k not in CONTAINERS)


def recalled(plan: Plan) -> Filter:
    """The query's filter, and what was known; without kinds, every kind but the containers."""
    wanted, known = plan.query.filter, plan.query.known
    if known is not None:
        start, end = wanted.event
        after = known + timedelta(microseconds=1)
        wanted = replace(wanted, event=(start, after if end is None else min(end, after)))
    return wanted if wanted.kinds else replace(wanted, kinds=RECALLED)


def was_known(record: Record, plan: Plan) -> bool:
    """Whether all of it had been said by the time that the query names."""
    return plan.query.known is None or record.event.end <= plan.query.known


def neighbours(record: Record, plan: Plan, ctx: Context) -> tuple[Sequence[Record], Sequence[Record]]:
    """The turn before and the turn after, as far as they were known."""
    before, after = ctx.neighbours(record, 1, 1)
    return [r for r in before if was_known(r, plan)], [r for r in after if was_known(r, plan)]


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


def shows(time: Interval, at: datetime) -> bool:
    """Whether a moment lies in a time, each on its own clock: a day is that of whoever spoke."""
    return as_shown(time.start) <= as_shown(at) < as_shown(time.end)
