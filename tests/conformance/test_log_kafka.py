"""What only the log on Kafka has to stand: other holders of a name, a broker that stops, freezes or is not there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.structs import MemberState
from kafka.structs import TopicPartition as KafkaPartition

from services.common.log.base import (
    Cleanup,
    Consumer,
    Log,
    LogUnavailable,
    Message,
    Record,
    TopicPartition,
    TopicSpec,
)
from services.common.log.kafka.log import KafkaLog
from tests.kafka import Broker, unique


@pytest.fixture
def log(kafka_broker: Broker) -> Iterator[KafkaLog]:
    log = KafkaLog([kafka_broker.address], transaction_timeout_s=1.0)
    yield log
    log.close()


@pytest.fixture
def topic(log: KafkaLog) -> str:
    return new_topic(log, Cleanup.KEEP)


def new_topic(log: KafkaLog, cleanup: Cleanup) -> str:
    name = unique(cleanup.value)
    log.ensure_topics([TopicSpec(name, 4, cleanup, compaction_bound_s=12)])
    return name


def read_all(log: Log, topic: str) -> list[bytes | None]:
    return [record.value for n in range(4) for record in log.read(topic, n)]


def poll_some(consumer: Consumer) -> list[Record]:
    until = time.monotonic() + 30.0
    while not (records := consumer.poll()):
        assert time.monotonic() < until, "nothing came"
    return records


def test_a_member_whose_join_nobody_waits_for_stays_a_member(log: KafkaLog, topic: str) -> None:
    """The client sends no heartbeats until somebody does."""
    consumer = log.subscribe(unique("group"), [topic], 2.0)
    coordinator = consumer._consumer._coordinator
    until = time.monotonic() + 30.0
    while not consumer.assignment():
        assert time.monotonic() < until, "it was given nothing"
        consumer.poll(1, 0.05)
    while coordinator.state is not MemberState.REBALANCING:
        assert time.monotonic() < until, "it did not join again"
        coordinator.request_rejoin()
        consumer.poll(1, 0.001)
    coordinator.rejoin_needed = False  # by another poll, which had waited for the join before
    until = time.monotonic() + 4.0
    while time.monotonic() < until:
        consumer.poll(1, 0.05)
    with log.transaction(consumer) as tx:
        tx.append(Message(topic, b"k", b"v"))
        tx.commit(dict.fromkeys(consumer.assignment(), 0))
    assert read_all(log, topic) == [b"v"]
    consumer.close()


def test_what_a_dead_process_left_open_holds_readers_back_only_for_a_while(log: KafkaLog, topic: str) -> None:
    with log._producers.taken(time.monotonic() + 10) as dead:
        deadline = time.monotonic() + 10
        client = dead._started(deadline)
        place = log._place(Message(topic, b"k", b"never committed"))
        dead._await_sent(client, [place], dead._send(client, [place], deadline), deadline)
        # From here on nothing is heard of it.
        other = KafkaLog([log._cluster.servers[0]])
        began = time.monotonic()
        other.append([Message(topic, b"k", b"committed")])
        assert read_all(other, topic) == [b"committed"]
        assert time.monotonic() - began < 8.0  # transaction_timeout_s, and the broker looks every second
        other.close()


def test_a_broker_that_is_not_there_is_named(kafka_broker: Broker) -> None:
    began = time.monotonic()
    with pytest.raises(
        LogUnavailable, match=r"127.0.0.1:1: nobody listens there. Start the broker .* address in common.log;"
    ):
        KafkaLog(["127.0.0.1:1"])
    assert time.monotonic() - began < 2.0
    KafkaLog(["127.0.0.1:1", kafka_broker.address]).close()


def test_it_goes_on_after_the_broker_was_restarted(kafka_broker: Broker, log: KafkaLog, topic: str) -> None:
    log.append([Message(topic, b"k", b"before")])
    consumer = log.subscribe(unique("group"), [topic])
    (record,) = poll_some(consumer)
    consumer.commit({TopicPartition(topic, record.partition): record.offset + 1})
    kafka_broker.stop()
    try:
        began = time.monotonic()
        with pytest.raises(LogUnavailable, match=kafka_broker.address):
            log.append([Message(topic, b"k", b"while away")], timeout_s=1.0)
        assert time.monotonic() - began < 5.0
        assert consumer.poll() == []
        with pytest.raises(LogUnavailable, match="nobody listens there"):
            KafkaLog([kafka_broker.address])
    finally:
        kafka_broker.start()
    log.append([Message(topic, b"k", b"after")], timeout_s=30.0)
    assert [r.value for r in poll_some(consumer)] == [b"after"]
    assert read_all(log, topic) == [b"before", b"after"]
    consumer.close()


def test_a_frozen_broker_costs_the_timeout_and_no_more(kafka_broker: Broker, log: KafkaLog, topic: str) -> None:
    log.append([Message(topic, b"k", b"before")])
    kafka_broker.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(LogUnavailable) as failed:
            log.append([Message(topic, b"k", b"while frozen")], timeout_s=1.0)
        assert time.monotonic() - began < 6.0
    finally:
        kafka_broker.thaw()
    log.append([Message(topic, b"k", b"after")], timeout_s=30.0)
    expected = [b"before", b"while frozen", b"after"]
    if not failed.value.in_doubt:
        expected.remove(b"while frozen")
    assert read_all(log, topic) == expected


def test_a_broker_that_goes_right_after_the_commit_fails_nothing(
    kafka_broker: Broker, log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = KafkaLog([kafka_broker.address])  # no reader of its own yet: it needs one to see its append
    assert fresh.partitions(topic) == 4

    def nobody() -> None:
        raise fresh._cluster._unavailable("nobody listens there")

    monkeypatch.setattr(fresh._cluster, "require_answer", nobody)
    [at] = fresh.append([Message(topic, b"k", b"committed")])
    fresh.close()
    assert [record.value for record in log.read(topic, at.partition)] == [b"committed"]


def test_compaction_reads_no_topic_however_much_it_holds(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """And waits for what was superseded all the same, each time; where nothing came since, it does nothing."""
    topic = new_topic(log, Cleanup.COMPACT)
    log.append([Message(topic, b"%d" % n, b"value", partition=n % 2) for n in range(400)])
    looked_at = 0
    read = log._reader.read

    def counted(*args: Any) -> Iterator[Record]:
        nonlocal looked_at
        for record in read(*args):
            looked_at += 1
            yield record

    for key, partition in ((b"0", 0), (b"2", 0), (b"1", 1)):
        old = next(r.offset for r in log.read(topic, partition) if r.key == key)
        log.append([Message(topic, key, None, partition=partition)])
        with monkeypatch.context() as patched:
            patched.setattr(log._reader, "read", counted)
            log.compact(topic)
        there = {r.offset: r.key for r in log.read(topic, partition)}
        assert old not in there
        assert sum(k == key for k in there.values()) == 1
    assert looked_at <= 3 * 4 * 4  # of each partition the newest few, to see whether it has grown
    assert sum(len(list(log.read(topic, n))) for n in range(4)) == 400  # no reader sees what tells that it is done
    before = log._reader.end(KafkaPartition(topic, 0))
    log.compact(topic)
    assert log._reader.end(KafkaPartition(topic, 0)) == before


def test_what_a_topic_takes_of_the_broker_s_disk_is_told(log: KafkaLog, topic: str) -> None:
    empty = log.stored_bytes(topic)
    assert empty is not None
    log.append([Message(topic, b"%d" % n, bytes(10_000), partition=n) for n in range(4)])
    grown = log.stored_bytes(topic)
    assert grown is not None
    assert 40_000 <= grown - empty < 45_000


def test_compacted_bytes_leave_the_disk(kafka_broker: Broker, log: KafkaLog) -> None:
    topic = new_topic(log, Cleanup.COMPACT)
    if not list((kafka_broker.folder / "data").glob(f"{topic}-*")):
        pytest.skip("the broker runs in a container, for want of java and mvn: its files cannot be read")

    def is_on_disk(value: bytes) -> bool:
        found = subprocess.run(
            ["grep", "-rlF", value, *(kafka_broker.folder / "data").glob(f"{topic}-*")], capture_output=True
        )
        return bool(found.stdout)  # the broker removes files meanwhile, so the status says nothing

    log.append([Message(topic, b"k", b"the erased secret"), Message(topic, b"other", b"what stays")])
    log.append([Message(topic, b"k", None)])
    assert is_on_disk(b"the erased secret")
    bound_s = log.scrub()
    assert 0 < bound_s <= 12
    began = time.monotonic()
    while is_on_disk(b"the erased secret"):
        assert time.monotonic() - began < bound_s
        time.sleep(0.1)
    assert is_on_disk(b"what stays")
