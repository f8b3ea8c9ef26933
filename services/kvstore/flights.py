"""The in-flight table: who computes which block right now, so that one prefill serves many.

A claim ends when its block is stored, when its holder gives it up, or when the holder's heartbeats no longer name it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Claim:
    holder: str
    ends_at: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Flights:
    """At most ``limit`` claims. One event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._claims: dict[bytes, _Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def claim(self, holder: str, keys: Sequence[bytes], ends_at: float) -> tuple[int, int]:
        """(claimed, held): leading keys that ``holder`` now holds, or that others hold; one of them is 0.

        (0, 0) when there are no keys, or no room for a claim.
        """
        held = 0
        while held < len(keys) and self._is_others(keys[held], holder):
            held += 1
        if held:
            return 0, held
        claimed = 0
        for key in keys:
            if self._is_others(key, holder) or (key not in self._claims and len(self._claims) >= self._limit):
                break
            self._claims.setdefault(key, _Claim(holder, ends_at)).ends_at = ends_at
            claimed += 1
        return claimed, 0

    def end(self, key: bytes, holder: str | None = None) -> None:
        """End a claim, of ``holder`` only where one is named, and wake whoever waits for it."""
        claim = self._claims.get(key)
        if claim is not None and holder in (None, claim.holder):
            del self._claims[key]
            claim.ended.set()

    def renew(self, holder: str, keys: Iterable[bytes], ends_at: float) -> None:
        for key in keys:
            claim = self._claims.get(key)
            if claim is not None and claim.holder == holder:
                claim.ends_at = ends_at

    def expire(self, now: float) -> int:
        """End what nobody renewed; how many."""
        dead = [key for key, claim in self._claims.items() if claim.ends_at <= now]
        for key in dead:
            self.end(key)
        return len(dead)

    async def ended(self, key: bytes) -> None:
        """Return when nobody holds ``key`` (any more)."""
        claim = self._claims.get(key)
        if claim is not None:
            await claim.ended.wait()

    def _is_others(self, key: bytes, holder: str) -> bool:
        claim = self._claims.get(key)
        return claim is not None and claim.holder != holder
