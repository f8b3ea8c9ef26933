"""What a generation's host knows of every engram without opening it: ids, kinds, order, times; never texts.

Kept in memory, rebuilt from the index at start. Thread-safe; every answer is a copy.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.common.serving import clocks
from services.common.text.lexical import idf
from services.episodic.plugins.base import Filter, Interval, Kind, State, Vector
from services.episodic.search.columns import meets
from services.episodic.search.terms import Lexicon
from services.episodic.search.times import Times
from services.episodic.search.vectors import Vectors
from services.episodic.state.records import Stored, to_us


@dataclass(frozen=True, slots=True)
class Slot:
    """One engram, unopened."""

    id: str
    namespace: str
    kind: Kind
    state: State
    session: str
    actor: str
    source: str
    metadata: Mapping[str, str | float]
    start_us: int
    end_us: int
    shown_us: tuple[int, int]  # the event, as the clock of whoever spoke showed it
    times_us: tuple[tuple[int, int], ...]  # what the text speaks of, on the same clock
    sources: tuple[str, ...]
    seq: int
    place: int
    version: int
    id_mac: bytes
    content_mac: bytes
    session_mac: bytes
    superseded_by: str
    seal_key: str
    detail_key: str
    partition: int
    feed_offset: int
    rows: int  # in the index
    derived_from: tuple[str, ...] = ()  # as whoever sent it says

    @property
    def is_base(self) -> bool:
        return not self.sources

    @property
    def utc_offset_minutes(self) -> int:
        """Of the clock of whoever spoke."""
        return (self.shown_us[0] - self.start_us) // 60_000_000

    @property
    def active(self) -> bool:
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class Document:
    """One lexical key of an engram: how often it holds each term hash."""

    counts: Mapping[int, int]
    weight: float


def slot_of(stored: Stored, feed_offset: int, rows: int) -> Slot:
    r = stored.record
    start_us, end_us = to_us(r.event.start), to_us(r.event.end)
    east_us = 60_000_000 * clocks.offset_of(r.event.start)
    return Slot(
        id=r.id,
        namespace=r.namespace,
        kind=r.kind,
        state=r.state,
        session=r.session,
        actor=r.actor,
        source=r.source,
        metadata=r.metadata,
        start_us=start_us,
        end_us=end_us,
        shown_us=(start_us + east_us, end_us + east_us),
        times_us=tuple((to_us(t.start) + east_us, to_us(t.end) + east_us) for t in r.times),
        sources=r.sources,
        seq=r.seq,
        place=stored.place,
        version=stored.version,
        id_mac=stored.id_mac,
        content_mac=stored.content_mac,
        session_mac=stored.session_mac,
        superseded_by=r.superseded_by,
        seal_key=stored.seal_key,
        detail_key=stored.detail_key,
        partition=stored.partition,
        feed_offset=feed_offset,
        rows=rows,
        derived_from=r.derived_from,
    )


def matches(slot: Slot, wanted: Filter) -> bool:
    """Whether an active engram meets a filter. The one meaning of a filter; the index only narrows by it."""
    return (
        slot.active
        and (not wanted.kinds or slot.kind in wanted.kinds)
        and (not wanted.actor or slot.actor == wanted.actor)
        and (not wanted.session or slot.session == wanted.session)
        and (not wanted.source or slot.source == wanted.source)
        and bool(meets(slot.start_us, slot.end_us, *_instants(wanted.event)))
        and (wanted.days is None or bool(meets(*slot.shown_us, *shown(wanted.days))))
        and all(slot.metadata.get(name) == value for name, value in wanted.metadata_equals.items())
        and all(_in_range(slot.metadata.get(n), low, high) for n, (low, high) in wanted.metadata_range.items())
    )


def shown(days: Interval) -> tuple[int, int]:
    """Its sides as their own clock shows them, in microseconds."""
    return to_us(clocks.as_shown(days.start)), to_us(clocks.as_shown(days.end))


def bounds(wanted: Filter) -> tuple[int | None, int | None]:
    """Instants between which every event lies that meets the filter; ``matches`` decides. A day on a clock begins and
    ends within the widest offset of the same day in UTC."""
    start, end = _instants(wanted.event)
    if wanted.days is not None:
        first, last = shown(wanted.days)
        start = max(first - _WIDEST_US, first - _WIDEST_US if start is None else start)
        end = min(last + _WIDEST_US, last + _WIDEST_US if end is None else end)
    return start, end


_WIDEST_US = 60_000_000 * clocks.MAX_OFFSET_MINUTES


def _instants(event: tuple[datetime | None, datetime | None]) -> tuple[int | None, int | None]:
    start, end = event
    return None if start is None else to_us(start), None if end is None else to_us(end)


def _in_range(value: str | float | None, low: float | None, high: float | None) -> bool:
    return isinstance(value, (int, float)) and (low is None or value >= low) and (high is None or value < high)


@dataclass(slots=True)
class _Space:
    """One namespace."""

    slots: dict[str, Slot] = field(default_factory=dict)
    by_mac: dict[bytes, str] = field(default_factory=dict)
    sessions: dict[str, set[str]] = field(default_factory=dict)
    turns: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # active base by session: (place, id)
    derived: dict[str, set[str]] = field(default_factory=dict)  # source -> what lists it
    times: Times = field(default_factory=Times)  # of active base engrams
    # Base and derived engrams have statistics of their own: an episode is many times as long as a turn.
    base_lexicon: Lexicon = field(default_factory=Lexicon)
    derived_lexicon: Lexicon = field(default_factory=Lexicon)
    # Kinds that ever were in either; a few words at most.
    base_kinds: set[Kind] = field(default_factory=set)
    derived_kinds: set[Kind] = field(default_factory=set)
    vectors: Vectors = field(default_factory=Vectors)  # of active engrams; empty where the index is searched
    changes: int = 0


class Directory:
    def __init__(self, *, holds_vectors: bool = True) -> None:
        """``holds_vectors``: dense keys are kept and searched here, not in the index."""
        self.holds_vectors = holds_vectors
        self._spaces: dict[str, _Space] = {}
        self._lock = threading.RLock()

    # --- writing: by the generation's one writer ---

    def put(self, slot: Slot, documents: list[Document], dense: Sequence[tuple[float, Vector]]) -> None:
        """Add or replace an engram with its lexical keys, and its dense ones as (weight, unit vector)."""
        with self._lock:
            space = self._spaces.setdefault(slot.namespace, _Space())
            old = space.slots.get(slot.id)
            if old is not None:
                self._take_out(space, old)
            space.slots[slot.id] = slot  # at no moment is a replaced one not there: ``nearest`` looks without the lock
            space.sessions.setdefault(slot.session, set()).add(slot.id)
            space.changes += 1
            if slot.id_mac:
                space.by_mac[slot.id_mac] = slot.id
            if slot.is_base and slot.active:
                space.times.add(slot.id, slot.shown_us, slot.times_us)
                insort(space.turns.setdefault(slot.session, []), (slot.place, slot.id))
            for source in slot.sources:
                space.derived.setdefault(source, set()).add(slot.id)
            if slot.active:
                lexicon = space.base_lexicon if slot.is_base else space.derived_lexicon
                (space.base_kinds if slot.is_base else space.derived_kinds).add(slot.kind)
                event = slot.start_us, slot.end_us
                for document in documents:
                    lexicon.add(slot.id, document.counts, document.weight, event)
                for weight, vector in dense if self.holds_vectors else ():
                    space.vectors.add(slot.id, vector, weight, event)

    def remove(self, namespace: str, id: str) -> None:
        with self._lock:
            space = self._spaces.get(namespace)
            if space is not None and id in space.slots:
                self._take_out(space, space.slots.pop(id))
                space.changes += 1

    @staticmethod
    def _take_out(space: _Space, old: Slot) -> None:
        """Out of everything but ``slots``."""
        id = old.id
        (space.base_lexicon if old.is_base else space.derived_lexicon).remove(id)
        space.vectors.remove(id)
        space.sessions[old.session].discard(id)
        if not space.sessions[old.session]:
            del space.sessions[old.session]
        space.times.remove(id)
        if old.id_mac and space.by_mac.get(old.id_mac) == id:
            del space.by_mac[old.id_mac]
        turns = space.turns.get(old.session, [])
        at = bisect_left(turns, (old.place, id))
        if at < len(turns) and turns[at] == (old.place, id):
            del turns[at]
        for source in set(old.sources):  # a plug-in may have named one twice
            space.derived[source].discard(id)
            if not space.derived[source]:
                del space.derived[source]

    # --- reading ---

    def get(self, namespace: str, id: str) -> Slot | None:
        with self._lock:
            space = self._spaces.get(namespace)
            return space.slots.get(id) if space else None

    def began(self, namespace: str, ids: Iterable[str]) -> dict[str, int]:
        """Starts of events in microseconds, of those ids that are there."""
        with self._lock:
            space = self._spaces.get(namespace)
            return {id: space.slots[id].start_us for id in ids if id in space.slots} if space else {}

    def by_mac(self, namespace: str, mac: bytes) -> str | None:
        with self._lock:
            space = self._spaces.get(namespace)
            return space.by_mac.get(mac) if space else None

    def namespaces(self) -> list[str]:
        with self._lock:
            return sorted(self._spaces)

    def slots(self, namespace: str, session: str | None = None) -> list[Slot]:
        """Every engram of a namespace, or of one session of it, in no order."""
        with self._lock:
            space = self._spaces.get(namespace)
            if space is None:
                return []
            if session is None:
                return list(space.slots.values())
            return [space.slots[id] for id in space.sessions.get(session, ())]

    def all(self) -> Iterator[Slot]:
        for namespace in self.namespaces():
            yield from self.slots(namespace)

    def turns(self, namespace: str, session: str) -> list[tuple[int, str]]:
        """Active base engrams of a session as (place, id), in session order."""
        with self._lock:
            space = self._spaces.get(namespace)
            return list(space.turns.get(session, ())) if space else []

    def around(
        self, namespace: str, session: str, place: int, id: str, before: int, after: int
    ) -> tuple[list[str], list[str]]:
        """Ids of the active base engrams before and after a place of a session, in session order."""
        with self._lock:
            space = self._spaces.get(namespace)
            return around(space.turns.get(session, []) if space else [], place, id, before, after)

    def derived_from(self, namespace: str, id: str) -> list[str]:
        with self._lock:
            space = self._spaces.get(namespace)
            return sorted(space.derived.get(id, ())) if space else []

    def changes(self, namespace: str) -> int:
        """Grows with every change of the namespace."""
        with self._lock:
            space = self._spaces.get(namespace)
            return space.changes if space else 0

    def search(self, namespace: str, query: Mapping[int, float], k: int, wanted: Filter) -> list[tuple[Slot, float]]:
        """The ``k`` best by BM25, base and derived together; equal scores by event time descending, then id."""
        with self._lock:
            space = self._spaces.get(namespace)
            if space is None:
                return []

            def allowed(id: str) -> bool:
                return matches(space.slots[id], wanted)

            found: list[tuple[str, float]] = []
            for lexicon, kinds in (
                (space.base_lexicon, space.base_kinds),
                (space.derived_lexicon, space.derived_kinds),
            ):
                # A search for episodes need not look at every turn to find none.
                if not wanted.kinds or kinds.intersection(wanted.kinds):
                    found += lexicon.search(query, k, allowed, bounds(wanted))
            hits = [(space.slots[id], score) for id, score in found]
        return sorted(hits, key=lambda h: (-h[1], -h[0].start_us, h[0].id))[:k]

    def nearest(self, namespace: str, vector: Vector, k: int, wanted: Filter) -> list[tuple[Slot, float]]:
        """The ``k`` engrams with the nearest dense keys, exactly; order as in ``search``. Needs ``holds_vectors``."""
        assert self.holds_vectors
        with self._lock:
            space = self._spaces.get(namespace)
            if space is None or k <= 0:
                return []
            keys = space.vectors.snapshot()
        # The product is computed without the lock; what is gone meanwhile is left out here.
        best: dict[str, tuple[Slot, float]] = {}
        last = 0.0
        try:
            for owner, score in keys.nearest(vector, *bounds(wanted)):
                if len(best) >= k and score < last:
                    break
                slot = space.slots.get(owner)
                if owner not in best and slot is not None and matches(slot, wanted):
                    best[owner] = slot, score
                    last = score
        finally:
            with self._lock:
                space.vectors.end(keys)
        return sorted(best.values(), key=lambda h: (-h[1], -h[0].start_us, h[0].id))[:k]

    def idf(self, namespace: str, term: int) -> float:
        """Among base engrams."""
        with self._lock:
            space = self._spaces.get(namespace)
            return space.base_lexicon.idf(term) if space else idf(0, 0)

    def between(self, namespace: str, start_us: int, end_us: int, k: int, wanted: Filter) -> list[tuple[Slot, int]]:
        """Active base engrams whose event, or a time they speak of, meets the range on the clock of whoever spoke:
        with the distance between its middle and theirs in microseconds, nearest first; equal ones by event time
        descending, then id."""
        with self._lock:
            space = self._spaces.get(namespace)
            if space is None:
                return []
            hits: dict[str, tuple[Slot, int]] = {}
            last = 0
            for id, away in space.times.nearest(start_us, end_us):
                if len(hits) >= k and away > last:
                    break
                if id not in hits and matches(space.slots[id], wanted):
                    hits[id] = space.slots[id], away
                    last = away
        return sorted(hits.values(), key=lambda h: (h[1], -h[0].start_us, h[0].id))[:k]

    def span(self, namespace: str) -> tuple[int, int] | None:
        """Earliest start and latest end of the events of active base engrams, as their clocks showed them."""
        with self._lock:
            space = self._spaces.get(namespace)
            return space.times.span() if space else None


def around(turns: list[tuple[int, str]], place: int, id: str, before: int, after: int) -> tuple[list[str], list[str]]:
    """Neighbours of (place, id) in a sorted session, itself left out."""
    at = bisect_left(turns, (place, id))
    there = at < len(turns) and turns[at] == (place, id)
    previous = turns[max(0, at - before) : at]
    following = turns[at + there : at + there + after]
    return [i for _, i in previous], [i for _, i in following]
