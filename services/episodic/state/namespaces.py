"""Namespaces of a partition, and what was erased: folded from all of its ledger before anything is read or written.

Erased ids are known here from the moment the command is in the ledger, so that nothing that comes late, again or
in another order can bring an erased observation back. Thread-safe.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from mneme.v1.ledger_pb2 import Erased, LedgerEntry, NamespaceChanged, NamespaceDeleted

from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.ledger.entries import entry_of, open_aliases
from services.common.ledger.spaces import ByNamespace
from services.common.log.base import Log
from services.episodic.state.places import Places
from services.episodic.state.settings import NamespaceInfo, Settings

__all__ = ["FOLDED", "NamespaceInfo", "Registry"]

# Entries that are folded into engrams, with the alias groups of their time.
FOLDED = frozenset({"observation_accepted", "remembered", "corrected", "episode_closed"})


@dataclass(slots=True)
class _Erasures:
    macs: set[bytes] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    selectors: dict[str, bytes] = field(default_factory=dict)  # what was selected, as its hash, by receipt id
    commanded: int = 0  # highest epoch in the ledger
    applied: int = 0  # highest epoch of which nothing can be recalled any more


class Registry:
    """What the ledger says of namespaces. A deleted one is unknown from the command on; made anew, it begins empty."""

    def __init__(self, log: Log, keyring: Keyring) -> None:
        self._log = log
        self._keyring = keyring
        self._settings: ByNamespace[Settings] = ByNamespace(keyring)
        self._erased: ByNamespace[_Erasures] = ByNamespace(keyring)
        self._places: ByNamespace[Places] = ByNamespace(keyring)
        # The last deletion of each: its ledger offset, its receipt's id.
        self._deleted: ByNamespace[tuple[int, str]] = ByNamespace(keyring)
        self._going: ByNamespace[int] = ByNamespace(keyring)  # deleted at that offset, and not all of it is gone yet
        self._in_clear: ByNamespace[int] = ByNamespace(keyring)  # created at that offset, by its name
        self._lock = threading.Lock()

    def fold_all(self, partition: int, committed: int) -> None:
        """Read a partition of the ledger whole. Entries before ``committed`` have been applied."""
        for record in self._log.read(topics.LEDGER, partition):
            entry = entry_of(record)
            if entry is None:
                continue
            self._learn(entry, record.offset)
            if record.offset < committed:
                self._learn_applied(entry)
        for name in sorted(self._settings):  # now, for aliases that an erasure replaced cannot be opened any more
            self._open(name)

    def fold(self, entry: LedgerEntry, offset: int) -> None:
        """Learn from one entry at its place in the ledger; again is once."""
        self._learn(entry, offset)
        self._open(entry.namespace)

    def erase(self, namespace: str, erased: Erased) -> None:
        self._learn_erased(namespace, erased)
        self._open(namespace)

    def _learn(self, entry: LedgerEntry, offset: int) -> None:
        if entry.HasField("namespace_created") and not entry.pseudonym:
            with self._lock:
                self._in_clear.setdefault(entry.namespace, offset)
        if self.is_deleted_since(entry.namespace, offset):
            return  # of one that went; what is made anew begins after it
        if entry.WhichOneof("body") in FOLDED:
            self.told(entry, offset)
        elif entry.HasField("namespace_created"):
            self._learn_created(entry, offset)
        elif entry.HasField("namespace_changed"):
            self._learn_changed(entry.namespace, entry.namespace_changed, offset)
        elif entry.HasField("erased"):
            self._learn_erased(entry.namespace, entry.erased)
        elif entry.HasField("namespace_deleted"):
            self._learn_deleted(entry.namespace, entry.namespace_deleted, offset)

    def _learn_applied(self, entry: LedgerEntry) -> None:
        if entry.HasField("erased"):
            self.applied(entry.namespace, entry.erased.erasure_epoch)
        elif entry.HasField("namespace_deleted"):
            self.applied(entry.namespace, entry.namespace_deleted.erasure_epoch)
            self.deleted(entry.namespace)

    def _learn_deleted(self, name: str, deleted: NamespaceDeleted, offset: int) -> None:
        with self._lock:
            if self._deleted.get(name, (-1, ""))[0] == offset:
                return
            self._deleted[name] = (offset, deleted.receipt_id)
            self._going[name] = offset
            self._settings.pop(name, None)
            self._places.pop(name, None)
            before = self._erased.get(name, _Erasures())
            self._erased[name] = _Erasures(commanded=deleted.erasure_epoch, applied=before.applied)

    def delete(self, name: str, deleted: NamespaceDeleted, offset: int) -> None:
        """Know a deletion that was just appended: the namespace is unknown from now on."""
        self._learn_deleted(name, deleted, offset)

    def deleted(self, name: str) -> None:
        """Call once nothing of a deleted namespace is left: one that was made anew is known from then on."""
        with self._lock:
            self._going.pop(name, None)

    def is_going(self, name: str) -> bool:
        """Whether a namespace is deleted and some of it is still there."""
        with self._lock:
            return name in self._going

    def deletion(self, name: str) -> str:
        """The receipt's id of the last deletion of that name; "" where there was none."""
        with self._lock:
            return self._deleted.get(name, (-1, ""))[1]

    def is_deleted_since(self, name: str, offset: int) -> bool:
        """Whether a namespace that an entry at this offset is of was deleted after it."""
        with self._lock:
            return name in self._deleted and offset < self._deleted[name][0]

    def is_gone(self, name: str) -> bool:
        """Whether the namespace was deleted, and not made anew as far as the ledger is known."""
        with self._lock:
            return name in self._deleted and name not in self._settings

    def is_in_clear(self, name: str) -> bool:
        """Whether the ledger holds entries that are keyed by the name, for good."""
        with self._lock:
            return name in self._in_clear

    def _learn_created(self, entry: LedgerEntry, offset: int) -> None:
        with self._lock:
            self._settings.setdefault(entry.namespace, Settings.of(entry.namespace_created, offset))

    def _learn_changed(self, name: str, changed: NamespaceChanged, offset: int) -> None:
        with self._lock:
            if (settings := self._settings.get(name)) is not None:
                settings.change(changed, offset)

    def told(self, entry: LedgerEntry, offset: int) -> None:
        """Know where an entry lies, and that it is folded with the settings of its time. Call before a change after
        it."""
        with self._lock:
            if (settings := self._settings.get(entry.namespace)) is not None:
                settings.need(offset)
            self._places.setdefault(entry.namespace, Places()).add(entry, offset)

    def told_at(self, name: str, end: int) -> list[int]:
        """Ledger offsets of what the namespace was told before ``end``."""
        with self._lock:
            return self._places[name].told(end) if name in self._places else []

    def boundaries(self, name: str, session_mac: bytes, id_mac: bytes = b"") -> list[int]:
        """Ledger offsets of the boundaries of a session; with an observation, of those that may hold it."""
        with self._lock:
            return self._places[name].boundaries(session_mac, id_mac) if name in self._places else []

    def needless(self, name: str) -> list[str]:
        """Keys of alias groups that were replaced before anything was told."""
        with self._lock:
            settings = self._settings.get(name)
            return sorted(settings.needless) if settings is not None else []

    def alias_keys(self, name: str) -> set[str]:
        """Keys of alias groups that something is folded with, or will be."""
        with self._lock:
            settings = self._settings.get(name)
            return {period.sealed.key_id for period in settings.periods} if settings is not None else set()

    def _learn_erased(self, namespace: str, erased: Erased) -> None:
        with self._lock:
            known = self._erased.setdefault(namespace, _Erasures())
            known.macs.update(erased.id_macs)
            known.ids.update(erased.engram_ids)
            known.selectors.setdefault(erased.receipt_id, erased.selector_mac)
            known.commanded = max(known.commanded, erased.erasure_epoch)
            if (settings := self._settings.get(namespace)) is not None:
                settings.erase(erased)

    def applied(self, namespace: str, epoch: int) -> None:
        """Raise the namespace's erasure epoch: call once nothing of the erased can be recalled."""
        with self._lock:
            known = self._erased.setdefault(namespace, _Erasures())
            known.applied = max(known.applied, epoch)

    def _open(self, name: str) -> None:
        """Bring the namespace's info up to the alias groups that are known. Outside the lock: a key is waited for."""
        with self._lock:
            settings = self._settings.get(name)
            wanted = [(period, period.sealed) for period in settings.unopened()] if settings is not None else []
        opened = [(period, sealed, open_aliases(self._keyring, name, sealed)) for period, sealed in wanted]
        with self._lock:
            for period, sealed, groups in opened:
                if period.sealed.key_id == sealed.key_id:  # else whoever learned of newer ones opens those
                    period.open(groups)
            if settings is not None and not any(settings.unopened()):
                settings.describe(name)

    def namespace(self, name: str) -> NamespaceInfo | None:
        """As it is now."""
        with self._lock:
            settings = self._settings.get(name)
            return None if settings is None or name in self._going else settings.info

    def namespace_at(self, name: str, offset: int) -> NamespaceInfo | None:
        """As it was for an entry at this offset."""
        with self._lock:
            settings = self._settings.get(name)
            return None if settings is None or name in self._going else settings.info_at(offset)

    def names(self) -> list[str]:
        with self._lock:
            there = (name for name, settings in self._settings.items() if settings.info is not None)
            return sorted(name for name in there if name not in self._going)

    def is_erased_mac(self, namespace: str, mac: bytes) -> bool:
        with self._lock:
            known = self._erased.get(namespace)
            return known is not None and mac in known.macs

    def is_erased(self, namespace: str, id: str) -> bool:
        with self._lock:
            known = self._erased.get(namespace)
            return known is not None and id in known.ids

    def selector_mac(self, namespace: str, receipt_id: str) -> bytes | None:
        """The hash of what a command selected, applied or not: b"" in older ledgers. None: there is no such command."""
        with self._lock:
            known = self._erased.get(namespace)
            return known.selectors.get(receipt_id) if known else None

    def epoch(self, namespace: str) -> int:
        """The erasure epoch: everything commanded up to it cannot be recalled."""
        with self._lock:
            known = self._erased.get(namespace)
            return known.applied if known else 0

    def next_epoch(self, namespace: str) -> int:
        with self._lock:
            known = self._erased.get(namespace)
            return known.commanded + 1 if known else 1
