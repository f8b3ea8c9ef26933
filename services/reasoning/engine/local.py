"""Our engine behind the port: a thread runs the loop, any thread may call."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from services.reasoning.blocks import EngramRef
from services.reasoning.engine.core import EngineCore
from services.reasoning.engine.inbox import Command, Inbox
from services.reasoning.engine.port import Dropped, EngineDown, EngineStats, Request
from services.reasoning.engine.settings import EngineSettings
from services.reasoning.engine.store import BlockStore
from services.reasoning.engine.stream import TokenStream
from services.reasoning.models.load import LoadedModel

T = TypeVar("T")

_log = logging.getLogger(__name__)

_STOP_S = 30.0


class LocalEngine:
    """An Engine. ``start`` and ``close`` are the owner's; a step is what a call waits at most to be taken up."""

    def __init__(self, model: LoadedModel, settings: EngineSettings, store: BlockStore | None = None) -> None:
        """ModelError when model, settings and processor do not fit together."""
        self._settings = settings
        self._inbox = Inbox(settings.max_waiting)
        # A thread each, one call at a time: a store that is slow to take or to give blocks slows no stream. What waits
        # for one is bounded: a batch of blocks; as many requests as may wait, and a hint.
        self._publisher = ThreadPoolExecutor(1, thread_name_prefix="engine-publish")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="engine-read")
        publish, read = partial(self._beside, self._publisher), partial(self._beside, self._reader)
        self._core = EngineCore(model, settings, store, publish, reader=read)
        # Taken from the inbox and not run yet: what is left here when the loop dies.
        self._commands: deque[Command] = deque()
        self._stats = self._core.stats()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> bool:
        """Ends every request as failed, stops the thread, and wipes the pool. False: it did not stop in time."""
        self._inbox.close()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        if self._thread.is_alive():
            return False
        self._publisher.shutdown(cancel_futures=True)
        self._reader.shutdown(cancel_futures=True)
        self._core.wipe()
        return True

    def check_health(self) -> None:
        """EngineDown when the loop has died."""
        if self._inbox.closed:
            raise EngineDown("the engine's loop has stopped; the log says why. Restart the replica.")

    def submit(self, request: Request) -> TokenStream:
        if request.deadline_s <= 0:
            raise TimeoutError("the deadline has passed")
        deadline = min(request.deadline_s, self._settings.max_request_s)
        request = dataclasses.replace(request, deadline_s=deadline)
        stream = TokenStream(request.samples, self._settings.stream_buffer, deadline, self._inbox.wake)
        live = self._core.prepare(request, stream)
        self._inbox.submit(request.id, lambda: self._core.submit(live))
        return stream

    def cancel(self, request_id: str) -> None:
        self._inbox.cancel(request_id)

    def drop(self, lineage: Collection[EngramRef], epochs: Mapping[str, int], *, timeout_s: float) -> Dropped:
        done: Future[Dropped] = Future()
        self._inbox.call(lambda: done.set_result(self._core.drop(tuple(lineage), dict(epochs))))
        return done.result(timeout_s)

    def stats(self) -> EngineStats:
        """As of the last step."""
        return dataclasses.replace(self._stats, refused=self._inbox.refused)

    def _beside(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
        future = thread.submit(work)
        future.add_done_callback(lambda _: self._inbox.wake())
        return future

    def _run(self) -> None:
        try:
            while not self._inbox.closed:
                if not self._turn():
                    self._inbox.sleep(self._core.sleep_s())
        except Exception:
            _log.critical("the engine's loop has stopped")
            raise
        finally:
            self._go_down()

    def _turn(self) -> bool:
        """Does what callers asked for, and a step. False: the step found nothing to do."""
        self._obey()
        busy = self._core.step()
        self._inbox.settle(self._core.live, self._core.waiting)
        self._stats = self._core.stats()
        return busy

    def _obey(self) -> None:
        commands, cancels = self._inbox.take()
        self._commands.extend(commands)
        while self._commands:
            self._commands.popleft()()
        for request_id in cancels:
            self._core.cancel(request_id)

    def _go_down(self) -> None:
        """Nobody waits for an engine that has stopped: open streams end, later calls are told."""
        self._inbox.close()
        self._obey()
        self._core.fail_all("The engine has stopped.")
        self._stats = self._core.stats()
