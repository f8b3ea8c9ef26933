"""Recall: fresh enough, planned, retrieved by all channels at once, fused, composed, and assessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from contextvars import copy_context
from dataclasses import dataclass

from services.common.errors import MnemeError
from services.common.telemetry import Stages
from services.episodic.context import ReadContext
from services.episodic.host import Host
from services.episodic.index import IndexUnavailable, unavailable
from services.episodic.plugins import fuse, pipeline
from services.episodic.plugins.base import Candidate, Interval, Plan, Plugin, Query, Ranked, Record
from services.episodic.records import Stored, seen_by_hooks


@dataclass(frozen=True, slots=True)
class Recalled:
    items: tuple[Ranked, ...]  # best first
    stored: Mapping[str, Stored]
    confidence: float
    threshold: float
    time: Interval | None
    seconds: Mapping[str, float]  # by stage
    applied: Sequence[int]  # next ledger offset of every partition, as of before the look
    epochs: Mapping[str, int]
    dropped: tuple[str, ...]

    @property
    def found(self) -> bool:
        return bool(self.items) and self.confidence >= self.threshold


class Recaller:
    """Answers queries from the live generation. Thread-safe."""

    def __init__(self, host: Host, channels: Executor) -> None:
        """``channels`` runs the retrieve hooks of one query beside each other."""
        self._host = host
        self._channels = channels

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
        host, parts = self._host, self._host.parts
        # Before anything is read: what is erased meanwhile has a higher epoch than we return.
        epochs = {namespace: host.registry.epoch(namespace) for namespace in query.namespaces}
        applied = host.progress.snapshot()
        ctx = ReadContext(host.live.store, host.registry, parts.toolkit, query.namespaces, query.asked_at)
        fetched = _Fetched(ctx)
        stages = Stages("episodic")
        with stages("plan"):
            plan = pipeline.understand(parts.plugins, query, ctx, fetched)
        with stages("retrieve"):
            channels = self._retrieve(parts.plugins, plan, ctx)
        with stages("fuse"):
            fetch = max(pipeline.FETCHED_AT_LEAST, pipeline.FETCHED * query.limit)
            fused = fuse.reciprocal_rank(channels)[:fetch]
            items = fuse.rank(fused, fetched([(f.namespace, f.id) for f in fused]))
        with stages("compose"):
            composed = pipeline.compose(parts.plugins, plan, items, ctx)
            kept = self._allowed(composed.items, query, fetched)
        with stages("assess"):
            # On the best hits before compose, so that it does not depend on the limit.
            confidence = parts.assess(plan, self._allowed(items, query, fetched), ctx) if kept else 0.0
        return Recalled(
            items=kept,
            stored=fetched.stored,
            confidence=confidence,
            threshold=parts.threshold,
            time=plan.time,
            seconds=stages.seconds,
            applied=applied,
            epochs=epochs,
            dropped=composed.dropped,
        )

    def _retrieve(self, plugins: Sequence[Plugin], plan: Plan, ctx: ReadContext) -> list[fuse.Channel]:
        """The channels of all plug-ins, each in a thread, in the order of the plug-ins."""
        retrieving = [p for p in plugins if type(p).retrieve is not Plugin.retrieve]
        running: list[Future[Mapping[str, Sequence[Candidate]]]] = [
            self._channels.submit(copy_context().run, plugin.retrieve, plan, ctx) for plugin in retrieving
        ]
        channels: list[fuse.Channel] = []
        for plugin, future in zip(retrieving, running, strict=True):
            for name, hits in future.result().items():
                if any(c.name == name for c in channels):
                    raise ValueError(f"two plug-ins have a channel {name}")
                channels.append(fuse.Channel(name, plugin.weight, hits))
        return channels

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


def not_fresh(applied: Sequence[int], wanted: Mapping[int, int]) -> MnemeError:
    return MnemeError(
        "NOT_FRESH",
        "What was asked for is not indexed yet.",
        field="freshness",
        remedy="Try again, allow more time, or ask for any freshness.",
        metadata={
            "applied": ",".join(f"{p}:{applied[p]}" for p in wanted),
            "wanted": ",".join(f"{p}:{offset}" for p, offset in wanted.items()),
        },
    )
