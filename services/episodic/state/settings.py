"""A namespace's settings, opened: what it declares now, and its alias groups at every place of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType, Quota

from services.common.ledger.quota import NO_QUOTA
from services.common.ledger.settings import Settings
from services.common.text.extract import NO_ALIASES, Aliases
from services.episodic.search.rows import SLOTS

Groups = tuple[AliasGroup, ...]


@dataclass(frozen=True, slots=True)
class EarlierAliases:
    """Alias groups that were replaced since, and are needed for what was told till then."""

    groups: Groups
    key_id: str
    since: int = 0  # the ledger offset that they were set at
    known: Aliases = field(default=NO_ALIASES, compare=False)  # the same, to read texts with


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    name: str
    fields: tuple[MetadataField, ...]
    aliases: Groups
    aliases_key: str = ""  # the data key that they are sealed under
    aliases_since: int = 0
    known: Aliases = field(default=NO_ALIASES, compare=False)  # the same, to read texts with
    earlier: tuple[EarlierAliases, ...] = ()  # oldest first
    late: frozenset[str] = frozenset()  # fields that were declared after the creation: not every row has their column
    quota: Quota = field(default_factory=lambda: NO_QUOTA)

    def slot(self, name: str) -> tuple[str, int] | None:
        """Where a declared metadata field lies in the index: ("text" or "number", 0 to 3)."""
        counts = {"text": 0, "number": 0}
        for declared in self.fields:
            sort = "number" if declared.type == MetadataType.METADATA_TYPE_NUMBER else "text"
            if declared.name == name:
                return (sort, counts[sort]) if counts[sort] < SLOTS else None
            counts[sort] += 1
        return None

    def at(self, offset: int) -> NamespaceInfo:
        """With the alias groups that counted for an entry at this offset, and the fields of now."""
        if offset >= self.aliases_since or not self.earlier:
            return self
        then = ([e for e in self.earlier if e.since <= offset] or self.earlier[:1])[-1]
        return replace(
            self,
            aliases=then.groups,
            aliases_key=then.key_id,
            aliases_since=then.since,
            known=then.known,
            earlier=(),
        )

    @property
    def groups_by_key(self) -> dict[str, Groups]:
        return {self.aliases_key: self.aliases, **{e.key_id: e.groups for e in self.earlier}}


def described(name: str, settings: Settings, opened: Mapping[str, Groups]) -> NamespaceInfo:
    """``opened``: all its alias groups, by their key."""
    sealed = ((opened[p.sealed.key_id], p.sealed.key_id, p.offset) for p in settings.periods)
    *earlier, now = (EarlierAliases(groups, key_id, since, Aliases(groups)) for groups, key_id, since in sealed)
    return NamespaceInfo(
        name,
        tuple(settings.fields.values()),
        now.groups,
        now.key_id,
        now.since,
        now.known,
        tuple(earlier),
        frozenset(settings.late),
        settings.quota,
    )
