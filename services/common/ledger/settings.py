"""A namespace's settings as the ledger has them: what it declares now, and its alias groups at every place.

Aliases decide how an entry is folded, so an entry is always folded with those of its own time, whenever that is done:
a change is a further period and leaves the ones before as they are, until nothing in the ledger needs them. The groups
stay sealed here; ``services.common.ledger.entries.open_aliases`` opens them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mneme.v1.admin_pb2 import MetadataField, Quota
from mneme.v1.ledger_pb2 import Erased, NamespaceChanged, NamespaceCreated, Sealed

from services.common.ledger import quota
from services.common.ledger.entries import aliases_after


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the ledger."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """The first entry that holds an id; later ones, of whatever content, do not count."""

    content_mac: bytes
    place: Place


@dataclass(slots=True)
class Period:
    """From one entry that set alias groups to the next."""

    offset: int  # of that entry
    sealed: Sealed  # as the ledger says now: those of the entry, or what erasures left of them
    needed: bool = False  # an entry that is folded with them lies in it
    erased_from: bool = False
    replaced_bytes: int = 0  # what was sealed when others took their place


@dataclass(slots=True)
class Settings:
    """Of one namespace. Not thread-safe."""

    place: Place  # of the creation
    fields: dict[str, MetadataField]
    periods: list[Period]  # at least one, in order
    late: set[str] = field(default_factory=set)  # fields that were declared after the creation
    changes: dict[bytes, FirstSeen] = field(default_factory=dict)  # by the keyed hash of their id
    needless: set[str] = field(default_factory=set)  # keys of alias groups that nothing is folded with
    quota: Quota = field(default_factory=lambda: quota.NO_QUOTA)  # only the limits that there are are set

    @staticmethod
    def of(created: NamespaceCreated, place: Place) -> Settings:
        fields = {declared.name: declared for declared in created.metadata_fields}
        limits = quota.changed(quota.NO_QUOTA, created.quota)
        return Settings(place, fields, [Period(place.offset, created.aliases)], quota=limits)

    def change(self, changed: NamespaceChanged, place: Place) -> bool:
        """Whether it counts: of changes with the same id the first does; again is once."""
        if changed.id_mac in self.changes:
            self._drop(changed.aliases.key_id)
            return False
        self.changes[changed.id_mac] = FirstSeen(changed.content_mac, place)
        for declared in changed.metadata_fields:
            if self.fields.setdefault(declared.name, declared) is declared:
                self.late.add(declared.name)
        self.quota = quota.changed(self.quota, changed.quota)
        if changed.HasField("aliases"):
            before = self.periods[-1]
            before.replaced_bytes = len(before.sealed.ciphertext)
            if not before.needed:
                self.periods.pop()
            self.periods.append(Period(place.offset, changed.aliases))
            if not before.needed:
                self._drop(before.sealed.key_id)
        return True

    def _drop(self, key_id: str) -> None:
        if key_id and all(period.sealed.key_id != key_id for period in self.periods):
            self.needless.add(key_id)

    def erase(self, erased: Erased) -> bool:
        """Whether it took something from the alias groups."""
        took = False
        for period in self.periods:
            if period.sealed.key_id in erased.key_ids:
                period.sealed, period.erased_from, took = aliases_after(period.sealed, erased), True, True
        return took

    def need(self, offset: int) -> None:
        """Know that an entry at this offset is folded with the groups of its time. Call before a change after it."""
        self.period_at(offset).needed = True

    def period_at(self, offset: int) -> Period:
        """Which one an offset lies in. One before the first, of who wrote too early, is counted to the first."""
        return self.periods[max([n for n, period in enumerate(self.periods) if period.offset <= offset], default=0)]

    @property
    def now(self) -> Period:
        return self.periods[-1]

    @property
    def bytes_needed(self) -> int:
        """Of the alias groups that something was told with: these stay needed when others take their place."""
        now = len(self.now.sealed.ciphertext) if self.now.needed else 0
        return now + sum(period.replaced_bytes for period in self.periods[:-1])
