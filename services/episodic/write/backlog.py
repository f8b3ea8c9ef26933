"""What was acknowledged and is not folded yet, by who sent it: who has much of that waits, and nobody behind them.

A partition is folded in order, and a long text takes it seconds. Without a bound one principal could put hours of work
before another's Forget, which is resolved over all that was acknowledged before it.
"""

from __future__ import annotations

from collections import deque

from services.common.serving.errors import RETRY_AFTER, MnemeError

UNFOLDED_BYTES = 128_000  # of one principal in a partition: two long texts, or some hundred short ones
_RETRY_MS = "1000"


class Backlog:
    """Of one partition. Not thread-safe."""

    def __init__(self, most_bytes: int = UNFOLDED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._waiting: dict[str, deque[tuple[int, int]]] = {}  # by principal: offset, bytes

    def require_room(self, principal: str, applied: int) -> None:
        """OVERLOADED for a principal with too much from ``applied`` on, the first offset that is not applied yet."""
        waiting = self._waiting.get(principal)
        while waiting and waiting[0][0] < applied:
            waiting.popleft()
        if not waiting:
            self._waiting.pop(principal, None)
        elif sum(size for _, size in waiting) >= self._most_bytes:
            raise MnemeError(
                "OVERLOADED",
                "What was sent before is not indexed yet.",
                remedy="Send it again in a second, with the same id.",
                metadata={RETRY_AFTER: _RETRY_MS},
            )

    def add(self, principal: str, offset: int, size_bytes: int) -> None:
        self._waiting.setdefault(principal, deque()).append((offset, size_bytes))
