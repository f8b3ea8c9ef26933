"""Rebuild: the ledger read again into a new generation beside the live one, swapped in when it has caught up.

Recall works throughout. A rebuild that a stop or a kill interrupts is gone on with by the next start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from itertools import islice

from mneme.v1.admin_pb2 import Operation, OperationState

from services.common.crypto.seal import KeyDestroyed, Tampered
from services.common.log.base import LogError, LogUnavailable
from services.common.serving import clocks
from services.common.serving.background import give_way
from services.common.serving.errors import MnemeError
from services.common.serving.operations import operation_id
from services.episodic.search.index import IndexUnavailable
from services.episodic.write.generation import Generation
from services.episodic.write.writer import Host

_log = logging.getLogger(__name__)
_REPORT_S = 0.5
_AGAIN_S = 5.0


class Abandoned(Exception):
    """An erasure did not reach the generation that was being built, so it must not become the live one."""


_EXPECTED = (LogError, IndexUnavailable, KeyDestroyed, Tampered, Abandoned)


class Rebuilder:
    """Rebuilds a partition, in a thread of its own."""

    def __init__(self, host: Host, turn: threading.Lock) -> None:
        """``turn``: held by whoever rebuilds: one partition of a process at a time."""
        self._host = host
        self._turn = turn
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def recover(self) -> None:
        """At start: go on with the rebuild that the last process was at, or begin the one that it had not begun yet."""
        running = [o for o in self._host.state.operations() if o.state == OperationState.OPERATION_STATE_RUNNING]
        resumed = running[-1] if running else None
        for operation in running[:-1]:
            self._end(operation, OperationState.OPERATION_STATE_FAILED, {"reason": "the service was restarted"})
        if resumed is not None and resumed.result.get("generation") == str(self._host.live.number):
            self._end(resumed, OperationState.OPERATION_STATE_DONE, {})  # it was swapped in, and had not said so yet
            resumed = None
        if resumed is not None or self._host.generations.building is not None:
            self.start(resumed)

    def upgrade(self) -> None:
        """At start: where the index was made by other plug-ins, parameters or vectors than are configured, make it anew
        beside the old one, which answers meanwhile."""
        if self._host.generations.outdated and not self.is_running:
            _log.warning("the index was made by other plug-ins, parameters or vectors; it answers until it is rebuilt")
            self.start()

    def start(self, resumed: Operation | None = None, id: str = "") -> Operation:
        """Begin, or go on; the operation tells its progress. OVERLOADED while another one runs.

        ``id``: of the operation that this is a part of.
        """
        with self._lock:
            if self.is_running:
                raise rebuilding()
            operation = resumed or self._new(id or operation_id(""))
            self._save(operation)
            started = Operation()
            started.CopyFrom(operation)
            self._thread = threading.Thread(target=self._run, args=[operation], name="episodic-rebuild", daemon=True)
            self._thread.start()
            what = "a rebuild begins" if resumed is None else "a rebuild goes on"
            left = operation.total - operation.done
            _log.info(what, extra={"operation": operation.id, "partition": self._host.partition, "count": left})
            return started

    def _new(self, id: str) -> Operation:
        return Operation(
            id=id,
            kind="rebuild",
            state=OperationState.OPERATION_STATE_RUNNING,
            total=self._host.lag() + self._host.applied,
            started_at=clocks.now(),
        )

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

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
        while not self._turn.acquire(timeout=_REPORT_S):
            if self._stop.is_set():
                return  # as if it had been interrupted: the next start goes on
        try:
            self._rebuild(operation)
        finally:
            self._turn.release()

    def _rebuild(self, operation: Operation) -> None:
        start = time.monotonic()
        while True:
            try:
                generation = build(self._host, operation, self._save, self._stop)
                break
            except Exception as error:
                seconds = round(time.monotonic() - start, 1)
                _log.exception("the rebuild failed", extra={"operation": operation.id, "seconds": seconds})
                if isinstance(error, _EXPECTED) and self._host.generations.outdated and not self._stop.wait(_AGAIN_S):
                    continue  # nobody asked for it, so nobody would ask again
                self._end_surely(operation, OperationState.OPERATION_STATE_FAILED, {"reason": type(error).__name__})
                if isinstance(error, _EXPECTED):
                    return
                raise
        if generation is None:
            return  # the service stops; the next start goes on
        result = {"generation": str(generation.number), "seconds": f"{time.monotonic() - start:.1f}"}
        self._end_surely(operation, OperationState.OPERATION_STATE_DONE, result)
        _log.info("a rebuild is done", extra={"operation": operation.id, "partition": self._host.partition, **result})

    def _end(self, operation: Operation, state: OperationState, result: dict[str, str]) -> None:
        operation.state = state
        operation.result.update(result)
        operation.ended_at.CopyFrom(clocks.now())
        self._save(operation)

    def _end_surely(self, operation: Operation, state: OperationState, result: dict[str, str]) -> None:
        """As ``_end``, as soon as the log takes it; stopped before, the next start says that it failed."""
        while True:
            try:
                return self._end(operation, state, result)
            except LogUnavailable:
                if self._stop.wait(_REPORT_S):
                    return None

    def _save(self, operation: Operation) -> None:
        self._host.parts.log.append([self._host.state.set_operation(operation)])


def rebuilding() -> MnemeError:
    return MnemeError("OVERLOADED", "A rebuild is running.", remedy="Wait for its operation to end.")


def build(
    host: Host, operation: Operation, save: Callable[[Operation], None], stop: threading.Event
) -> Generation | None:
    """Make the next generation, or go on with the one that was begun, and swap it in. None when stopped meanwhile.

    The host drops what is in neither use then: the generation before, or the one that failed.
    """
    generation = host.generations.building or host.generations.begin()
    with host.fold_lock:
        pass  # a piece of an erasure that was under way and did not know of it has ended
    try:
        operation.result["generation"] = str(generation.number)
        save(operation)
        if not _catch_up(host, generation, operation, save, stop):
            generation.flush()
            return None
        with host.fold_lock:
            _require_building(host, generation)
            while generation.applied < host.live.applied:
                _read_on(host, generation)
            generation.flush()
            host.generations.swap(generation)
    except Exception:
        host.generations.abandon(generation)
        raise
    host.generations.try_to_drop()
    operation.done = operation.total = generation.applied
    return generation


def _catch_up(
    host: Host, generation: Generation, operation: Operation, save: Callable[[Operation], None], stop: threading.Event
) -> bool:
    """Until the generation is less than a batch behind the live one. False when stopped before."""
    reported = time.monotonic()
    while (behind := host.live.applied - generation.applied) > host.parts.batch_entries:
        if stop.is_set():
            return False
        _read_on(host, generation)
        generation.flush_if_due()
        operation.done = generation.applied
        operation.total = operation.done + behind
        if time.monotonic() - reported > _REPORT_S:
            save(operation)
            reported = time.monotonic()
    return True


def _read_on(host: Host, generation: Generation) -> None:
    """Fold the next entries, never beyond what the live generation has applied."""
    limit = 1 if any(p.reads == "namespace" for p in host.parts.plugins) else host.parts.batch_entries
    with generation.lock:
        _require_building(host, generation)
        records = list(islice(host.entries(generation.applied, host.live.applied), limit))
        if records:
            generation.fold(records, None)


def _require_building(host: Host, generation: Generation) -> None:
    """Call with a lock held that an erasure takes."""
    if host.generations.building is not generation:
        raise Abandoned
