"""The facts of the ledger, as perception holds and follows them.

Every part of perception that writes asks here first. The whole ledger, or a snapshot and what came since, is read
before the first answer, so an id that was erased is known to be erased before anything is served; after that the facts
follow whoever else appends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mneme.v1.admin_pb2 import MetadataType, Namespace
from mneme.v1.ledger_pb2 import PartitionFacts

from services.common.crypto.seal import Keyring
from services.common.ledger import quota, topics
from services.common.ledger.entries import entry_of, open_aliases
from services.common.ledger.facts import Facts, Learned, NamespaceFacts, SessionSeen, fold
from services.common.ledger.quota import NOTHING, Amount
from services.common.ledger.settings import FirstSeen, Place, Settings
from services.common.ledger.snapshot import SnapshotFile
from services.common.ledger.snapshots import Snapshots
from services.common.ledger.spaces import ByNamespace
from services.common.ledger.stored_facts import restore, stored
from services.common.log.base import Log, Record, partition_of
from services.common.text.extract import Aliases

_NOTHING = NamespaceFacts(-1)  # of a namespace that no entry is of


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """What a namespace was created with and changed to since, less the names that were erased."""

    settings: Namespace
    fields: Mapping[str, MetadataType]
    aliases: Aliases
    place: Place  # of its creation
    names_erased: bool
    changes: Mapping[bytes, FirstSeen]  # by the keyed hash of the change's id; grows


class LedgerFacts:
    """Thread-safe; ``exclusive`` also keeps every other writer of this process out."""

    def __init__(self, log: Log, keyring: Keyring) -> None:
        self._log = log
        self._keyring = keyring
        self._partitions = log.partitions(topics.LEDGER)
        self._lock = threading.RLock()
        self._next = dict.fromkeys(range(self._partitions), 0)
        self._facts = Facts(keyring, observations=True)
        self._opened: ByNamespace[NamespaceSettings] = ByNamespace(keyring)
        self._unopened: ByNamespace[Settings] = ByNamespace(keyring)  # alias groups that are newer than what is opened
        self._erasures = 0

    def catch_up(self, partitions: Iterable[int] | None = None) -> None:
        """Fold in what was appended since; all partitions unless some are named. LogUnavailable."""
        with self._lock:
            wanted = set(self._next if partitions is None else partitions)
            for partition in sorted(wanted):
                for record in self._log.read(topics.LEDGER, partition, self._next[partition]):
                    self._fold(record)
                    self._next[partition] = record.offset + 1
            # Not before: aliases that an erasure further on replaced cannot be opened any more.
            for name in sorted(n for n, settings in self._unopened.items() if settings.place.partition in wanted):
                self._opened[name] = self._open(name, self._unopened[name])
                del self._unopened[name]

    def restore(self, partitions: Iterable[PartitionFacts]) -> None:
        """Begin with a snapshot. Alias groups are opened when somebody asks, for it tells no names."""
        with self._lock:
            for one in partitions:
                restore(self._facts, one)
                self._next[one.partition] = one.next

    def kept_in(self, path: Path) -> Snapshots:
        file = SnapshotFile(path, self._log, self._keyring, range(self._partitions))
        return Snapshots(file, restore=self.restore, positions=self.positions, take=self.snapshot)

    def snapshot(self) -> list[PartitionFacts]:
        """What is known now, by partition. Others wait for one partition at most."""
        taken = []
        for partition in range(self._partitions):
            with self._lock:
                taken.append(stored(self._facts, partition, self._next[partition]))
        return taken

    def positions(self) -> list[int]:
        """The ledger's offset to read on from, by partition."""
        with self._lock:
            return list(self._next.values())

    @contextmanager
    def exclusive(self, namespaces: Iterable[str]) -> Iterator[None]:
        """Hold the facts, caught up for these namespaces: what is decided inside stays true until it is appended.

        Of this process. Writers elsewhere may append between; then the first entry in the ledger counts, and whoever
        folds the other into memory destroys its key.
        """
        with self._lock:
            self.catch_up(self.partition(n) for n in namespaces)
            yield

    def partition(self, namespace: str) -> int:
        return partition_of(namespace.encode(), self._partitions)

    def first(self, namespace: str, id_mac: bytes) -> FirstSeen | None:
        with self._lock:
            return self._of(namespace).observations.get(id_mac)

    def erased(self, namespace: str, id_mac: bytes) -> Place | None:
        """Where the id was erased, or None. Never forgotten."""
        with self._lock:
            return self._of(namespace).erasures.macs.get(id_mac)

    def is_erased(self, namespace: str, engram_id: str) -> bool:
        """Whether an engram was erased. Never forgotten."""
        with self._lock:
            return engram_id in self._of(namespace).erasures.ids

    def session(self, namespace: str, session_mac: bytes) -> SessionSeen | None:
        with self._lock:
            return self._of(namespace).sessions.get(session_mac)

    def namespace(self, name: str) -> NamespaceSettings | None:
        """Its settings; looks at the ledger's end when it is not known yet."""
        with self._lock:
            if name not in self._opened:
                self.catch_up([self.partition(name)])
            if name not in self._opened and (settings := self._of(name).settings) is not None:  # of a snapshot
                self._opened[name] = self._open(name, settings)
            return self._opened.get(name)

    def alias_bytes_needed(self, name: str) -> int:
        """Of the alias groups that something was told with: these stay needed when others take their place."""
        with self._lock:
            settings = self._of(name).settings
            return settings.bytes_needed if settings is not None else 0

    def require_room(self, name: str, text: Amount, ahead: Amount = NOTHING) -> None:
        """QUOTA_EXCEEDED where a namespace may not hold one more text of this size. ``ahead``: of those that are
        appended before it."""
        with self._lock:
            of = self._of(name)
            if of.settings is not None:
                quota.require_room(name, of.settings.quota, of.held + ahead, text)

    @property
    def erasures(self) -> int:
        """Erasures folded so far."""
        with self._lock:
            return self._erasures

    def deleted_since(self, namespace: str, offset: int) -> bool:
        """Whether a namespace was deleted after an entry of it at this offset."""
        with self._lock:
            return self._of(namespace).is_deleted_since(offset)

    def is_gone(self, namespace: str) -> bool:
        """Whether a namespace was deleted, and not made anew as far as the ledger is known."""
        with self._lock:
            return self._of(namespace).is_gone

    def is_going(self, namespace: str) -> bool:
        """Whether it was, and some of it is still there. Looks at the log's end."""
        with self._lock:
            self.catch_up([self.partition(namespace)])
            of = self._of(namespace)
            return of.is_gone and of.deleted is not None and self._keyring.has(of.deleted.name_key_id)

    def _of(self, namespace: str) -> NamespaceFacts:
        return self._facts.get(namespace, _NOTHING)

    def _fold(self, record: Record) -> None:
        entry = entry_of(record)
        if entry is None:
            return
        learned = fold(self._facts, entry, Place(record.partition, record.offset))
        if learned & Learned.DELETION:
            self._keyring.was_deleted(entry.namespace)
            self._opened.pop(entry.namespace, None)
            self._unopened.pop(entry.namespace, None)
        elif learned & Learned.SETTINGS and (settings := self._of(entry.namespace).settings) is not None:
            self._unopened[entry.namespace] = settings
        if learned & (Learned.ERASURE | Learned.DELETION):
            self._erasures += 1

    def _open(self, name: str, settings: Settings) -> NamespaceSettings:
        groups = open_aliases(self._keyring, name, settings.now.sealed)
        limits = settings.quota if quota.is_given(settings.quota) else None
        described = Namespace(name=name, metadata_fields=settings.fields.values(), aliases=groups, quota=limits)
        types = {declared.name: declared.type for declared in settings.fields.values()}
        erased = settings.now.erased_from
        return NamespaceSettings(described, types, Aliases(groups), settings.place, erased, settings.changes)
