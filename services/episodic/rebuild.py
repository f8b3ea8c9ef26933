"""Rebuild: the ledger read again into a new generation beside the live one, swapped in when it has caught up.

Recall works throughout. A rebuild that did not reach its end is begun again by asking again; what it left is dropped.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import Operation, OperationState
from mneme.v1.ledger_pb2 import FeedRecord

from services.common import topics
from services.common.background import give_way
from services.common.errors import MnemeError
from services.common.log.base import LogError, Message
from services.common.seal import KeyDestroyed, Tampered
from services.episodic.generation import Generation
from services.episodic.host import Host
from services.episodic.index import IndexUnavailable
from services.episodic.records import from_us, stamp
from services.episodic.statehash import state_hash
from services.episodic.store import feed_key, open_core

_log = logging.getLogger(__name__)
_REPORT_S = 0.5
_TOMBSTONES = 1_000


class Abandoned(Exception):
    """An erasure did not reach the generation that was being built, so it must not become the live one."""


class Rebuilder:
    """Runs one rebuild at a time, in a thread of its own."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def recover(self) -> None:
        """At start, before anything else: drop what an unfinished rebuild left."""
        host = self._host
        for operation in host.state.operations():
            if operation.state == OperationState.OPERATION_STATE_RUNNING:
                self._end(operation, OperationState.OPERATION_STATE_FAILED, {"reason": "the service was restarted"})
        live = host.live.number
        for number in sorted(set(host.parts.index.generations()) | _in_feed(host)):
            if number != live:
                drop(host, number)

    def start(self) -> Operation:
        """Begin; the operation tells its progress. OVERLOADED while another one runs."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise MnemeError("OVERLOADED", "A rebuild is running.", remedy="Wait for its operation to end.")
            operation = Operation(
                id=f"rebuild-{secrets.token_hex(8)}",
                kind="rebuild",
                state=OperationState.OPERATION_STATE_RUNNING,
                total=self._host.lag() + sum(self._host.progress.snapshot()),
                started_at=_now(),
            )
            self._save(operation)
            started = Operation()
            started.CopyFrom(operation)
            self._thread = threading.Thread(target=self._run, args=[operation], name="episodic-rebuild", daemon=True)
            self._thread.start()
            return started

    def wait(self) -> None:
        """Until the rebuild under way has ended."""
        if self._thread is not None:
            self._thread.join()

    def stop(self, timeout_s: float = 30.0) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, operation: Operation) -> None:
        give_way()
        start = time.monotonic()
        try:
            generation = build(self._host, operation, self._save, self._stop)
        except (LogError, IndexUnavailable, KeyDestroyed, Tampered, Abandoned) as error:
            _log.exception("the rebuild failed", extra={"operation": operation.id})
            self._host.building = None
            self._end(operation, OperationState.OPERATION_STATE_FAILED, {"reason": type(error).__name__})
            return
        if generation is None:
            self._end(operation, OperationState.OPERATION_STATE_FAILED, {"reason": "the service stopped"})
            return
        result = {"generation": str(generation.number), "seconds": f"{time.monotonic() - start:.1f}"}
        self._end(operation, OperationState.OPERATION_STATE_DONE, result)

    def _end(self, operation: Operation, state: OperationState, result: dict[str, str]) -> None:
        operation.state = state
        operation.result.update(result)
        operation.ended_at.CopyFrom(_now())
        self._save(operation)

    def _save(self, operation: Operation) -> None:
        self._host.parts.log.append([self._host.state.set_operation(operation)])


def build(
    host: Host, operation: Operation, save: Callable[[Operation], None], stop: threading.Event
) -> Generation | None:
    """Make the next generation, swap it in, drop the one before. None when stopped meanwhile."""
    number = host.live.number + 1
    drop(host, number)
    generation = host.generation(number)
    generation.open()
    partitions = range(host.parts.log.partitions(topics.LEDGER))
    generation.applied = dict.fromkeys(partitions, 0)
    host.building = generation
    reported = time.monotonic()
    while (behind := _behind(host, generation)) > host.parts.batch_entries:
        for partition in partitions:
            if stop.is_set():
                host.building = None
                return None
            _read_on(host, generation, partition, host.parts.batch_entries)
        generation.flush_if_due()
        operation.done = sum(generation.applied.values())
        operation.total = operation.done + behind
        if time.monotonic() - reported > _REPORT_S:
            save(operation)
            reported = time.monotonic()
    with host.fold_lock:
        _require_building(host, generation)
        for partition in partitions:
            while generation.applied[partition] < host.live.applied[partition]:
                _read_on(host, generation, partition, host.parts.batch_entries)
        generation.flush()
        host.parts.log.append([host.state.set_generation(number, host.parts.fingerprint)])
        before = host.swap(generation)
        host.building = None
    operation.done = operation.total = sum(generation.applied.values())
    drop(host, before.number)
    return generation


def _behind(host: Host, generation: Generation) -> int:
    return sum(host.live.applied[p] - n for p, n in generation.applied.items())


def _read_on(host: Host, generation: Generation, partition: int, count: int) -> None:
    """Fold the next entries, never beyond what the live generation has applied."""
    limit = 1 if any(p.reads == "namespace" for p in host.parts.plugins) else count
    with generation.lock:
        _require_building(host, generation)
        start, end = generation.applied[partition], host.live.applied[partition]
        records = list(islice(host.parts.log.read(topics.LEDGER, partition, start, end), limit))
        if records:
            generation.fold(records, None)


def _require_building(host: Host, generation: Generation) -> None:
    """Call with a lock held that an erasure takes."""
    if host.building is not generation:
        raise Abandoned


def drop(host: Host, number: int) -> None:
    """Delete a generation: its collection, its feed records, the keys that only it used."""
    log, keyring = host.parts.log, host.parts.keyring
    host.parts.index.drop(number)
    for partition in range(log.partitions(topics.FEED)):
        messages: list[Message] = []
        for feed in _feed_of(host, number, partition):
            messages += keyring.destroy(feed.namespace, sorted(_own_keys(host, feed)))
            key = feed_key(number, feed.namespace, feed.engram_id)
            messages.append(Message(topics.FEED, key, None, partition_key=feed.namespace.encode()))
            if len(messages) >= _TOMBSTONES:
                log.append(messages)
                messages = []
        if messages:
            log.append(messages)
    log.append([host.state.set_progress(number, None)])


def _own_keys(host: Host, feed: FeedRecord) -> set[str]:
    """Keys of derived text: not a base engram's own, which is its observation's and serves every generation."""
    if feed.erased:
        return set()
    try:
        is_base = open_core(feed, host.parts.keyring).record.is_base
    except KeyDestroyed:
        return {feed.detail.key_id}
    keys = {feed.detail.key_id, feed.sealed.key_id}
    return keys - {feed.sealed.key_id} if is_base else keys


def _feed_of(host: Host, number: int, partition: int) -> Sequence[FeedRecord]:
    """What the feed holds of a generation, the newest of each engram."""
    newest: dict[bytes, FeedRecord | None] = {}
    for record in host.parts.log.read(topics.FEED, partition):
        if record.key.startswith(f"{number}/".encode()):
            newest[record.key] = FeedRecord.FromString(record.value) if record.value is not None else None
    return [feed for feed in newest.values() if feed is not None]


def _in_feed(host: Host) -> set[int]:
    log = host.parts.log
    return {
        int(record.key.split(b"/", 1)[0])
        for partition in range(log.partitions(topics.FEED))
        for record in log.read(topics.FEED, partition)
        if record.value is not None
    }


def hash_of(host: Host, namespace: str) -> str:
    """The namespace's state hash in the live generation, while nothing is folded."""
    with host.fold_lock:
        return state_hash(host.live.store.collection, host.parts.keyring, namespace)


def _now() -> Timestamp:
    return stamp(from_us(time.time_ns() // 1_000))
