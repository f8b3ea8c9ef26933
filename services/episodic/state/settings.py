"""A namespace's settings as the ledger has them: what it declares now, and its alias groups at every place.

Aliases decide how an entry is folded, so an entry is always folded with those of its own time, whenever that is done:
a change is a further period and leaves the ones before as they are, until nothing in the ledger needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType
from mneme.v1.ledger_pb2 import Erased, NamespaceChanged, NamespaceCreated, Sealed

from services.common.ledger.entries import aliases_after
from services.common.text.extract import NO_ALIASES, Aliases
from services.episodic.search.rows import SLOTS


@dataclass(frozen=True, slots=True)
class EarlierAliases:
    """Alias groups that were replaced since, and are needed for what was told till then."""

    groups: tuple[AliasGroup, ...]
    key_id: str


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    name: str
    fields: tuple[MetadataField, ...]
    aliases: tuple[AliasGroup, ...]
    aliases_key: str = ""  # the data key that they are sealed under
    known: Aliases = field(default=NO_ALIASES, compare=False)  # the same, to read texts with
    earlier: tuple[EarlierAliases, ...] = ()  # oldest first
    late: frozenset[str] = frozenset()  # fields that were declared after the creation: not every row has their column

    def slot(self, name: str) -> tuple[str, int] | None:
        """Where a declared metadata field lies in the index: ("text" or "number", 0 to 3)."""
        counts = {"text": 0, "number": 0}
        for declared in self.fields:
            sort = "number" if declared.type == MetadataType.METADATA_TYPE_NUMBER else "text"
            if declared.name == name:
                return (sort, counts[sort]) if counts[sort] < SLOTS else None
            counts[sort] += 1
        return None


@dataclass(slots=True)
class Period:
    """From one entry that set alias groups to the next."""

    offset: int  # of that entry
    sealed: Sealed  # as the ledger says now: those of the entry, or what erasures left of them
    needed: bool = False  # an entry that is folded with them lies in it
    opened: str | None = None  # the key of ``groups``
    groups: tuple[AliasGroup, ...] = ()
    known: Aliases = NO_ALIASES

    def open(self, groups: Iterable[AliasGroup]) -> None:
        """Know the groups that are sealed here."""
        self.opened, self.groups = self.sealed.key_id, tuple(groups)
        self.known = Aliases(self.groups)


@dataclass(slots=True)
class Settings:
    """Of one namespace. Not thread-safe."""

    fields: dict[str, MetadataField]
    periods: list[Period]  # at least one, in order
    late: set[str] = field(default_factory=set)
    changes: set[bytes] = field(default_factory=set)  # keyed hashes of their ids
    needless: set[str] = field(default_factory=set)  # keys of alias groups that nothing is folded with
    info: NamespaceInfo | None = None  # once all groups were opened; of before a change until its own are

    @staticmethod
    def of(created: NamespaceCreated, offset: int) -> Settings:
        return Settings({f.name: f for f in created.metadata_fields}, [Period(offset, created.aliases)])

    def change(self, changed: NamespaceChanged, offset: int) -> None:
        """Of changes with the same id the first counts; again is once."""
        if changed.id_mac in self.changes:
            self._drop(changed.aliases.key_id)
            return
        self.changes.add(changed.id_mac)
        for declared in changed.metadata_fields:
            if self.fields.setdefault(declared.name, declared) is declared:
                self.late.add(declared.name)
        if changed.HasField("aliases"):
            before = self.periods[-1]
            if not before.needed:
                self.periods.pop()
            self.periods.append(Period(offset, changed.aliases))
            if not before.needed:
                self._drop(before.sealed.key_id)

    def _drop(self, key_id: str) -> None:
        if key_id and all(period.sealed.key_id != key_id for period in self.periods):
            self.needless.add(key_id)

    def erase(self, erased: Erased) -> None:
        for period in self.periods:
            period.sealed = aliases_after(period.sealed, erased)

    def need(self, offset: int) -> None:
        """Know that an entry at this offset is folded with the groups of its time."""
        self.periods[self._at(offset)].needed = True

    def _at(self, offset: int) -> int:
        """Which period an offset lies in. One before the first, of who wrote too early, is counted to the first."""
        return max([n for n, period in enumerate(self.periods) if period.offset <= offset], default=0)

    def unopened(self) -> Iterator[Period]:
        return (period for period in self.periods if period.opened != period.sealed.key_id)

    def describe(self, name: str) -> None:
        """Make the info. Call once all groups are opened."""
        *earlier, now = self.periods
        self.info = NamespaceInfo(
            name,
            tuple(self.fields.values()),
            now.groups,
            now.sealed.key_id,
            now.known,
            tuple(EarlierAliases(period.groups, period.sealed.key_id) for period in earlier),
            frozenset(self.late),
        )

    def info_at(self, offset: int) -> NamespaceInfo | None:
        """With the alias groups of that time, and the fields of now."""
        then = self.periods[self._at(offset)]
        if self.info is None or then is self.periods[-1]:
            return self.info
        return replace(self.info, aliases=then.groups, aliases_key=then.sealed.key_id, known=then.known, earlier=())
