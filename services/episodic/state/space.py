"""One namespace in memory: its slots, and what searches its terms, times and vectors.

Thread-safe; every answer is a copy.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from services.episodic.plugins.base import Filter, Kind, Vector
from services.episodic.search.terms import Lexicon
from services.episodic.search.times import Times
from services.episodic.search.vectors import Vectors
from services.episodic.state.slots import Document, Slot, around, bounds, matches

# Of this process, so that a namespace that was given back and loaded again does not look like what it was before.
_CHANGES = count(1)
# Measured (tests/episodic/test_space.py).
_EMPTY_BYTES = 20_000
_SLOT_BYTES = 1_600


class Space:
    def __init__(self, *, holds_vectors: bool = True) -> None:
        self._holds_vectors = holds_vectors
        self._lock = threading.RLock()
        self._slots: dict[str, Slot] = {}
        self._by_mac: dict[bytes, str] = {}
        self._sessions: dict[str, set[str]] = {}
        self._turns: dict[str, list[tuple[int, str]]] = {}  # active base by session: (place, id)
        self._derived: dict[str, set[str]] = {}  # source -> what lists it
        self._times = Times()  # of active base engrams
        # Base and derived engrams have statistics of their own: an episode is many times as long as a turn.
        self._base_lexicon = Lexicon()
        self._derived_lexicon = Lexicon()
        # Kinds that ever were in either; a few words at most.
        self._base_kinds: set[Kind] = set()
        self._derived_kinds: set[Kind] = set()
        self._vectors = Vectors()  # of active engrams; empty where the index is searched
        self._changed = next(_CHANGES)

    @property
    def size_bytes(self) -> int:
        """What it takes of memory, nearly."""
        with self._lock:
            searched = self._base_lexicon, self._derived_lexicon, self._times, self._vectors
            return _EMPTY_BYTES + _SLOT_BYTES * len(self._slots) + sum(each.size_bytes for each in searched)

    # --- writing: by the generation's one writer, and before anybody else has it by who loads it ---

    def put(self, slot: Slot, documents: Sequence[Document], dense: Sequence[tuple[float, Vector]]) -> None:
        """Add or replace an engram with its lexical keys, and its dense ones as (weight, unit vector)."""
        with self._lock:
            old = self._slots.get(slot.id)
            if old is not None:
                self._take_out(old)
            self._slots[slot.id] = slot  # at no moment is a replaced one not there: ``nearest`` looks without the lock
            self._sessions.setdefault(slot.session, set()).add(slot.id)
            self._changed = next(_CHANGES)
            if slot.id_mac:
                self._by_mac[slot.id_mac] = slot.id
            if slot.is_base and slot.active:
                self._times.add(slot.id, slot.shown_us, slot.times_us)
                insort(self._turns.setdefault(slot.session, []), (slot.place, slot.id))
            for source in slot.sources:
                self._derived.setdefault(source, set()).add(slot.id)
            if slot.active:
                self._make_searchable(slot, documents, dense)

    def _make_searchable(
        self, slot: Slot, documents: Sequence[Document], dense: Sequence[tuple[float, Vector]]
    ) -> None:
        lexicon = self._base_lexicon if slot.is_base else self._derived_lexicon
        (self._base_kinds if slot.is_base else self._derived_kinds).add(slot.kind)
        event = slot.start_us, slot.end_us
        for document in documents:
            lexicon.add(slot.id, document.counts, document.weight, event)
        for weight, vector in dense if self._holds_vectors else ():
            self._vectors.add(slot.id, vector, weight, event)

    def fit(self) -> None:
        """Take no room for what may come: for one that was loaded, and is mostly read."""
        with self._lock:
            self._vectors.fit()

    def remove(self, id: str) -> None:
        with self._lock:
            if id in self._slots:
                self._take_out(self._slots.pop(id))
                self._changed = next(_CHANGES)

    def _take_out(self, old: Slot) -> None:
        """Out of everything but ``_slots``."""
        id = old.id
        (self._base_lexicon if old.is_base else self._derived_lexicon).remove(id)
        self._vectors.remove(id)
        self._sessions[old.session].discard(id)
        if not self._sessions[old.session]:
            del self._sessions[old.session]
        self._times.remove(id)
        if old.id_mac and self._by_mac.get(old.id_mac) == id:
            del self._by_mac[old.id_mac]
        turns = self._turns.get(old.session, [])
        at = bisect_left(turns, (old.place, id))
        if at < len(turns) and turns[at] == (old.place, id):
            del turns[at]
        for source in set(old.sources):  # a plug-in may have named one twice
            self._derived[source].discard(id)
            if not self._derived[source]:
                del self._derived[source]

    # --- reading ---

    def get(self, id: str) -> Slot | None:
        return self._slots.get(id)

    def some(self, ids: Iterable[str]) -> dict[str, Slot]:
        """Those of these that are there."""
        with self._lock:
            return {id: self._slots[id] for id in ids if id in self._slots}

    def by_mac(self, mac: bytes) -> str | None:
        return self._by_mac.get(mac)

    def slots(self, session: str | None = None) -> list[Slot]:
        """Every engram, or those of one session, in no order."""
        with self._lock:
            if session is None:
                return list(self._slots.values())
            return [self._slots[id] for id in self._sessions.get(session, ())]

    def turns(self, session: str) -> list[tuple[int, str]]:
        """Active base engrams of a session as (place, id), in session order."""
        with self._lock:
            return list(self._turns.get(session, ()))

    def around(self, session: str, place: int, id: str, before: int, after: int) -> tuple[list[str], list[str]]:
        """Ids of the active base engrams before and after a place of a session, in session order."""
        with self._lock:
            return around(self._turns.get(session, []), place, id, before, after)

    def derived_from(self, id: str) -> list[str]:
        with self._lock:
            return sorted(self._derived.get(id, ()))

    @property
    def changed(self) -> int:
        """Another number after every change, and in every process's life another one for every time it is loaded."""
        return self._changed

    def search(self, query: Mapping[int, float], k: int, wanted: Filter) -> list[tuple[Slot, float]]:
        """The ``k`` best by BM25, base and derived together; equal scores by event time descending, then id."""
        with self._lock:
            found: list[tuple[str, float]] = []
            for lexicon, kinds in (
                (self._base_lexicon, self._base_kinds),
                (self._derived_lexicon, self._derived_kinds),
            ):
                # A search for episodes need not look at every turn to find none.
                if not wanted.kinds or kinds.intersection(wanted.kinds):
                    found += lexicon.search(query, k, self._allowed(wanted), bounds(wanted))
            hits = [(self._slots[id], score) for id, score in found]
        return sorted(hits, key=lambda h: (-h[1], -h[0].start_us, h[0].id))[:k]

    def _allowed(self, wanted: Filter) -> Callable[[str], bool]:
        return lambda id: matches(self._slots[id], wanted)

    def nearest(self, vector: Vector, k: int, wanted: Filter) -> list[tuple[Slot, float]]:
        """The ``k`` engrams with the nearest dense keys, exactly; order as in ``search``. Needs ``holds_vectors``."""
        if k <= 0:
            return []
        with self._lock:
            keys = self._vectors.snapshot()
        # The product is computed without the lock; what is gone meanwhile is left out here.
        best: dict[str, tuple[Slot, float]] = {}
        last = 0.0
        try:
            for owner, score in keys.nearest(vector, *bounds(wanted)):
                if len(best) >= k and score < last:
                    break
                slot = self._slots.get(owner)
                if owner not in best and slot is not None and matches(slot, wanted):
                    best[owner] = slot, score
                    last = score
        finally:
            with self._lock:
                self._vectors.end(keys)
        return sorted(best.values(), key=lambda h: (-h[1], -h[0].start_us, h[0].id))[:k]

    def idf(self, term: int) -> float:
        """Among base engrams."""
        with self._lock:
            return self._base_lexicon.idf(term)

    def between(self, start_us: int, end_us: int, k: int, wanted: Filter) -> list[tuple[Slot, int]]:
        """Active base engrams whose event, or a time they speak of, meets the range on the clock of whoever spoke:
        with the distance between its middle and theirs in microseconds, nearest first; equal ones by event time
        descending, then id."""
        with self._lock:
            hits: dict[str, tuple[Slot, int]] = {}
            last = 0
            for id, away in self._times.nearest(start_us, end_us):
                if len(hits) >= k and away > last:
                    break
                if id not in hits and matches(self._slots[id], wanted):
                    hits[id] = self._slots[id], away
                    last = away
        return sorted(hits.values(), key=lambda h: (h[1], -h[0].start_us, h[0].id))[:k]

    def span(self) -> tuple[int, int] | None:
        """Earliest start and latest end of the events of active base engrams, as their clocks showed them."""
        with self._lock:
            return self._times.span()
