"""What was acknowledged and is not folded yet, by whose it is: who has much of that waits, and nobody behind them.

A partition is folded in order, and a long text takes it seconds. Without a bound one tenant could put hours of work
before another's Forget, which is resolved over all that was acknowledged before it.
"""

from __future__ import annotations

from collections import Counter, deque

from services.common.serving.errors import RETRY_AFTER, MnemeError

UNFOLDED_BYTES = 128_000  # of one tenant in a partition: two long texts, or some hundred short ones
_RETRY_MS = "1000"


class Backlog:
    """Of one partition. Not thread-safe."""

    def __init__(self, most_bytes: int = UNFOLDED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[int, str, int]] = deque()  # offset, whose, bytes
        self._bytes = Counter[str]()  # of these, by tenant

    def require_room(self, tenant: str, applied: int) -> None:
        """OVERLOADED for a tenant with too much from ``applied`` on, the first offset that is not applied yet."""
        while self._waiting and self._waiting[0][0] < applied:
            _, whose, size_bytes = self._waiting.popleft()
            self._bytes[whose] -= size_bytes
            if not self._bytes[whose]:
                del self._bytes[whose]
        if self._bytes[tenant] >= self._most_bytes:
            raise MnemeError(
                "OVERLOADED",
                "What was sent before is not indexed yet.",
                remedy="Send it again in a second, with the same id.",
                metadata={RETRY_AFTER: _RETRY_MS},
            )

    def add(self, tenant: str, offset: int, size_bytes: int) -> None:
        """What was appended behind all that was added before."""
        self._waiting.append((offset, tenant, size_bytes))
        self._bytes[tenant] += size_bytes
