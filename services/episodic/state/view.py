"""The state that hooks see while entries are folded: a store, and changes over it that are not committed yet.

The store's engrams of a ``hidden`` part are not there: an erasure folds them again from the ledger, as if for the first
time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Set
from dataclasses import dataclass

from services.episodic.plugins.base import Kind
from services.episodic.state.records import Stored
from services.episodic.state.slots import Slot, around, slot_of
from services.episodic.state.store import Scratch, Store


@dataclass(frozen=True, slots=True)
class Part:
    """Of a namespace: whole sessions, and engrams that were stated outside of any, by id."""

    sessions: Set[str] = frozenset()
    alone: Set[str] = frozenset()

    def __contains__(self, slot: Slot) -> bool:
        return slot.id in self.alone if slot.is_alone else slot.session in self.sessions

    def __or__(self, other: Part) -> Part:
        return Part(self.sessions | other.sessions, self.alone | other.alone)


class View:
    def __init__(self, store: Store, namespace: str = "", hidden: Part | None = Part()) -> None:
        """``hidden``: of ``namespace``, to leave out; None hides all of it."""
        self._store = store
        self._namespace = namespace
        self._hidden = hidden
        self.changed: dict[str, Stored] = {}
        self._slots: dict[str, Slot] = {}  # of what changed
        self._macs: dict[tuple[str, bytes], str] = {}
        self._turns: dict[tuple[str, str], list[tuple[int, str]]] = {}
        # What searches see: where all of the namespace is hidden, what was folded again so far.
        self.searched: Store | Scratch = store if hidden is not None else Scratch(store)
        self._unsearched: set[str] = set()

    def end_entry(self) -> None:
        """What the entry changed can be searched from now on."""
        if isinstance(self.searched, Scratch):
            self.searched.absorb(self.changed[id] for id in sorted(self._unsearched))
        self._unsearched.clear()

    def put(self, stored: Stored) -> None:
        """Add or replace an engram; ``stored`` must be whole."""
        if not stored.whole:
            raise ValueError(f"engram {stored.id} was read from the index and must not be written")
        slot = slot_of(stored, -1, 0)
        turns = self.turns(slot.namespace, slot.session)
        at = bisect_left(turns, (slot.place, slot.id))
        there = at < len(turns) and turns[at] == (slot.place, slot.id)
        if slot.is_base and slot.active and not there:
            insort(turns, (slot.place, slot.id))
        elif there and not slot.active:
            del turns[at]
        self.changed[stored.id] = stored
        self._unsearched.add(stored.id)
        self._slots[stored.id] = slot
        if slot.id_mac:
            self._macs[slot.namespace, slot.id_mac] = slot.id

    def slot(self, namespace: str, id: str) -> Slot | None:
        mine = self._slots.get(id)
        if mine is not None:
            return mine if mine.namespace == namespace else None
        slot = self._store.directory.get(namespace, id)
        return None if slot is None or self._is_hidden(slot) else slot

    def get(self, namespace: str, id: str) -> Stored | None:
        """An engram in any state, perhaps not whole."""
        slot = self.slot(namespace, id)
        if slot is None:
            return None
        return self.changed.get(id) or self._store.get(namespace, id)

    def whole(self, namespace: str, id: str) -> Stored | None:
        slot = self.slot(namespace, id)
        if slot is None:
            return None
        return self.changed.get(id) or self._store.whole(namespace, id)

    def by_mac(self, namespace: str, mac: bytes) -> str | None:
        """Id of the base engram of an observation."""
        id = self._macs.get((namespace, mac)) or self._store.directory.by_mac(namespace, mac)
        return id if id is not None and self.slot(namespace, id) is not None else None

    def turns(self, namespace: str, session: str) -> list[tuple[int, str]]:
        """Active base engrams of a session as (place, id), sorted; kept up by ``put``."""
        key = (namespace, session)
        if key not in self._turns:
            told = self._store.directory.turns(namespace, session)
            if namespace == self._namespace:
                told = [(place, id) for place, id in told if self.slot(namespace, id) is not None]
            self._turns[key] = told
        return self._turns[key]

    def around(self, slot: Slot, before: int, after: int) -> tuple[list[str], list[str]]:
        return around(self.turns(slot.namespace, slot.session), slot.place, slot.id, before, after)

    def scan(self, namespace: str, kind: Kind | None, session: str | None) -> list[Slot]:
        """Active engrams in (seq, id) order."""
        slots = {s.id: s for s in self._store.directory.slots(namespace, session)}
        slots = {i: s for i, s in slots.items() if not self._is_hidden(s)}
        slots.update(
            (i, s) for i, s in self._slots.items() if s.namespace == namespace and session in (None, s.session)
        )
        chosen = (s for s in slots.values() if s.active and kind in (None, s.kind))
        return sorted(chosen, key=lambda s: (s.seq, s.id))

    def derived_from(self, namespace: str, id: str) -> list[str]:
        """Ids of what lists an engram among its sources, active or not, sorted."""
        found = {i for i in self._store.directory.derived_from(namespace, id) if i not in self._slots}
        found = {i for i in found if self.slot(namespace, i) is not None}
        found |= {i for i, s in self._slots.items() if id in s.sources}
        return sorted(found)

    def _is_hidden(self, slot: Slot) -> bool:
        return slot.namespace == self._namespace and (self._hidden is None or slot in self._hidden)
