"""Deleting a namespace: one command in the ledger, applied in bounded pieces, each of which may be done again.

From the command on nobody is given anything of it. The writer then takes it from every generation and destroys all keys
that the namespace ever had, so that whatever still holds a text of it in a log is unreadable. Last it destroys the name
key, in the transaction that commits the command's offset: killed anywhere before, it begins again and finds by name
what is left. As long as that is there nobody makes the namespace anew, whose keys would go too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import ErasureReceipt

from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.entries import MAC_DELETE
from services.common.ledger.settings import Place
from services.common.log.base import Consumer, Message, TopicPartition, partition_of
from services.common.serving import clocks
from services.episodic.state.checks import unknown_namespace
from services.episodic.state.namespaces import Registry
from services.episodic.state.service_state import BY_NAMESPACE, OperatorState
from services.episodic.write.components import Components
from services.episodic.write.fold import Entry
from services.episodic.write.generation import Generation, Step
from services.episodic.write.parked import Parking

T = TypeVar("T")
_AT_ONCE = 500  # engrams, records or keys of one piece


def command(
    parts: Components, registry: Registry, lock: threading.Lock, namespace: str, id: str, principal: str
) -> str:
    """Append the entry; the receipt's id. The same ``id`` again appends nothing. Call for a namespace that exists.

    ``lock``: held by whoever counts erasure epochs up.
    """
    receipt_id = deletion_id(parts, namespace, id)
    with lock:
        if registry.namespace(namespace) is None and registry.deletion(namespace) != receipt_id:
            raise unknown_namespace(namespace)  # somebody was first
        if registry.namespace(namespace) is None:
            return receipt_id
        name_key = parts.keyring.name_key(namespace)
        deleted = pb.NamespaceDeleted(
            receipt_id=receipt_id, erasure_epoch=registry.next_epoch(namespace), name_key_id=name_key.key_id
        )
        entry = pb.LedgerEntry(namespace=namespace, principal=principal, namespace_deleted=deleted)
        entry.ingested_at.CopyFrom(clocks.now())
        [*_, at] = parts.log.append([name_key.message, ledger.message(entry)])
        registry.fold(entry, Place(at.partition, at.offset))
    return receipt_id


def _pieces(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def deletion_id(parts: Components, namespace: str, id: str) -> str:
    """The receipt's id of a deletion that was asked for with this idempotency key."""
    return parts.keyring.mac(namespace, MAC_DELETE, id).hex()


class Deletion:
    """Applying one command. ``step`` is called between the pieces; tests kill there."""

    def __init__(self, parts: Components, state: OperatorState, entry: Entry, step: Step) -> None:
        self._parts, self._state, self._entry, self._step = parts, state, entry, step

    def begin(self, generation: Generation) -> pb.StoredReceipt:
        """The receipt, with the ids of what goes from the live generation; kept until the end, for these are lost
        as they go."""
        body = self._entry.body
        known = self._state.deletion(body.namespace_deleted.receipt_id)
        if known is not None:
            return known
        slots = generation.store.directory.slots(self._entry.namespace)
        receipt = ErasureReceipt(
            id=body.namespace_deleted.receipt_id,
            namespace=self._entry.namespace,
            position=Position(partition=self._entry.partition, offset=self._entry.offset),
            at=body.ingested_at,
            erasure_epoch=body.namespace_deleted.erasure_epoch,
            base_erased=sum(s.is_base for s in slots),
            derived_retired=sum(not s.is_base for s in slots),
            keys_destroyed=len(self._parts.keyring.keys_of(self._entry.namespace)),
            selected_by=BY_NAMESPACE,
        )
        ids = [sorted(s.id for s in slots if s.is_base is base) for base in (True, False)]
        begun = pb.StoredReceipt(receipt=receipt, base_ids=ids[0], derived_ids=ids[1])
        self._parts.log.append(self._state.set_receipt(begun))
        self._step("deletion begun")
        return begun

    def pieces(self, generation: Generation) -> Iterator[Sequence[str]]:
        """Ids of what a generation still holds, a bounded number at a time."""
        while ids := sorted(s.id for s in generation.store.directory.slots(self._entry.namespace)):
            yield from _pieces(ids)

    def take(self, generation: Generation, ids: Sequence[str]) -> None:
        """A piece out of the index and what is searched. Call with the generation's lock held."""
        generation.store.forget(self._entry.namespace, ids)
        self._step("deletion index")

    def take_from_logs(self) -> Iterator[None]:
        """The namespace's keys but those that name it, its records in topics that are compacted, and its receipts; a
        piece at a time."""
        namespace, keyring = self._entry.namespace, self._parts.keyring
        for ids in _pieces(keyring.keys_of(namespace, naming=False)):
            keyring.destroy(namespace, ids)
            self._step("deletion keys")
            yield
        partition_key = namespace.encode()
        for keys in _pieces(self._feed_keys()):
            self._append([Message(topics.FEED, k, None, partition_key=partition_key) for k in keys], "deletion feed")
            yield
        parking = Parking(self._state, self._parts.log, keyring)
        for messages in _pieces([*self._state.without(namespace), *parking.gone(parking.of(namespace))]):
            self._append(messages, "deletion receipts")
            yield

    def end(self, consumer: Consumer) -> None:
        """Destroy the name key, and what came meanwhile, and commit the command's offset: it does not come again."""
        partition, keyring = self._entry.partition, self._parts.keyring
        with keyring.transaction(partition, keyring.keys_of(self._entry.namespace), consumer) as tx:
            tx.commit({TopicPartition(topics.LEDGER, partition): self._entry.offset + 1})
        self._step("deletion ended")

    def _feed_keys(self) -> list[bytes]:
        """Keys of the namespace's records in the feed, of every generation, that are not removed yet."""
        log, namespace = self._parts.log, self._entry.namespace
        partition = partition_of(namespace.encode(), log.partitions(topics.FEED))
        there: dict[bytes, bool] = {}
        for record in log.read(topics.FEED, partition):
            if record.value is None:
                there.pop(record.key, None)
            elif pb.FeedRecord.FromString(record.value).namespace == namespace:
                there[record.key] = True
        return sorted(there)

    def _append(self, messages: Iterable[Message], step: str) -> None:
        self._parts.log.append(list(messages))
        self._step(step)
