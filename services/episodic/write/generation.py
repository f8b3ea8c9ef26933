"""One generation of a partition as it is written: entries folded, committed to the feed, and from there indexed.

The live one follows the ledger; a rebuild writes another beside it. ``lock`` is held by whoever folds into it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack

from mneme.v1.common_pb2 import Position
from mneme.v1.ledger_pb2 import DeadLetter, FeedRecord

from services.common import telemetry
from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.ledger.entries import SEAL_DEAD_LETTER, entry_of
from services.common.log.base import Consumer, Log, Message, Record, TopicPartition
from services.episodic.state.directory import Directory
from services.episodic.state.records import Stored, from_us, stamp
from services.episodic.state.service_state import OperatorState
from services.episodic.state.store import Store, Written, feed_key, key_use, seal
from services.episodic.state.view import View
from services.episodic.write.fold import Entry, Poison, Reducer
from services.episodic.write.parked import Parking

_DRAIN = 32  # rows embedded at once; between two a flush may be due
# Seconds after which a batch takes no further entry: whoever follows the ledger says in between that it lives, and one
# who was silent for BETWEEN_POLLS_S loses the partition and all that it has not committed. A long text takes seconds.
BATCH_S = 5.0

# Called with the name of each step; tests kill the host there.
Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Nothing happens at the steps."""


class _OneHeld(ExitStack):
    """One namespace at a time, until another is asked for: a batch has many entries of one, and loads it once."""

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._directory = directory
        self._namespace: str | None = None

    def now(self, namespace: str) -> None:
        """IndexUnavailable."""
        if namespace != self._namespace:
            self.close()
            self._namespace = None
            self.enter_context(self._directory.held(namespace))
            self._namespace = namespace


class Generation:
    def __init__(
        self,
        store: Store,
        reducer: Reducer,
        log: Log,
        keyring: Keyring,
        state: OperatorState,
        partition: int,
        *,
        flush_rows: int,
        flush_after_s: float,
        step: Step = no_step,
    ) -> None:
        self.store = store
        self.reducer = reducer
        self.lock = threading.RLock()
        self.applied = 0  # next ledger offset to fold
        self._partition = partition
        self._log = log
        self._keyring = keyring
        self._state = state
        self._parking = Parking(state, log, keyring)
        self._flush_rows = flush_rows
        self._flush_after_s = flush_after_s
        self._step = step
        self.built_as = ""  # fingerprint, where it is being built: each commit notes how far it is
        self._feed_next = 0
        self._unflushed = 0
        self._oldest_unflushed = 0.0

    @property
    def number(self) -> int:
        return self.store.number

    @property
    def _name(self) -> str:
        """Of its transactions."""
        return f"episodic-{self._partition}-{self.number}"

    # --- start ---

    def begin_anew(self) -> None:
        """The partition is this process's, maybe again: what others wrote meanwhile fences nothing from now on. Call
        while nothing is folded into it."""
        self._log.let_go(self._name)

    def open(self) -> int:
        """Write into the index what the feed has beyond it. Namespaces are loaded when somebody asks for them."""
        self._feed_next = self._state.progress(self.number)
        count = self.drain()
        self.flush()
        return count

    def drain(self) -> int:
        """Write into the index what the feed has beyond it. Again is once."""
        count = 0
        batch: list[Written] = []
        following = self._feed_next
        for record in self._log.read(topics.FEED, self._partition, following):
            feed = FeedRecord.FromString(record.value) if record.value is not None else None
            if feed is not None and feed.generation == self.number:
                batch.append(Written(feed, record.offset))
            following = record.offset + 1
            if len(batch) == _DRAIN:
                count += self._index(batch)
                self._feed_next = following
                batch = []
                self.flush_if_due()  # cut short, the next start goes on from here
        count += self._index(batch)
        self._feed_next = following  # not before: where the index is away still, it comes again
        return count

    # --- entries ---

    def fold(self, records: Sequence[Record], consumer: Consumer | None) -> dict[str, int]:
        """Fold consecutive ledger records, from the first on as many as a batch has time for, and make them durable and
        visible, all of these or none.

        What cannot be taken is parked, and destroys nothing. Without a consumer (a rebuild) nothing is said again that
        was said the first time: dead letters, traces.
        """
        view = View(self.store)
        extra: list[Message] = []
        doomed: set[str] = set()
        outcomes: dict[str, int] = {}
        ends = time.monotonic() + BATCH_S
        taken: list[Record] = []
        with _OneHeld(self.store.directory) as held:
            for record in records:
                if taken and time.monotonic() > ends:
                    break
                taken.append(record)
                parent = telemetry.from_headers(record.headers) if consumer is not None else None
                with telemetry.span("episodic.fold", parent=parent, offset=record.offset):
                    what, letters = self._fold_one(record, view, extra, doomed, held)
                extra += letters if consumer is not None else []
                outcomes[what] = outcomes.get(what, 0) + 1
            self._step("folded")
            self.commit(view.changed.values(), (), extra, doomed, taken[-1].offset + 1, consumer)
        for record in taken if consumer is not None else ():
            with telemetry.span("episodic.recallable", parent=telemetry.from_headers(record.headers)):
                pass  # a mark in the observation's own trace
        return outcomes

    def _fold_one(
        self, record: Record, view: View, extra: list[Message], doomed: set[str], held: _OneHeld
    ) -> tuple[str, list[Message]]:
        """What came of it, and dead letters. ``doomed``: takes the keys that it destroys."""
        try:
            entry = decode(record)
        except Poison as poison:
            return "poison", self.dead_letter(record, poison, payload=record.value)
        try:
            held.now(entry.namespace)
            outcome = self.reducer.fold(entry, view)
        except Poison as poison:
            extra += self._parking.park(entry, poison)
            return "poison", self.dead_letter(record, poison, payload=record.value)
        letters = [m for refusal in outcome.refused for m in self.dead_letter(record, refusal, payload=None)]
        doomed.update(outcome.doomed_keys)
        return outcome.what, letters

    def dead_letter(self, record: Record, poison: Poison, payload: bytes | None) -> list[Message]:
        """A letter that says what could not be taken, and the key that its payload is sealed under."""
        namespace = record.key.decode(errors="replace")
        letter = DeadLetter(
            topic=record.topic,
            position=Position(partition=record.partition, offset=record.offset),
            reason=poison.reason,
            message=str(poison),
            at=stamp(from_us(record.timestamp_ms * 1_000)),
        )
        messages: list[Message] = []
        if payload:
            key = self._keyring.new_key(namespace)
            messages.append(key.message)
            sealed = self._keyring.seal(key.key_id, payload, namespace=namespace, purpose=SEAL_DEAD_LETTER)
            letter.payload.CopyFrom(sealed)
        where = f"{record.topic}/{record.partition}/{record.offset}".encode()
        messages.append(Message(topics.DEAD_LETTER, where, letter.SerializeToString()))
        return messages

    def commit(
        self,
        changed: Iterable[Stored],
        erased: Sequence[FeedRecord],
        extra: Sequence[Message],
        doomed: Collection[str],
        next_offset: int,
        consumer: Consumer | None,
    ) -> None:
        """One transaction: feed records, keys, ``extra``, the end of the doomed keys and the ledger offset. Then the
        index, from those records."""
        written: list[tuple[int, FeedRecord, Stored | None]] = []
        messages: list[Message] = []
        in_order = sorted(changed, key=lambda s: (s.version, s.id))
        self._keyring.prepare({stored.namespace for stored in in_order}, key_use(self.number))
        for stored in in_order:
            sealed, feed, keys = seal(stored, self.number, self._keyring)
            messages += keys
            written.append((len(messages), feed, sealed))
            messages.append(self._message(feed))
        for feed in erased:
            written.append((len(messages), feed, None))
            messages.append(self._message(feed))
        messages += extra
        if self.built_as:
            messages.append(self._state.set_building(self.number, self.built_as, next_offset))
        with self._keyring.transaction(self._partition, doomed, consumer, self._name) as tx:
            for message in messages:
                tx.append(message)
            if consumer is not None:
                tx.commit({TopicPartition(topics.LEDGER, self._partition): next_offset})
        self._step("committed")
        places = tx.appended
        self._index([Written(feed, places[at].offset, stored) for at, feed, stored in written])
        if written:
            self._feed_next = places[written[-1][0]].offset + 1
        self.applied = next_offset
        self._step("indexed")

    def _message(self, feed: FeedRecord) -> Message:
        return Message(
            topics.FEED,
            feed_key(self.number, self._keyring.pseudonym(feed.namespace), feed.engram_id),
            feed.SerializeToString(),
            headers=telemetry.to_headers(),
            partition_key=feed.namespace.encode(),
        )

    # --- the index ---

    def _index(self, batch: Sequence[Written]) -> int:
        if batch:
            self.store.write(batch)
            self._unflushed += len(batch)
            self._oldest_unflushed = self._oldest_unflushed or time.monotonic()
        return len(batch)

    def flush_if_due(self) -> None:
        """Flush every so many rows (the index scans what is not flushed) and every so many seconds."""
        self.store.sweep()
        if self._unflushed and (
            self._unflushed >= self._flush_rows or time.monotonic() - self._oldest_unflushed > self._flush_after_s
        ):
            self.flush()

    def flush_index(self) -> None:
        """Return once the index is on disk."""
        self.store.collection.flush(self._feed_next)

    def flush(self) -> None:
        """Return once the index is on disk, and how far it follows the feed is noted."""
        self.flush_index()
        self._step("flushed")
        self._log.append([self._state.set_progress(self.number, self._feed_next)])
        self._unflushed = 0
        self._oldest_unflushed = 0.0


def decode(record: Record) -> Entry:
    """The entry of a ledger record. Poison when there is none."""
    body = entry_of(record)
    if body is None:
        raise Poison("INVALID_FIELD", "The record is not a LedgerEntry.")
    if body.namespace.encode() != record.key:
        raise Poison("INVALID_FIELD", "The record is keyed by another namespace than its entry's.")
    return Entry(body, record.partition, record.offset)


def erased_stub(generation: int, namespace: str, id: str, entry: Entry) -> FeedRecord:
    """What is left of an erased engram."""
    return FeedRecord(
        generation=generation,
        namespace=namespace,
        engram_id=id,
        version=entry.offset,
        position=Position(partition=entry.partition, offset=entry.offset),
        erased=True,
    )
