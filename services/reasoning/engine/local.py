"""Our engine behind the port: a thread runs the loop, any thread may call."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from services.reasoning.blocks import EngramRef
from services.reasoning.engine.chain import Put
from services.reasoning.engine.core import EngineCore
from services.reasoning.engine.port import Dropped, EngineDown, EngineStats, Refused, Request
from services.reasoning.engine.sequence import Live
from services.reasoning.engine.settings import EngineSettings
from services.reasoning.engine.store import BlockStore
from services.reasoning.engine.stream import TokenStream
from services.reasoning.models.load import LoadedModel

_log = logging.getLogger(__name__)

_STOP_S = 30.0


class LocalEngine:
    """An Engine. ``start`` and ``close`` are the owner's; a step is what a call waits at most to be taken up."""

    def __init__(self, model: LoadedModel, settings: EngineSettings, store: BlockStore | None = None) -> None:
        """ModelError when model, settings and processor do not fit together."""
        self._settings = settings
        self._wake = threading.Condition()
        # One thread, one batch at a time: a store that is slow to take blocks slows no stream.
        self._publisher = ThreadPoolExecutor(1, thread_name_prefix="engine-publish")
        self._core = EngineCore(model, settings, store, runner=self._beside)
        # At most max_waiting submits and the drops that somebody waits for; cancels of live requests only.
        self._commands: deque[Callable[[], None]] = deque()
        self._cancels: set[str] = set()
        self._submitting: set[str] = set()
        self._refused = 0
        self._stopping = False
        self._down = False
        self._stats = self._core.stats()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends every request as failed and stops the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._publisher.shutdown(cancel_futures=True)

    def check_health(self) -> None:
        """EngineDown when the loop has died."""
        if self._down:
            raise EngineDown("the engine's loop has stopped; the log says why. Restart the replica.")

    def submit(self, request: Request) -> TokenStream:
        if request.deadline_s <= 0:
            raise TimeoutError("the deadline has passed")
        deadline = min(request.deadline_s, self._settings.max_request_s)
        request = dataclasses.replace(request, deadline_s=deadline)
        stream = TokenStream(request.samples, self._settings.stream_buffer, deadline, self._notify)
        live = self._core.prepare(request, stream)
        with self._wake:
            if self._down or self._stopping:
                raise EngineDown("the engine is not running")
            if self._core.waiting + len(self._submitting) >= self._settings.max_waiting:
                self._refused += 1
                raise Refused(f"{self._settings.max_waiting} requests wait already. Try again later.", overloaded=True)
            if request.id in self._submitting or self._core.knows(request.id):
                raise Refused(f"A request with the id {request.id} is running. Choose another.")
            self._submitting.add(request.id)
            self._commands.append(lambda: self._take(live))
            self._wake.notify()
        return stream

    def cancel(self, request_id: str) -> None:
        with self._wake:
            if request_id in self._submitting or self._core.knows(request_id):
                self._cancels.add(request_id)
                self._wake.notify()

    def drop(self, lineage: Collection[EngramRef], epochs: Mapping[str, int], *, timeout_s: float) -> Dropped:
        done: Future[Dropped] = Future()
        with self._wake:
            if self._down:
                raise EngineDown("the engine is not running")
            self._commands.append(lambda: done.set_result(self._core.drop(frozenset(lineage), dict(epochs))))
            self._wake.notify()
        return done.result(timeout_s)

    def stats(self) -> EngineStats:
        """As of the last step."""
        return dataclasses.replace(self._stats, refused=self._refused)

    def _take(self, live: Live) -> None:
        self._core.submit(live)
        with self._wake:
            self._submitting.discard(live.request.id)

    def _beside(self, put: Callable[[], Put]) -> Future[Put]:
        future = self._publisher.submit(put)
        future.add_done_callback(lambda _: self._notify())
        return future

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._take_commands()
                busy = self._core.step()
                self._stats = self._core.stats()
                if not busy:
                    self._sleep()
        finally:
            self._go_down()

    def _take_commands(self) -> None:
        while self._commands:
            self._commands.popleft()()
        # After the submits, so that no cancel comes before what it cancels.
        while self._cancels:
            self._core.cancel(self._cancels.pop())

    def _sleep(self) -> None:
        with self._wake:
            if not self._commands and not self._cancels and not self._stopping:
                self._wake.wait(self._core.sleep_s())

    def _go_down(self) -> None:
        """Nobody waits for an engine that has stopped: open streams end, later calls are told."""
        with self._wake:
            self._down = True
        if not self._stopping:
            _log.critical("the engine's loop has stopped")
        self._take_commands()
        self._core.fail_all("The engine has stopped.")
        self._stats = self._core.stats()
