"""What hooks may ask of the host: one ``Context`` for the write path, one for the read path.

``WriteContext`` is exact and holds a plug-in to what it declares that it reads. ``ReadContext`` is bounded, and its
dense search approximate where a Milvus server does it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.common.ids import digest
from services.common.models.embed import Vectors, cosines
from services.common.text import lexical
from services.common.text.extract import Label
from services.common.turns import checkpoint
from services.episodic.plugins.base import Candidate, Filter, Interval, Kind, Plugin, Record, Vector
from services.episodic.search.rows import NO_NUMBER
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.records import Stored, from_us, seen_by_hooks
from services.episodic.state.slots import Slot, bounds, matches, shown, slot_of
from services.episodic.state.store import Scratch, Store
from services.episodic.state.view import View
from services.episodic.write.operations import Refused

SCAN_LIMIT = 10_000  # records that a scan on the read path returns


@dataclass(frozen=True, slots=True)
class Toolkit:
    """Functions that hooks reach through their context, the same ones that perception uses."""

    embed: Callable[[Sequence[str]], Vectors]
    tok_count: Callable[[str], int]
    # People and places of a text, given the namespace's aliases.
    # And what the model of names sees in it, where it was read before.
    entities: Callable[[str, NamespaceInfo | None, Sequence[Label] | None], tuple[Sequence[str], Sequence[str]]]
    labels: Callable[[str], Sequence[Label]]  # what that model sees in a text
    dates: Callable[[str, datetime], list[tuple[str, Interval]]]


class _Common:
    """What both paths answer alike."""

    def __init__(self, toolkit: Toolkit, now: datetime, seed: str, namespace: NamespaceInfo | None) -> None:
        self._toolkit = toolkit
        self._now = now
        self._rng = random.Random(seed)
        self._info = namespace

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def rng(self) -> random.Random:
        return self._rng

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return list(self._toolkit.embed(texts)) if texts else []

    def tok_count(self, text: str) -> int:
        return self._toolkit.tok_count(text)

    def terms(self, text: str) -> list[str]:
        return lexical.terms(text)

    def entities(self, text: str) -> tuple[Sequence[str], Sequence[str]]:
        return self._toolkit.entities(text, self._info, None)

    def dates(self, text: str, now: datetime) -> list[tuple[str, Interval]]:
        return self._toolkit.dates(text, now)


class _Searching(_Common):
    """Searches over a store's directory, exact."""

    def _searched(self, namespace: str) -> Store | Scratch:
        """What holds the namespace."""
        raise NotImplementedError

    def bm25(self, text: str, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        searched = self._searched(namespace)
        query = searched.hasher.counts(namespace, lexical.query_terms(text))
        hits = searched.directory.search(namespace, query, k, filter)
        return [Candidate(slot.id, namespace, score, sources=slot.sources) for slot, score in hits]

    def _nearest(self, vector: Vector, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        hits = self._searched(namespace).directory.nearest(namespace, vector, k, filter)
        return [Candidate(slot.id, namespace, score, sources=slot.sources) for slot, score in hits]

    def _scanned(
        self, rows: Iterable[tuple[str, float, Vector]], vector: Vector, k: int, namespace: str, filter: Filter
    ) -> list[Candidate]:
        """The nearest of these rows that are searched and match; exact."""
        slots = {s.id: s for s in self._searched(namespace).directory.slots(namespace) if matches(s, filter)}
        scored: dict[str, float] = {}
        for id, weight, row in rows:
            score = weight * float(cosines(row[None], vector)[0])
            scored[id] = max(score, scored.get(id, score))
        return best(scored, slots, k)

    def between(self, time: Interval, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        hits = self._searched(namespace).directory.between(namespace, *shown(time), k, filter)
        return [Candidate(slot.id, namespace, round(-away / 1e6, 6)) for slot, away in hits]

    def began(self, namespace: str, ids: Iterable[str]) -> Mapping[str, datetime]:
        return {id: from_us(start) for id, start in self._searched(namespace).directory.began(namespace, ids).items()}

    def span(self, namespace: str) -> Interval | None:
        span = self._searched(namespace).directory.span(namespace)
        return Interval(from_us(span[0]), from_us(span[1])) if span else None

    def idf(self, text: str, namespace: str) -> Mapping[str, float]:
        searched = self._searched(namespace)
        directory, term = searched.directory, searched.hasher.term
        return {t: directory.idf(namespace, term(namespace, t)) for t in Counter(lexical.query_terms(text))}


def best(scored: Mapping[str, float], slots: Mapping[str, Slot], k: int) -> list[Candidate]:
    """The ``k`` best; scores rounded to 1e-6, equal ones by event time descending, then id."""
    rounded = ((round(score, 6), slots[id]) for id, score in scores_of(scored, slots))
    ordered = sorted(rounded, key=lambda p: (-p[0], -p[1].start_us, p[1].id))[:k]
    return [Candidate(slot.id, slot.namespace, score, sources=slot.sources) for score, slot in ordered]


def scores_of(scored: Mapping[str, float], slots: Mapping[str, Slot]) -> list[tuple[str, float]]:
    return [(id, score) for id, score in scored.items() if id in slots]


class WriteContext(_Searching):
    """Reads of one plug-in while one entry is folded. Searches see what was committed before the entry."""

    def __init__(
        self,
        view: View,
        toolkit: Toolkit,
        plugin: Plugin,
        namespace: NamespaceInfo,
        session: str,
        now: datetime,
        trigger: str,
    ) -> None:
        super().__init__(toolkit, now, digest(namespace.name, trigger), namespace)
        self._view = view
        self._plugin = plugin
        self._namespace = namespace.name
        self._session = session
        self._trigger = trigger

    def _searched(self, namespace: str) -> Store | Scratch:
        return self._view.searched

    def get(self, namespace: str, id: str) -> Record | None:
        stored = self._view.get(namespace, id)
        if stored is not None:
            self._require("get", namespace, stored.record.session)
            if not self._sees(slot_of(stored, -1, 0)):
                raise Refused(f"{self._plugin.name} declares reads = 'session' and reads what was stated apart (get)")
        return seen_by_hooks(stored) if stored else None

    def scan(self, namespace: str, *, kind: Kind | None = None, session: str | None = None) -> Sequence[Record]:
        self._require("scan", namespace, session)
        slots = (slot for slot in self._view.scan(namespace, kind, session) if self._sees(slot))
        found = (self._view.get(namespace, slot.id) for slot in slots)
        return [seen_by_hooks(stored) for stored in found if stored is not None]

    def _sees(self, slot: Slot) -> bool:
        """Whether an engram of what the plug-in reads is there for it: outside of sessions each stands alone, with what
        is derived from it, so that an erasure folds it again alone."""
        if self._plugin.reads == "namespace" or not slot.is_alone:
            return True
        about = self._view.slot(self._namespace, self._trigger)
        ids = {self._trigger, *(about.sources if about is not None else ())}
        return not ids.isdisjoint({slot.id, *slot.sources})

    def neighbours(self, record: Record, before: int, after: int) -> tuple[Sequence[Record], Sequence[Record]]:
        self._require("neighbours", record.namespace, record.session)
        slot = self._view.slot(record.namespace, record.id) or slot_of(_unplaced(record), -1, 0)
        previous, following = self._view.around(slot, before, after) if record.session else ([], [])
        return self._records(previous), self._records(following)

    def _records(self, ids: Sequence[str]) -> list[Record]:
        found = (self._view.get(self._namespace, id) for id in ids)
        return [seen_by_hooks(stored) for stored in found if stored is not None]

    def knn(self, vector: Vector, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        self._require("knn", namespace, None)
        searched = self._searched(namespace)
        if not isinstance(searched, Store) or searched.directory.holds_vectors:
            return self._nearest(vector, k, namespace, filter)
        return self._scanned(searched.vectors(namespace), vector, k, namespace, filter)

    def bm25(self, text: str, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        self._require("bm25", namespace, None)
        return super().bm25(text, k, namespace, filter)

    def between(self, time: Interval, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        self._require("between", namespace, None)
        return super().between(time, k, namespace, filter)

    def began(self, namespace: str, ids: Iterable[str]) -> Mapping[str, datetime]:
        self._require("began", namespace, None)
        return super().began(namespace, ids)

    def span(self, namespace: str) -> Interval | None:
        self._require("span", namespace, None)
        return super().span(namespace)

    def idf(self, text: str, namespace: str) -> Mapping[str, float]:
        self._require("idf", namespace, None)
        return super().idf(text, namespace)

    def _require(self, what: str, namespace: str, session: str | None) -> None:
        """Refuse a read outside what the plug-in declares."""
        if namespace != self._namespace:
            raise Refused(f"{self._plugin.name} reads another namespace ({what})")
        if self._plugin.reads == "session" and session != self._session:
            raise Refused(f"{self._plugin.name} declares reads = 'session' and reads beyond it ({what})")


def _unplaced(record: Record) -> Stored:
    """A record that is not stored yet, as last of its session."""
    return Stored(record=record, partition=0, version=0, place=record.seq)


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace that a recall looks into: what holds it, and its settings."""

    store: Store
    info: NamespaceInfo | None


class ReadContext(_Searching):
    """Reads of a recall over several namespaces, the first of which is the caller's own. Nothing erased is returned."""

    def __init__(self, scopes: Mapping[str, Scope], toolkit: Toolkit, now: datetime) -> None:
        super().__init__(toolkit, now, digest(*scopes, now.isoformat()), next(iter(scopes.values())).info)
        self._scopes = scopes
        self._terms: dict[str, list[str]] = {}
        self._own, *others = scopes
        self._lists = None if others else scopes[self._own].store.terms
        self._erasures = self._lists.erasures if self._lists is not None else 0

    def terms(self, text: str) -> list[str]:
        """Of each text once: several plug-ins ask of the same hits, and a long one takes a tenth of a second. So do
        other recalls; but where several namespaces are looked into, whose text it is nobody knows."""
        checkpoint()
        if text not in self._terms:
            known = self._lists.of(self._own, text, self._erasures) if self._lists is not None else super().terms(text)
            self._terms[text] = list(known)
        return self._terms[text]

    def _searched(self, namespace: str) -> Store:
        if namespace not in self._scopes:
            raise Refused("a plug-in reads a namespace that the recall does not look into")
        return self._scopes[namespace].store

    def get(self, namespace: str, id: str) -> Record | None:
        stored = self._searched(namespace).get(namespace, id)
        return seen_by_hooks(stored) if stored else None

    def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, Stored]:
        checkpoint()
        return self._searched(namespace).fetch(namespace, ids)

    def scan(self, namespace: str, *, kind: Kind | None = None, session: str | None = None) -> Sequence[Record]:
        slots = self._searched(namespace).directory.slots(namespace, session)
        chosen = sorted((s.seq, s.id) for s in slots if s.active and kind in (None, s.kind))[:SCAN_LIMIT]
        return self._records(namespace, [id for _, id in chosen])

    def neighbours(self, record: Record, before: int, after: int) -> tuple[Sequence[Record], Sequence[Record]]:
        store = self._searched(record.namespace)
        slot = store.directory.get(record.namespace, record.id)
        if slot is None or not slot.session:
            return (), ()
        previous, following = store.directory.around(record.namespace, slot.session, slot.place, slot.id, before, after)
        records = store.fetch(record.namespace, [*previous, *following])
        return (
            [seen_by_hooks(records[i]) for i in previous if i in records],
            [seen_by_hooks(records[i]) for i in following if i in records],
        )

    def _records(self, namespace: str, ids: Sequence[str]) -> list[Record]:
        records = self._searched(namespace).fetch(namespace, ids)
        return [seen_by_hooks(records[i]) for i in ids if i in records]

    def knn(self, vector: Vector, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        store = self._searched(namespace)
        if store.directory.holds_vectors:
            return self._nearest(vector, k, namespace, filter)
        info = self._scopes[namespace].info
        if info is not None and not info.late.isdisjoint((*filter.metadata_equals, *filter.metadata_range)):
            # Rows from before it was declared have no column of it, so the server cannot choose by it.
            return self._scanned(store.vectors(namespace), vector, k, namespace, filter)
        where = self._where(namespace, filter)
        scored: dict[str, float] = {}
        slots: dict[str, Slot] = {}
        for id, score in store.vector_search.search(vector, k, where):
            slot = store.directory.get(namespace, id)
            if slot is not None and matches(slot, filter):
                slots[id] = slot
                scored[id] = max(score, scored.get(id, score))
        return best(scored, slots, k)

    def _where(self, namespace: str, wanted: Filter) -> str:
        """A filter as a Milvus expression over hashed fields."""
        hasher = self._searched(namespace).hasher
        value = hasher.value
        parts = [f'pseudonym == "{hasher.pseudonym(namespace)}"', "active == true"]
        if wanted.kinds:
            parts.append("kind in [" + ", ".join(f'"{k}"' for k in wanted.kinds) + "]")
        for name, text in (("actor", wanted.actor), ("session", wanted.session), ("source", wanted.source)):
            if text:
                parts.append(f'{name} == "{value(namespace, name, text)}"')
        start, end = bounds(wanted)
        if start is not None:
            parts.append(f"end_us >= {start}")
        if end is not None:
            parts.append(f"start_us < {end}")
        return " and ".join(parts + self._metadata(namespace, wanted))

    def _metadata(self, namespace: str, wanted: Filter) -> list[str]:
        info, hasher = self._scopes[namespace].info, self._searched(namespace).hasher
        parts: list[str] = []
        for name, equal in wanted.metadata_equals.items():
            place = info.slot(name) if info else None
            if place and isinstance(equal, str):
                parts.append(f'm_text_{place[1]} == "{hasher.value(namespace, name, equal)}"')
            elif place:
                parts.append(f"m_num_{place[1]} == {equal!r}")
        for name, (low, high) in wanted.metadata_range.items():
            place = info.slot(name) if info else None
            if place:
                parts.append(f"m_num_{place[1]} > {NO_NUMBER!r}")
            if place and low is not None:
                parts.append(f"m_num_{place[1]} >= {low!r}")
            if place and high is not None:
                parts.append(f"m_num_{place[1]} < {high!r}")
        return parts
