"""Small state in ``mneme.state.v1``: of each partition of the ledger the generation in use, index progress, receipts,
operations.

Each value has one writer. What is read is what was committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TypeVar

from google.protobuf.message import Message as Proto
from mneme.v1.admin_pb2 import Operation
from mneme.v1.common_pb2 import Position
from mneme.v1.ledger_pb2 import Generation, IndexProgress, StoredReceipt

from services.common.crypto.seal import Keyring
from services.common.ids import is_unnamed, unnamed
from services.common.ledger import topics
from services.common.log.base import Message, partition_of
from services.episodic.state.state_topic import StateTopic

P = TypeVar("P", bound=Proto)
_BEFORE_PARTITIONS = "generation/in-use"  # of all partitions, as earlier versions had it
BY_NAMESPACE = "namespace"  # what a receipt's selected_by says where a namespace was deleted
_BY_SPACE = ("receipt", "receipt-ids", "erasing")  # what is kept of a namespace
_RECEIPT_IDS = ("base_ids", "derived_ids", "key_ids")
_IDS_A_RECORD = 1_000  # of at most 50 bytes each: far below what a record takes


class OperatorState:
    """What the topic holds of a partition of the ledger, for its owner. Thread-safe."""

    def __init__(self, topic: StateTopic, keyring: Keyring, partition: int) -> None:
        self._topic = topic
        self._keyring = keyring
        self._partition = partition
        self._generation = f"generation/in-use/{partition}"
        self._building = f"generation/building/{partition}"

    def message(self, key: str, value: Proto | None) -> Message:
        """What to append, alone or in a transaction. None removes the key."""
        return Message(topics.STATE, key.encode(), None if value is None else value.SerializeToString())

    def get(self, key: str, type: type[P]) -> P | None:
        """The newest committed value."""
        self._topic.refresh()
        return self._held(key, type)

    def _held(self, key: str, type: type[P]) -> P | None:
        """The value as of the last look at the log."""
        found = self._topic.get(key)
        return type.FromString(found) if found is not None else None

    def items(self, prefix: str, type: type[P]) -> Iterator[tuple[str, P]]:
        self._topic.refresh()
        for key, value in self._topic.items(prefix):
            yield key, type.FromString(value)

    # --- what there is ---

    def generation(self) -> Generation | None:
        return self.get(self._generation, Generation) or self._held(_BEFORE_PARTITIONS, Generation)

    def set_generation(self, number: int, fingerprint: str) -> Message:
        return self.message(self._generation, Generation(number=number, fingerprint=fingerprint))

    def building(self) -> Generation | None:
        """What is being built, as far as it can be gone on with."""
        return self.get(self._building, Generation)

    def set_building(self, number: int, fingerprint: str, applied: int) -> Message:
        """``applied``: the next ledger offset to fold."""
        position = Position(partition=self._partition, offset=applied)
        return self.message(self._building, Generation(number=number, fingerprint=fingerprint, next=[position]))

    def without_building(self) -> list[Message]:
        """To append with whatever what is being built does not follow at once: it could not be gone on with."""
        return [self.message(self._building, None)] if self.building() is not None else []

    def progress(self, generation: int) -> int:
        """Next feed offset to index."""
        found = self.get(self._index(generation), IndexProgress)
        return found.next[0].offset if found else 0

    def set_progress(self, generation: int, progress: int | None) -> Message:
        value = None
        if progress is not None:
            value = IndexProgress(next=[Position(partition=self._partition, offset=progress)])
        return self.message(self._index(generation), value)

    def followed(self) -> set[int]:
        """Generations whose progress is noted."""
        self._topic.refresh()
        return {int(key.rsplit("/", 1)[1]) for key, _ in self._topic.items(self._index(""))}

    def _index(self, generation: int | str) -> str:
        return f"index/{self._partition}/{generation}"

    def receipt(self, namespace: str, id: str) -> StoredReceipt | None:
        receipt = self.get(_receipt_key(self._space(namespace), id), StoredReceipt)
        return receipt and self._completed(receipt)

    def deletion(self, id: str) -> StoredReceipt | None:
        """The receipt of a namespace's deletion."""
        receipt = self.get(_deletion_key(id), StoredReceipt)
        return receipt and self._completed(receipt)

    def receipts(self) -> Iterator[StoredReceipt]:
        """Of the partition's erasures and deletions."""
        for prefix in ("receipt/", "deletion/"):
            for _, receipt in self.items(prefix, StoredReceipt):
                if receipt.receipt.position.partition == self._partition:
                    yield self._completed(receipt)

    def without(self, namespace: str) -> list[Message]:
        """Messages that remove the receipts of a namespace, and whatever else is kept under its name."""
        self._topic.refresh()
        prefixes = (f"{what}/{self._space(namespace)}/" for what in _BY_SPACE)
        return [self.message(key, None) for key, _ in self._topic.items(*prefixes)]

    def renamed(self) -> Iterator[list[Message]]:
        """To append before anything else: gives what an earlier version keyed by a namespace's name the key of now.

        Of the partition's own namespaces; who owns another may be under way with theirs.
        """
        self._topic.refresh()
        partitions = self._topic.log.partitions(topics.LEDGER)
        for key, value in self._topic.items(*(f"{what}/" for what in _BY_SPACE)):
            what, _, rest = key.partition("/")
            if not is_unnamed(rest):
                name = rest.rsplit("/", 1 if what == "receipt" else 2)[0]
                now = f"{what}/{self._space(name)}{rest.removeprefix(name)}"
                if partition_of(name.encode(), partitions) == self._partition:
                    yield [Message(topics.STATE, now.encode(), value), self.message(key, None)]

    def _space(self, namespace: str) -> str:
        """How a namespace stands in keys, which what removes a value keeps for a day."""
        return unnamed(self._keyring.pseudonym(namespace))

    def _key_of(self, receipt: StoredReceipt, part: int = 0) -> str:
        of = receipt.receipt
        if of.selected_by == BY_NAMESPACE:
            return _deletion_key(of.id, part)
        return _receipt_key(self._space(of.namespace), of.id, part)

    def set_receipt(self, receipt: StoredReceipt) -> list[Message]:
        """To append together. Of many ids, those that one record does not take lie in further records before it."""
        of = receipt.receipt
        ids = [(name, id) for name in _RECEIPT_IDS for id in getattr(receipt, name)]
        first, *more = [ids[start : start + _IDS_A_RECORD] for start in range(0, len(ids), _IDS_A_RECORD)] or [[]]
        messages = [
            self.message(self._key_of(receipt, n), _with_ids(StoredReceipt(), some)) for n, some in enumerate(more, 1)
        ]
        return [*messages, self.message(self._key_of(receipt), _with_ids(StoredReceipt(receipt=of), first))]

    def _completed(self, receipt: StoredReceipt) -> StoredReceipt:
        """With the ids of the further records. A receipt's ids never change, so neither does how many there are."""
        for n in count(1):
            more = self._held(self._key_of(receipt, n), StoredReceipt)
            if more is None:
                break
            receipt.MergeFrom(more)
        return receipt

    def notes(self, namespace: str, id: str) -> list[StoredReceipt]:
        """What the pieces of an erasure noted that is not applied to its end, in order."""
        return [note for _, note in self.items(_note_key(self._space(namespace), id), StoredReceipt)]

    def note(self, namespace: str, id: str, number: int, of: StoredReceipt) -> Message:
        return self.message(f"{_note_key(self._space(namespace), id)}{number:06}", of)

    def without_notes(self, namespace: str, id: str) -> list[Message]:
        return [self.message(key, None) for key, _ in self.items(_note_key(self._space(namespace), id), StoredReceipt)]

    def operation(self, id: str) -> Operation | None:
        """The partition's part of it."""
        return self.get(f"operation/{id}/{self._partition}", Operation)

    def operations(self) -> Iterator[Operation]:
        """The partition's parts."""
        part = f"/{self._partition}"
        return (operation for key, operation in self.items("operation/", Operation) if key.endswith(part))

    def set_operation(self, operation: Operation) -> Message:
        return self.message(f"operation/{operation.id}/{self._partition}", operation)


def operation_parts(topic: StateTopic, id: str) -> dict[int, Operation]:
    """What every partition of the ledger has of an operation, by its number, whoever holds it."""
    prefix = f"operation/{id}/"
    topic.refresh()
    found = {key.removeprefix(prefix): value for key, value in topic.items(prefix)}
    return {int(number): Operation.FromString(value) for number, value in found.items() if number.isdecimal()}


def _receipt_key(space: str, id: str, part: int = 0) -> str:
    """Of the receipt itself, or of a further record with ids of it."""
    return f"receipt-ids/{space}/{id}/{part}" if part else f"receipt/{space}/{id}"


def _note_key(space: str, id: str) -> str:
    return f"erasing/{space}/{id}/"


def _deletion_key(id: str, part: int = 0) -> str:
    """As ``_receipt_key``, for what outlives its namespace."""
    return f"deletion-ids/{id}/{part}" if part else f"deletion/{id}"


def _with_ids(receipt: StoredReceipt, ids: Sequence[tuple[str, str]]) -> StoredReceipt:
    for name, id in ids:
        getattr(receipt, name).append(id)
    return receipt
