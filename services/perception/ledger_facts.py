"""What the ledger says already: ids, erasures, sessions, namespaces. Folded from it, and followed.

Every part of perception that writes asks here first. The whole ledger is read before the first answer, so an id that
was erased is known to be erased before anything is served; after that the fold follows whoever else appends.
Sixteen-byte keyed hashes are kept, no texts: about 300 bytes an observation.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from mneme.v1.admin_pb2 import MetadataField, MetadataType, Namespace
from mneme.v1.ledger_pb2 import NamespaceChanged, Sealed

from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.ledger.entries import aliases_after, entry_of, open_aliases
from services.common.ledger.spaces import ByNamespace
from services.common.log.base import Log, Record, partition_of
from services.common.text.extract import Aliases

# Entries that are folded into memories, with the alias groups of their time.
_TOLD = ("observation_accepted", "remembered", "corrected", "episode_closed")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the ledger."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """The first entry that holds an observation id; later ones, of whatever content, do not count."""

    content_mac: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """The newest entry of a session, and whether that ended it."""

    place: Place
    ended: bool


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """What a namespace was created with and changed to since, less the names that were erased."""

    settings: Namespace
    fields: Mapping[str, MetadataType]
    aliases: Aliases
    place: Place  # of its creation
    names_erased: bool
    changes: Mapping[bytes, FirstSeen]  # by the keyed hash of the change's id; grows


@dataclass(slots=True)
class _Created:
    """As the ledger says now."""

    fields: dict[str, MetadataField]
    place: Place
    aliases: Sealed  # those of its creation or last change, or what erasures left of them
    names_erased: bool = False
    changes: dict[bytes, FirstSeen] = field(default_factory=dict)
    told: bool = False  # something, since the aliases were set
    earlier_bytes: int = 0  # of alias groups from before, that something was told with

    @property
    def bytes_needed(self) -> int:
        return self.earlier_bytes + (len(self.aliases.ciphertext) if self.told else 0)


class LedgerFacts:
    """The fold. Thread-safe; ``exclusive`` also keeps every other writer of this process out."""

    def __init__(self, log: Log, keyring: Keyring) -> None:
        self._log = log
        self._keyring = keyring
        self._partitions = log.partitions(topics.LEDGER)
        self._lock = threading.RLock()
        self._next = dict.fromkeys(range(self._partitions), 0)
        self._ids: dict[bytes, FirstSeen] = {}
        self._erased: dict[bytes, Place] = {}
        self._erased_engrams: ByNamespace[set[str]] = ByNamespace(keyring)
        self._sessions: dict[bytes, SessionSeen] = {}
        self._created: ByNamespace[_Created] = ByNamespace(keyring)
        self._namespaces: ByNamespace[NamespaceSettings] = ByNamespace(keyring)
        self._unopened: ByNamespace[_Created] = ByNamespace(keyring)  # whose alias groups are newer than their settings
        # The last deletion of each, and the key that goes last then.
        self._deleted: ByNamespace[tuple[Place, str]] = ByNamespace(keyring)
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
            for name in sorted(n for n, created in self._unopened.items() if created.place.partition in wanted):
                self._namespaces[name] = self._settings(name, self._unopened[name])
                del self._unopened[name]

    @contextmanager
    def exclusive(self, namespaces: Iterable[str]) -> Iterator[None]:
        """Hold the fold, caught up for these namespaces: what is decided inside stays true until it is appended.

        Of this process. Writers elsewhere may append between; then the first entry in the ledger counts, and
        ``services.perception.sessions.segment`` destroys the key of the other.
        """
        with self._lock:
            self.catch_up(self.partition(n) for n in namespaces)
            yield

    def partition(self, namespace: str) -> int:
        return partition_of(namespace.encode(), self._partitions)

    def first(self, id_mac: bytes) -> FirstSeen | None:
        with self._lock:
            return self._ids.get(id_mac)

    def erased(self, id_mac: bytes) -> Place | None:
        """Where the id was erased, or None. Never forgotten."""
        with self._lock:
            return self._erased.get(id_mac)

    def is_erased(self, namespace: str, engram_id: str) -> bool:
        """Whether an engram was erased. Never forgotten."""
        with self._lock:
            return engram_id in self._erased_engrams.get(namespace, ())

    def session(self, session_mac: bytes) -> SessionSeen | None:
        with self._lock:
            return self._sessions.get(session_mac)

    def namespace(self, name: str) -> NamespaceSettings | None:
        """Its settings; looks at the ledger's end when it is not known yet."""
        with self._lock:
            if name not in self._namespaces:
                self.catch_up([self.partition(name)])
            return self._namespaces.get(name)

    def alias_bytes_needed(self, name: str) -> int:
        """Of the alias groups that something was told with: these stay needed when others take their place."""
        with self._lock:
            return self._created[name].bytes_needed if name in self._created else 0

    @property
    def erasures(self) -> int:
        """Erasures folded so far."""
        with self._lock:
            return self._erasures

    def deleted_since(self, namespace: str, offset: int) -> bool:
        """Whether a namespace was deleted after an entry of it at this offset."""
        with self._lock:
            return namespace in self._deleted and offset < self._deleted[namespace][0].offset

    def is_gone(self, namespace: str) -> bool:
        """Whether a namespace was deleted, and not made anew as far as the ledger is known."""
        with self._lock:
            return namespace in self._deleted and namespace not in self._created

    def is_going(self, namespace: str) -> bool:
        """Whether it was, and some of it is still there. Looks at the log's end."""
        with self._lock:
            self.catch_up([self.partition(namespace)])
            return self.is_gone(namespace) and self._keyring.has(self._deleted[namespace][1])

    def _fold(self, record: Record) -> None:
        entry = entry_of(record)
        if entry is None:
            return
        if entry.WhichOneof("body") in _TOLD and (created := self._created.get(entry.namespace)) is not None:
            created.told = True
        place = Place(record.partition, record.offset)
        match entry.WhichOneof("body"):
            case "observation_accepted":
                body = entry.observation_accepted
                self._ids.setdefault(body.id_mac, FirstSeen(body.content_mac, place))
                self._sessions[body.session_mac] = SessionSeen(place, ended=False)
            case "session_ended":
                self._sessions[entry.session_ended.session_mac] = SessionSeen(place, ended=True)
            case "erased":
                self._erasures += 1
                for id_mac in entry.erased.id_macs:
                    self._erased.setdefault(id_mac, place)
                self._erased_engrams.setdefault(entry.namespace, set()).update(entry.erased.engram_ids)
                created = self._created.get(entry.namespace)
                if created is not None and created.aliases.key_id in entry.erased.key_ids:
                    created.aliases, created.names_erased = aliases_after(created.aliases, entry.erased), True
                    self._unopened[entry.namespace] = created
            case "namespace_created":
                if entry.namespace not in self._created:
                    first = entry.namespace_created
                    fields = {declared.name: declared for declared in first.metadata_fields}
                    created = _Created(fields, place, first.aliases)
                    self._created[entry.namespace] = self._unopened[entry.namespace] = created
            case "namespace_changed":
                self._change(entry.namespace, entry.namespace_changed, place)
            case "namespace_deleted":
                self._erasures += 1
                self._delete(entry.namespace, place, entry.namespace_deleted.name_key_id)
            case _:
                pass  # what others wrote about engrams says nothing about observations

    def _change(self, name: str, changed: NamespaceChanged, place: Place) -> None:
        created = self._created.get(name)
        if created is None or changed.id_mac in created.changes:
            return
        created.changes[changed.id_mac] = FirstSeen(changed.content_mac, place)
        for declared in changed.metadata_fields:
            created.fields.setdefault(declared.name, declared)
        if changed.HasField("aliases"):
            created.earlier_bytes = created.bytes_needed
            created.aliases, created.names_erased, created.told = changed.aliases, False, False
        self._unopened[name] = created

    def _delete(self, name: str, place: Place, name_key_id: str) -> None:
        """Forget what the ledger says of a namespace so far: made anew, its ids are free.

        Reads it again from the namespace's creation on, for nothing here is kept by namespace: deletions are rare.
        """
        since = created.place.offset if (created := self._created.pop(name, None)) else place.offset
        self._deleted[name] = (place, name_key_id)
        self._namespaces.pop(name, None)
        self._unopened.pop(name, None)
        self._erased_engrams.pop(name, None)
        for record in self._log.read(topics.LEDGER, place.partition, since, place.offset):
            entry = entry_of(record)
            if entry is None or self._keyring.pseudonym(entry.namespace) != self._keyring.pseudonym(name):
                continue
            self._ids.pop(entry.observation_accepted.id_mac, None)
            for session_mac in (entry.observation_accepted.session_mac, entry.session_ended.session_mac):
                self._sessions.pop(session_mac, None)
            for id_mac in entry.erased.id_macs:
                self._erased.pop(id_mac, None)

    def _settings(self, name: str, created: _Created) -> NamespaceSettings:
        groups = open_aliases(self._keyring, name, created.aliases)
        settings = Namespace(name=name, metadata_fields=created.fields.values(), aliases=groups)
        types = {declared.name: declared.type for declared in created.fields.values()}
        return NamespaceSettings(settings, types, Aliases(groups), created.place, created.names_erased, created.changes)
