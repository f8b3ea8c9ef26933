"""Recall on the live generations: the plug-ins' pipeline over them, bounded to what the caller may see, and assessed.

One query is one thread: its channels take a millisecond or two each, handing them to threads costs more, and the
second that needs the query's vector finds it made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

from services.common.serving.errors import MnemeError
from services.common.serving.pages import WHOLE_BYTES, fitting
from services.common.telemetry import Stages
from services.episodic.plugins import pipeline
from services.episodic.plugins.base import Context, Interval, Plan, Plugin, Query, Ranked, Record
from services.episodic.plugins.fuse import FUSED
from services.episodic.search.index import IndexUnavailable, unavailable
from services.episodic.state.records import Stored, engram_bytes, seen_by_hooks
from services.episodic.write.context import ReadContext, Scope, Toolkit
from services.episodic.write.progress import Progress
from services.episodic.write.writer import Host


@dataclass(frozen=True, slots=True)
class Recalled:
    items: tuple[Ranked, ...]  # best first
    stored: Mapping[str, Stored]
    confidence: float
    threshold: float
    time: Interval | None
    seconds: Mapping[str, float]  # by stage
    applied: Mapping[int, int]  # by partition, the newest entry of the namespaces that was applied before the look
    epochs: Mapping[str, int]
    dropped: tuple[str, ...]  # of what was chosen, what no budget or message has room for
    weights: Mapping[str, float]  # of the channels
    tokens: Mapping[str, int]  # of the items' texts, by id, where there is a budget of them

    @property
    def found(self) -> bool:
        return bool(self.items) and self.confidence >= self.threshold


class Methods(Protocol):
    """What recall needs beside the partitions' hosts; as in ``Components``."""

    @property
    def toolkit(self) -> Toolkit: ...

    @property
    def plugins(self) -> Sequence[Plugin]: ...

    @property
    def assess(self) -> Callable[[Plan, Sequence[Ranked], Context], float]: ...

    @property
    def threshold(self) -> float: ...

    @property
    def progress(self) -> Progress: ...


class Recaller:
    """Answers queries from the live generations. Thread-safe."""

    def __init__(self, parts: Methods, host_of: Callable[[str], Host]) -> None:
        """``host_of``: gives what holds a namespace."""
        self._parts, self._host_of = parts, host_of

    def recall(self, query: Query) -> Recalled:
        """SERVICE_UNAVAILABLE when the index does not answer."""
        try:
            return self._recall(query)
        except IndexUnavailable:
            # A rebuild may have swapped and dropped the generation under our hands: once more on the live one.
            try:
                return self._recall(query)
            except IndexUnavailable as error:
                raise unavailable(error) from error

    def _recall(self, query: Query) -> Recalled:
        hosts = {namespace: self._host_of(namespace) for namespace in query.namespaces}
        # Before anything is read: what is erased meanwhile has a higher epoch than we return.
        epochs = {namespace: host.registry.epoch(namespace) for namespace, host in hosts.items()}
        applied = newest_applied(hosts)
        scopes = {name: Scope(host.live.store, host.registry.namespace(name)) for name, host in hosts.items()}
        with ExitStack() as held:
            for name, scope in scopes.items():
                held.enter_context(scope.store.directory.held(name))
            return self._recalled(query, scopes, applied, epochs)

    def _recalled(
        self, query: Query, scopes: Mapping[str, Scope], applied: Mapping[int, int], epochs: Mapping[str, int]
    ) -> Recalled:
        """While all scopes are held."""
        parts = self._parts
        ctx = ReadContext(scopes, parts.toolkit, query.asked_at)
        fetched = _Fetched(ctx)
        stages = Stages("episodic")
        recalled = pipeline.recall(parts.plugins, query, ctx, fetched, stages)
        allowed = self._allowed(recalled.kept, query, fetched)
        kept, _ = fitting(allowed, lambda item: engram_bytes(fetched.stored[item.record.id]), WHOLE_BYTES)
        with stages("assess"):
            # On the best hits before compose, so that it does not depend on the limit.
            ranked = self._allowed(recalled.ranked, query, fetched)
            confidence = parts.assess(recalled.plan, ranked, ctx) if kept else 0.0
        return Recalled(
            items=tuple(replace(item, why=_reason(item)) for item in kept),
            stored=fetched.stored,
            confidence=confidence,
            threshold=parts.threshold,
            time=recalled.plan.time,
            seconds=stages.seconds,
            applied=applied,
            epochs=epochs,
            dropped=(*recalled.dropped, *(item.record.id for item in allowed[len(kept) :])),
            weights=recalled.weights,
            tokens={i.record.id: parts.toolkit.tok_count(i.record.text) for i in kept if query.token_budget},
        )

    def _allowed(self, items: Sequence[Ranked], query: Query, fetched: _Fetched) -> tuple[Ranked, ...]:
        """What the caller may see: whatever a plug-in returned, it lies in the scopes and is there."""
        wanted = [(i.record.namespace, i.record.id) for i in items]
        there = fetched([key for key in wanted if key[0] in query.namespaces])
        return tuple(i for i, key in zip(items, wanted, strict=True) if key in there)


class _Fetched:
    """Fetches records of a recall, and remembers what the host knows of them."""

    def __init__(self, ctx: ReadContext) -> None:
        self._ctx = ctx
        self.stored: dict[str, Stored] = {}

    def __call__(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        found: dict[tuple[str, str], Record] = {}
        for namespace in dict.fromkeys(namespace for namespace, _ in keys):
            for id, stored in self._ctx.fetch(namespace, [i for n, i in keys if n == namespace]).items():
                if stored.record.state == "active":
                    self.stored[id] = stored
                    found[namespace, id] = seen_by_hooks(stored)
        return found


def _reason(item: Ranked) -> str:
    """One sentence: the channels that found it and its rank in each, then what plug-ins say of it."""
    channels = takewhile(lambda stage: stage[0] != FUSED, item.trace)
    found = ", ".join(f"{stage} (rank {rank})" for stage, rank, _ in channels)
    return f"Found by {found}{'; ' if item.why else ''}{item.why}."


def newest_applied(hosts: Mapping[str, Host]) -> dict[int, int]:
    """By partition, the newest applied entry of these namespaces: of others a partition says nothing."""
    newest: dict[int, int] = {}
    for namespace, host in hosts.items():
        own = host.registry.newest(namespace, host.applied)
        newest[host.partition] = max(own, newest.get(host.partition, -1))
    return {partition: offset for partition, offset in sorted(newest.items()) if offset >= 0}


def not_fresh(field: str = "freshness") -> MnemeError:
    """Without positions: how far a partition is would tell what others send."""
    return MnemeError(
        "NOT_FRESH",
        "What was asked for is not indexed yet.",
        field=field,
        remedy="Try again, allow more time, or ask for any freshness.",
    )
