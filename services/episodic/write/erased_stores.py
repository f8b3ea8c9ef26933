"""What an erasure's receipt says of each store: done, or bounded by when."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.episodic_pb2 import StoreErasure
from mneme.v1.ledger_pb2 import StoredReceipt

from services.common.log.base import Log
from services.episodic.state.records import from_us, stamp
from services.episodic.state.service_state import BY_NAMESPACE
from services.episodic.write.components import Components, Dropped

_INDEX = "index"
_IDS_A_CALL = 50_000  # to a keeper of KV blocks; a message takes twice as many
_LETTERS = {
    True: "those that name it sealed under destroyed keys; others, of before it was there, until their retention ends",
    False: "those with its ids sealed under destroyed keys; others, sealed, until their retention ends",
}
_NAME = "the namespace's name"


def unnamed(receipt: StoredReceipt) -> StoredReceipt:
    """A deletion's receipt without the namespace's name, once nobody has to be told it any more."""
    if receipt.receipt.selected_by == BY_NAMESPACE and not owing(receipt):
        receipt.receipt.namespace = ""
    return receipt


def owes(store: StoreErasure) -> bool:
    """A keeper of KV blocks that did not answer. What is bounded by time alone names its time."""
    return not store.done and not store.HasField("by") and store.store != _INDEX


def owing(receipt: StoredReceipt) -> bool:
    return any(map(owes, receipt.receipt.stores))


def dropped_of(parts: Components, namespace: str, epoch: int, ids: Sequence[str]) -> list[Dropped]:
    """What each keeper of KV blocks says of an erasure, told it in parts; of several answers the one that is owed."""
    dropped: dict[str, Dropped] = {}
    for start in range(0, max(1, len(ids)), _IDS_A_CALL):
        for each in parts.drop_blocks(namespace, epoch, ids[start : start + _IDS_A_CALL]):
            if (before := dropped.get(each.keeper)) is None or before.done:
                dropped[each.keeper] = each
    return list(dropped.values())


def _keys(by_namespace: bool, count: int, log_done: bool, at: Timestamp) -> StoreErasure:
    what = "records of keys, the name key's among them," if by_namespace else "data keys"
    return StoreErasure(store="keys", done=log_done, detail=f"{count} {what} destroyed and compacted away", by=at)


def _ledger(named: bool, log_done: bool, at: Timestamp) -> StoreErasure:
    name = f"; {_NAME} stays, in clear, as the key of entries that an earlier version of Mneme wrote" if named else ""
    return StoreErasure(store="ledger", done=log_done, detail=f"sealed under destroyed keys{name}", by=at)


def _feed(by_namespace: bool, log_done: bool, at: Timestamp) -> StoreErasure:
    what = "removed" if by_namespace else "replaced by stubs"
    return StoreErasure(store="feed", done=log_done, detail=f"{what} and compacted away", by=at)


def _index(searches_vectors: bool, at: Timestamp) -> StoreErasure:
    if searches_vectors:
        detail = "rows deleted; texts were sealed; Milvus keeps their vectors until it compacts their segments"
        return StoreErasure(store=_INDEX, done=False, detail=detail)
    left = "their words' keyed hashes"
    detail = (
        f"rows deleted; texts and vectors were sealed; copies of {left} may lie in the file until it uses their room"
    )
    return StoreErasure(store=_INDEX, done=True, detail=detail, by=at)


def holds_any(log: Log, topic: str) -> bool:
    return any(True for partition in range(log.partitions(topic)) for _ in log.read(topic, partition))


def _inbox(is_empty: bool, log_done: bool, at: Timestamp, until: Timestamp) -> StoreErasure:
    if is_empty and log_done:
        return StoreErasure(store="inbox", done=True, detail="empty, and what was in it is overwritten", by=at)
    if is_empty:
        detail = "nothing to read; the broker's disk keeps what was removed until the retention ends"
    else:
        detail = "holds what perception has not taken and removed yet: seconds, and no longer than the retention"
    return StoreErasure(store="inbox", done=False, detail=detail, by=until)


def stores(
    receipt: StoredReceipt, now_us: int, bound_s: float, inbox_is_empty: bool, in_clear: bool, parts: Components
) -> list[StoreErasure]:
    at = stamp(from_us(now_us))
    scrubbed = stamp(from_us(now_us + int(bound_s * 1e6)))
    inbox = stamp(from_us(now_us + parts.inbox_retention_s * 1_000_000))
    letters = stamp(from_us(now_us + parts.dead_letter_retention_s * 1_000_000))
    log_done = bound_s == 0.0
    by_namespace = receipt.receipt.selected_by == BY_NAMESPACE
    return [
        _keys(by_namespace, receipt.receipt.keys_destroyed, log_done, scrubbed),
        _ledger(by_namespace and in_clear, log_done, scrubbed),
        _feed(by_namespace, log_done, scrubbed),
        _index(parts.index.searches_vectors, at),
        _inbox(inbox_is_empty, log_done, at, inbox),
        StoreErasure(store="dead letters", done=False, detail=_LETTERS[by_namespace], by=letters),
    ]
