"""Looking for what is left of a deleted namespace, in every store; not for what was told since it was made anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import ErasureProbe

from services.common.crypto.seal import record_of
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import partition_of
from services.episodic.erasure.probe import is_readable, opens, probe_blocks, probe_letters
from services.episodic.write.fold import Entry, Poison
from services.episodic.write.generation import decode
from services.episodic.write.writer import Host


@dataclass(frozen=True, slots=True)
class _Before:
    """A namespace up to the entry that deleted it."""

    namespace: str
    pseudonym: bytes
    receipt: pb.StoredReceipt
    offset: int  # of the entry
    partition: int  # of the ledger and the feed
    keys: frozenset[str]  # records of keys that exist of the namespace now, by id


class DeletedProbing:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._parts = host.parts

    def probe(self, namespace: str, receipt: pb.StoredReceipt) -> list[ErasureProbe]:
        """Try to read the deleted in every store. A readable count of 0 everywhere is clean."""
        at, keyring = receipt.receipt.position, self._parts.keyring
        keys = frozenset(keyring.keys_of(namespace))
        of = _Before(namespace, keyring.pseudonym(namespace), receipt, at.offset, at.partition, keys)
        return [
            *self._probe_ledger(of),
            self._probe_feed(of),
            self._probe_index(of),
            self._probe_recall(of),
            self._probe_letters(of),
            *probe_blocks(
                self._parts, namespace, receipt.receipt.erasure_epoch, [*receipt.base_ids, *receipt.derived_ids]
            ),
        ]

    def is_of(self, namespace: str, receipt: pb.StoredReceipt) -> bool:
        """Whether a deletion's receipt, which keeps no name, is of the namespace: by the entry that deleted it."""
        at, keyring = receipt.receipt.position, self._parts.keyring
        if at.partition != self._host.partition:
            return False
        pseudonym = keyring.pseudonym(namespace)
        entries = self._entries(at.partition, at.offset, at.offset + 1)
        return any(keyring.pseudonym(entry.namespace) == pseudonym for entry in entries)

    def _entries(self, partition: int, start: int, end: int) -> Iterator[Entry]:
        for record in self._parts.log.read(topics.LEDGER, partition, start, end):
            try:
                yield decode(record)
            except Poison:
                continue  # a dead letter, sealed under a key of its own

    def _probe_ledger(self, of: _Before) -> list[ErasureProbe]:
        """Of the entries what can be opened, and of the keys those that exist."""
        keyring = self._parts.keyring
        looked = readable = 0
        left: set[str] = set()
        for entry in self._entries(of.partition, 0, of.offset + 1):
            if keyring.pseudonym(entry.namespace) != of.pseudonym:
                continue
            looked += 1
            left |= {entry.body.namespace_deleted.name_key_id} & of.keys
            for sealed, purpose, _ in ledger.seals_in(entry.body):
                if record_of(sealed.key_id) in of.keys:
                    left.add(record_of(sealed.key_id))
                    readable += opens(keyring, of.namespace, sealed, purpose)
        # Where nothing was made anew, all that there are; then the ledger must be known to its end.
        if self._host.lag() == 0 and self._host.registry.is_gone(of.namespace):
            left |= of.keys
        named = self._host.registry.is_in_clear(of.namespace)
        name = (
            "; the namespace's name stays, in clear, as the key of those that an earlier version wrote" if named else ""
        )
        detail = "data keys, and the one that tells the name, that still exist"
        return [
            ErasureProbe(store="keys", looked_at=len(of.keys), readable=len(left), detail=detail),
            ErasureProbe(
                store="ledger", looked_at=looked, readable=readable, detail=f"entries that can be opened{name}"
            ),
        ]

    def _probe_feed(self, of: _Before) -> ErasureProbe:
        looked = readable = 0
        partition = partition_of(of.namespace.encode(), self._parts.log.partitions(topics.FEED))
        for record in self._parts.log.read(topics.FEED, partition):
            looked += 1
            feed = pb.FeedRecord.FromString(record.value or b"")
            if feed.namespace == of.namespace and feed.version < of.offset:
                is_held = not of.keys.isdisjoint((record_of(feed.sealed.key_id), record_of(feed.detail.key_id)))
                readable += is_held and is_readable(feed, self._parts.keyring)
        return ErasureProbe(store="feed", looked_at=looked, readable=readable, detail="records that can be opened")

    def _probe_index(self, of: _Before) -> ErasureProbe:
        store, live = self._host.live.store, self._host.live
        ids = [found.id for found in store.collection.rows(store.hasher.pseudonym(of.namespace))]
        with live.lock:  # whose rows were there is in the directory once its batch is whole
            since = {slot.id for slot in store.directory.slots(of.namespace) if slot.version > of.offset}
        left = sum(id not in since for id in ids)
        return ErasureProbe(store="index", looked_at=len(ids), readable=left, detail="rows of the namespace as it was")

    def _probe_recall(self, of: _Before) -> ErasureProbe:
        slots = self._host.live.store.directory.slots(of.namespace)
        left = sum(slot.version < of.offset for slot in slots)
        detail = "engrams of the namespace as it was that are returned"
        return ErasureProbe(store="recall", looked_at=len(slots), readable=left, detail=detail)

    def _probe_letters(self, of: _Before) -> ErasureProbe:
        deleted_at = of.receipt.receipt.at.ToNanoseconds()
        detail = "letters that name the namespace and can be opened"
        return probe_letters(self._parts, of.namespace, lambda letter: letter.at.ToNanoseconds() <= deleted_at, detail)
