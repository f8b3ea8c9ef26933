"""What only the log on SQLite promises: files, limits of the disk, several processes, deleted bytes."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from services.common.log.base import (
    Cleanup,
    Fenced,
    LogError,
    LogUnavailable,
    Message,
    TopicMismatch,
    TopicPartition,
    TopicSpec,
    partition_of,
)
from services.common.log.sqlite import SqliteLog, database, lock, tables
from services.common.log.sqlite import consumer as consumer_module
from services.common.log.sqlite import log as log_module
from tests.waiting import until

KEPT = TopicSpec("kept", 4, Cleanup.KEEP)
COMPACTED = TopicSpec("compacted", 4, Cleanup.COMPACT)
EXPIRING = TopicSpec("expiring", 4, Cleanup.EXPIRE, retention_s=60)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def opened(path: Path, **settings: Any) -> SqliteLog:
    log = SqliteLog(path, **settings)
    log.ensure_topics([KEPT, COMPACTED, EXPIRING])
    return log


def worker(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.common.log.worker", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> list[Any]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def read_all(log: SqliteLog, topic: str) -> list[bytes | None]:
    return [record.value for n in range(4) for record in log.read(topic, n)]


def repeat_for_ever(action: Callable[[], None]) -> None:
    while True:
        action()


def raw(path: Path) -> bytes:
    """Every byte of every file of the log."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())


def test_processes_append_at_once_without_errors_or_long_waits(path: Path) -> None:
    log = opened(path)
    url = f"sqlite://{path}"
    processes = [worker("append", url, "kept", key, "400") for key in ("a", "b", "c")]
    longest_s = [said(process)[0] for process in processes]
    assert max(longest_s) < 3.0
    for key in (b"a", b"b", b"c"):
        mine = [r for n in range(4) for r in log.read("kept", n) if r.key == key]
        assert [r.value for r in mine] == [b"%d" % n for n in range(400)]
    assert [[r.offset for r in log.read("kept", n)] for n in range(4)] == [
        list(range(log.end_offset("kept", n))) for n in range(4)
    ]


def test_a_full_file_refuses_whole_calls_and_takes_more_when_there_is_room(path: Path) -> None:
    log = opened(path, max_page_count=400)
    accepted = count(1)

    def append_a_pair() -> None:
        log.append([Message("expiring", b"k", bytes(20_000)), Message("expiring", b"k", b"pair")])
        next(accepted)

    with pytest.raises(LogUnavailable, match=r"database or disk is full. Make room .* max_page_count"):
        repeat_for_ever(append_a_pair)
    assert len(read_all(log, "expiring")) == 2 * (next(accepted) - 1) > 0
    with pytest.raises(LogUnavailable):
        log.append([Message("expiring", b"k", bytes(20_000))])
    place = log.append([Message("expiring", b"k", b"small")])[0]  # what fits is taken
    log.trim("expiring", place.partition, place.offset)
    log.append([Message("expiring", b"k", bytes(20_000))])
    assert read_all(log, "expiring") == [b"small", bytes(20_000)]


def test_a_limit_on_file_sizes_is_an_error_and_no_signal(path: Path) -> None:
    error, (accepted, found), found_later = said(worker("fill", f"sqlite://{path}", str(1 << 20)))
    assert "ulimit -f" in error
    assert 0 < accepted == found
    assert found_later == found + 1


def test_deleted_bytes_are_gone_from_every_file(path: Path) -> None:
    """Many sizes and orders, because what SQLite leaves behind depends on how its tree was balanced."""
    rnd = random.Random(7)
    log = opened(path)
    for n in range(400):
        size = rnd.choice((1, 20, 60, 75, 90, 400, 1_500))
        key, value = b"key-%d" % rnd.randrange(40), b"<compacted-%d>" % n * size
        deleted = rnd.random() < 0.3
        mark = b"<expiring-%d>" % n
        _, _, place = log.append(
            [
                Message("compacted", key, None if deleted else value),
                Message("kept", key, bytes(len(value))),
                Message("expiring", mark, mark * size, {"header": mark}),
            ]
        )
        if rnd.random() < 0.1:
            log.compact("compacted")
            log.trim("expiring", place.partition, place.offset)
        if rnd.random() < 0.02:
            log.scrub()
    log.compact("compacted")
    assert log.scrub() == 0.0
    for topic in ("compacted", "expiring"):
        marks = re.compile(rb"<%s-\d+>" % topic.encode())
        readable = set(marks.findall(b"".join(value or b"" for value in read_all(log, topic))))
        assert 5 < len(readable) < 300
        assert set(marks.findall(raw(path))) == readable


def test_what_may_be_deleted_never_lies_in_the_tree(path: Path) -> None:
    """Rows in the tree's pages move when it is balanced and leave copies; overflow pages stay until they are zeroed."""
    log = opened(path)
    mark = b"<marked>"
    for size in [*range(120), *range(120, 4_200, 61)]:
        for topic in ("compacted", "expiring"):
            log.append([Message(topic, mark + b"%d" % size, mark * size, {"header": mark})])
    log.append([Message("kept", b"k", b"<kept>")])
    log.scrub()
    content = path.read_bytes()
    pages = [content[at : at + 1024] for at in range(0, len(content), 1024)]
    leaf = 0x0D  # the first byte of a page of rows; an overflow page begins with the number of the next
    assert {page[0] for page in pages if b"<kept>" in page} == {leaf}
    assert {page[0] for page in pages if mark in page} == {0}


def test_scrubbing_says_when_a_reader_is_in_the_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_SCRUB_S", 0.1)
    monkeypatch.setattr(database, "_BUSY_S", 0.05)
    log = opened(path)
    log.append([Message("compacted", b"k", b"secret")])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchone()
    log.append([Message("compacted", b"k", None)])
    log.compact("compacted")
    with pytest.raises(LogUnavailable, match="a reader has kept its snapshot"):
        log.scrub()
    assert b"secret" in raw(path)
    reader.close()
    assert log.scrub() == 0.0
    assert b"secret" not in raw(path)


def test_a_stopped_writer_costs_others_their_timeout_and_no_more(path: Path) -> None:
    log = opened(path)
    consumer = log.subscribe("group", ["kept"])
    consumer.poll(timeout_s=0.0)
    with open(path.with_name("log.db-lock")) as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(LogUnavailable, match="other writers kept the log for 0.1 s"):
                log.append([Message("kept", b"k", b"v")], timeout_s=0.1)
        assert 0.5 <= time.monotonic() - began < 4.5
        assert read_all(log, "kept") == []  # readers do not wait
        assert consumer.poll(timeout_s=0.0) == []
    log.append([Message("kept", b"k", b"v")])
    other = SqliteLog(path)
    other.append([Message("kept", b"k", b"w")], timeout_s=1.0)  # nobody kept the lock
    assert read_all(log, "kept") == [b"v", b"w"]


def test_a_writer_that_had_to_wait_waits_the_next_time_too(path: Path) -> None:
    log = opened(path)
    with open(path.with_name("log.db-lock")) as other:
        for n in range(2):
            fcntl.flock(other, fcntl.LOCK_EX)
            writer = threading.Thread(target=log.append, args=([Message("kept", b"k", b"%d" % n)],))
            writer.start()
            writer.join(0.2)
            assert writer.is_alive()
            fcntl.flock(other, fcntl.LOCK_UN)
            writer.join(10)
    assert read_all(log, "kept") == [b"0", b"1"]


def test_a_writer_that_gave_up_keeps_the_lock_from_nobody(path: Path) -> None:
    log, another = opened(path), SqliteLog(path)
    with open(path.with_name("log.db-lock")) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LogUnavailable):
            log.append([Message("kept", b"k", b"0")], timeout_s=0.1)
    another.append([Message("kept", b"k", b"1")], timeout_s=5.0)  # behind what waits in vain
    log.append([Message("kept", b"k", b"2")], timeout_s=5.0)
    assert read_all(log, "kept") == [b"1", b"2"]


def test_a_writer_that_is_interrupted_before_it_waits_keeps_the_lock_from_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, another, waiting = opened(path), SqliteLog(path), list[lock._Waiting]()

    def interrupted(self: lock._Waiting, timeout_s: float) -> int | None:
        waiting.append(self)
        raise KeyboardInterrupt

    with open(path.with_name("log.db-lock")) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with monkeypatch.context() as patched:
            patched.setattr(lock._Waiting, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                log.append([Message("kept", b"k", b"0")])
    until(lambda: waiting[0]._locked)
    another.append([Message("kept", b"k", b"1")], timeout_s=5.0)
    log.append([Message("kept", b"k", b"2")], timeout_s=5.0)
    assert read_all(log, "kept") == [b"1", b"2"]


def test_a_thread_waits_for_the_others_of_its_process_no_longer_than_it_may(path: Path) -> None:
    log = opened(path)
    first = threading.Thread(target=log.append, args=([Message("kept", b"k", b"1")],))
    with open(path.with_name("log.db-lock")) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        first.start()
        time.sleep(0.1)
        with pytest.raises(LogUnavailable, match="other writers kept the log for 0.2 s"):
            log.append([Message("kept", b"k", b"2")], timeout_s=0.2)
    first.join(10)
    assert read_all(log, "kept") == [b"1"]


def test_records_expire(path: Path) -> None:
    clock = Clock()
    log = opened(path, clock=clock, housekeeping_s=0.0)
    log.append([Message("expiring", b"k", b"old"), Message("kept", b"k", b"kept")])
    clock.now_s += 59
    log.append([Message("expiring", b"k", b"young")])
    assert read_all(log, "expiring") == [b"old", b"young"]
    clock.now_s += 2
    consumer = log.subscribe("group", ["expiring"])
    assert [r.value for r in consumer.poll()] == [b"young"]
    assert read_all(log, "expiring") == [b"young"]
    assert read_all(log, "kept") == [b"kept"]
    clock.now_s += 60
    log.append([Message("kept", b"k", b"more")])
    assert read_all(log, "expiring") == []
    assert consumer.lag() == 0


def delete_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (log_module, tables):
        monkeypatch.setattr(module, "DELETE_ROWS", 2)


def test_what_expired_is_looked_for_as_often_as_told_and_sooner_while_there_is_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_two_at_once(monkeypatch)
    clock = Clock()
    log = opened(path, clock=clock, housekeeping_s=3_600.0)
    log.append([Message("expiring", b"k", b"%d" % n) for n in range(5)])
    clock.now_s += 61
    log.append([Message("kept", b"k", b"v")])
    assert len(read_all(log, "expiring")) == 5, "it was looked a moment ago"
    fresh, left = SqliteLog(path, clock=clock, housekeeping_s=3_600.0), list[int]()
    for _ in range(3):
        fresh.append([Message("kept", b"k", b"v")])
        left.append(len(read_all(log, "expiring")))
    assert left == [3, 1, 0]


def test_many_go_at_once_where_they_are_trimmed_or_compacted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delete_two_at_once(monkeypatch)
    log = opened(path)
    for topic in ("expiring", "compacted"):
        log.append([Message(topic, b"k", b"%d" % n) for n in range(6)])
    log.trim("expiring", partition_of(b"k", 4), 5)
    log.compact("compacted")
    assert read_all(log, "expiring") == read_all(log, "compacted") == [b"5"]


def test_superseded_values_go_within_the_bound_and_deletions_after_a_day(path: Path) -> None:
    clock = Clock()
    log = opened(path, clock=clock, housekeeping_s=0.0)
    log.append([Message("compacted", b"k", b"old"), Message("compacted", b"gone", b"value")])
    log.append([Message("compacted", b"k", b"new"), Message("compacted", b"gone", None)])
    clock.now_s += COMPACTED.compaction_bound_s
    log.append([Message("kept", b"k", b"v")])
    assert Counter(read_all(log, "compacted")) == Counter([b"new", None])
    clock.now_s += 86_400
    log.append([Message("kept", b"k", b"v")])
    assert read_all(log, "compacted") == [b"new"]
    log.append([Message("compacted", b"gone", b"back")])
    log.compact("compacted")
    assert Counter(read_all(log, "compacted")) == Counter([b"new", b"back"])


def test_on_an_idle_log_what_was_superseded_leaves_every_file_within_the_bound(path: Path) -> None:
    clock = Clock()
    log = opened(path, clock=clock, housekeeping_s=0.0)
    log.append([Message("compacted", b"k", b"<the name of a tenant>" * 40)])
    log.append([Message("compacted", b"k", b"new")])
    clock.now_s += COMPACTED.compaction_bound_s
    with closing(log.subscribe("readers", ["kept"])) as consumer:
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (2,)
        consumer.poll(timeout_s=0.0)  # removes it, and finds a reader in the way
        assert b"<the name of a tenant>" in raw(path)
        reader.close()
        consumer.poll(timeout_s=0.0)
    assert b"<the name of a tenant>" not in raw(path)


def test_what_was_superseded_in_this_very_millisecond_is_compacted(path: Path) -> None:
    log = opened(path, clock=Clock())
    for value in (b"old", b"new"):
        log.append([Message("compacted", b"k", value)])
    log.compact("compacted")
    assert read_all(log, "compacted") == [b"new"]


def test_an_expiry_from_before_the_clock_was_set_back_is_none(path: Path) -> None:
    clock = Clock()
    log = opened(path, clock=clock)
    log.append([Message("kept", b"k", b"v")])
    consumer = log.subscribe("group", ["kept"], session_timeout_s=2.5)
    (record,) = consumer.poll()
    clock.now_s -= 3_600
    with pytest.raises(Fenced, match=r"did not poll for 2\.5 s"):
        consumer.commit({TopicPartition("kept", record.partition): 1})
    assert consumer.poll() == [record]
    consumer.commit({TopicPartition("kept", record.partition): 1})


def test_a_busy_partition_keeps_no_other_waiting(path: Path) -> None:
    log = opened(path)
    log.append([Message("kept", b"k", b"v", partition=n % 4) for n in range(12)])
    consumer = log.subscribe("group", ["kept"])
    assert {record.partition for _ in range(4) for record in consumer.poll(max_records=1)} == {0, 1, 2, 3}


def test_a_poll_takes_as_many_as_it_may_of_all_partitions_together(path: Path) -> None:
    log = opened(path)
    log.append([Message("kept", b"k", b"v", partition=n % 3) for n in range(15)])
    assert len(log.subscribe("group", ["kept"]).poll(max_records=7)) == 7


def test_what_sqlite_sorts_lies_in_memory_and_in_no_temporary_file(path: Path) -> None:
    with opened(path)._db.connection() as db:
        assert db.execute("PRAGMA temp_store").fetchone() == (2,)


def test_who_polls_once_a_third_of_its_session_is_over_stays_a_member(path: Path) -> None:
    clock = Clock()
    log = opened(path, clock=clock)
    log.append([Message("kept", b"k", b"v")])
    consumer = log.subscribe("group", ["kept"], session_timeout_s=9.0)
    (record,) = consumer.poll()
    clock.now_s += 3.1
    consumer.poll(timeout_s=0.0)
    clock.now_s += 8.9
    consumer.commit({TopicPartition("kept", record.partition): 1})
    clock.now_s += 0.1
    with pytest.raises(Fenced):
        consumer.commit({TopicPartition("kept", record.partition): 1})


def test_what_a_member_had_that_is_gone_goes_to_those_that_poll(path: Path) -> None:
    clock = Clock()
    log = opened(path, clock=clock)
    stays, goes = (log.subscribe("group", ["kept"], session_timeout_s=9.0) for _ in range(2))
    for _ in range(3):
        for consumer in (stays, goes):
            consumer.poll(timeout_s=0.0)
    assert [len(consumer.assignment()) for consumer in (stays, goes)] == [2, 2]
    for owned in (2, 2, 4):
        clock.now_s += 3.5
        stays.poll(timeout_s=0.0)
        assert len(stays.assignment()) == owned
    [foreign, *_] = goes.assignment()
    goes.poll(timeout_s=0.0)  # it joins again, and is given nothing yet
    with pytest.raises(Fenced, match="is not this consumer's"):
        goes.seek(foreign, 0)


def test_what_a_killed_process_had_is_free_at_once_however_long_its_session(path: Path) -> None:
    log = opened(path)
    log.append([Message("kept", b"%d" % n, b"v") for n in range(12)])
    killed = worker("copy", f"sqlite://{path}", "group", "kept", "expiring", "polled", "3600")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    consumer = log.subscribe("group", ["kept"])
    assert len(consumer.poll()) == 10
    assert len(consumer.assignment()) == 4


def test_offsets_of_another_log_are_not_committed(path: Path) -> None:
    log, other = opened(path), opened(path.with_name("other.db"))
    with pytest.raises(TypeError, match="a consumer of another log"), log.transaction(other.subscribe("g", ["kept"])):
        pass


def test_a_log_that_is_closed_leaves_no_file_open_and_no_member_behind(path: Path) -> None:
    clock, members = Clock(), path.with_name("log.db-members")
    log = opened(path, clock=clock)
    consumer = log.subscribe("group", ["kept"])
    consumer.poll(timeout_s=0.0)
    clock.now_s += 3_600
    consumer.poll(timeout_s=0.0)  # as a new member
    assert len(list(members.iterdir())) == 1
    consumer.close()
    assert list(members.iterdir()) == []
    log.close()
    links = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert not [link for link in links if str(path) in link]


def test_a_poll_returns_when_something_comes_or_its_time_is_over(path: Path) -> None:
    log = opened(path)
    consumer, began = log.subscribe("group", ["kept"]), time.monotonic()
    assert consumer.poll(timeout_s=0.3) == []
    assert 0.3 <= time.monotonic() - began < 5
    later = threading.Timer(0.3, log.append, [[Message("kept", b"k", b"v")]])
    later.start()
    [record] = consumer.poll(timeout_s=30.0)
    assert (record.value, time.monotonic() - began < 15) == (b"v", True)


def test_who_waits_for_records_looks_a_few_times_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []

    def counted(db: sqlite3.Connection) -> int:
        looked.append(time.monotonic())
        return database.data_version(db)

    log = opened(path)
    consumer = log.subscribe("group", ["kept"])
    consumer.poll(timeout_s=0.0)
    monkeypatch.setattr(consumer_module, "data_version", counted)
    assert consumer.poll(timeout_s=1.0) == []
    assert 2 <= len(looked) <= 8


def test_who_waits_already_takes_over_from_one_that_dies(path: Path) -> None:
    """Of which the file of the log says nothing."""
    log = opened(path)
    stays, dies = (log.subscribe("group", ["kept"], session_timeout_s=3_600) for _ in range(2))
    for _ in range(3):
        for consumer in (stays, dies):
            consumer.poll(timeout_s=0.0)
    [foreign, *_] = dies.assignment()
    log.append([Message("kept", b"k", b"v", partition=foreign.partition)])
    assert dies._presence is not None
    killed, began = threading.Timer(0.3, dies._presence.release), time.monotonic()  # as the kernel does
    killed.start()
    [record] = stays.poll(timeout_s=60.0)
    assert (record.value, time.monotonic() - began < 20) == (b"v", True)


def test_only_its_user_can_read_the_files(path: Path) -> None:
    log = opened(path)
    log.append([Message("kept", b"k", b"v")])
    assert {file.name: oct(file.stat().st_mode & 0o077) for file in path.parent.iterdir()} == {
        name: "0o0" for name in ("log.db", "log.db-wal", "log.db-shm", "log.db-lock", "log.db-members")
    }


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="there is no folder"):
        SqliteLog(tmp_path / "missing" / "log.db")
    (tmp_path / "folder.db-lock").mkdir()
    with pytest.raises(LogUnavailable, match="let this user write there"):
        SqliteLog(tmp_path / "folder.db")
    (tmp_path / "notes.txt").write_bytes(b"no database " * 1_000)
    with pytest.raises(LogUnavailable, match="no log of Mneme"):
        SqliteLog(tmp_path / "notes.txt")
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE other (n)")
    with pytest.raises(LogError, match="no log of Mneme"):
        SqliteLog(tmp_path / "other.db")
    opened(tmp_path / "log.db").close()
    with sqlite3.connect(tmp_path / "log.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LogError, match="written in format 99"):
        SqliteLog(tmp_path / "log.db")


@pytest.mark.parametrize("before", [1, 2])
def test_a_file_of_a_format_before_is_taken_and_older_code_does_not_take_it_again(path: Path, before: int) -> None:
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE holders")
        db.execute(f"PRAGMA user_version = {before}")
    log = opened(path)
    assert log.partitions("kept") > 0
    log.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)


def test_ensuring_topics_is_all_or_nothing(path: Path) -> None:
    log = opened(path)
    with pytest.raises(TopicMismatch):
        log.ensure_topics([TopicSpec("new", 4, Cleanup.KEEP), TopicSpec("kept", 5, Cleanup.KEEP)])
    with pytest.raises(LogError, match="there is no such topic"):
        log.partitions("new")
