"""What a tenant and each of its principals have of the door: places for calls, and calls, bytes and time for reads in a
second."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from services.common.crypto.auth import Caller
from services.common.serving.errors import MnemeError
from services.gateway.budget import Budget, Pace
from services.gateway.config import GatewayConfig
from services.gateway.errors import let_go, too_fast
from services.gateway.held import Held
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
_NOBODY = Caller("", (), frozenset(), "", 0.0)  # who has no good token; a principal has a name
_REMEMBERED = 1024  # tenants with several principals


class Rates:
    """What may be used in a second: shared by tenants, or by the principals of one."""

    def __init__(self, config: GatewayConfig) -> None:
        # Seconds for which reads are under way: calls that are dear cost what they take.
        self.busy = Budget(_reads(config) * config.busy_share, config.burst_busy_s)
        self.calls = Budget(config.calls_per_s, config.burst_calls, beside=self.busy)
        self.bytes = Budget(config.bytes_per_s, config.burst_bytes, beside=self.busy)


class Shares:
    """The places and budgets of one door. Of one event loop."""

    def __init__(self, config: GatewayConfig) -> None:
        running, waiting, patient = config.max_running_calls, config.max_waiting_calls, config.max_patient_calls
        own_running, own_waiting = config.max_running_calls_per_principal, config.max_waiting_calls_per_principal
        own_patient = config.max_patient_calls_per_principal
        own, many = own_running + own_waiting + own_patient, config.principals_per_tenant
        self.calls = Limiter("calls", running, waiting, own_running, own_waiting, keys_per_tenant=many)
        # No queue in an application is fair: what would only wait there waits here.
        reads = _reads(config)
        self.reads = Limiter("reads", running, running, _READS_ALONE * reads, contended=reads)
        self.patient = Limiter("calls that wait", patient, 0, own_patient, 0, keys_per_tenant=many)
        # Those whose message has not come yet are bounded too.
        self.inside = Limiter("open calls", running + waiting + patient, 0, own, 0, keys_per_tenant=many)
        # Of a message that comes nobody knows the size, and gRPC takes it whole.
        coming, own_coming = config.max_coming_messages, config.max_coming_messages_per_principal
        self.coming = Limiter("messages that come", coming, sys.maxsize, own_coming, keys_per_tenant=many)
        own_bytes = config.max_bytes_held_per_principal
        self.held = Held(config.max_bytes_held, own_bytes, min(own_bytes * many, config.max_bytes_held))
        self._config = config
        self._tenants = Rates(config)
        self._within: OrderedDict[str, Rates] = OrderedDict()  # by tenant, the last used behind
        self.pages = Pace(_PAGES_PER_S, _PAGE_WITHIN_S)
        self.refusals = Pace(_REFUSALS_PER_S, _REFUSED_WITHIN_S)

    def of(self, credential: Credential) -> Share:
        """The share of whoever calls. A service that works for a call that was let in has no need of one."""
        return Share(self, None if credential.is_grant else credential.caller)

    def nobody(self) -> Share:
        """The one share of all who have no good token."""
        return Share(self, _NOBODY)

    def rates(self, caller: Caller) -> list[tuple[Rates, str]]:
        """What the caller's calls are counted in, each with the key: the tenants', and its own tenant's principals'."""
        within = self._within.pop(caller.tenant, None)
        if within is None and caller.principal != caller.tenant:
            within = Rates(self._config)
        if within is None:
            return [(self._tenants, caller.tenant)]
        self._within[caller.tenant] = within
        if len(self._within) > _REMEMBERED:
            self._within.popitem(last=False)
        return [(self._tenants, caller.tenant), (within, caller.principal)]


class Share:
    """A caller's share of a door."""

    def __init__(self, shares: Shares, caller: Caller | None) -> None:
        """``caller`` None: of a service that acts for one, whose call holds what there is to hold."""
        self._shares = shares
        self._caller = caller
        self._rates = shares.rates(caller) if caller is not None else []

    @asynccontextmanager
    async def entered(self, calls: int = 1) -> AsyncIterator[Share]:
        """Around a call: counts it as so many, and waits where it comes too soon. OVERLOADED is raised late."""
        try:
            await self._enter(calls)
            yield self
        except MnemeError as error:
            if self._caller is not None and error.reason == "OVERLOADED":
                let_go(error)
                await asyncio.sleep(max(_PATIENCE_S, self._shares.refusals.delay_s(self._caller.tenant)))
            raise

    async def _enter(self, calls: int) -> None:
        what, wait_s = self._longest_wait()
        if wait_s > _PATIENCE_S:
            raise too_fast(what, wait_s)
        self._count_call(calls)
        if wait_s:
            await asyncio.sleep(wait_s)

    def _count_call(self, calls: int = 1) -> None:
        for rates, key in self._rates:
            rates.calls.use(key, calls)

    def count_bytes(self, size: int) -> None:
        """Count a message that came: the next call waits for it."""
        for rates, key in self._rates:
            rates.bytes.use(key, size)

    async def pace(self) -> None:
        """Count a page of a long stream, and wait for as long as it takes: the sender waits, too."""
        self._count_call()
        while wait_s := self._longest_wait()[1]:
            await asyncio.sleep(min(wait_s, _LOOK_S))
        if self._caller is not None and any(rates.busy.crowded(key) for rates, key in self._rates):
            await asyncio.sleep(self._shares.pages.delay_s(self._caller.tenant))

    @asynccontextmanager
    async def holding(self, receive: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        """Around what is done with a message: few of one principal come at once, and those that are there have so many
        bytes together. OVERLOADED; what ``receive`` raises."""
        async with AsyncExitStack() as held:
            async with self._place(self._shares.coming):
                message = await receive()
                if self._caller is not None:
                    held.enter_context(self._shares.held.bytes(len(message), self._caller))
            yield message

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
        while wait_s := max((rates.busy.wait_s(key) for rates, key in self._rates), default=0.0):
            await asyncio.sleep(min(wait_s, _LOOK_S))
        started = time.monotonic()
        try:
            yield
        finally:
            for rates, key in self._rates:
                rates.busy.use(key, time.monotonic() - started)

    def waiting(self) -> AbstractAsyncContextManager[None]:
        """A place to wait in, for what the call reads; it is a call more for the application. OVERLOADED."""
        self._count_call()
        return self._place(self._shares.patient)

    @asynccontextmanager
    async def _place(self, limiter: Limiter) -> AsyncIterator[None]:
        if self._caller is None:
            yield
        else:
            async with limiter.place(self._caller.principal, self._caller.tenant):
                yield

    def _longest_wait(self) -> tuple[str, float]:
        waits = [("calls", 0.0)]
        for rates, key in self._rates:
            waits += [("calls", rates.calls.wait_s(key)), ("bytes", rates.bytes.wait_s(key))]
        return max(waits, key=lambda wait: wait[1])


def _reads(config: GatewayConfig) -> int:
    return config.contended_reads or _CORES
