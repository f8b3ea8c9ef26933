"""Processes that tests kill: ``python -m tests.common.log.worker copy|append|fill ...``.

They print what they did, one JSON value a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from services.common.ledger.named import Named
from services.common.log.base import Appended, Cleanup, Log, LogUnavailable, Message, TopicPartition, TopicSpec
from services.common.log.open import open_log
from services.common.log.sqlite import SqliteLog

# Where `copy` can be made to die, in the order in which it passes them.
CRASH_POINTS = ("polled", "appended", "committing", "committed")


def copy(url: str, group: str, source: str, sink: str, crash_at: str, session_s: str) -> None:
    """Copy records exactly once, a transaction each, until the source stays empty for a second.

    Dies by SIGKILL at ``crash_at`` when it comes to its third record; runs to the end when that is "".
    """
    log = open_log(url)
    with log.transaction(name=f"copy-{group}"):
        pass  # ends what the last one left open when it died
    consumer = log.subscribe(group, [source], float(session_s))
    copied = 0
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 1.0 or consumer.assignment() == frozenset() or consumer.lag():
        for record in consumer.poll(max_records=2):
            dying = crash_at if copied == 2 else ""
            _die_if(dying == "polled")
            if dying == "committing":
                _die_before_commit(log)
            with log.transaction(consumer, name=f"copy-{group}") as tx:
                tx.append(Message(sink, record.key, record.value))
                tx.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
                _die_if(dying == "appended")
            _die_if(dying == "committed")
            copied += 1
            quiet_since = time.monotonic()
    consumer.close()
    log.close()
    _say(copied)


def append(url: str, topic: str, key: str, count: str) -> None:
    """Append one by one; says the longest that one took."""
    log = open_log(url)
    longest_s = 0.0
    for n in range(int(count)):
        began = time.monotonic()
        log.append([Message(topic, key.encode(), b"%d" % n)])
        longest_s = max(longest_s, time.monotonic() - began)
    log.close()
    _say(longest_s)


def fill(url: str, limit_bytes: str) -> None:
    """Append under a limit on file sizes until the log refuses, then without; says what happened and what is there."""
    log = open_log(url)
    log.ensure_topics([TopicSpec("full", 4, Cleanup.KEEP)])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), hard))
    accepted = 0
    try:
        while True:
            log.append([Message("full", b"k", bytes(50_000)), Message("full", b"k", b"pair")])
            accepted += 2
    except LogUnavailable as error:
        _say(str(error))
    _say([accepted, _count(log)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log.append([Message("full", b"k", b"more")])
    _say(_count(log))
    log.close()


def _count(log: Log) -> int:
    return sum(1 for n in range(4) for _ in log.read("full", n))


def _die_before_commit(log: Log) -> None:
    """Let the log die when everything is written and only the commit is missing."""
    assert isinstance(log, Named)
    if isinstance(real := log._log, SqliteLog):
        append_rows = real._append

        def append_then_die(*args: Any) -> list[Appended]:
            appended = append_rows(*args)
            _die_if(True)
            return appended

        real._append = append_then_die  # type: ignore[method-assign, assignment]
    else:
        from services.common.log.kafka.producer import TransactionalProducer

        TransactionalProducer._commit = lambda *_: _die_if(True)  # type: ignore[method-assign]


def _die_if(condition: bool) -> None:
    if condition:
        os.kill(os.getpid(), signal.SIGKILL)


def _say(value: Any) -> None:
    print(json.dumps(value), flush=True)


_COMMANDS: dict[str, Callable[..., None]] = {"copy": copy, "append": append, "fill": fill}

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](*sys.argv[2:])
