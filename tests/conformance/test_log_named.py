"""The ledger without names, over both logs: written by pseudonym, read by name as long as the name key is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mneme.v1.admin_pb2 import Namespace
from mneme.v1.ledger_pb2 import LedgerEntry, NamespaceCreated, SessionEnded

from services.common.crypto.seal import Keyring, MasterKey, destroying
from services.common.ids import is_namespace, unnamed
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.named import Named
from services.common.log.base import Appended, Cleanup, Log, Message, MessageTooLarge, Record, TopicPartition, TopicSpec
from services.common.log.kafka.log import KafkaLog
from services.common.log.sqlite import SqliteLog
from services.common.text.extract import Extractor
from services.perception.intake.accept import Intake
from services.perception.ledger_facts import LedgerFacts
from tests.kafka import unique
from tests.perception.world import ANYBODY

NAMESPACE = "acme/anna"
PARTITIONS = 4

Logs = Callable[[], Log]


@pytest.fixture(params=["sqlite", "kafka"])
def logs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    """Opens one log, as often as a test likes: each time as another process would."""
    opened: list[Log] = []

    def another() -> Log:
        if request.param == "kafka":
            opened.append(KafkaLog([request.getfixturevalue("kafka_broker").address]))
        else:
            opened.append(SqliteLog(tmp_path / "log.db"))
        return opened[-1]

    monkeypatch.setattr(topics, "LEDGER", unique("ledger"))
    monkeypatch.setattr(topics, "KEYS", unique("keys"))
    specs = ((topics.LEDGER, Cleanup.KEEP), (topics.KEYS, Cleanup.COMPACT))
    another().ensure_topics([TopicSpec(name, PARTITIONS, cleanup) for name, cleanup in specs])
    yield another
    for log in opened:
        log.close()


def ring(log: Log) -> Keyring:
    return Keyring(log, MasterKey(bytes(range(32))))


def created(log: Log, namespace: str = NAMESPACE) -> Appended:
    log.append([ring(log).name_key(namespace).message])
    entry = LedgerEntry(namespace=namespace, namespace_created=NamespaceCreated())
    [at] = log.append([ledger.message(entry)])
    return at


def ended(namespace: str = NAMESPACE) -> Message:
    return ledger.message(LedgerEntry(namespace=namespace, session_ended=SessionEnded(session_mac=b"s")))


def unname(log: Log, namespace: str = NAMESPACE) -> None:
    log.append(destroying(namespace, ring(log).keys_of(namespace, naming=True)))


def ledger_of(log: Log) -> list[Record]:
    return [r for p in range(PARTITIONS) for r in log.read(topics.LEDGER, p)]


def names(log: Log) -> list[str]:
    """As the entries read; each one's record is keyed by it."""
    entries = [(r.key.decode(), LedgerEntry.FromString(r.value or b"")) for r in ledger_of(log)]
    assert all(key == entry.namespace for key, entry in entries)
    return [entry.namespace for _, entry in entries]


def test_the_ledger_holds_no_name_and_is_read_with_it_by_every_process(logs: Logs) -> None:
    log = Named(logs())
    at = created(log)
    consumer = log.subscribe(unique("group"), [topics.LEDGER])
    polled: list[Record] = []
    while not polled:
        polled = consumer.poll()
    with log.transaction(consumer) as tx:
        tx.append(ended())
        tx.commit({TopicPartition(topics.LEDGER, at.partition): at.offset + 1})
    [also] = tx.appended
    assert consumer.committed(TopicPartition(topics.LEDGER, at.partition)) == at.offset + 1
    consumer.close()
    assert [r.key.decode() for r in polled] == [NAMESPACE]
    assert also.partition == at.partition == ended().partition_in(PARTITIONS), "by the name, as it always was"
    for reader in (log, Named(logs())):
        assert names(reader) == [NAMESPACE, NAMESPACE]
    pseudonym = ring(log).pseudonym(NAMESPACE)
    for record in ledger_of(logs()):
        assert record.key == b"\0" + pseudonym
        assert NAMESPACE.encode() not in (record.value or b"")
        assert not LedgerEntry.FromString(record.value or b"").pseudonym


def test_who_has_read_nothing_yet_writes_no_name_either(logs: Logs) -> None:
    """A start with a snapshot reads no entry of a namespace before it writes one."""
    created(Named(logs()))
    log = Named(logs())
    log.append([ended(), ended("acme/of-before")])
    with log.transaction() as tx:
        tx.append(ended())
    keys = [r.key for r in ledger_of(logs()) if r.key != b"acme/of-before"]
    assert keys == 3 * [b"\0" + ring(log).pseudonym(NAMESPACE)]
    assert len(ledger_of(logs())) == 4


def test_an_entry_tells_whether_its_name_is_in_the_ledger(logs: Logs) -> None:
    log = Named(logs())
    created(log)
    log.append([ended("acme/of-before")])
    read = [entry for r in ledger_of(Named(logs())) if (entry := ledger.entry_of(r)) is not None]
    assert {e.namespace: e.pseudonym for e in read} == {
        NAMESPACE: ring(log).pseudonym(NAMESPACE),
        "acme/of-before": b"",
    }
    assert b"acme/of-before" in {r.key for r in ledger_of(logs())}


def test_a_namespace_whose_name_key_is_destroyed_has_no_name_for_who_comes_later(logs: Logs) -> None:
    log = Named(logs())
    created(log)
    unname(log)
    log.compact(topics.KEYS)
    assert names(log) == [NAMESPACE], "who knew goes on reading as it did"
    log.append([ended()])
    later = Named(logs())
    nameless = unnamed(ring(log).pseudonym(NAMESPACE))
    assert names(later) == [nameless, nameless], "also what came late"
    assert not is_namespace(nameless)
    assert ring(log).pseudonym(nameless) == ring(log).pseudonym(NAMESPACE)
    assert created(log).partition == created(later).partition
    assert names(later) == names(Named(logs())) == [NAMESPACE] * 4, "made anew, its name is known again"


def test_a_name_key_is_made_once(logs: Logs) -> None:
    log = logs()
    keyring = ring(log)
    key = keyring.name_key(NAMESPACE)
    assert keyring.name_key(NAMESPACE) != key, "until it is in the log there is none"
    log.append([key.message])
    assert keyring.name_key(NAMESPACE) == ring(log).name_key(NAMESPACE) == key
    other = keyring.new_key(NAMESPACE)
    assert keyring.keys_of(NAMESPACE, naming=True) == [key.key_id]
    assert keyring.keys_of(NAMESPACE, naming=False) == [other.key_id]
    assert keyring.keys_of(NAMESPACE) == sorted([key.key_id, other.key_id])


def test_a_record_that_is_no_entry_is_left_as_it_is(logs: Logs) -> None:
    log = Named(logs())
    created(log)
    broken = Message(topics.LEDGER, NAMESPACE.encode(), b"\xff no entry")
    strange = Message(topics.LEDGER, NAMESPACE.encode(), ended("acme/another").value)
    log.append([broken, strange])
    assert [(r.key, r.value) for r in ledger_of(logs())][1:] == [(m.key, m.value) for m in (broken, strange)]


def test_what_is_refused_in_a_transaction_is_refused_where_it_is_appended(logs: Logs) -> None:
    log = Named(logs())
    at = created(log)
    with pytest.raises(MessageTooLarge), log.transaction() as tx:
        tx.append(Message(topics.KEYS, b"k", bytes(3 * 1024 * 1024)))
    assert log.end_offset(topics.LEDGER, at.partition) == at.offset + 1


def test_nobody_meets_a_namespace_before_its_name(logs: Logs) -> None:
    """Created by one process, told to by another at once, while a third reads on and on."""
    here, there, reader = Named(logs()), Named(logs()), Named(logs())
    intake = Intake(here, ring(here), LedgerFacts(here, ring(here)), Extractor(), lambda: datetime.now(UTC))
    known = LedgerFacts(there, ring(there))
    read: list[str] = []
    ended_all = threading.Event()

    def follow() -> None:
        consumer = reader.subscribe(unique("group"), [topics.LEDGER])
        while not (ended_all.is_set() and consumer.lag() == 0):
            records = consumer.poll()
            read.extend(r.key.decode() for r in records)
            if records:
                consumer.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        consumer.close()

    following = threading.Thread(target=follow)
    following.start()
    created_here = [f"acme/{n}" for n in range(20)]
    try:
        for name in created_here:
            intake.create_namespace(Namespace(name=name), ANYBODY)
            assert known.namespace(name) is not None
            there.append([ended(name)])
    finally:
        ended_all.set()
        following.join(60)
    assert not following.is_alive()
    assert sorted(read) == sorted(2 * created_here)
    assert all(r.key.startswith(b"\0") for r in ledger_of(logs()))
