"""The one writer of a partition's engrams: follows the ledger in order.

Per batch: fold, one transaction (feed records, keys, ledger offset), then the index from those feed records, then the
next. An erasure is a batch of its own. Entries may share a batch because later ones see what earlier ones of the
batch made; only where a plug-in searches the whole namespace are they folded one by one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from mneme.v1.ledger_pb2 import StoredReceipt

from services.common import telemetry
from services.common.crypto.seal import KeyDestroyed, Tampered
from services.common.ledger import topics
from services.common.log.base import (
    BETWEEN_POLLS_S,
    Consumer,
    Fenced,
    LogError,
    LogUnavailable,
    Record,
    TopicPartition,
)
from services.common.serving.background import give_way
from services.episodic.search.index import IndexUnavailable
from services.episodic.state.namespaces import Registry
from services.episodic.state.service_state import OperatorState
from services.episodic.state.view import Part
from services.episodic.write.components import Components
from services.episodic.write.deletion import Deletion
from services.episodic.write.erasing import Erasing, Pieces
from services.episodic.write.fold import Entry, Poison
from services.episodic.write.generation import Generation, Step, decode, no_step
from services.episodic.write.generations import Generations
from services.episodic.write.parked import Parking
from services.episodic.write.receipts import Receipts

GROUP = "episodic"  # of earlier versions, in which one member had every partition; now each has a group of its own
LOST = "lost the partition; joining again"
_log = logging.getLogger(__name__)
_away = telemetry.Sampled(_log, "a store is away; trying again")  # of every partition's writer
_ASSIGN_S = 30.0
_KEPT = 60  # times that a partition is kept within the time in which it would be lost
_LOOKED_THROUGH = 20_000  # entries, for those of one namespace


class Host:
    """What episodic holds of one partition of the ledger, and the thread that writes it."""

    def __init__(self, parts: Components, partition: int, step: Step = no_step) -> None:
        self.parts = parts
        self.partition = partition
        self._ledger = TopicPartition(topics.LEDGER, partition)
        self._kept_at = 0.0  # when it last said that it lives
        self._group = f"{GROUP}-{partition}"
        self.registry = Registry(parts.log, parts.keyring, partition)
        self.state = OperatorState(parts.state, parts.keyring, partition)
        self.parking = Parking(self.state, parts.log, parts.keyring)
        self.progress = parts.progress
        self.fold_lock = threading.RLock()  # held while a batch is folded, and while a generation is swapped
        self.consumer: Consumer | None = None
        self._before = 0  # what the group of earlier versions had committed
        self._step = step
        self._stop = threading.Event()
        self.generations = Generations(parts, partition, self.registry, self.state, step)
        self.receipts = Receipts(parts, self.registry, self.state, self.generations, step, self._stop)
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._finisher: threading.Thread | None = None
        path = parts.facts_path
        self._snapshots = self.registry.kept_in(path, lambda: self.applied) if path is not None else None

    # --- life ---

    def start(self) -> None:
        """Learn what was erased, bring the index up to the feed, then follow the ledger in a thread."""
        self._before = self._committed_before()
        self.consumer = self._subscribed()
        committed = self._committed()
        for messages in self.state.renamed():
            self.parts.log.append(messages)
        if self._snapshots is not None:
            self._snapshots.restore()
        self.registry.fold_all(committed)
        self.generations.open(committed)
        self.progress.advance(self.partition, committed)
        for receipt in self.receipts.begun():
            self.receipts.finish(receipt)
        self._thread = threading.Thread(target=self._guarded, args=[self._run], name="episodic-writer", daemon=True)
        work = self.receipts.run
        self._finisher = threading.Thread(target=self._guarded, args=[work], name="episodic-receipts", daemon=True)
        self._thread.start()
        self._finisher.start()

    def keep_snapshot(self) -> None:
        """Of what is known of the ledger, unless nothing came since the last. Of one thread. LogUnavailable."""
        if self._snapshots is not None:
            self._snapshots.write()

    def _subscribed(self) -> Consumer:
        return self.parts.log.subscribe(self._group, [topics.LEDGER], BETWEEN_POLLS_S, partition=self.partition)

    def _committed(self) -> int:
        """The committed ledger offset, once this member owns the partition."""
        assert self.consumer is not None
        deadline = time.monotonic() + _ASSIGN_S
        wait_s = 0.0  # who is alone owns it at once, and may have nothing to read
        while self._ledger not in self.consumer.assignment():
            self.consumer.poll(max_records=1, timeout_s=wait_s)
            wait_s = 0.05
            if time.monotonic() > deadline:
                raise LogUnavailable(f"group {self._group}: another process holds the partition; stop it.")
        self.parts.keyring.begin_anew(self.partition)
        committed = max(self.consumer.committed(self._ledger), self._before)
        self.consumer.seek(self._ledger, committed)
        return committed

    def _committed_before(self) -> int:
        """Of the group of earlier versions, which commits nothing any more."""
        before = self.parts.log.subscribe(GROUP, [topics.LEDGER])
        try:
            return before.committed(self._ledger)
        finally:
            before.close()

    def stop(self, timeout_s: float = 30.0) -> None:
        """End after the batch in hand, flushed."""
        self.finish(timeout_s)
        self.close()

    def finish(self, timeout_s: float) -> bool:
        """Whether nothing runs any more: the batch in hand is written, and flushed. Again: waits again."""
        self._stop.set()
        if self._thread is None or self._finisher is None:
            return True
        self._thread.join(timeout_s)
        self.receipts.unfinished.put(None)
        self._finisher.join(timeout_s)
        return not (self._thread.is_alive() or self._finisher.is_alive())

    def close(self) -> None:
        """Leave the partition to whoever takes it next."""
        if self._thread is not None:
            with suppress(LogUnavailable):  # then the one before stays
                self.keep_snapshot()
        self.generations.let_go()
        if self.consumer is not None:
            self.consumer.close()
        with suppress(KeyError):  # nothing was folded here
            telemetry.LAG.remove(GROUP, f"ledger/{self.partition}")

    @property
    def live(self) -> Generation:
        return self.generations.live

    def check(self) -> None:
        """RuntimeError when the writer has ended on its own."""
        if self._failure is not None:
            raise RuntimeError("the episodic writer has failed") from self._failure

    def lag(self) -> int:
        """Ledger entries that are not visible yet."""
        return max(0, self.end() - self.applied)

    def lag_of(self, namespace: str) -> int:
        """Entries of the namespace that are not visible yet, among the next of its partition.

        1 where these are too many to look through and none of them is one.
        """
        own = looked = 0
        for record in islice(self.entries(self.applied), _LOOKED_THROUGH):
            looked += 1
            own += record.key == namespace.encode()
        return max(own, int(looked == _LOOKED_THROUGH))

    def end(self) -> int:
        """Where the ledger ends."""
        return self.parts.log.end_offset(topics.LEDGER, self.partition)

    @property
    def applied(self) -> int:
        """The first ledger offset that is not visible yet."""
        return self.progress.snapshot()[self.partition]

    def entries(self, start: int, end: int | None = None) -> Iterator[Record]:
        """Records of the ledger."""
        return self.parts.log.read(topics.LEDGER, self.partition, start, end)

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
        """Take what is new; between two pieces of a long work others may fold and read."""
        assert self.consumer is not None
        try:
            for _ in self._take(self.consumer.poll(self.parts.poll_records, self.parts.poll_s)):
                self._keep_partition()
                if self._stop.is_set():
                    return
                self._flush_if_due()  # or the next start embeds again all that a poll brought
            self._flush_if_due()
        except (LogUnavailable, IndexUnavailable) as error:
            _away.tell(partition=self.partition, error=str(error))
            self._recover()
        except Fenced as error:
            _log.warning(LOST, extra={"partition": self.partition, "error": str(error)})
            self._recover(join=True)

    def _keep_partition(self) -> None:
        """Say that this writer lives. Fenced, once the partition is another's."""
        now = time.monotonic()
        if now - self._kept_at >= BETWEEN_POLLS_S / _KEPT:
            assert self.consumer is not None
            self.consumer.poll(1, 0.0, without=[self._ledger])
            self._kept_at = now

    def _flush_if_due(self) -> None:
        with self.fold_lock:
            self.live.flush_if_due()

    def _recover(self, *, join: bool = False) -> None:
        """Go back to what was committed, and let the index follow the feed up to there."""
        assert self.consumer is not None
        pause = 0.2
        while not self._stop.wait(pause):
            try:
                if join:  # in here, for the broker that fenced us may be away by now
                    self.consumer.close()
                    self.consumer = self._subscribed()
                    join = False
                committed = self._committed()
                self.registry.fold_all(committed)  # another member may have folded some, and erased
                with self.fold_lock:
                    self.live.begin_anew()
                    self.live.drain()
                    self.live.applied = committed
                    self.progress.advance(self.partition, committed)
                for receipt in self.receipts.begun():
                    self.registry.applied(receipt.receipt.namespace, receipt.receipt.erasure_epoch)
                    self.receipts.unfinished.put(receipt)
                return
            except (LogUnavailable, IndexUnavailable, Fenced):
                pause = min(5.0, pause * 2)

    def _take(self, records: Sequence[Record]) -> Iterator[None]:
        """Records in order and a piece at a time: erasures alone, the rest in batches."""
        limit = 1 if any(p.reads == "namespace" for p in self.parts.plugins) else self.parts.batch_entries
        batch: list[Record] = []
        for record in records:
            alone = _alone(record)
            if batch and (alone is not None or len(batch) == limit):
                yield from self._fold(batch)
                batch = []
            if alone is None:
                batch.append(record)
            elif alone.body.HasField("erased"):
                yield from self._erase(alone)
            else:
                yield from self._delete(alone)
        yield from self._fold(batch)

    def _fold(self, batch: Sequence[Record]) -> Iterator[None]:
        """In as many transactions as its time takes."""
        while batch:
            start = time.perf_counter()
            with self.fold_lock, self.live.lock:
                outcomes = self.live.fold(batch, self.consumer)
                applied = self.live.applied
            self.progress.advance(self.partition, applied)
            for outcome, count in outcomes.items():
                telemetry.RECORDS.labels(GROUP, outcome).inc(count)
            telemetry.STAGE_SECONDS.labels(GROUP, "batch").observe(time.perf_counter() - start)
            telemetry.LAG.labels(GROUP, f"ledger/{self.partition}").set(self.lag())
            batch = [record for record in batch if record.offset >= applied]
            yield

    # --- erasure ---

    def _erase(self, entry: Entry) -> Iterator[None]:
        """Apply an Erased entry to every generation, piece by piece, then have the receipt finished.

        The live one first: what destroys the base keys must also commit the offset, or a kill in between would have
        the entry again over rows that nobody can read. What is being built can be given up, and is when it fails.
        """
        if self.registry.is_deleted_since(entry.namespace, entry.offset):
            self._skip(entry)
            return
        self.registry.fold(entry.body, entry.place)
        erasing = Erasing(self.parts, self.state, self.registry, self.parking, entry, self._keep_partition)
        pieces, number, receipt = Pieces(()), 0, None
        while receipt is None:
            # What is being built holds no opened text meanwhile that it would seal again under a destroyed key.
            with self.fold_lock, self.generations.building_held():
                if self.live.number != number:  # at the beginning, or swapped in meanwhile
                    number, pieces = self.live.number, erasing.pieces(self.generations.all())
                with pieces.next() as piece:
                    receipt = self._erase_piece(erasing, piece, last=not pieces)
            self._step("erased" if receipt is not None else "erased in part")
            yield
        self.registry.applied(entry.namespace, entry.body.erased.erasure_epoch)
        self.progress.advance(self.partition, entry.offset + 1)
        telemetry.RECORDS.labels(GROUP, "erasure").inc()
        self.receipts.unfinished.put(receipt)

    def _erase_piece(self, erasing: Erasing, piece: Part | None, *, last: bool) -> StoredReceipt | None:
        try:
            with self.live.lock, self.live.store.directory.held(erasing.namespace):
                receipt = erasing.apply(self.live, piece, self.consumer, last=last)
                self.live.store.terms.forget(erasing.namespace)
            if last:
                self.live.flush_index()
        except (LogError, IndexUnavailable):
            if (building := self.generations.building) is not None:
                self.generations.abandon(building)  # where it was committed all the same, the entry does not come again
            raise
        if (building := self.generations.building) is not None:
            try:
                with building.lock, building.store.directory.held(erasing.namespace):
                    erasing.apply(building, piece, None, last=last)
            except (LogError, IndexUnavailable, KeyDestroyed, Tampered) as error:
                _log.warning("an erasure did not reach what is rebuilt", extra={"error": type(error).__name__})
                self.generations.abandon(building)
        return receipt

    def _skip(self, entry: Entry) -> None:
        """An erasure in a namespace that is deleted further on: all of it goes there."""
        assert self.consumer is not None
        with self.fold_lock, self.live.lock:
            self.live.commit((), (), (), (), entry.offset + 1, self.consumer)
        self.registry.applied(entry.namespace, entry.body.erased.erasure_epoch)
        self.progress.advance(self.partition, entry.offset + 1)

    def _delete(self, entry: Entry) -> Iterator[None]:
        """Apply a NamespaceDeleted entry in pieces, between which others fold and read; its offset last."""
        assert self.consumer is not None
        self.registry.fold(entry.body, entry.place)
        deletion = Deletion(self.parts, self.state, entry, self._step)
        receipt = deletion.begin(self.live)
        yield from self._delete_from_index(deletion)
        # What is being built has folded then whatever it had opened, and opens nothing more of the namespace: it would
        # seal it under a destroyed key.
        with self.fold_lock, self.generations.building_held():
            deque(self._delete_from_index(deletion), maxlen=0)
        yield from deletion.take_from_logs()
        with self.fold_lock:
            deletion.end(self.consumer)
            self.live.store.terms.forget(entry.namespace)
            self.live.applied = entry.offset + 1
        self.registry.applied(entry.namespace, receipt.receipt.erasure_epoch)
        self.registry.deleted(entry.namespace)
        self.progress.advance(self.partition, entry.offset + 1)
        _log.info(
            "a namespace was deleted",
            extra={
                "operation": receipt.receipt.id,
                "principal": entry.body.principal,
                "count": len(receipt.base_ids) + len(receipt.derived_ids),
            },
        )
        telemetry.RECORDS.labels(GROUP, "deletion").inc()
        self.receipts.unfinished.put(receipt)

    def _delete_from_index(self, deletion: Deletion) -> Iterator[None]:
        for generation in self.generations.all():
            for ids in deletion.pieces(generation):
                with self.fold_lock, generation.lock:
                    deletion.take(generation, ids)
                yield
            generation.flush_index()

    def finished_receipt(self, namespace: str, id: str) -> StoredReceipt | None:
        """The receipt, once everything has been done that is not bounded by time."""
        self.check()
        receipt = self.state.receipt(namespace, id) or self.state.deletion(id)
        return receipt if receipt is not None and receipt.receipt.stores else None


def _alone(record: Record) -> Entry | None:
    """An entry that is applied by itself: an erasure, or the deletion of a namespace."""
    try:
        entry = decode(record)
    except Poison:
        return None  # folding it makes the dead letter
    return entry if entry.body.HasField("erased") or entry.body.HasField("namespace_deleted") else None
