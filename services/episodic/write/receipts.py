"""Receipts of erasures: finished in a thread of their own, for compaction may take a minute on a real broker."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from mneme.v1.episodic_pb2 import StoreErasure
from mneme.v1.ledger_pb2 import StoredReceipt

from services.common import telemetry
from services.common.ledger import topics
from services.common.log.base import LogUnavailable
from services.common.serving import clocks
from services.episodic.search.index import IndexUnavailable
from services.episodic.state.namespaces import Registry
from services.episodic.state.service_state import OperatorState
from services.episodic.write.components import Components
from services.episodic.write.erased_stores import dropped_of, holds_any, owes, owing, stores, unnamed
from services.episodic.write.generation import Step
from services.episodic.write.generations import Generations

T = TypeVar("T")
_log = logging.getLogger(__name__)
_away = telemetry.Sampled(_log, "a store is away; receipts wait")
_MAX_UNFINISHED = 64  # erasures applied but not compacted; the writer waits beyond
_STORES_AGAIN_S = 1.0
_AGAIN_S = 2.0  # until keepers are asked again, and generations dropped that could not be


class Receipts:
    """``stop``: set when the service ends."""

    def __init__(
        self,
        parts: Components,
        registry: Registry,
        state: OperatorState,
        generations: Generations,
        step: Step,
        stop: threading.Event,
    ) -> None:
        self._parts, self._registry, self._state = parts, registry, state
        self._generations, self._step, self._stop = generations, step, stop
        self.finished = 0  # since the start: who waits for one looks again when it has risen
        self.unfinished: queue.Queue[StoredReceipt | None] = queue.Queue(_MAX_UNFINISHED)  # None ends ``run``

    def begun(self) -> list[StoredReceipt]:
        """Of erasures that were committed and not finished."""
        return [
            receipt
            for receipt in self._state.receipts()
            if not receipt.receipt.stores and not self._registry.is_going(receipt.receipt.namespace)
        ]

    def run(self) -> None:
        """Compaction may take a minute on a real broker: not in the writer's thread. Nor is dropping generations."""
        owed: deque[StoredReceipt] = deque(self._at_last(self._owing_receipts) or ())
        next_round = time.monotonic() + _AGAIN_S
        while True:
            try:
                receipt = self.unfinished.get(timeout=max(0.0, next_round - time.monotonic()))
            except queue.Empty:
                self._ask_round(owed)
                self._generations.try_to_drop()
                next_round = time.monotonic() + _AGAIN_S
                continue
            if receipt is None:
                return
            finished = self._at_last(partial(self.finish, receipt))
            if finished is None:
                return  # unfinished receipts are taken up at the next start
            if owing(finished):
                next_round = next_round if owed else time.monotonic() + _AGAIN_S
                owed.append(finished)

    def _owing_receipts(self) -> list[StoredReceipt]:
        return [receipt for receipt in self._state.receipts() if owing(receipt)]

    def _at_last(self, work: Callable[[], T]) -> T | None:
        """What ``work`` gives once the stores it needs are there; None when stopped before."""
        while True:
            try:
                return work()
            except (LogUnavailable, IndexUnavailable) as error:
                _away.tell(error=str(error))
                if self._stop.wait(_STORES_AGAIN_S):
                    return None

    def finish(self, receipt: StoredReceipt) -> StoredReceipt:
        """Compact and scrub what held the text, and say in the receipt what is done and what is bounded by when."""
        log = self._parts.log
        self._generations.drop_doomed()  # what no erasure reaches may hold the text, and must be compacted away too
        kept = self._drop_blocks(receipt)
        log.compact(topics.KEYS)
        log.compact(topics.FEED)
        inbox_is_empty = not any(holds_any(log, topic) for topic in self._parts.inboxes)  # before scrubbing
        bound_s = log.scrub()
        self._step("scrubbed")
        finished = StoredReceipt()
        finished.CopyFrom(receipt)
        in_clear = self._registry.is_in_clear(receipt.receipt.namespace)
        now_us = time.time_ns() // 1_000
        finished.receipt.stores.extend(stores(receipt, now_us, bound_s, inbox_is_empty, in_clear, self._parts))
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
        if not self._registry.is_deleted_since(of.namespace, of.position.offset):
            self._parts.log.append(self._state.set_receipt(unnamed(receipt)))

    def _drop_blocks(self, receipt: StoredReceipt) -> list[StoreErasure]:
        """Have every keeper of KV blocks drop what was computed from the erased. One that owes an answer has no `by`.

        After the epoch has risen, so that nobody who recalls from now on can compute such blocks again.
        """
        of = receipt.receipt
        dropped = dropped_of(self._parts, of.namespace, of.erasure_epoch, [*receipt.base_ids, *receipt.derived_ids])
        now = clocks.now()
        return [
            StoreErasure(store=each.keeper, done=each.done, detail=each.detail, by=now if each.done else None)
            for each in dropped
        ]

    def _ask_round(self, owed: deque[StoredReceipt]) -> None:
        """Ask for each receipt again, in turn. What is new goes first: somebody waits for that one."""
        for _ in range(len(owed)):
            if not self.unfinished.empty():
                return
            receipt = self._ask_keepers_again(owed.popleft())
            if owing(receipt):
                owed.append(receipt)

    def _ask_keepers_again(self, receipt: StoredReceipt) -> StoredReceipt:
        """The receipt with what the keepers that owed an answer say now."""
        now = {each.store: each for each in self._drop_blocks(receipt)}
        after = StoredReceipt()
        after.CopyFrom(receipt)
        for store in after.receipt.stores:
            if owes(store):
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
