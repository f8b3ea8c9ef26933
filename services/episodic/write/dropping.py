"""Deleting a partition's generations: one that was replaced, one whose rebuild did not reach its end.

Until one is gone, its feed records and keys hold derived text that erasures no longer reach.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mneme.v1.ledger_pb2 import FeedRecord

from services.common.crypto.seal import KeyDestroyed, Keyring
from services.common.ledger import topics
from services.common.log.base import Log, Message
from services.episodic.state.service_state import OperatorState
from services.episodic.state.store import open_core
from services.episodic.write.components import Components

_TOMBSTONES = 1_000


def drop(parts: Components, partition: int, state: OperatorState, number: int) -> None:
    """Delete a generation: its collection, its feed records, the keys that only it used. Again is once."""
    log, keyring = parts.log, parts.keyring
    parts.index.drop(number)
    messages: list[Message] = []
    keys: set[str] = set()
    for key, feed in _feed_of(log, number, partition):
        keys |= _own_keys(keyring, feed)
        messages.append(Message(topics.FEED, key, None, partition_key=feed.namespace.encode()))
        if len(messages) + len(keys) >= _TOMBSTONES:
            _remove(keyring, partition, messages, keys)
            messages, keys = [], set()
    _remove(keyring, partition, [*messages, state.set_progress(number, None)], keys)


def _remove(keyring: Keyring, partition: int, messages: Sequence[Message], keys: Collection[str]) -> None:
    with keyring.transaction(partition, keys) as tx:
        for message in messages:
            tx.append(message)


def _own_keys(keyring: Keyring, feed: FeedRecord) -> set[str]:
    """Keys of derived text: not a base engram's own, which is its observation's and serves every generation."""
    if feed.erased:
        return set()
    try:
        is_base = open_core(feed, keyring).record.is_base
    except KeyDestroyed:
        return {feed.detail.key_id}
    keys = {feed.detail.key_id, feed.sealed.key_id}
    return keys - {feed.sealed.key_id} if is_base else keys


def _feed_of(log: Log, number: int, partition: int) -> Sequence[tuple[bytes, FeedRecord]]:
    """What the feed holds of a generation, the newest of each key."""
    newest: dict[bytes, FeedRecord | None] = {}
    for record in log.read(topics.FEED, partition):
        if record.key.startswith(f"{number}/".encode()):
            newest[record.key] = FeedRecord.FromString(record.value) if record.value is not None else None
    return [(key, feed) for key, feed in newest.items() if feed is not None]


def generations(parts: Components, state: OperatorState) -> set[int]:
    """Numbers of those of which the index or the feed may hold anything: each has its progress noted before anything of
    it is in the feed, and until nothing is."""
    return set(parts.index.generations()) | state.followed()
