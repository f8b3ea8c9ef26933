"""Namespaces, and what was erased: folded from the whole ledger before anything is read or written.

Erased ids are known here from the moment the command is in the ledger, so that nothing that comes late, again or
in another order can bring an erased observation back. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType
from mneme.v1.ledger_pb2 import Erased, LedgerEntry, NamespaceCreated, Sealed

from services.common import topics
from services.common.ledger import aliases_after, entry_of, open_aliases
from services.common.log.base import Log
from services.common.seal import Keyring
from services.episodic.index import SLOTS


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    name: str
    fields: tuple[MetadataField, ...]
    aliases: tuple[AliasGroup, ...]
    aliases_key: str = ""  # the data key that they are sealed under

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
class _Created:
    fields: tuple[MetadataField, ...]
    aliases: Sealed  # as the ledger says now: those of the creation, or what erasures left of them
    opened: str | None = None  # key of those that the namespace's info holds


@dataclass(slots=True)
class _Erasures:
    macs: set[bytes] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    commanded: int = 0  # highest epoch in the ledger
    applied: int = 0  # highest epoch of which nothing can be recalled any more


class Registry:
    def __init__(self, log: Log, keyring: Keyring) -> None:
        self._log = log
        self._keyring = keyring
        self._created: dict[str, _Created] = {}
        self._namespaces: dict[str, NamespaceInfo] = {}
        self._erased: dict[str, _Erasures] = {}
        self._lock = threading.Lock()

    def fold_all(self, committed: Sequence[int]) -> None:
        """Read the whole ledger. Entries before ``committed``, by partition, have been applied."""
        for partition in range(self._log.partitions(topics.LEDGER)):
            for record in self._log.read(topics.LEDGER, partition):
                entry = entry_of(record)
                if entry is None:
                    continue
                self._learn(entry)
                if entry.HasField("erased") and record.offset < committed[partition]:
                    self.applied(entry.namespace, entry.erased.erasure_epoch)
        for name in sorted(self._created):  # now, for aliases that an erasure replaced cannot be opened any more
            self._open(name)

    def fold(self, entry: LedgerEntry) -> None:
        """Learn from one entry; again is once."""
        self._learn(entry)
        self._open(entry.namespace)

    def erase(self, namespace: str, erased: Erased) -> None:
        self._learn_erased(namespace, erased)
        self._open(namespace)

    def _learn(self, entry: LedgerEntry) -> None:
        if entry.HasField("namespace_created"):
            self._learn_created(entry.namespace, entry.namespace_created)
        elif entry.HasField("erased"):
            self._learn_erased(entry.namespace, entry.erased)

    def _learn_created(self, name: str, created: NamespaceCreated) -> None:
        with self._lock:
            self._created.setdefault(name, _Created(tuple(created.metadata_fields), created.aliases))

    def _learn_erased(self, namespace: str, erased: Erased) -> None:
        with self._lock:
            known = self._erased.setdefault(namespace, _Erasures())
            known.macs.update(erased.id_macs)
            known.ids.update(erased.engram_ids)
            known.commanded = max(known.commanded, erased.erasure_epoch)
            if (created := self._created.get(namespace)) is not None:
                created.aliases = aliases_after(created.aliases, erased)

    def applied(self, namespace: str, epoch: int) -> None:
        """Raise the namespace's erasure epoch: call once nothing of the erased can be recalled."""
        with self._lock:
            known = self._erased.setdefault(namespace, _Erasures())
            known.applied = max(known.applied, epoch)

    def _open(self, name: str) -> None:
        """Bring the namespace's info up to the alias groups that are known. Outside the lock: a key is waited for."""
        with self._lock:
            created = self._created.get(name)
            if created is None or created.opened == created.aliases.key_id:
                return
            sealed = created.aliases
        groups = open_aliases(self._keyring, name, sealed)
        with self._lock:
            if created.aliases.key_id == sealed.key_id:  # else whoever learned of newer ones opens those
                created.opened = sealed.key_id
                self._namespaces[name] = NamespaceInfo(name, created.fields, tuple(groups), sealed.key_id)

    def namespace(self, name: str) -> NamespaceInfo | None:
        with self._lock:
            return self._namespaces.get(name)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._namespaces)

    def is_erased_mac(self, namespace: str, mac: bytes) -> bool:
        with self._lock:
            known = self._erased.get(namespace)
            return known is not None and mac in known.macs

    def is_erased(self, namespace: str, id: str) -> bool:
        with self._lock:
            known = self._erased.get(namespace)
            return known is not None and id in known.ids

    def epoch(self, namespace: str) -> int:
        """The erasure epoch: everything commanded up to it cannot be recalled."""
        with self._lock:
            known = self._erased.get(namespace)
            return known.applied if known else 0

    def next_epoch(self, namespace: str) -> int:
        with self._lock:
            known = self._erased.get(namespace)
            return known.commanded + 1 if known else 1
