"""What a principal may use in a second while others call too: an even share of what the door takes, and a burst."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_S = 1.0
_LOOK_S = 0.1  # between two looks at who calls
_FEW = 1 / 40  # of all there is: who uses less in a window is in nobody's way
_MUCH = 0.1  # of a burst: who has less is as busy as who has overdrawn
_REMEMBERED = 4096


@dataclass(slots=True)
class _Use:
    """What one key has left, and what it used in this window and the one before."""

    left: float
    at: float
    window: int = 0
    used: float = 0.0
    used_before: float = 0.0

    def turn(self, window: int) -> None:
        if window != self.window:
            self.used_before = self.used if window == self.window + 1 else 0.0
            self.window, self.used = window, 0.0


class Budget:
    """``per_s`` units a second, shared evenly by the keys that use more than a few.

    Each may use ``burst`` at once after a pause. A key that has overdrawn waits while another has much left; keys that
    are all as busy, or one that is alone, are not bounded here. Who uses more than a few of one of the budgets that are
    ``beside`` one another has its share of each, and is waited for in those of which it uses none while it has
    much left of all. Of one event loop.
    """

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic, beside: Budget | None = None
    ) -> None:
        self._all: list[Budget] = beside._all if beside else []
        self._all.append(self)
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._uses: OrderedDict[str, _Use] = OrderedDict()  # the last used behind
        self._many: frozenset[str] = frozenset()
        self._looked_at = -math.inf

    def use(self, key: str, units: float) -> None:
        """Take ``units``, more than there are too: then those who come next wait."""
        use = self._now(key)
        use.used += units
        self._uses[key] = use
        self._uses.move_to_end(key)
        if len(self._uses) > _REMEMBERED:
            self._uses.popitem(last=False)
        # Debts are paid within a second; who was in nobody's way has none.
        use.left = max(use.left - units, -self._per_s if self.crowded(key) else 0.0)

    def wait_s(self, key: str) -> float:
        """How long until a key may use something: 0.0 where it may."""
        left = self._now(key).left
        return -left / self._share(key) if left < 0 and self.crowded(key) else 0.0

    def crowded(self, key: str) -> bool:
        """Whether another key that uses more than a few has much left: it is the one not to be kept waiting.

        Who has used up another budget and uses nothing of this one is no reason to slow down those who do.
        """
        return any(other != key and self._is_waited_for(other) for other in self._callers())

    def _is_waited_for(self, key: str) -> bool:
        if not self._has_much(key):
            return False
        return key in self._users() or all(budget._has_much(key) for budget in self._all)

    def _has_much(self, key: str) -> bool:
        return self._now(key).left > self._burst * _MUCH

    def _now(self, key: str) -> _Use:
        now = self._clock()
        use = self._uses.get(key) or _Use(self._burst, now)
        if now > use.at:
            use.left = min(self._burst, use.left + (now - use.at) * self._share(key))
            use.at = now
        use.turn(int(now / _WINDOW_S))
        return use

    def _share(self, key: str) -> float:
        """Units a second of one key."""
        return self._per_s / len(self._callers() | {key})

    def _callers(self) -> frozenset[str]:
        return frozenset().union(*(budget._users() for budget in self._all))

    def _users(self) -> frozenset[str]:
        """Who uses more than a few."""
        now = self._clock()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            few, window = self._per_s * _FEW, int(now / _WINDOW_S)
            for use in self._uses.values():
                use.turn(window)
            self._many = frozenset(k for k, use in self._uses.items() if max(use.used, use.used_before) > few)
        return self._many


class Pace:
    """Spaces out what each key is given: ``per_s`` a second, none later than ``most_s``. Of one event loop."""

    def __init__(self, per_s: float, most_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s = 1 / per_s
        self._most_s = most_s
        self._clock = clock
        self._next: OrderedDict[str, float] = OrderedDict()

    def delay_s(self, key: str) -> float:
        """How long the next one is to wait."""
        now = self._clock()
        at = min(max(now, self._next.pop(key, now)) + self._gap_s, now + self._most_s)
        self._next[key] = at
        if len(self._next) > _REMEMBERED:
            self._next.popitem(last=False)
        return at - now
