"""However many principals an administrator issues tokens for, together they have what one tenant has of the door."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.common.crypto.auth import Caller, Right
from services.common.serving.errors import MnemeError
from services.gateway.shares import Share, Shares
from services.gateway.tokens import Credential
from tests.gateway.probe import GRANTS, TOKENS, assert_fails, bearer, config, gateway, stream, unary
from tests.waiting import until

ADMIN = frozenset({Right.READ, Right.WRITE, Right.ADMIN})


def administrator(name: str) -> Caller:
    """For whom an operator issued a token."""
    return TOKENS.issue(name, (name,), ADMIN, 3600)[1]


def issued(by: Caller, count: int) -> list[tuple[str, Caller]]:
    """Tokens for so many principals, half of them issued by one whose token was issued."""
    _, below = TOKENS.issue("team", by.prefixes, ADMIN, 3600, by)
    return [TOKENS.issue(f"user {n}", by.prefixes, ADMIN, 3600, (by, below)[n % 2]) for n in range(count)]


def share(shares: Shares, caller: Caller) -> Share:
    return shares.of(Credential(caller, is_grant=False))


def test_all_tokens_of_a_tenant_leave_long_streams_to_the_others() -> None:
    eve = administrator("eve")
    values = [value for value, _ in issued(eve, 8)]
    values += [GRANTS.grant(TOKENS.check(value)) for value in values]
    with gateway(max_streams=16, max_streams_per_token=4) as door:
        channel = door.channel()
        hers = [stream(channel, "Tail")(StringValue(), metadata=bearer(value)) for value in values for _ in range(4)]
        let_in = [call for call in hers if _has_begun(call)]
        assert len(let_in) == 8
        with pytest.raises(grpc.RpcError) as caught:
            next(stream(channel, "Tail")(StringValue(), metadata=bearer(values[7])))
        error = assert_fails(caught, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert "gateway.principals_per_tenant" in error.remedy
        anns = stream(channel, "Tail")(StringValue(), metadata=bearer())
        next(anns)
        for call in (*let_in, anns):
            call.cancel()
        until(lambda: _has_begun(stream(channel, "Tail")(StringValue(), metadata=bearer(values[7]))))


def _has_begun(call: grpc.Call) -> bool:
    try:
        next(call)
    except grpc.RpcError:
        return False
    return True


def test_all_tokens_of_a_tenant_leave_places_to_the_others_and_to_one_another() -> None:
    values = [value for value, _ in issued(administrator("eve"), 6)]
    places = {"max_running_calls": 8, "max_waiting_calls": 8, "contended_reads": 64}
    own = {"max_running_calls_per_principal": 2, "max_waiting_calls_per_principal": 1}
    with gateway(**places, **own) as door:
        sleep = unary(door.channel(), "Sleep")
        hers = [sleep.future(StringValue(value="2"), metadata=bearer(values[0])) for _ in range(9)]
        until(lambda: door.probe.running == 2)
        hers += [sleep.future(StringValue(value="2"), metadata=bearer(value)) for value in values[1:] for _ in range(9)]
        until(lambda: door.probe.running == 4)
        time.sleep(0.2)
        assert door.probe.running == 4, "twice what a principal has"
        assert sleep(StringValue(value="0"), metadata=bearer(), timeout=1).value == "slept"
        codes = [call.code() for call in hers]
        assert codes.count(grpc.StatusCode.OK) == 6, "four at once, and two that waited"


async def refused(call: Share) -> bool:
    try:
        async with call.entered():
            return False
    except MnemeError as error:
        return error.reason == "OVERLOADED"


def test_all_principals_of_a_tenant_use_up_one_share_of_the_calls_in_a_second() -> None:
    async def scenario() -> None:
        shares = Shares(config(calls_per_s=1, burst_calls=5))
        ann, eves = share(shares, administrator("ann")), [share(shares, c) for _, c in issued(administrator("eve"), 8)]
        for _ in range(3):
            assert not await refused(ann)
        await asyncio.sleep(0.12)  # until it is looked at who calls
        assert sum(await asyncio.gather(*map(refused, eves))) == 2, "the one that overdraws is the sixth"
        assert not await refused(ann)

    asyncio.run(scenario())


def test_a_principal_leaves_calls_in_a_second_to_another_of_its_tenant() -> None:
    async def scenario() -> None:
        shares = Shares(config(calls_per_s=1, burst_calls=5))
        ann, bob = (share(shares, caller) for _, caller in issued(administrator("acme"), 2))
        for _ in range(3):
            assert not await refused(ann)
        await asyncio.sleep(0.12)
        assert sum(await asyncio.gather(*(refused(bob) for _ in range(8)))) == 2
        assert not await refused(ann)

    asyncio.run(scenario())


def test_a_tenant_has_its_part_of_the_contended_reads_whatever_its_principals() -> None:
    async def scenario() -> None:
        shares = Shares(config(contended_reads=4))
        ann, eves = share(shares, administrator("ann")), [share(shares, c) for _, c in issued(administrator("eve"), 6)]
        async with AsyncExitStack() as under_way, asyncio.TaskGroup() as tasks:
            await under_way.enter_async_context(ann.reading())
            entered = list[int]()

            async def read(n: int) -> None:
                async with eves[n].reading():
                    entered.append(n)
                    await asyncio.sleep(0.3)

            for n in range(6):
                tasks.create_task(read(n))
            await asyncio.sleep(0.1)
            assert len(entered) == 2
            async with asyncio.timeout(0.1), ann.reading():
                pass

    asyncio.run(scenario())
