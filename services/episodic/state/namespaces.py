"""Namespaces of a partition, and what was erased: the facts of all of its ledger, before anything is read or written.

Erased ids are known here from the moment the command is in the ledger, so that nothing that comes late, again or
in another order can bring an erased observation back. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from mneme.v1.admin_pb2 import Quota
from mneme.v1.ledger_pb2 import LedgerEntry, PartitionFacts

from services.common.crypto.seal import Keyring
from services.common.ids import pseudonym_in
from services.common.ledger import topics
from services.common.ledger.entries import entry_of, open_aliases
from services.common.ledger.facts import Facts, Learned, NamespaceFacts, fold
from services.common.ledger.quota import NO_QUOTA, Amount
from services.common.ledger.settings import Place
from services.common.ledger.snapshot import SnapshotFile, SnapshotRefused
from services.common.ledger.snapshots import Snapshots
from services.common.ledger.spaces import ByNamespace
from services.common.ledger.stored_facts import gone_on_with, restore
from services.common.ledger.usage import Usage
from services.common.log.base import Log
from services.episodic.state.settings import NamespaceInfo, described

__all__ = ["NamespaceInfo", "Registry"]

_NOTHING = NamespaceFacts(-1)  # of a namespace that no entry is of


class Registry:
    """What the ledger says of namespaces. A deleted one is unknown from the command on; made anew, it begins empty."""

    def __init__(self, log: Log, keyring: Keyring, partition: int) -> None:
        self._log = log
        self._keyring = keyring
        self._partition = partition
        self._facts = Facts(keyring, observations=False)
        # Once all alias groups were opened; of before a change until its own are.
        self._infos: ByNamespace[NamespaceInfo] = ByNamespace(keyring)
        self._applied: ByNamespace[int] = ByNamespace(keyring)  # highest erasure epoch of which nothing is recalled
        self._going: ByNamespace[int] = ByNamespace(keyring)  # deleted at that offset, and not all of it is gone yet
        self._next = 0  # everything before is known
        self._counted = 0  # texts before are counted
        self._lock = threading.Lock()

    def fold_all(self, committed: int) -> None:
        """Know the partition to its end. Entries before ``committed`` have been applied."""
        for record in self._log.read(topics.LEDGER, self._partition, self._next):
            if (entry := entry_of(record)) is not None:
                self._learn(entry, Place(self._partition, record.offset))
            self._next = record.offset + 1
        with self._lock:
            self._counted = max(self._counted, self._next)
            for name, of in self._facts.items():
                self._applied[name] = max(self._applied.get(name, 0), of.epoch_before(committed))
                if of.deleted is None or of.deleted.place.offset < committed:
                    self._going.pop(name, None)
                else:
                    self._going[name] = of.deleted.place.offset
            made = {name: of.settings.place for name, of in self._facts.items() if of.settings is not None}
        for name in sorted(self._by_name(made)):
            self._open(name)  # now, for alias groups that an erasure replaced cannot be opened any more

    def kept_in(self, path: Path, applied: Callable[[], int]) -> Snapshots:
        """``fold_all`` reads on from what is restored. ``applied``: how far the partition is."""
        file = SnapshotFile(path, self._log, self._keyring, [self._partition])

        def take() -> list[PartitionFacts]:
            """From the one before, in the ledger's order: some erasures are known here ahead of their turn."""
            try:
                before = file.read()
            except SnapshotRefused:
                before = []
            [of] = before or [PartitionFacts(partition=self._partition)]
            return [gone_on_with(of, self._log, self._keyring, applied())]

        return Snapshots(file, restore=self.restore, positions=lambda: [applied()], take=take)

    def restore(self, partitions: Sequence[PartitionFacts]) -> None:
        """Begin with a snapshot, of the one partition."""
        for one in partitions:
            restore(self._facts, one)
            self._next = one.next

    def _by_name(self, made: Mapping[str, Place]) -> Iterator[str]:
        """Namespaces by their names, which a snapshot does not tell; ``made``: where each was created."""
        names = self._keyring.names() if any(pseudonym_in(name) for name in made) else {}
        for listed, created in made.items():
            name, pseudonym = listed, pseudonym_in(listed)
            if pseudonym is not None:
                name = names.get(pseudonym) or self._name_in_clear(created)
                with self._lock:
                    self._facts[name] = self._facts[listed]
            yield name

    def _name_in_clear(self, created: Place) -> str:
        """As the ledger holds it."""
        [record] = self._log.read(topics.LEDGER, created.partition, created.offset, created.offset + 1)
        return record.key.decode()

    def fold(self, entry: LedgerEntry, place: Place) -> None:
        """Learn from one entry at its place in the ledger; again is once. An erasure or a deletion that was just
        appended holds from now on."""
        self._learn(entry, place)
        self._open(entry.namespace)

    def _learn(self, entry: LedgerEntry, place: Place) -> None:
        with self._lock:
            if fold(self._facts, entry, place) & Learned.DELETION:
                self._keyring.was_deleted(entry.namespace)
                self._going[entry.namespace] = place.offset
                self._infos.pop(entry.namespace, None)

    def _open(self, name: str) -> None:
        """Bring the namespace's info up to the alias groups that are known. Outside the lock: a key is waited for."""
        with self._lock:
            settings = self._of(name).settings
            if settings is None:
                return
            wanted = {period.sealed.key_id: period.sealed for period in settings.periods}
            opened = self._infos[name].groups_by_key if name in self._infos else {}
        for key_id in wanted.keys() - opened.keys():
            opened[key_id] = tuple(open_aliases(self._keyring, name, wanted[key_id]))
        with self._lock:
            now = self._of(name).settings
            # Else whoever learned of newer ones opens those.
            if now is settings and all(period.sealed.key_id in opened for period in settings.periods):
                self._infos[name] = described(name, settings, opened)

    def _of(self, name: str) -> NamespaceFacts:
        return self._facts.get(name, _NOTHING)

    # --- namespaces ---

    def namespace(self, name: str) -> NamespaceInfo | None:
        """As it is now."""
        with self._lock:
            return None if name in self._going else self._infos.get(name)

    def namespace_at(self, name: str, offset: int) -> NamespaceInfo | None:
        """As it was for an entry at this offset."""
        info = self.namespace(name)
        return info.at(offset) if info is not None else None

    def names(self) -> list[str]:
        with self._lock:
            return sorted(name for name in self._infos if name not in self._going)

    def told(self, entry: LedgerEntry, place: Place) -> None:
        """Know where an entry lies, and that it is folded with the settings of its time. Call before a change after
        it."""
        with self._lock:
            fold(self._facts, entry, place)
            self._counted = max(self._counted, place.offset + 1)
            if (settings := self._of(entry.namespace).settings) is not None:
                settings.need(place.offset)

    def told_at(self, name: str, end: int) -> list[int]:
        """Ledger offsets of what the namespace was told before ``end``."""
        with self._lock:
            return self._of(name).places.told(end)

    def acts_at(self, name: str, end: float) -> list[int]:
        """Ledger offsets before ``end`` of what was done in the namespace, and of episodes' boundaries; once it is
        deleted, of that alone."""
        with self._lock:
            acts = self._of(name).acts(end)
        return sorted(acts)

    def usage(self, name: str) -> tuple[Usage, int, Quota]:
        """What the namespace was told, how many of it are erased, and its quota."""
        with self._lock:
            of = self._of(name)
            return replace(of.usage), len(of.erasures.ids), of.settings.quota if of.settings is not None else NO_QUOTA

    def quota(self, name: str) -> Quota:
        with self._lock:
            settings = self._of(name).settings
            return settings.quota if settings is not None else NO_QUOTA

    def held(self, name: str) -> tuple[Amount, int]:
        """What the namespace was told and is not erased, of the texts before a ledger offset, and that offset."""
        with self._lock:
            return self._of(name).held, self._counted

    def sizes(self, name: str, offsets: Iterable[int]) -> list[int]:
        """Bytes of the texts that the namespace was told at these ledger offsets, as they are sealed there."""
        with self._lock:
            return self._of(name).places.sizes(offsets)

    def newest(self, name: str, end: float = inf) -> int:
        """The ledger offset of the namespace's newest entry before ``end``, changes of settings left out; -1: none."""
        with self._lock:
            return self._of(name).newest(end)

    def boundaries(self, name: str, session_mac: bytes, id_mac: bytes = b"") -> list[int]:
        """Ledger offsets of the boundaries of a session; with an observation, of those that may hold it."""
        with self._lock:
            return self._of(name).places.boundaries(session_mac, id_mac)

    def needless(self, name: str) -> list[str]:
        """Keys of alias groups that were replaced before anything was told."""
        with self._lock:
            settings = self._of(name).settings
            return sorted(settings.needless) if settings is not None else []

    def alias_keys(self, name: str) -> set[str]:
        """Keys of alias groups that something is folded with, or will be."""
        with self._lock:
            settings = self._of(name).settings
            return {period.sealed.key_id for period in settings.periods} if settings is not None else set()

    def is_in_clear(self, name: str) -> bool:
        """Whether the ledger holds entries that are keyed by the name, for good."""
        with self._lock:
            return self._of(name).in_clear

    # --- deletions ---

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
            deleted = self._of(name).deleted
            return deleted.receipt_id if deleted is not None else ""

    def is_deleted_since(self, name: str, offset: int) -> bool:
        """Whether a namespace that an entry at this offset is of was deleted after it."""
        with self._lock:
            return self._of(name).is_deleted_since(offset)

    def is_gone(self, name: str) -> bool:
        """Whether the namespace was deleted, and not made anew as far as the ledger is known."""
        with self._lock:
            return self._of(name).is_gone

    # --- erasures ---

    def applied(self, namespace: str, epoch: int) -> None:
        """Raise the namespace's erasure epoch: call once nothing of the erased can be recalled."""
        with self._lock:
            self._applied[namespace] = max(self._applied.get(namespace, 0), epoch)

    def is_erased_mac(self, namespace: str, mac: bytes) -> bool:
        with self._lock:
            return mac in self._of(namespace).erasures.macs

    def is_erased(self, namespace: str, id: str) -> bool:
        with self._lock:
            return id in self._of(namespace).erasures.ids

    def selector_mac(self, namespace: str, receipt_id: str) -> bytes | None:
        """The hash of what a command selected, applied or not: b"" in older ledgers. None: there is no such command."""
        with self._lock:
            return self._of(namespace).erasures.selectors.get(receipt_id)

    def epoch(self, namespace: str) -> int:
        """The erasure epoch: everything commanded up to it cannot be recalled."""
        with self._lock:
            return self._applied.get(namespace, 0)

    def next_epoch(self, namespace: str) -> int:
        with self._lock:
            return self._of(namespace).epoch_before(inf) + 1
