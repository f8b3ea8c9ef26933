"""What a principal has of the door: places for its calls, and calls, bytes and time for reads in a second."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from services.common.serving.errors import MnemeError
from services.gateway.budget import Budget, Pace
from services.gateway.config import GatewayConfig
from services.gateway.errors import too_fast
from services.gateway.limiter import Limiter
from services.gateway.tokens import Credential

# A call that comes too soon waits for so long at most, else it is refused. Refusals for overload of whatever kind are
# spaced out, so that who tries again at once slows nobody but himself.
_PATIENCE_S = 0.25
_REFUSALS_PER_S = 20
_REFUSED_WITHIN_S = 30.0  # beyond it they would come the faster, the more are open
# Pages of one principal's long streams start apart while others call: streams that wait for the same write, or were
# opened together, would ask all at once.
_PAGES_PER_S = 50
_PAGE_WITHIN_S = 5.0
_LOOK_S = 0.1  # between two looks at whether a wait still has a reason
_READS_ALONE = 4  # times as many reads under way where nobody else calls: who comes then waits for few
_CORES = len(os.sched_getaffinity(0))
_NOBODY = ""  # who has no good token; a principal has a name


class Shares:
    """The places and budgets of one door. Of one event loop."""

    def __init__(self, config: GatewayConfig) -> None:
        running, waiting, patient = config.max_running_calls, config.max_waiting_calls, config.max_patient_calls
        own_running, own_waiting = config.max_running_calls_per_principal, config.max_waiting_calls_per_principal
        own_patient = config.max_patient_calls_per_principal
        own = own_running + own_waiting + own_patient
        self.calls = Limiter("calls", running, waiting, own_running, own_waiting)
        # No queue in an application is fair: what would only wait there waits here.
        reads = config.contended_reads or _CORES
        self.reads = Limiter("reads", running, running, min(own_running, _READS_ALONE * reads), contended=reads)
        self.patient = Limiter("calls that wait", patient, 0, own_patient, 0)
        # Those whose message has not come yet are bounded too.
        self.inside = Limiter("open calls", running + waiting + patient, 0, own, 0)
        # Seconds for which reads are under way: calls that are dear cost what they take.
        self.busy = Budget(reads * config.busy_share, config.burst_busy_s)
        self.rates = {
            "calls": Budget(config.calls_per_s, config.burst_calls, beside=self.busy),
            "bytes": Budget(config.bytes_per_s, config.burst_bytes, beside=self.busy),
        }
        self.pages = Pace(_PAGES_PER_S, _PAGE_WITHIN_S)
        self.refusals = Pace(_REFUSALS_PER_S, _REFUSED_WITHIN_S)

    def of(self, credential: Credential) -> Share:
        """The share of whoever calls. A service that works for a call that was let in has no need of one."""
        return Share(self, None if credential.is_grant else credential.caller.principal)

    def nobody(self) -> Share:
        """The one share of all who have no good token."""
        return Share(self, _NOBODY)


class Share:
    """A principal's share of a door."""

    def __init__(self, shares: Shares, principal: str | None) -> None:
        """``principal`` None: of a service that acts for a caller, whose call holds what there is to hold."""
        self._shares = shares
        self._principal = principal

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Share]:
        """Around a call: counts it, and waits where it comes too soon. OVERLOADED, here or within, is raised late."""
        try:
            if self._principal is not None:
                await self._enter(self._principal)
            yield self
        except MnemeError as error:
            if self._principal is not None and error.reason == "OVERLOADED":
                await asyncio.sleep(max(_PATIENCE_S, self._shares.refusals.delay_s(self._principal)))
            raise

    async def _enter(self, principal: str) -> None:
        what, wait_s = self._longest_wait()
        if wait_s > _PATIENCE_S:
            raise too_fast(what, wait_s)
        self._shares.rates["calls"].use(principal, 1)
        if wait_s:
            await asyncio.sleep(wait_s)

    def count_bytes(self, size: int) -> None:
        """Count a message that came: the next call waits for it."""
        if self._principal is not None:
            self._shares.rates["bytes"].use(self._principal, size)

    async def pace(self) -> None:
        """Count a page of a long stream, and wait for as long as it takes: the sender waits, too."""
        if self._principal is not None:
            self._shares.rates["calls"].use(self._principal, 1)
            while wait_s := self._longest_wait()[1]:
                await asyncio.sleep(min(wait_s, _LOOK_S))
            if self._shares.busy.crowded(self._principal):
                await asyncio.sleep(self._shares.pages.delay_s(self._principal))

    def inside(self) -> AbstractAsyncContextManager[None]:
        """Around a call that is not a long stream. OVERLOADED."""
        return self._place(self._shares.inside)

    def running(self) -> AbstractAsyncContextManager[None]:
        """A place to work in. OVERLOADED."""
        return self._place(self._shares.calls)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """As ``running``, for a short call; while others call, few of one principal are under way, and of one that has
        used much lately not all the time. OVERLOADED."""
        async with self.running(), self._place(self._shares.reads), self._busy():
            yield

    @asynccontextmanager
    async def _busy(self) -> AsyncIterator[None]:
        if self._principal is None:
            yield
            return
        busy = self._shares.busy
        while wait_s := busy.wait_s(self._principal):
            await asyncio.sleep(min(wait_s, _LOOK_S))
        started = time.monotonic()
        try:
            yield
        finally:
            busy.use(self._principal, time.monotonic() - started)

    def waiting(self) -> AbstractAsyncContextManager[None]:
        """A place to wait in, for what the call reads; it is a call more for the application. OVERLOADED."""
        if self._principal is not None:
            self._shares.rates["calls"].use(self._principal, 1)
        return self._place(self._shares.patient)

    @asynccontextmanager
    async def _place(self, limiter: Limiter) -> AsyncIterator[None]:
        if self._principal is None:
            yield
        else:
            async with limiter.place(self._principal):
                yield

    def _longest_wait(self) -> tuple[str, float]:
        assert self._principal is not None
        waits = ((what, budget.wait_s(self._principal)) for what, budget in self._shares.rates.items())
        return max(waits, key=lambda wait: wait[1])
