"""Keys of texts over both logs: what is destroyed is gone from the log, and no process brings it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mneme.v1.ledger_pb2 import DataKey, Sealed

from services.common.crypto.seal import KeyDestroyed, Keyring, MasterKey
from services.common.ledger import topics
from services.common.log.base import Cleanup, Fenced, Log, Message, Record, TopicSpec, partition_of
from services.common.log.kafka.log import KafkaLog
from services.common.log.sqlite import SqliteLog
from tests.kafka import unique

NAMESPACE, PARTITIONS = "acme/anna", 2
PARTITION = partition_of(NAMESPACE.encode(), PARTITIONS)

Rings = Callable[[], tuple[Keyring, Log]]


@pytest.fixture(params=["sqlite", "kafka"])
def rings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rings]:
    """Opens the log, as often as a test likes, each time as another process would."""
    opened: list[Log] = []

    def another() -> tuple[Keyring, Log]:
        if request.param == "kafka":
            opened.append(KafkaLog([request.getfixturevalue("kafka_broker").address]))
        else:
            opened.append(SqliteLog(tmp_path / "log.db"))
        return Keyring(opened[-1], MasterKey(bytes(range(32)))), opened[-1]

    monkeypatch.setattr(topics, "KEYS", unique("keys"))
    ring, log = another()
    log.ensure_topics([TopicSpec(topics.KEYS, PARTITIONS, Cleanup.COMPACT, compaction_bound_s=12)])
    log.append([ring.name_key(NAMESPACE).message])
    yield another
    for log in opened:
        log.close()


def told(ring: Keyring, log: Log) -> Sealed:
    key = ring.text_key(NAMESPACE)
    log.append(key.messages)
    return ring.seal(key.key_id, b"text", namespace=NAMESPACE, purpose="p")


def read(ring: Keyring, sealed: Sealed) -> bytes | None:
    try:
        return ring.open(sealed, namespace=NAMESPACE, purpose="p")
    except KeyDestroyed:
        return None


def trees(log: Log) -> list[Record]:
    records = (record for n in range(PARTITIONS) for record in log.read(topics.KEYS, n))
    return [record for record in records if record.value is not None and DataKey.FromString(record.value).nodes]


def test_invariant_14_what_a_destroyed_key_follows_from_is_compacted_away(rings: Rings) -> None:
    ring, log = rings()
    texts = [told(ring, log) for _ in range(3)]
    [before] = trees(log)
    ring.destroy(NAMESPACE, [texts[1].key_id])
    assert len(trees(log)) == 2
    log.compact(topics.KEYS)
    [after] = trees(log)
    assert after.key == before.key
    assert after.value != before.value
    assert [read(rings()[0], text) for text in texts] == [b"text", None, b"text"]


def test_invariant_37_a_paused_process_gives_back_no_key_that_another_destroyed(
    rings: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read what there is of a tree, and would write that back less one key, after another destroyed a second."""
    (one, log), (two, _) = rings(), rings()
    texts = [told(one, log) for _ in range(4)]
    one.destroy(NAMESPACE, [texts[3].key_id])  # it has the name
    punctures = one._punctures

    def paused(*args: object) -> list[Message]:
        messages = list(punctures(*args))  # type: ignore[arg-type]
        two.destroy(NAMESPACE, [texts[0].key_id])
        return messages

    with monkeypatch.context() as patched:
        patched.setattr(one, "_punctures", paused)
        with pytest.raises(Fenced, match=f"keys-{PARTITION}"):
            one.destroy(NAMESPACE, [texts[1].key_id])
    assert [read(rings()[0], text) for text in texts] == [None, b"text", b"text", None]
    one.destroy(NAMESPACE, [texts[1].key_id])  # it takes the name back, and reads again
    assert [read(rings()[0], text) for text in texts] == [None, None, b"text", None]


def test_a_transaction_that_the_log_refuses_destroys_nothing(rings: Rings) -> None:
    ring, log = rings()
    text = told(ring, log)
    with pytest.raises(ZeroDivisionError), ring.transaction(PARTITION, [text.key_id]):
        raise ZeroDivisionError
    assert read(ring, text) == b"text"
    assert read(rings()[0], text) == b"text"
    with ring.transaction(PARTITION, [text.key_id]) as tx:
        tx.append(Message(topics.KEYS, b"k", b"", partition=PARTITION))
    assert len(tx.appended) == 2
    assert read(ring, text) is None
    assert read(rings()[0], text) is None
