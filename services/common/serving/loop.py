"""A thread that repeats one step for ever, and says when it has died."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from services.common.log.base import LogError
from services.common.serving.background import give_way

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class LoopDied(Exception):
    """A loop ended by itself. Its replica must be replaced."""


class Loop:
    """Repeats ``step`` until stopped.

    The log's errors (full disk, broker away, partitions lost) are waited out, with pauses that grow to 5 s: what a
    step did not commit, the next one reads again. Anything else is a defect and ends the loop; ``require_alive``
    then raises, so that whoever watches replaces the replica.
    """

    def __init__(self, name: str, step: Callable[[], None], every_s: float = 0.0) -> None:
        """``every_s``: before each step."""
        self._name = name
        self._step = step
        self._every_s = every_s
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def require_alive(self) -> None:
        """LoopDied unless it runs. (A stopped loop is not alive either.)"""
        if not self._thread.is_alive():
            raise LoopDied(f"{self._name}: {type(self._error).__name__ if self._error else 'stopped'}")

    def stop(self, timeout_s: float) -> bool:
        """Let the step in hand finish; whether it did within ``timeout_s``."""
        self._stop.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        give_way()
        pause_s = _FIRST_PAUSE_S
        while not self._stop.wait(self._every_s):
            try:
                self._step()
                pause_s = _FIRST_PAUSE_S
            except LogError as error:
                _log.warning("the log does not answer; waiting", extra={"error": type(error).__name__})
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except Exception as error:  # noqa: BLE001  # whatever it is ends the loop, and require_alive tells
                self._error = error
                _log.exception("a loop has died", extra={"operation": self._name})
                return
