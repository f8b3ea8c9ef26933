"""What the retrieving plug-ins share: which kinds are recalled, and one search over several namespaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

from services.episodic.plugins.base import Candidate, Filter, Kind, Plan

# An episode stands for its members: it lifts them, and is returned itself only where the caller asks for its kind.
CONTAINERS: tuple[Kind, ...] = ("episode", "session")
RECALLED: tuple[Kind, ...] = tuple(k for k in get_args(Kind) if k not in CONTAINERS)


def recalled(plan: Plan) -> Filter:
    """The query's filter; without kinds, every kind but the containers."""
    wanted = plan.query.filter
    return wanted if wanted.kinds else replace(wanted, kinds=RECALLED)


def over(plan: Plan, search: Callable[[str], Sequence[Candidate]], k: int) -> list[Candidate]:
    """The ``k`` best hits of one search in every namespace of the query; equal scores in the order they came."""
    hits = [hit for namespace in plan.query.namespaces for hit in search(namespace)]
    return sorted(hits, key=lambda hit: -round(hit.score, 6))[:k]
