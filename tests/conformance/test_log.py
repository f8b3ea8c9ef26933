"""One suite over both logs. A new one is a line in ``stores``.

Records are looked at partition by partition only: there is no order between partitions to lean on.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.common.log.base import (
    Cleanup,
    Consumer,
    Fenced,
    Log,
    LogError,
    Message,
    MessageTooLarge,
    Record,
    TopicMismatch,
    TopicPartition,
    TopicSpec,
    partition_of,
)
from services.common.log.open import open_log
from tests.common.log.worker import CRASH_POINTS
from tests.kafka import unique

PARTITIONS = 4
PATIENCE_S = 60.0


@dataclass
class Store:
    """A log's storage, opened as often as a test likes, and the names that are this test's own."""

    url: str
    session_s: float  # the shortest session a member may ask for, on a busy machine
    opened: list[Log] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)
    group: str = field(default_factory=lambda: unique("group"))

    def open(self) -> Log:
        log = open_log(self.url)
        self.opened.append(log)
        return log

    def topic(self, log: Log, cleanup: Cleanup = Cleanup.KEEP, **more: int) -> str:
        name = unique(cleanup.value)
        if cleanup is Cleanup.EXPIRE:
            more.setdefault("retention_s", 3_600)
        log.ensure_topics([TopicSpec(name, PARTITIONS, cleanup, **more)])
        return name

    def subscribe(self, log: Log, topic: str, session_s: float = 10.0, group: str | None = None) -> Consumer:
        consumer = log.subscribe(group or self.group, [topic], session_s)
        self.consumers.append(consumer)
        return consumer

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.close()
        for log in self.opened:
            log.close()


stores: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "sqlite": lambda request: Store(f"sqlite://{request.getfixturevalue('tmp_path')}/log.db", session_s=0.5),
    "kafka": lambda request: Store(request.getfixturevalue("kafka_broker").url, session_s=1.5),
}


@pytest.fixture(params=stores)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    store = stores[request.param](request)
    yield store
    store.close()


@pytest.fixture
def log(store: Store) -> Log:
    return store.open()


def read_all(log: Log, topic: str) -> list[Record]:
    return [record for n in range(log.partitions(topic)) for record in log.read(topic, n)]


def values(records: Sequence[Record]) -> Counter[bytes | None]:
    return Counter(record.value for record in records)


def by_key(records: Sequence[Record]) -> dict[bytes, list[bytes | None]]:
    found = defaultdict(list)
    for record in records:
        found[record.key].append(record.value)
    return found


def next_offsets(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}


def poll_records(consumer: Consumer, count: int) -> list[Record]:
    """Poll until that many came."""
    records: list[Record] = []
    until = time.monotonic() + PATIENCE_S
    while len(records) < count:
        assert time.monotonic() < until, f"{len(records)} of {count} records came"
        records += consumer.poll()
    return records


def poll_until(what: str, condition: Callable[[], bool], *consumers: Consumer) -> None:
    """Poll members in turn, so that none of them is taken for dead, until the condition holds."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, f"never came true: {what}"
        for consumer in consumers:
            assert consumer.poll(timeout_s=0.25) == []  # as a service does


def transact(
    log: Log,
    messages: Sequence[Message],
    consumer: Consumer | None = None,
    offsets: Mapping[TopicPartition, int] | None = None,
    *,
    failing: Exception | None = None,
) -> None:
    """One transaction, whose block fails in the end if told so."""
    with log.transaction(consumer) as tx:
        for message in messages:
            tx.append(message)
        if offsets is not None:
            tx.commit(offsets)
        if failing is not None:
            raise failing


def numbered(topic: str, count: int, keys: int = 8) -> list[Message]:
    return [Message(topic, b"key-%d" % (n % keys), b"%d" % n) for n in range(count)]


# Placing and reading


@pytest.mark.parametrize(
    ("key", "of_4", "of_12"),
    [
        (b"", 0, 0),
        (b"a", 3, 11),
        (b"acme/ann", 2, 10),
        (b"acme/bob", 1, 1),
        (b"acme/ann/agent-7", 1, 9),
        ("acme/Zoë".encode(), 1, 9),
        (b"\x00\xff", 0, 0),
    ],
)
def test_partition_of_a_key_never_changes(key: bytes, of_4: int, of_12: int) -> None:
    assert (partition_of(key, 4), partition_of(key, 12)) == (of_4, of_12)


def test_messages_lie_where_the_port_says(store: Store, log: Log) -> None:
    topic = store.topic(log)
    appended = log.append(
        [
            *(Message(topic, key, b"by key") for key in (b"a", b"acme/ann", b"acme/bob", b"\x00\xff")),
            Message(topic, b"engram-1", b"by partition key", partition_key=b"acme/ann"),
            Message(topic, b"a", b"by number", partition=2),
        ]
    )
    assert [a.partition for a in appended] == [3, 2, 1, 0, 2, 2]
    for place, value in zip(appended, [b"by key"] * 4 + [b"by partition key", b"by number"], strict=True):
        (record,) = log.read(topic, place.partition, place.offset, place.offset + 1)
        assert (record.offset, record.value) == (place.offset, value)


def test_records_of_a_key_stay_in_order(store: Store, log: Log) -> None:
    topic = store.topic(log)
    messages = numbered(topic, 200)
    for first in range(0, 200, 40):
        log.append(messages[first : first + 40])
    read = by_key(read_all(log, topic))
    assert read == {b"key-%d" % k: [b"%d" % n for n in range(k, 200, 8)] for k in range(8)}
    polled = by_key(poll_records(store.subscribe(log, topic), 200))
    assert polled == read


def test_headers_and_empty_values_come_back_as_they_went(store: Store, log: Log) -> None:
    topic = store.topic(log, Cleanup.COMPACT)
    headers = {"traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "empty": b"", "ä": b"\0\xff"}
    before_ms = time.time() * 1000
    log.append([Message(topic, b"a", b"", headers), Message(topic, b"b", None), Message(topic, b"", b"\0")])
    read = {record.key: record for record in read_all(log, topic)}
    assert read[b"a"].headers == headers
    assert [read[key].value for key in (b"a", b"b", b"")] == [b"", None, b"\0"]
    assert before_ms - 1 <= read[b"a"].timestamp_ms <= time.time() * 1000


def test_a_mebibyte_comes_back(store: Store, log: Log) -> None:
    topic = store.topic(log)
    large = [bytes([n]) * (1 << 20) for n in range(3)]
    log.append([Message(topic, b"same", value) for value in large])
    assert [r.value for r in read_all(log, topic)] == large
    assert [r.value for r in poll_records(store.subscribe(log, topic), 3)] == large


def test_a_message_that_is_too_large_harms_nothing(store: Store, log: Log) -> None:
    topic = store.topic(log, max_message_bytes=1_000)
    fits, too_large = Message(topic, b"key", bytes(997)), Message(topic, b"key", bytes(998))
    with pytest.raises(MessageTooLarge, match=r"1001 bytes.*takes 1000 \(max_message_bytes\)"):
        log.append([fits, too_large])
    with pytest.raises(MessageTooLarge):
        transact(log, [fits, too_large])
    assert read_all(log, topic) == []
    log.append([fits])
    assert values(read_all(log, topic)) == {fits.value: 1}


def test_unknown_places_are_refused_by_name(store: Store, log: Log) -> None:
    topic = store.topic(log)
    missing = unique("missing")
    for attempt in (
        lambda: log.append([Message(missing, b"k", b"v")]),
        lambda: log.read(missing, 0),
        lambda: log.partitions(missing),
        lambda: log.end_offset(missing, 0),
        lambda: log.subscribe("group", [missing]),
    ):
        with pytest.raises(LogError, match=f"{missing}: there is no such topic"):
            attempt()
    with pytest.raises(LogError, match="no partition 4; it has 4"):
        log.append([Message(topic, b"k", b"v", partition=PARTITIONS)])


def test_everything_is_read_again_from_the_start(store: Store, log: Log) -> None:
    topic = store.topic(log)
    log.append(numbered(topic, 50))
    first = store.subscribe(log, topic)
    first.commit(next_offsets(poll_records(first, 50)))
    assert values(poll_records(store.subscribe(log, topic, group=unique("other")), 50)) == values(read_all(log, topic))
    assert values(read_all(store.open(), topic)) == {b"%d" % n: 1 for n in range(50)}


def test_a_read_ends_where_it_was_told(store: Store, log: Log) -> None:
    topic = store.topic(log)
    for n in range(6):
        log.append([Message(topic, b"k", b"%d" % n, partition=1)])
    everything = list(log.read(topic, 1))
    third = everything[3].offset
    assert [r.value for r in log.read(topic, 1, third)] == [b"3", b"4", b"5"]
    assert [r.value for r in log.read(topic, 1, 0, third)] == [b"0", b"1", b"2"]
    assert list(log.read(topic, 1, log.end_offset(topic, 1))) == []
    assert list(log.read(topic, 2)) == []
    until_now = log.read(topic, 1, third)
    log.append([Message(topic, b"k", b"later", partition=1)])
    assert [r.value for r in until_now] == [b"3", b"4", b"5"]


def test_the_end_is_one_past_the_last_record(store: Store, log: Log) -> None:
    topic = store.topic(log)
    assert log.end_offset(topic, 1) == 0
    for n in range(3):
        (place,) = log.append([Message(topic, b"k", b"%d" % n, partition=1)])
        assert log.end_offset(topic, 1) == place.offset + 1
    with pytest.raises(ZeroDivisionError):
        transact(log, [Message(topic, b"k", b"aborted", partition=1)], failing=ZeroDivisionError())
    assert log.end_offset(topic, 1) == place.offset + 1
    assert log.end_offset(topic, 2) == 0


def test_many_threads_append_to_one_log(store: Store, log: Log) -> None:
    topic = store.topic(log)
    threads = [
        threading.Thread(target=lambda k=k: [log.append([Message(topic, b"%d" % k, b"%d" % n)]) for n in range(10)])
        for k in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert by_key(read_all(log, topic)) == {b"%d" % k: [b"%d" % n for n in range(10)] for k in range(6)}


# Transactions


def test_a_transaction_says_where_its_records_went(store: Store, log: Log) -> None:
    topics = [store.topic(log), store.topic(log, Cleanup.COMPACT)]
    with log.transaction() as tx:
        for n in range(20):
            tx.append(Message(topics[n % 2], b"%d" % n, b"%d" % n))
        with pytest.raises(LogError, match="only after"):
            _ = tx.appended
    for n, place in enumerate(tx.appended):
        (record,) = log.read(place.topic, place.partition, place.offset, place.offset + 1)
        assert (place.topic, record.value) == (topics[n % 2], b"%d" % n)


def test_an_aborted_transaction_is_never_seen_and_its_records_come_again(store: Store, log: Log) -> None:
    source, sink = store.topic(log), store.topic(log)
    log.append(numbered(source, 20))
    consumer = store.subscribe(log, source)
    polled = poll_records(consumer, 20)
    with pytest.raises(ZeroDivisionError):
        transact(log, [Message(sink, b"k", b"v")], consumer, next_offsets(polled), failing=ZeroDivisionError())
    assert read_all(log, sink) == []
    assert {consumer.committed(p) for p in consumer.assignment()} == {0}
    assert values(poll_records(consumer, 20)) == values(polled)


def test_a_second_holder_of_a_name_fences_the_first(store: Store, log: Log) -> None:
    topic, name, other = store.topic(log), unique("name"), store.open()

    def append(log: Log, value: bytes) -> None:
        with log.transaction(name=name) as tx:
            tx.append(Message(topic, b"k", value))

    append(log, b"first")
    append(log, b"again")
    append(other, b"second")
    with pytest.raises(Fenced, match=name):
        append(log, b"fenced")
    append(log, b"took it back")
    with pytest.raises(Fenced, match=name):
        append(other, b"fenced")
    log.append([Message(topic, b"k", b"without a name")])
    with log.transaction(name=unique("name")) as tx:
        tx.append(Message(topic, b"k", b"of another name"))
    assert [record.value for record in read_all(log, topic)] == [
        b"first",
        b"again",
        b"second",
        b"took it back",
        b"without a name",
        b"of another name",
    ]


def test_who_took_a_name_while_another_s_block_ran_fences_it(store: Store, log: Log) -> None:
    topic, name, other = store.topic(log), unique("name"), store.open()

    def late() -> None:
        with log.transaction(name=name) as tx:
            tx.append(Message(topic, b"k", b"late"))
            with other.transaction(name=name):
                pass  # an empty block takes it

    with pytest.raises(Fenced, match=name):
        late()
    assert read_all(log, topic) == []


def test_who_let_a_name_go_takes_it_anew_and_is_not_fenced_by_what_others_did_since(store: Store, log: Log) -> None:
    topic, name, other = store.topic(log), unique("name"), store.open()

    def append(log: Log, value: bytes) -> None:
        with log.transaction(name=name) as tx:
            tx.append(Message(topic, b"k", value))

    log.let_go(name)  # which it does not have
    append(log, b"first")
    append(other, b"second")
    log.let_go(name)
    append(log, b"took it back")
    with pytest.raises(Fenced, match=name):
        append(other, b"fenced")
    assert [record.value for record in read_all(log, topic)] == [b"first", b"second", b"took it back"]


@pytest.mark.parametrize("is_taken_again", [False, True])
def test_a_transaction_whose_name_is_let_go_meanwhile_is_fenced(store: Store, log: Log, is_taken_again: bool) -> None:
    topic, name = store.topic(log), unique("name")

    def late() -> None:
        with log.transaction(name=name) as tx:
            tx.append(Message(topic, b"k", b"late"))
            log.let_go(name)
            if is_taken_again:
                with log.transaction(name=name):
                    pass

    with pytest.raises(Fenced, match=name):
        late()
    assert read_all(log, topic) == []
    with log.transaction(name=name) as tx:
        tx.append(Message(topic, b"k", b"anew"))
    assert [record.value for record in read_all(log, topic)] == [b"anew"]


def test_offsets_need_a_consumer(log: Log) -> None:
    with pytest.raises(LogError, match=r"log.transaction\(consumer\)"):
        transact(log, [], None, {TopicPartition("topic", 0): 1})


def test_killed_at_any_point_it_copies_exactly_once(store: Store, log: Log) -> None:
    source, sink = store.topic(log), store.topic(log)
    log.append(numbered(source, 40))
    for point in CRASH_POINTS:
        died = run_copy(store, source, sink, crash_at=point)
        assert died.returncode == -signal.SIGKILL, (point, died.stderr)
    finished = run_copy(store, source, sink, crash_at="")
    assert finished.returncode == 0, finished.stderr
    assert by_key(read_all(log, sink)) == by_key(read_all(log, source))


def run_copy(store: Store, source: str, sink: str, crash_at: str) -> subprocess.CompletedProcess[str]:
    command = ["copy", store.url, store.group, source, sink, crash_at, str(store.session_s)]
    return subprocess.run(
        [sys.executable, "-m", "tests.common.log.worker", *command], capture_output=True, text=True, timeout=60
    )


# Groups


def test_what_was_not_committed_comes_again(store: Store, log: Log) -> None:
    topic = store.topic(log)
    log.append(numbered(topic, 20))
    consumer = store.subscribe(log, topic)
    polled = poll_records(consumer, 20)
    half = [r for r in polled if r.partition in (0, 1)]
    consumer.commit(next_offsets(half))
    consumer.close()
    again = poll_records(store.subscribe(log, topic), 20 - len(half))
    assert values(again) == values([r for r in polled if r.partition not in (0, 1)])


def test_seek_committed_and_lag(store: Store, log: Log) -> None:
    topic = store.topic(log)
    log.append([Message(topic, b"k", b"%d" % n, partition=3) for n in range(5)])
    log.append([Message(topic, b"k", b"5", partition=3)])
    consumer = store.subscribe(log, topic)
    partition = TopicPartition(topic, 3)
    polled = poll_records(consumer, 6)
    assert (consumer.committed(partition), consumer.lag()) == (0, log.end_offset(topic, 3))
    consumer.seek(partition, polled[4].offset)
    assert [r.value for r in poll_records(consumer, 2)] == [b"4", b"5"]
    consumer.commit({partition: polled[2].offset})
    assert consumer.committed(partition) == polled[2].offset
    assert consumer.lag() == log.end_offset(topic, 3) - polled[2].offset
    consumer.commit(next_offsets(polled))
    assert consumer.lag() == 0
    assert consumer.poll() == []


def test_members_share_the_partitions(store: Store, log: Log) -> None:
    topic = store.topic(log)
    everything = {TopicPartition(topic, n) for n in range(PARTITIONS)}
    first, second = store.subscribe(log, topic), store.subscribe(store.open(), topic)
    poll_until("the first has all", lambda: first.assignment() == everything, first)
    poll_until(
        "two halves",
        lambda: (
            len(first.assignment()) == len(second.assignment()) == 2
            and first.assignment() | second.assignment() == everything
        ),
        first,
        second,
    )
    log.append(numbered(topic, 40))
    records = {consumer: poll_records(consumer, 1) for consumer in (first, second)}
    for consumer, polled in records.items():
        assert {TopicPartition(r.topic, r.partition) for r in polled} <= consumer.assignment()
        consumer.commit(next_offsets(polled))
    first.close()
    rest = poll_records(second, 40 - sum(map(len, records.values())))
    assert values([*records[first], *records[second], *rest]) == {b"%d" % n: 1 for n in range(40)}
    poll_until("the second has all", lambda: second.assignment() == everything, second)


def test_members_that_name_a_partition_have_it_one_after_the_other_and_no_other(store: Store, log: Log) -> None:
    topic, group = store.topic(log), unique("group")

    def subscribe(partition: int, group: str) -> Consumer:
        consumer = store.open().subscribe(group, [topic], partition=partition)
        store.consumers.append(consumer)
        return consumer

    log.append([Message(topic, b"", b"%d" % n, partition=n % PARTITIONS) for n in range(16)])
    first = subscribe(2, group)
    records = poll_records(first, 4)
    assert [r.value for r in records] == [b"2", b"6", b"10", b"14"]
    first.commit(next_offsets(records))
    second = subscribe(2, group)
    assert {r.partition for r in poll_records(subscribe(1, unique("group")), 4)} == {1}
    poll_until("one of two has it", lambda: len(first.assignment()) + len(second.assignment()) == 1, first, second)
    first.close()
    poll_until("the second has it", lambda: second.assignment() == {TopicPartition(topic, 2)}, second)
    log.append([Message(topic, b"", b"new", partition=2)])
    assert [r.value for r in poll_records(second, 1)] == [b"new"]


def test_what_a_lost_partition_held_uncommitted_comes_again_when_it_is_back(store: Store, log: Log) -> None:
    topic = store.topic(log)
    first = store.subscribe(log, topic)
    poll_until("the first has all", lambda: len(first.assignment()) == PARTITIONS, first)
    log.append(numbered(topic, 40))
    before = poll_records(first, 40)  # and commits none of it
    second = store.subscribe(store.open(), topic)
    deadline = time.monotonic() + PATIENCE_S
    while not len(first.assignment()) == len(second.assignment()) == 2:
        assert time.monotonic() < deadline, "never came to two halves"
        first.poll(timeout_s=0.25)
        second.poll(timeout_s=0.25)
    lost = second.assignment()
    second.close()
    again: list[Record] = []
    wanted = {r.value for r in before if TopicPartition(r.topic, r.partition) in lost}
    while wanted - {r.value for r in again}:
        assert time.monotonic() < deadline, f"{len(again)} of {len(wanted)} came again"
        again += first.poll()
    assert first.assignment() >= lost


def test_what_is_polled_without_some_partitions_leaves_theirs_for_later(store: Store, log: Log) -> None:
    topic = store.topic(log)
    consumer = store.subscribe(log, topic)
    poll_until("it has all", lambda: len(consumer.assignment()) == PARTITIONS, consumer)
    log.append(numbered(topic, 40))
    left = sorted(consumer.assignment())[:1]
    others: list[Record] = []
    wanted = 40 - log.end_offset(topic, left[0].partition)
    deadline = time.monotonic() + PATIENCE_S
    while len(others) < wanted:
        assert time.monotonic() < deadline
        others += consumer.poll(without=left)
    assert consumer.poll(timeout_s=0.3, without=left) == []
    assert left[0].partition not in {r.partition for r in others}
    rest = poll_records(consumer, 40 - wanted)
    assert {r.partition for r in rest} == {left[0].partition}
    assert {r.value for r in (*others, *rest)} == {m.value for m in numbered(topic, 40)}


def test_a_killed_member_gives_up_its_partitions(store: Store, log: Log) -> None:
    source, sink = store.topic(log), store.topic(log)
    log.append(numbered(source, 10))
    died = run_copy(store, source, sink, crash_at="polled")
    assert died.returncode == -signal.SIGKILL, died.stderr
    copied = len(read_all(log, sink))
    assert copied == 2
    poll_records(store.subscribe(log, source), 10 - copied)


def test_a_member_that_stopped_polling_can_commit_nothing(store: Store, log: Log) -> None:
    source, sink = store.topic(log), store.topic(log)
    log.append(numbered(source, 20))
    slow = store.subscribe(log, source, store.session_s)
    stale = poll_records(slow, 20)
    time.sleep(store.session_s * 1.5)
    with pytest.raises(Fenced, match="Poll again"):
        slow.commit(next_offsets(stale))
    other_log = store.open()
    other = store.subscribe(other_log, source)
    taken = poll_records(other, 20)
    transact(other_log, [Message(sink, b"k", b"by the other")], other, next_offsets(taken))
    with pytest.raises(Fenced):
        transact(log, [Message(sink, b"k", b"by the slow")], slow, next_offsets(stale))
    assert values(read_all(log, sink)) == {b"by the other": 1}
    poll_until("it is a member again", lambda: len(slow.assignment()) == 2, slow, other)


def test_nobody_commits_what_is_not_his(store: Store, log: Log) -> None:
    topic, foreign = store.topic(log), store.topic(log)
    log.append([Message(topic, b"k", b"v"), Message(foreign, b"k", b"v")])
    consumer = store.subscribe(log, topic)
    with pytest.raises(Fenced):  # it has not even joined
        consumer.commit({TopicPartition(topic, 0): 1})
    poll_records(consumer, 1)
    with pytest.raises(Fenced, match=foreign):
        consumer.commit({TopicPartition(foreign, 0): 1})
    with pytest.raises(Fenced, match=foreign):
        transact(log, [], consumer, {TopicPartition(foreign, 0): 1})


# Keeping and removing


def test_a_topic_must_be_as_its_spec_says(store: Store, log: Log) -> None:
    kept, expiring = store.topic(log), store.topic(log, Cleanup.EXPIRE, retention_s=3_600)
    same = [TopicSpec(kept, PARTITIONS, Cleanup.KEEP), TopicSpec(expiring, PARTITIONS, Cleanup.EXPIRE, 3_600)]
    store.open().ensure_topics(same)
    for other, found, asked in (
        (TopicSpec(kept, 5, Cleanup.KEEP), "4 partitions", "5 partitions"),
        (TopicSpec(kept, PARTITIONS, Cleanup.COMPACT), "(keep|delete)", "compact"),
        (TopicSpec(kept, PARTITIONS, Cleanup.EXPIRE, 3_600), "(keep|-1)", "3600"),
        (TopicSpec(expiring, PARTITIONS, Cleanup.EXPIRE, 60), "3600", "60"),
        (TopicSpec(expiring, PARTITIONS, Cleanup.KEEP), "3600", "(keep|-1)"),
    ):
        with pytest.raises(TopicMismatch, match=f"{other.name}: .*{found}.* asked for is .*{asked}"):
            log.ensure_topics([other])
    assert log.partitions(kept) == PARTITIONS


def test_limits_may_change(store: Store, log: Log) -> None:
    topic = store.topic(log, max_message_bytes=100)
    log.ensure_topics([TopicSpec(topic, PARTITIONS, Cleanup.KEEP, max_message_bytes=200)])
    other = store.open()
    other.append([Message(topic, b"", bytes(200))])
    with pytest.raises(MessageTooLarge):
        other.append([Message(topic, b"", bytes(201))])


def test_compaction_keeps_the_newest_of_each_key(store: Store, log: Log) -> None:
    bound_s = 12
    compacted, kept = store.topic(log, Cleanup.COMPACT, compaction_bound_s=bound_s), store.topic(log)
    states: list[tuple[bytes, bytes | None]] = [
        (b"patched", b"old"),
        (b"erased", b"secret"),
        (b"alone", b"only"),
        (b"patched", b"newer"),
        (b"erased", None),
        (b"patched", b"newest"),
    ]
    for topic in (compacted, kept):
        for key, value in states:
            log.append([Message(topic, key, value)])
    assert values(read_all(log, compacted)) == values(read_all(log, kept))  # so far, readers see every step
    began = time.monotonic()
    log.compact(compacted)
    assert time.monotonic() - began < bound_s
    assert by_key(read_all(log, compacted)) == {b"patched": [b"newest"], b"erased": [None], b"alone": [b"only"]}
    assert values(read_all(log, kept)) == Counter(value for _, value in states)
    assert 0 <= log.scrub() <= bound_s
    log.compact(compacted)  # nothing left to do
    log.append([Message(compacted, b"erased", b"new life")])
    assert by_key(read_all(log, compacted))[b"erased"][-1] == b"new life"
    consumer = store.subscribe(log, compacted)
    consumer.commit(next_offsets(poll_records(consumer, 4)))
    assert consumer.lag() == 0  # gaps are no lag


def test_trimmed_records_are_gone(store: Store, log: Log) -> None:
    topic = store.topic(log, Cleanup.EXPIRE)
    places = [log.append([Message(topic, b"k", b"%d" % n, partition=1)])[0] for n in range(5)]
    log.append([Message(topic, b"k", b"elsewhere", partition=2)])
    log.trim(topic, 1, places[3].offset)
    assert [r.value for r in log.read(topic, 1)] == [b"3", b"4"]
    assert [r.offset for r in log.read(topic, 1)] == [places[3].offset, places[4].offset]
    assert [r.value for r in log.read(topic, 2)] == [b"elsewhere"]
    consumer = store.subscribe(log, topic)
    assert values(poll_records(consumer, 3)) == {b"3": 1, b"4": 1, b"elsewhere": 1}
    consumer.commit({TopicPartition(topic, 1): log.end_offset(topic, 1)})
    log.trim(topic, 1, log.end_offset(topic, 1) + 1_000)
    assert list(log.read(topic, 1)) == []
    log.append([Message(topic, b"k", b"5", partition=1)])
    assert [r.value for r in poll_records(consumer, 1)] == [b"5"]


def test_only_expiring_topics_are_trimmed_and_only_compacted_ones_compacted(store: Store, log: Log) -> None:
    for cleanup in (Cleanup.KEEP, Cleanup.COMPACT):
        with pytest.raises(LogError, match="cannot be trimmed"):
            log.trim(store.topic(log, cleanup), 0, 1)
    for cleanup in (Cleanup.KEEP, Cleanup.EXPIRE):
        with pytest.raises(LogError, match="never compacted"):
            log.compact(store.topic(log, cleanup))


def test_a_closed_log_says_so(store: Store, log: Log) -> None:
    topic = store.topic(log)
    log.append([Message(topic, b"k", b"v")])
    consumer = store.subscribe(log, topic)
    poll_records(consumer, 1)
    log.close()
    with pytest.raises(LogError, match="was closed"):
        log.append([Message(topic, b"k", b"v")])
    consumer.close()
    with pytest.raises(LogError, match="was closed"):
        consumer.poll()
    assert values(poll_records(store.subscribe(store.open(), topic), 1)) == {b"v": 1}  # it left its group


def test_addresses_of_logs(tmp_path: Path) -> None:
    open_log(f"sqlite://{tmp_path}/log.db").close()
    for url in ("", "sqlite://relative/log.db", "kafka://", "kafka://host", "kafka://host:9092,", "postgres://h/db"):
        with pytest.raises(LogError, match="is no address of a log"):
            open_log(url)
