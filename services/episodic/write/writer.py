"""The one writer of engrams: follows the ledger, partition by partition and in order.

Per batch: fold, one transaction (feed records, keys, ledger offset), then the index from those feed records, then the
next. An erasure is a batch of its own. Entries may share a batch because later ones see what earlier ones of the
batch made; only where a plug-in searches the whole namespace are they folded one by one.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.episodic_pb2 import StoreErasure
from mneme.v1.ledger_pb2 import StoredReceipt

from services.common import telemetry
from services.common.crypto.seal import KeyDestroyed, Tampered
from services.common.ledger import topics
from services.common.log.base import (
    BETWEEN_POLLS_S,
    Consumer,
    Fenced,
    Log,
    LogError,
    LogUnavailable,
    Record,
    TopicPartition,
)
from services.common.serving.background import give_way
from services.episodic.search.index import IndexUnavailable
from services.episodic.state.namespaces import Registry
from services.episodic.state.records import from_us, stamp
from services.episodic.state.service_state import BY_NAMESPACE, OperatorState
from services.episodic.state.store import Store
from services.episodic.write.components import Components, Dropped
from services.episodic.write.deletion import Deletion
from services.episodic.write.dropping import drop, generations
from services.episodic.write.erasing import Erasing
from services.episodic.write.fold import Entry, Poison, Reducer
from services.episodic.write.generation import Generation, Step, decode, no_step
from services.episodic.write.parked import Parking

T = TypeVar("T")
GROUP = "episodic"
_log = logging.getLogger(__name__)
_ASSIGN_S = 30.0
_MAX_UNFINISHED = 64  # erasures applied but not compacted; the writer waits beyond
_STORES_AGAIN_S = 1.0
_INDEX = "index"
_DONE = object()
_NAME = "the namespace's name"
_IDS_A_CALL = 50_000  # to a keeper of KV blocks; a message takes twice as many
_AGAIN_S = 2.0  # until keepers are asked again, and generations dropped that could not be


class Progress:
    """How far the ledger is applied and visible, by partition. Thread-safe."""

    def __init__(self, partitions: int) -> None:
        self._next = [0] * partitions
        self._changed = threading.Condition()

    def advance(self, partition: int, next_offset: int) -> None:
        with self._changed:
            self._next[partition] = max(self._next[partition], next_offset)
            self._changed.notify_all()

    def reached(self, wanted: Mapping[int, int]) -> bool:
        """Whether everything before these offsets is visible."""
        with self._changed:
            return all(self._next[partition] >= offset for partition, offset in wanted.items())

    def snapshot(self) -> list[int]:
        with self._changed:
            return list(self._next)

    def wait(self, wanted: Mapping[int, int], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: all(self._next[p] >= offset for p, offset in wanted.items()), timeout_s
            )


class Host:
    """Owns the live generation and the thread that writes it."""

    def __init__(self, parts: Components, step: Step = no_step) -> None:
        self.parts = parts
        self.registry = Registry(parts.log, parts.keyring)
        self.state = OperatorState(parts.log)
        self.parking = Parking(self.state, parts.log, parts.keyring)
        self.progress = Progress(parts.log.partitions(topics.LEDGER))
        self.fold_lock = threading.RLock()  # held while a batch is folded, and while a generation is swapped
        self.building: Generation | None = None  # a rebuild's; None tells it to give up
        self.consumer: Consumer | None = None
        self._live: Generation | None = None
        self._made_by = ""  # fingerprint of the live one
        self._dropping = threading.RLock()  # held while generations begin, end and are dropped
        self._doomed: set[int] = set()  # generations to drop: neither live nor being built
        self._step = step
        self._stop = threading.Event()
        self._work: dict[int, Iterator[None]] = {}  # of partitions whose records are under way; the writer's own
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.finished = 0  # receipts, since the start: who waits for one looks again when it has risen
        self._unfinished: queue.Queue[StoredReceipt | None] = queue.Queue(_MAX_UNFINISHED)
        self._finisher: threading.Thread | None = None

    # --- life ---

    def start(self) -> None:
        """Learn what was erased, bring the index up to the feed, then follow the ledger in a thread."""
        log = self.parts.log
        self.consumer = log.subscribe(GROUP, [topics.LEDGER], BETWEEN_POLLS_S)
        committed = self._committed()
        self.registry.fold_all(committed)
        self._live = self._open_live(committed)
        self._doomed = generations(self.parts) - {self._live.number}
        self._drop_doomed()
        for partition, offset in enumerate(committed):
            self.progress.advance(partition, offset)
        for receipt in self._open_receipts():
            self._finish(receipt)
        self._thread = threading.Thread(target=self._guarded, args=[self._run], name="episodic-writer", daemon=True)
        self._finisher = threading.Thread(
            target=self._guarded, args=[self._finish_all], name="episodic-receipts", daemon=True
        )
        self._thread.start()
        self._finisher.start()

    def _committed(self) -> list[int]:
        """Committed ledger offsets, once this member owns every partition."""
        assert self.consumer is not None
        partitions = [TopicPartition(topics.LEDGER, p) for p in range(self.parts.log.partitions(topics.LEDGER))]
        deadline = time.monotonic() + _ASSIGN_S
        while not self.consumer.assignment() >= set(partitions):
            self.consumer.poll(max_records=1, timeout_s=0.05)
            if time.monotonic() > deadline:
                raise LogUnavailable(f"group {GROUP}: another member holds partitions of {topics.LEDGER}; stop it.")
        committed = [self.consumer.committed(p) for p in partitions]
        for partition, offset in zip(partitions, committed, strict=True):
            self.consumer.seek(partition, offset)
        return committed

    def _open_live(self, committed: Sequence[int]) -> Generation:
        known = self.state.generation()
        fingerprint = self.parts.fingerprint
        if known is None:
            self.parts.log.append([self.state.set_generation(1, fingerprint)])
        number = known.number if known else 1
        self._made_by = known.fingerprint if known else fingerprint
        generation = self.generation(number)
        generation.open()
        generation.applied = dict(enumerate(committed))
        return generation

    def generation(self, number: int) -> Generation:
        """A generation over its collection, which is made where missing."""
        parts = self.parts
        collection, made = parts.index.open(number)
        if made:
            parts.log.append([self.state.set_progress(number, None)])
        store = Store(
            number, parts.log, parts.keyring, self.registry, collection, parts.toolkit.embed, parts.cache_bytes
        )
        reducer = Reducer(parts.log, parts.keyring, self.registry, parts.toolkit, parts.plugins, store)
        return Generation(
            store,
            reducer,
            parts.log,
            parts.keyring,
            self.state,
            flush_rows=parts.flush_rows,
            flush_after_s=parts.flush_after_s,
            step=self._step,
        )

    @property
    def live(self) -> Generation:
        assert self._live is not None, "the host was not started"
        return self._live

    @property
    def outdated(self) -> bool:
        """Whether the live generation was made by other plug-ins, parameters or vectors than are configured."""
        known = self.state.generation()
        return known is not None and known.fingerprint != self.parts.fingerprint

    # --- generations that come and go ---

    def begin(self) -> Generation:
        """The next generation, empty, which erasures reach from now on."""
        with self._dropping:
            number = self.live.number + 1
            self._doomed.add(number)  # whatever an earlier one left
            self._drop_doomed()
            self._doomed.add(number)  # until it is there: what follows may fail half-way
            generation = self.generation(number)
            generation.open()
            generation.applied = dict.fromkeys(range(self.parts.log.partitions(topics.LEDGER)), 0)
            self.building = generation
            self._doomed.remove(number)
            return generation

    def swap(self, generation: Generation) -> None:
        """Make what was built the live one; the one before is dropped soon. Call with ``fold_lock`` held."""
        with self._dropping:
            self.parts.log.append([self.state.set_generation(generation.number, self.parts.fingerprint)])
            self._doomed.add(self.live.number)
            self._live, self._made_by = generation, self.parts.fingerprint
            self.building = None

    def abandon(self, generation: Generation) -> None:
        """Give up what is being built; it is dropped soon. Whoever builds it may not write to it any more."""
        with generation.lock, self._dropping:
            if generation is self.building:
                self.building = None
                self._doomed.add(generation.number)

    def try_to_drop(self) -> None:
        """Drop generations in neither use; where a store is away, a thread of the host does it later."""
        try:
            self._drop_doomed()
        except (LogUnavailable, IndexUnavailable) as error:
            _log.warning("a store is away; a generation is not dropped", extra={"error": type(error).__name__})

    def _drop_doomed(self) -> None:
        """LogError, IndexUnavailable: what is left is dropped the next time."""
        with self._dropping:
            if any(number > self.live.number for number in self._doomed):
                # A swap to it that failed in doubt may yet come to be seen: the later word counts at the next start.
                self.parts.log.append([self.state.set_generation(self.live.number, self._made_by)])
            for number in sorted(self._doomed):
                drop(self.parts, self.state, number)
                self._doomed.remove(number)

    def stop(self, timeout_s: float = 30.0) -> None:
        """End after the batch in hand, flushed."""
        self._stop.set()
        if self._thread is not None and self._finisher is not None:
            self._thread.join(timeout_s)
            self._unfinished.put(None)
            self._finisher.join(timeout_s)
        if self.consumer is not None:
            self.consumer.close()

    def check(self) -> None:
        """RuntimeError when the writer has ended on its own."""
        if self._failure is not None:
            raise RuntimeError("the episodic writer has failed") from self._failure

    def lag(self) -> int:
        """Ledger entries that are not visible yet."""
        log = self.parts.log
        return sum(max(0, log.end_offset(topics.LEDGER, p) - n) for p, n in enumerate(self.progress.snapshot()))

    # --- the writer's thread ---

    def _guarded(self, work: Callable[[], None]) -> None:
        give_way()
        try:
            work()
        except BaseException as error:
            self._failure = error  # ``check`` raises it where health is asked for
            self._stop.set()
            _log.exception("a thread of the episodic host failed")
            raise

    def _run(self) -> None:
        while not self._stop.is_set():
            self._once()
        self.live.flush()

    def _once(self) -> None:
        """Take what is new, and do one piece of each partition's work: a long one delays its own partition alone."""
        assert self.consumer is not None
        try:
            busy = [TopicPartition(topics.LEDGER, p) for p in self._work]
            poll_s = 0.0 if busy else self.parts.poll_s
            records = self.consumer.poll(self.parts.poll_records, poll_s, without=busy)
            for partition, batch in _by_partition(records).items():
                self._work[partition] = chain(self._work.get(partition, ()), self._take(batch))
            for partition, work in list(self._work.items()):
                if next(work, _DONE) is _DONE:
                    del self._work[partition]
            with self.fold_lock:
                self.live.flush_if_due()
        except (LogUnavailable, IndexUnavailable) as error:
            _log.warning("a store is away; trying again", extra={"error": type(error).__name__})
            self._recover()
        except Fenced:
            _log.warning("lost the partitions; joining again")
            self._recover(join=True)

    def _recover(self, *, join: bool = False) -> None:
        """Go back to what was committed, and let the index follow the feed up to there."""
        assert self.consumer is not None
        self._work.clear()
        pause = 0.2
        while not self._stop.wait(pause):
            try:
                if join:  # in here, for the broker that fenced us may be away by now
                    self.consumer.close()
                    self.consumer = self.parts.log.subscribe(GROUP, [topics.LEDGER], BETWEEN_POLLS_S)
                    join = False
                committed = self._committed()
                with self.fold_lock:
                    self.live.drain()
                    for partition, offset in enumerate(committed):
                        self.live.applied[partition] = offset
                        self.progress.advance(partition, offset)
                for receipt in self._open_receipts():
                    self.registry.applied(receipt.receipt.namespace, receipt.receipt.erasure_epoch)
                    self._unfinished.put(receipt)
                return
            except (LogUnavailable, IndexUnavailable, Fenced):
                pause = min(5.0, pause * 2)

    def _take(self, records: Sequence[Record]) -> Iterator[None]:
        """Records of one partition, in order and a piece at a time: erasures alone, the rest in batches."""
        limit = 1 if any(p.reads == "namespace" for p in self.parts.plugins) else self.parts.batch_entries
        batch: list[Record] = []
        for record in records:
            alone = _alone(record)
            if batch and (alone is not None or len(batch) == limit):
                self._fold(batch)
                yield
                batch = []
            if alone is None:
                batch.append(record)
            elif alone.body.HasField("erased"):
                yield from self._erase(alone)
            else:
                yield from self._delete(alone)
        if batch:
            self._fold(batch)

    def _fold(self, batch: Sequence[Record]) -> None:
        start = time.perf_counter()
        with self.fold_lock, self.live.lock:
            outcomes = self.live.fold(batch, self.consumer)
        self.progress.advance(batch[-1].partition, batch[-1].offset + 1)
        for outcome, count in outcomes.items():
            telemetry.RECORDS.labels(GROUP, outcome).inc(count)
        telemetry.STAGE_SECONDS.labels(GROUP, "batch").observe(time.perf_counter() - start)
        telemetry.LAG.labels(GROUP, topics.LEDGER).set(self.lag())

    # --- erasure ---

    def _erase(self, entry: Entry) -> Iterator[None]:
        """Apply an Erased entry to every generation, piece by piece, then have the receipt finished.

        The live one first: what destroys the base keys must also commit the offset, or a kill in between would have
        the entry again over rows that nobody can read. What is being built can be given up, and is when it fails.
        """
        if self.registry.is_deleted_since(entry.namespace, entry.offset):
            self._skip(entry)
            return
        self.registry.fold(entry.body, entry.offset)
        erasing = Erasing(self.parts, self.state, self.registry, self.parking, entry)
        pieces: deque[Collection[str] | None] = deque()
        number, receipt = 0, None
        while receipt is None:
            # What is being built holds no opened text meanwhile that it would seal again under a destroyed key.
            with self.fold_lock, self._building_held():
                if self.live.number != number:  # at the beginning, or swapped in meanwhile
                    number, pieces = self.live.number, deque(erasing.pieces(self._generations()))
                receipt = self._erase_piece(erasing, pieces.popleft(), last=not pieces)
            self._step("erased" if receipt is not None else "erased in part")
            yield
        self.registry.applied(entry.namespace, entry.body.erased.erasure_epoch)
        self.progress.advance(entry.partition, entry.offset + 1)
        telemetry.RECORDS.labels(GROUP, "erasure").inc()
        self._unfinished.put(receipt)

    def _generations(self) -> list[Generation]:
        return [self.live] if self.building is None else [self.live, self.building]

    def _erase_piece(self, erasing: Erasing, sessions: Collection[str] | None, *, last: bool) -> StoredReceipt | None:
        try:
            with self.live.lock:
                receipt = erasing.apply(self.live, sessions, self.consumer, last=last)
            if last:
                self.live.store.collection.flush()
        except (LogError, IndexUnavailable):
            if (building := self.building) is not None:
                self.abandon(building)  # where it was committed all the same, the entry does not come again
            raise
        if (building := self.building) is not None:
            try:
                with building.lock:
                    erasing.apply(building, sessions, None, last=last)
            except (LogError, IndexUnavailable, KeyDestroyed, Tampered) as error:
                _log.warning("an erasure did not reach what is rebuilt", extra={"error": type(error).__name__})
                self.abandon(building)
        return receipt

    @contextmanager
    def _building_held(self) -> Iterator[None]:
        """With nothing folded into what is being built, if anything is: between two of its batches."""
        with nullcontext() if (building := self.building) is None else building.lock:
            yield

    def _skip(self, entry: Entry) -> None:
        """An erasure in a namespace that is deleted further on: all of it goes there."""
        assert self.consumer is not None
        with self.fold_lock, self.live.lock:
            self.live.commit((), (), (), entry.partition, entry.offset + 1, self.consumer)
        self.registry.applied(entry.namespace, entry.body.erased.erasure_epoch)
        self.progress.advance(entry.partition, entry.offset + 1)

    def _delete(self, entry: Entry) -> Iterator[None]:
        """Apply a NamespaceDeleted entry in pieces, between which others fold and read; its offset last."""
        assert self.consumer is not None
        self.registry.fold(entry.body, entry.offset)
        deletion = Deletion(self.parts, self.state, entry, self._step)
        receipt = deletion.begin(self.live)
        yield from self._delete_from_index(deletion)
        # What is being built has folded then whatever it had opened, and opens nothing more of the namespace: it would
        # seal it under a destroyed key.
        with self.fold_lock, self._building_held():
            deque(self._delete_from_index(deletion), maxlen=0)
        yield from deletion.take_from_logs()
        with self.fold_lock:
            deletion.end(self.consumer)
            self.live.applied[entry.partition] = entry.offset + 1
        self.registry.applied(entry.namespace, receipt.receipt.erasure_epoch)
        self.registry.deleted(entry.namespace)
        self.progress.advance(entry.partition, entry.offset + 1)
        _log.info(
            "a namespace was deleted",
            extra={
                "receipt": receipt.receipt.id,
                "principal": entry.body.principal,
                "engrams": len(receipt.base_ids) + len(receipt.derived_ids),
            },
        )
        telemetry.RECORDS.labels(GROUP, "deletion").inc()
        self._unfinished.put(receipt)

    def _delete_from_index(self, deletion: Deletion) -> Iterator[None]:
        for generation in self._generations():
            for ids in deletion.pieces(generation):
                with self.fold_lock, generation.lock:
                    deletion.take(generation, ids)
                yield
            generation.store.collection.flush()

    def _open_receipts(self) -> list[StoredReceipt]:
        """Of erasures that were committed and not finished."""
        return [
            receipt
            for receipt in self.state.receipts()
            if not receipt.receipt.stores and not self.registry.is_going(receipt.receipt.namespace)
        ]

    def _finish_all(self) -> None:
        """Compaction may take a minute on a real broker: not in the writer's thread. Nor is dropping generations."""
        owed: deque[StoredReceipt] = deque(self._at_last(self._owing_receipts) or ())
        next_round = time.monotonic() + _AGAIN_S
        while True:
            try:
                receipt = self._unfinished.get(timeout=max(0.0, next_round - time.monotonic()))
            except queue.Empty:
                self._ask_round(owed)
                self.try_to_drop()
                next_round = time.monotonic() + _AGAIN_S
                continue
            if receipt is None:
                return
            finished = self._at_last(partial(self._finish, receipt))
            if finished is None:
                return  # unfinished receipts are taken up at the next start
            if _owing(finished):
                next_round = next_round if owed else time.monotonic() + _AGAIN_S
                owed.append(finished)

    def _owing_receipts(self) -> list[StoredReceipt]:
        return [receipt for receipt in self.state.receipts() if _owing(receipt)]

    def _at_last(self, work: Callable[[], T]) -> T | None:
        """What ``work`` gives once the stores it needs are there; None when stopped before."""
        while True:
            try:
                return work()
            except (LogUnavailable, IndexUnavailable) as error:
                _log.warning("a store is away; receipts wait", extra={"error": type(error).__name__})
                if self._stop.wait(_STORES_AGAIN_S):
                    return None

    def _finish(self, receipt: StoredReceipt) -> StoredReceipt:
        """Compact and scrub what held the text, and say in the receipt what is done and what is bounded by when."""
        log = self.parts.log
        self._drop_doomed()  # what no erasure reaches may hold the text, and must be compacted away too
        kept = self._drop_blocks(receipt)
        log.compact(topics.KEYS)
        log.compact(topics.FEED)
        inbox_is_empty = not any(_holds_any(log, topic) for topic in self.parts.inboxes)  # before scrubbing
        bound_s = log.scrub()
        self._step("scrubbed")
        finished = StoredReceipt()
        finished.CopyFrom(receipt)
        in_clear = self.registry.is_in_clear(receipt.receipt.namespace)
        now_us = time.time_ns() // 1_000
        finished.receipt.stores.extend(_stores(receipt, now_us, bound_s, inbox_is_empty, in_clear, self.parts))
        finished.receipt.stores.extend(kept)
        self._keep(finished)
        self.finished += 1  # written by one thread: at the start, then the one that finishes
        of = finished.receipt
        seconds = round(time.time() - of.at.ToNanoseconds() / 1e9, 1)
        _log.info("an erasure is done", extra={"operation": of.id, "count": of.base_erased, "seconds": seconds})
        return finished

    def _keep(self, receipt: StoredReceipt) -> None:
        """Write a receipt down, less the name of a namespace that is gone: with an erasure's, nothing is kept."""
        of = receipt.receipt
        if not self.registry.is_deleted_since(of.namespace, of.position.offset):
            self.parts.log.append(self.state.set_receipt(_unnamed(receipt)))

    def _drop_blocks(self, receipt: StoredReceipt) -> list[StoreErasure]:
        """Have every keeper of KV blocks drop what was computed from the erased. One that owes an answer has no `by`.

        After the epoch has risen, so that nobody who recalls from now on can compute such blocks again.
        """
        of = receipt.receipt
        ids = [*receipt.base_ids, *receipt.derived_ids]
        dropped: dict[str, Dropped] = {}
        for start in range(0, max(1, len(ids)), _IDS_A_CALL):
            for each in self.parts.drop_blocks(of.namespace, of.erasure_epoch, ids[start : start + _IDS_A_CALL]):
                if (before := dropped.get(each.keeper)) is None or before.done:
                    dropped[each.keeper] = each
        now = stamp(from_us(time.time_ns() // 1_000))
        return [
            StoreErasure(store=each.keeper, done=each.done, detail=each.detail, by=now if each.done else None)
            for each in dropped.values()
        ]

    def _ask_round(self, owed: deque[StoredReceipt]) -> None:
        """Ask for each receipt again, in turn. What is new goes first: somebody waits for that one."""
        for _ in range(len(owed)):
            if not self._unfinished.empty():
                return
            receipt = self._ask_keepers_again(owed.popleft())
            if _owing(receipt):
                owed.append(receipt)

    def _ask_keepers_again(self, receipt: StoredReceipt) -> StoredReceipt:
        """The receipt with what the keepers that owed an answer say now."""
        now = {each.store: each for each in self._drop_blocks(receipt)}
        after = StoredReceipt()
        after.CopyFrom(receipt)
        for store in after.receipt.stores:
            if _owes(store):
                gone = StoreErasure(store=store.store, done=True, detail="it has stopped, and its memory went with it")
                gone.by.GetCurrentTime()
                store.CopyFrom(now.get(store.store, gone))
        if after == receipt:
            return receipt
        try:
            self._keep(after)
        except LogUnavailable:
            _log.warning("the log is away; the receipt stays as it was")
            return receipt
        return after

    def finished_receipt(self, namespace: str, id: str) -> StoredReceipt | None:
        """The receipt, once everything has been done that is not bounded by time."""
        self.check()
        receipt = self.state.receipt(namespace, id) or self.state.deletion(id)
        return receipt if receipt is not None and receipt.receipt.stores else None


def _unnamed(receipt: StoredReceipt) -> StoredReceipt:
    """A deletion's receipt without the namespace's name, once nobody has to be told it any more."""
    if receipt.receipt.selected_by == BY_NAMESPACE and not _owing(receipt):
        receipt.receipt.namespace = ""
    return receipt


def _owes(store: StoreErasure) -> bool:
    """A keeper of KV blocks that did not answer. What is bounded by time alone names its time."""
    return not store.done and not store.HasField("by") and store.store != _INDEX


def _owing(receipt: StoredReceipt) -> bool:
    return any(map(_owes, receipt.receipt.stores))


def _by_partition(records: Sequence[Record]) -> dict[int, list[Record]]:
    parts: dict[int, list[Record]] = {}
    for record in records:
        parts.setdefault(record.partition, []).append(record)
    return parts


def _alone(record: Record) -> Entry | None:
    """An entry that is applied by itself: an erasure, or the deletion of a namespace."""
    try:
        entry = decode(record)
    except Poison:
        return None  # folding it makes the dead letter
    return entry if entry.body.HasField("erased") or entry.body.HasField("namespace_deleted") else None


def _ledger(named: bool, log_done: bool, at: Timestamp) -> StoreErasure:
    name = f"; {_NAME} stays, in clear, as the key of entries that an earlier version of Mneme wrote" if named else ""
    return StoreErasure(store="ledger", done=log_done, detail=f"sealed under destroyed keys{name}", by=at)


def _feed(by_namespace: bool, log_done: bool, at: Timestamp) -> StoreErasure:
    what = f"removed and compacted away; the removals hold {_NAME} for a day" if by_namespace else ""
    return StoreErasure(store="feed", done=log_done, detail=what or "replaced by stubs and compacted away", by=at)


def _index(searches_vectors: bool, at: Timestamp) -> StoreErasure:
    if searches_vectors:
        detail = "rows deleted; texts were sealed; Milvus keeps their vectors until it compacts their segments"
        return StoreErasure(store=_INDEX, done=False, detail=detail)
    left = "their words' keyed hashes"
    detail = f"rows deleted; texts and vectors were sealed; {left} go when its files are merged or rebuilt"
    return StoreErasure(store=_INDEX, done=True, detail=detail, by=at)


def _holds_any(log: Log, topic: str) -> bool:
    return any(True for partition in range(log.partitions(topic)) for _ in log.read(topic, partition))


def _inbox(is_empty: bool, log_done: bool, at: Timestamp, until: Timestamp) -> StoreErasure:
    if is_empty and log_done:
        return StoreErasure(store="inbox", done=True, detail="empty, and what was in it is overwritten", by=at)
    if is_empty:
        detail = "nothing to read; the broker's disk keeps what was removed until the retention ends"
    else:
        detail = "holds what perception has not taken and removed yet: seconds, and no longer than the retention"
    return StoreErasure(store="inbox", done=False, detail=detail, by=until)


def _stores(
    receipt: StoredReceipt, now_us: int, bound_s: float, inbox_is_empty: bool, in_clear: bool, parts: Components
) -> list[StoreErasure]:
    at = stamp(from_us(now_us))
    scrubbed = stamp(from_us(now_us + int(bound_s * 1e6)))
    inbox = stamp(from_us(now_us + parts.inbox_retention_s * 1_000_000))
    letters = stamp(from_us(now_us + parts.dead_letter_retention_s * 1_000_000))
    count = receipt.receipt.keys_destroyed
    log_done = bound_s == 0.0
    by_namespace = receipt.receipt.selected_by == BY_NAMESPACE
    return [
        StoreErasure(
            store="keys", done=log_done, detail=f"{count} data keys destroyed and compacted away", by=scrubbed
        ),
        _ledger(by_namespace and in_clear, log_done, scrubbed),
        _feed(by_namespace, log_done, scrubbed),
        _index(parts.index.searches_vectors, at),
        _inbox(inbox_is_empty, log_done, at, inbox),
        StoreErasure(store="dead letters", done=False, detail="sealed until their retention ends", by=letters),
    ]
