"""The read path over any ``Context``: plan, resolve an anchor, retrieve, fuse, fetch, rerank, compose.

Pure but for what the context reads. The host times its stages, and bounds and filters what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from services.common.text.times import shifted
from services.episodic.plugins import fuse
from services.episodic.plugins.base import Composition, Context, Interval, Plan, Plugin, Query, Ranked, Record
from services.episodic.plugins.search import was_known

# Fused hits whose records are fetched, per item asked for: enough for rerank and compose to choose from.
FETCHED = 2
FETCHED_AT_LEAST = 30
LEADERS = 5  # of each channel are among them: what one alone knows best ("PK-10") the others may not outvote

# An anchor's event is looked for among so many hits, and taken to be on any of so many days of theirs: first the day
# whose hits have most of the score, for what happened fills its day, and what only mentions it stands alone.
LOOKED_FOR_ANCHOR = 20
ANCHORS = 3

Fetch = Callable[[Sequence[tuple[str, str]]], Mapping[tuple[str, str], Record]]
Timer = Callable[[str], AbstractContextManager[object]]


def understand(plugins: Sequence[Plugin], query: Query, ctx: Context, fetch: Fetch) -> Plan:
    """What the query means: every plan hook in listed order, then the anchor's time."""
    plan = Plan(query, query.text)
    for plugin in plugins:
        plan = plugin.plan(plan, ctx)
    if plan.anchor is None or plan.time is not None:
        return plan
    anchor = plan.anchor
    fused = fuse.reciprocal_rank(fuse.retrieve(plugins, plan.with_(text=anchor.text, anchor=None), ctx))[
        :LOOKED_FOR_ANCHOR
    ]
    found = fuse.rank(fused, fetch([(f.namespace, f.id) for f in fused]))
    scores: dict[datetime, float] = {}
    for item in found:
        day = _midnight(item.record.event.start)
        scores[day] = scores.get(day, 0.0) + item.score
    days = sorted(scores, key=lambda day: -round(scores[day], 6))[:ANCHORS]
    if not days:
        return plan
    meant = [Interval(shifted(day, anchor.start_days), shifted(day, anchor.end_days)) for day in days]
    return plan.with_(time=meant[0], other_times=tuple(meant[1:]))


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a query meant, what was found for it, and what of that is returned."""

    plan: Plan
    ranked: tuple[Ranked, ...]  # best first, before compose: what confidence is assessed on, whatever the limit
    kept: tuple[Ranked, ...]
    dropped: tuple[str, ...]
    weights: Mapping[str, float]  # of the channels


def recall(
    plugins: Sequence[Plugin],
    query: Query,
    ctx: Context,
    fetch: Fetch,
    stage: Timer = lambda name: nullcontext(),
) -> Recalled:
    """What is recalled, best first: at most ``query.limit`` items and ``query.token_budget`` tokens."""
    with stage("plan"):
        plan = understand(plugins, query, ctx, fetch)
    with stage("retrieve"):
        channels = fuse.retrieve(plugins, plan, ctx)
    with stage("fuse"):
        fused = _chosen(channels, max(FETCHED_AT_LEAST, FETCHED * query.limit))
        ranked = fuse.rank(fused, fetch([(f.namespace, f.id) for f in fused]))
        # An episode that had begun by then may hold what was said after.
        ranked = [item for item in ranked if was_known(item.record, plan)]
    with stage("rerank"):
        for plugin in plugins:
            ranked = list(plugin.rerank(plan, ranked, ctx))
    with stage("compose"):
        composition = compose(plugins, plan, ranked, ctx)
    weights = {channel.name: channel.weight for channel in channels if channel.hits}
    return Recalled(plan, tuple(ranked), composition.items, composition.dropped, weights)


def _chosen(channels: Sequence[fuse.Channel], count: int) -> list[fuse.Fused]:
    """The ``count`` best of the fusion, and the leaders of each channel, in the fusion's order."""
    leaders = {(hit.namespace, hit.id) for channel in channels for hit in channel.hits[:LEADERS]}
    fused = fuse.reciprocal_rank(channels)
    return [hit for place, hit in enumerate(fused) if place < count or (hit.namespace, hit.id) in leaders]


def compose(plugins: Sequence[Plugin], plan: Plan, items: Sequence[Ranked], ctx: Context) -> Composition:
    """Every compose hook in listed order, each on what the one before it kept."""
    kept = tuple(items)
    dropped: tuple[str, ...] = ()
    for plugin in plugins:
        composition = plugin.compose(plan, kept, ctx)
        kept, dropped = composition.items, (*dropped, *composition.dropped)
    return Composition(kept[: plan.query.limit], dropped)


def _midnight(moment: datetime) -> datetime:
    """Of the day on its own clock."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
