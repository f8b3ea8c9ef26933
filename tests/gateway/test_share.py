"""A principal's share of a door, without the door."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import pytest

from services.common.crypto.auth import Caller, Right
from services.common.serving.errors import MnemeError
from services.common.serving.methods import METHODS
from services.gateway.errors import overloaded
from services.gateway.shares import Share, Shares
from services.gateway.tokens import Credential
from tests.gateway.probe import config

PLACES = {
    "max_running_calls": 3,
    "max_waiting_calls": 2,
    "max_patient_calls": 4,
    "max_running_calls_per_principal": 2,
    "max_waiting_calls_per_principal": 1,
    "max_patient_calls_per_principal": 3,
}


def share(shares: Shares, principal: str, is_grant: bool = False) -> Share:
    return shares.of(Credential(Caller(principal, ("",), frozenset({Right.READ}), "0" * 16, 0.0), is_grant))


async def refused(place: AbstractAsyncContextManager[None]) -> str:
    async with asyncio.timeout(5):
        with pytest.raises(MnemeError) as caught:
            async with place:
                pass
    assert caught.value.reason == "OVERLOADED"
    return caught.value.message


async def _places(kind: str, own: int, all_: int) -> None:
    """No more than its own for one principal, no more than all for all, and none for a service that has a grant."""
    shares = Shares(config(**PLACES))
    eve, ann = share(shares, "eve"), share(shares, "ann")
    async with AsyncExitStack() as stack:
        for _ in range(own):
            await stack.enter_async_context(getattr(eve, kind)())
        assert "The principal" in await refused(getattr(eve, kind)())
        for _ in range(all_ - own):
            await stack.enter_async_context(getattr(ann, kind)())
        await refused(getattr(ann, kind)())
        for _ in range(2):
            await stack.enter_async_context(getattr(share(shares, "eve", is_grant=True), kind)())
    async with getattr(eve, kind)(), getattr(ann, kind)():
        pass  # all came back


@pytest.mark.parametrize(("kind", "own", "all_"), [("inside", 6, 9), ("waiting", 3, 4)])
def test_a_principal_has_its_own_number_of_places_and_all_have_theirs(kind: str, own: int, all_: int) -> None:
    asyncio.run(_places(kind, own, all_))


async def enter(call: Share) -> None:
    """Let a call in that ends at once."""
    async with call.entered():
        pass


async def _beside_another(calls_per_s: float) -> Share:
    """Eve's share of a burst of 5 while Ann calls, too."""
    shares = Shares(config(calls_per_s=calls_per_s, burst_calls=5))
    ann = share(shares, "ann")
    for _ in range(3):
        await enter(ann)
    await asyncio.sleep(0.12)  # until it is looked at who calls
    return share(shares, "eve")


async def _took(call: Share) -> float:
    start = time.monotonic()
    with pytest.raises(MnemeError) as caught:
        await enter(call)
    assert int(caught.value.metadata["retry_after_ms"]) == pytest.approx(2_000, abs=1_000)
    return time.monotonic() - start


def test_a_call_costs_one_and_refusals_come_one_after_the_other() -> None:
    async def scenario() -> None:
        eve = await _beside_another(1)
        for _ in range(6):
            await enter(eve)  # the one that overdraws is the last
        took = sorted(await asyncio.gather(*(_took(eve) for _ in range(8))))
        assert took[0] >= 0.24
        assert took[-1] >= 0.39, "twenty a second"

    asyncio.run(scenario())


def test_what_is_written_costs_as_much_as_several_calls() -> None:
    """For it is named, embedded and folded when it was answered, on the cores that answer others."""

    async def scenario() -> None:
        eve = await _beside_another(1)
        for _ in range(2):  # of a burst of five
            async with eve.entered(METHODS["mneme.v1.EpisodicService/Remember"].calls):
                pass
        assert await _took(eve) >= 0.24

    asyncio.run(scenario())


def test_a_page_of_a_stream_costs_one_and_waits_for_its_turn() -> None:
    async def scenario() -> None:
        eve = await _beside_another(20)
        start = time.monotonic()
        for _ in range(8):
            await eve.pace()
        assert time.monotonic() - start >= 0.25, "three more than the burst, ten a second"

    asyncio.run(scenario())


def test_a_call_that_waits_for_what_it_reads_costs_one_more() -> None:
    async def scenario() -> None:
        eve = await _beside_another(1)
        for _ in range(6):
            async with eve.waiting():
                pass
        await _took(eve)

    asyncio.run(scenario())


def test_a_large_message_delays_the_next_call_of_its_principal_alone() -> None:
    async def scenario() -> None:
        shares = Shares(config(bytes_per_s=1_000, burst_bytes=1_000))
        for name in ("ann", "eve"):
            share(shares, name).count_bytes(200)
        await asyncio.sleep(0.12)
        share(shares, "eve").count_bytes(1_800)
        await asyncio.wait_for(enter(share(shares, "ann")), 0.2)
        await _took(share(shares, "eve"))

    asyncio.run(scenario())


def test_refusals_of_a_principal_come_twenty_a_second_and_none_later_than_half_a_minute() -> None:
    pace = Shares(config()).refusals
    waits = [pace.delay_s("eve") for _ in range(700)]
    assert waits[:3] == pytest.approx([0.05, 0.1, 0.15], abs=0.01)
    assert waits[98] == pytest.approx(4.95, abs=0.1)
    assert waits[-1] == pytest.approx(30.0)


async def _at_once(call: Share, wanted: int) -> int:
    """How many reads of a principal are under way of so many."""
    async with AsyncExitStack() as stack:
        entering = [asyncio.create_task(stack.enter_async_context(call.reading())) for _ in range(wanted)]
        done, late = await asyncio.wait(entering, timeout=0.1)
        for each in late:
            each.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(done)


def test_who_reads_alone_has_four_times_as_many_under_way() -> None:
    async def scenario() -> None:
        shares = Shares(config(contended_reads=2))
        assert await _at_once(share(shares, "eve"), 10) == 8
        async with share(shares, "ann").reading():
            assert await _at_once(share(shares, "eve"), 10) == 1

    asyncio.run(scenario())


async def _reads(call: Share, seconds: float, took_s: float = 0.02) -> float:
    """Read after read for so long; which part of it they were under way."""
    ends_at, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends_at:
        async with call.reading():
            await asyncio.sleep(took_s)
            count += 1
    return count * took_s / seconds


def test_who_has_used_up_a_burst_of_reads_pauses_between_them_while_another_has_not() -> None:
    async def scenario() -> None:
        shares = Shares(config(contended_reads=2, busy_share=0.2, burst_busy_s=0.5))
        await _reads(share(shares, "eve"), 1.0)
        ann, eve = await asyncio.gather(_reads(share(shares, "ann"), 0.4), _reads(share(shares, "eve"), 0.4))
        assert eve < 0.5 < ann
        await asyncio.gather(_reads(share(shares, "ann"), 1.0), _reads(share(shares, "eve"), 1.0))
        assert min(await asyncio.gather(*(_reads(share(shares, name), 0.5) for name in ("ann", "eve")))) > 0.5

    asyncio.run(scenario())


def test_pages_of_a_principal_start_apart_while_another_calls() -> None:
    async def scenario() -> None:
        eve = await _beside_another(1_000)
        for _ in range(30):
            await enter(share(eve._shares, "ann"))
        await asyncio.sleep(0.12)
        start = time.monotonic()
        await asyncio.gather(*(eve.pace() for _ in range(4)))
        assert time.monotonic() - start >= 0.07, "fifty a second"

    asyncio.run(scenario())


def test_what_has_no_share_is_not_counted() -> None:
    async def scenario() -> None:
        eve = await _beside_another(1)
        service = share(eve._shares, "eve", is_grant=True)
        for _ in range(50):
            await enter(service)
            await service.pace()
            async with service.waiting():
                service.count_bytes(10**9)
        await asyncio.wait_for(enter(eve), 0.2)

    asyncio.run(scenario())


def test_only_a_caller_s_refusal_for_overload_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def fail(call: Share, error: MnemeError) -> None:
        with pytest.raises(MnemeError) as caught:
            async with call.entered():
                raise error
        assert caught.value is error

    async def scenario() -> None:
        shares, full = Shares(config()), overloaded("calls")
        await fail(share(shares, "eve", is_grant=True), full)
        for reason in ("NOT_FOUND", "UNKNOWN_METHOD"):
            await fail(share(shares, "eve"), MnemeError(reason, "It is not there.", remedy="Look elsewhere."))
        assert slept == []
        await fail(share(shares, "eve"), full)
        await fail(shares.nobody(), full)
        assert slept == [0.25, 0.25]

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(scenario())


def test_while_others_call_a_principal_has_its_part_of_the_contended_reads() -> None:
    async def scenario() -> None:
        shares = Shares(config(max_running_calls=9, max_running_calls_per_principal=5, contended_reads=6))
        eve, ann = share(shares, "eve"), share(shares, "ann")
        async with ann.reading(), eve.reading(), eve.reading(), eve.reading():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), eve.reading():
                    pass
            async with asyncio.timeout(5), ann.reading():
                pass

    asyncio.run(scenario())
