"""The naive host: everything in memory, every search exact. The specification of ``Context`` and of folding.

Conformance tests compare plug-ins, and the real host, against it; benchmarks run over it. It stores, seals and
serves nothing, and scans everything for every search.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from services.common import ids
from services.common.models.embed import cosines
from services.common.models.tokens import count_tokens
from services.common.serving.clocks import as_shown
from services.common.text import lexical
from services.episodic.plugins import base
from services.episodic.plugins.base import (
    Candidate,
    EpisodeClosed,
    Event,
    Filter,
    Interval,
    Key,
    Kind,
    Link,
    Observed,
    Operation,
    Patch,
    Plugin,
    Put,
    Record,
    Retire,
    Unlink,
    Vector,
)

Embed = Callable[[Sequence[str]], np.ndarray]
_PATCHABLE_BASE = {"keys", "links"}


@dataclass(frozen=True, slots=True)
class _Document:
    """A lexical key, cut into terms."""

    counts: Mapping[str, int]
    length: int
    weight: float


@dataclass(slots=True)
class _Space:
    """One namespace. ``episodes`` keeps what was closed, so that an erasure can fold a session again."""

    records: dict[str, Record] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)  # active base records by session
    episodes: dict[str, EpisodeClosed] = field(default_factory=dict)
    documents: dict[str, list[_Document]] = field(default_factory=dict)
    vectors: dict[str, list[tuple[float, Vector]]] = field(default_factory=dict)


class ExactHost:
    """Folds events into records with a list of plug-ins, in one process, without a log."""

    def __init__(self, plugins: Sequence[Plugin], embed: Embed) -> None:
        self.plugins = plugins
        self._embed = embed
        self.spaces: dict[str, _Space] = {}
        self._applied: set[str] = set()

    # --- writing ---

    def observe(self, record: Record) -> None:
        """Fold a base record; again: nothing."""
        space = self.spaces.setdefault(record.namespace, _Space())
        if record.id in space.records:
            return
        self._index(space, record)
        if record.session:
            space.order.setdefault(record.session, []).append(record.id)
        self._run(Observed(record), record.namespace, record.id)

    def close(self, namespace: str, event: EpisodeClosed) -> None:
        """Fold a closed episode; again: nothing."""
        space = self.spaces.setdefault(namespace, _Space())
        if event.episode_id not in space.episodes:
            space.episodes[event.episode_id] = event
            self._run(event, namespace, event.episode_id)

    def erase(self, namespace: str, erased: Iterable[str]) -> None:
        """Remove base records, and fold again every session they were of. What still derives from one is removed."""
        space, gone = self.spaces[namespace], set(erased)
        sessions = {space.records[id].session for id in gone}
        closed = [e for e in space.episodes.values() if e.session in sessions]
        left = [r for r in space.records.values() if r.is_base and r.session in sessions and r.id not in gone]
        for record in list(space.records.values()):
            if record.session in sessions or gone & set(record.sources):
                self._remove(space, record.id)
        for session in sessions:
            space.order.pop(session, None)
        for event in closed:
            del space.episodes[event.episode_id]
        self._applied.clear()  # a fold that begins again
        for record in sorted(left, key=lambda r: (r.seq, r.id)):
            self.observe(replace(record, keys=(), links=()))
        for event in closed:
            members = tuple(m for m in event.members if m.id not in gone)
            if members:
                self.close(namespace, replace(event, members=members))

    def state_hash(self, namespace: str | None = None) -> str:
        """Digest of every record (of one namespace), without vectors and floats."""
        rows = []
        for name, space in sorted(self.spaces.items()):
            for r in sorted(space.records.values(), key=lambda r: r.id):
                if namespace in (None, name):
                    keys = tuple((k.granularity, k.text, k.use) for k in r.keys)
                    links = tuple((dst, relation) for dst, relation, _ in r.links)
                    rows.append(
                        ids.digest(repr((r.id, name, r.kind, r.text, r.event, keys, links, r.sources, r.state)))
                    )
        return ids.digest(*rows)

    def _run(self, event: Event, namespace: str, trigger: str) -> None:
        record = event.record if isinstance(event, Observed) else None
        now = record.event.end if record else event.members[-1].event.end  # type: ignore[union-attr]
        ctx = ExactContext(self, now, random.Random(ids.digest(namespace, trigger)))
        for plugin in self.plugins:
            self._apply(namespace, f"{plugin.name}/encode/{trigger}", plugin.encode(event, ctx))
            if record is not None:
                self._apply(namespace, f"{plugin.name}/link/{trigger}", plugin.link(record, ctx))

    def _apply(self, namespace: str, key: str, operations: Sequence[Operation]) -> None:
        space = self.spaces[namespace]
        for ordinal, operation in enumerate(operations):
            if f"{namespace}/{key}/{ordinal}" not in self._applied:
                self._applied.add(f"{namespace}/{key}/{ordinal}")
                self._apply_one(space, operation)

    def _apply_one(self, space: _Space, operation: Operation) -> None:
        if isinstance(operation, Put):
            self._index(space, operation.record)
        elif isinstance(operation, Patch):
            old = space.records[operation.id]
            if old.is_base and operation.field not in _PATCHABLE_BASE:
                raise ValueError(f"{operation.field} of a base record cannot be changed")
            self._index(space, replace(old, **{operation.field: operation.value}))  # type: ignore[arg-type]
        elif isinstance(operation, Link | Unlink):
            old = space.records[operation.src]
            links = {(dst, rel): w for dst, rel, w in old.links}
            links.pop((operation.dst, operation.relation), None)
            if isinstance(operation, Link):
                links[operation.dst, operation.relation] = operation.weight
            self._index(space, replace(old, links=tuple(sorted((d, r, w) for (d, r), w in links.items()))))
        elif isinstance(operation, Retire):
            old = space.records[operation.id]
            self._index(space, replace(old, state=operation.state, superseded_by=operation.superseded_by))

    def _index(self, space: _Space, record: Record) -> None:
        old = space.records.get(record.id)
        space.records[record.id] = record
        if old is not None and old.keys == record.keys and old.text == record.text and record.id in space.documents:
            return
        keys = record.keys or (Key("text", record.text),)
        space.documents[record.id] = []
        for key in keys:
            if key.use != "dense":
                cut = lexical.terms(key.text)
                space.documents[record.id].append(_Document(Counter(cut), len(cut), key.weight))
        space.vectors.pop(record.id, None)  # embedded when first searched

    @staticmethod
    def _remove(space: _Space, id: str) -> None:
        for table in (space.records, space.documents, space.vectors):
            table.pop(id, None)

    # --- reading ---

    def context(self, now: datetime) -> ExactContext:
        return ExactContext(self, now, random.Random(ids.digest(now.isoformat())))

    def fetch(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        """Active records by (namespace, id)."""
        found = {(ns, id): self.spaces[ns].records.get(id) for ns, id in wanted if ns in self.spaces}
        return {key: r for key, r in found.items() if r is not None and r.state == "active"}

    def vectors(self, space: _Space) -> dict[str, list[tuple[float, Vector]]]:
        """Vectors of every dense key, computed where they are missing."""
        missing = [r for r in space.records.values() if r.id not in space.vectors]
        keys = [(r.id, k) for r in missing for k in (r.keys or (Key("text", r.text),)) if k.use != "lexical"]
        for r in missing:
            space.vectors[r.id] = []
        embedded = self._embed([k.text for _, k in keys]) if keys else ()
        for (id, key), vector in zip(keys, embedded, strict=True):
            space.vectors[id].append((key.weight, vector))
        return space.vectors


class ExactContext:
    """``Context`` over an ``ExactHost``."""

    def __init__(self, host: ExactHost, now: datetime, rng: random.Random) -> None:
        self._host, self._now, self._rng = host, now, rng

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def rng(self) -> random.Random:
        return self._rng

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return list(self._host._embed(texts))

    def tok_count(self, text: str) -> int:
        return count_tokens(text)

    def get(self, namespace: str, id: str) -> Record | None:
        return self._space(namespace).records.get(id)

    def scan(self, namespace: str, *, kind: Kind | None = None, session: str | None = None) -> Sequence[Record]:
        return sorted(
            (
                r
                for r in self._active(namespace)
                if (kind is None or r.kind == kind) and (session is None or r.session == session)
            ),
            key=lambda r: (r.seq, r.id),
        )

    def neighbours(self, record: Record, before: int, after: int) -> tuple[Sequence[Record], Sequence[Record]]:
        space = self._space(record.namespace)
        order = space.order.get(record.session, [])
        if record.id not in order:
            return (), ()
        at = order.index(record.id)
        found = [space.records[id] for id in order]
        return found[max(0, at - before) : at], found[at + 1 : at + 1 + after]

    def knn(self, vector: Vector, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        vectors = self._host.vectors(self._space(namespace))
        scored = [
            (max(weight * float(cosines(v[None], vector)[0]) for weight, v in vectors[r.id]), r)
            for r in self._active(namespace)
            if vectors[r.id] and matches(r, filter)
        ]
        return best(scored, k)

    def bm25(self, text: str, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        query = Counter(lexical.query_terms(text))
        space = self._space(namespace)
        scored = []
        for group in _groups(self._active(namespace)):
            documents = [d for r in group for d in space.documents[r.id]]
            average = sum(d.length for d in documents) / max(1, len(documents))
            weights = {t: n * lexical.idf(len(documents), _frequency(documents, t)) for t, n in query.items()}
            for r in group:
                scores = [_bm25(weights, d, average) for d in space.documents[r.id]]
                if matches(r, filter) and scores and max(scores) > 0:
                    scored.append((max(scores), r))
        return best(scored, k)

    def between(self, time: Interval, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        asked = _shown(time)
        middle = asked.start + (asked.end - asked.start) / 2
        scored = []
        for r in self._active(namespace):
            met = [t for t in map(_shown, (r.event, *r.times)) if _meet(t, asked)]
            if r.is_base and met and matches(r, filter):
                away = min(abs((t.start + (t.end - t.start) / 2 - middle).total_seconds()) for t in met)
                scored.append((-away, r))
        return best(scored, k)

    def began(self, namespace: str, ids: Iterable[str]) -> Mapping[str, datetime]:
        records = self._space(namespace).records
        return {id: records[id].event.start for id in ids if id in records}

    def span(self, namespace: str) -> Interval | None:
        events = [_shown(r.event) for r in self._active(namespace) if r.is_base]
        return Interval(min(e.start for e in events), max(e.end for e in events)) if events else None

    def idf(self, text: str, namespace: str) -> Mapping[str, float]:
        space = self._space(namespace)
        documents = [d for r in self._active(namespace) if r.is_base for d in space.documents[r.id]]
        return {t: lexical.idf(len(documents), _frequency(documents, t)) for t in set(lexical.query_terms(text))}

    def terms(self, text: str) -> list[str]:
        return lexical.terms(text)

    def entities(self, text: str) -> tuple[Sequence[str], Sequence[str]]:
        return (), ()

    def dates(self, text: str, now: datetime) -> list[tuple[str, Interval]]:
        from services.common.text import times

        return [(m.text, Interval(m.start, m.end)) for m in times.find(text, now)]

    def _space(self, namespace: str) -> _Space:
        return self._host.spaces.get(namespace, _Space())

    def _active(self, namespace: str) -> list[Record]:
        return [r for r in self._space(namespace).records.values() if r.state == "active"]


def matches(record: Record, wanted: Filter) -> bool:
    """Whether a record meets a filter. An event without length counts as a point."""
    start, end = wanted.event
    return (
        (not wanted.kinds or record.kind in wanted.kinds)
        and all(not w or w == h for w, h in _pairs(record, wanted))
        and (start is None or max(record.event.end, record.event.start + timedelta(microseconds=1)) > start)
        and (end is None or record.event.start < end)
        and (wanted.days is None or _meet(_shown(record.event), _shown(wanted.days)))
        and all(record.metadata.get(n) == v for n, v in wanted.metadata_equals.items())
        and all(_in_range(record.metadata.get(n), *limits) for n, limits in wanted.metadata_range.items())
    )


def _pairs(record: Record, wanted: Filter) -> list[tuple[str, str]]:
    return [(wanted.actor, record.actor), (wanted.session, record.session), (wanted.source, record.source)]


def _in_range(value: str | float | None, low: float | None, high: float | None) -> bool:
    return isinstance(value, int | float) and (low is None or value >= low) and (high is None or value < high)


def _shown(time: Interval) -> Interval:
    return Interval(as_shown(time.start), as_shown(time.end))


def _meet(a: Interval, b: Interval) -> bool:
    return max(a.end, a.start + timedelta(microseconds=1)) > b.start and a.start < b.end


def _groups(records: list[Record]) -> list[list[Record]]:
    """Base and derived records: each has statistics of its own, for their lengths differ."""
    return [[r for r in records if r.is_base], [r for r in records if not r.is_base]]


def _frequency(documents: Sequence[_Document], term: str) -> int:
    return sum(term in d.counts for d in documents)


def _bm25(weights: Mapping[str, float], document: _Document, average: float) -> float:
    return document.weight * sum(
        w * lexical.saturation(document.counts[t], document.length, average)
        for t, w in weights.items()
        if t in document.counts
    )


def best(scored: list[tuple[float, Record]], k: int) -> list[Candidate]:
    """The k best, equal scores (to 1e-6) by event time descending, then id."""
    ordered = sorted(scored, key=lambda p: (-round(p[0], 6), -p[1].event.start.timestamp(), p[1].id))
    return [Candidate(r.id, r.namespace, round(score, 6), sources=r.sources) for score, r in ordered[:k]]


_: type[base.Context] = ExactContext
