"""The handlers, called as the gateway calls them: bytes in, bytes out."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.message import Message
from mneme.v1.admin_pb2 import AliasGroup, CreateNamespaceRequest, CreateNamespaceResponse
from mneme.v1.common_pb2 import Observation
from mneme.v1.perception_pb2 import EndSessionRequest, EndSessionResponse, ObserveRequest, ObserveResponse

from services.common.crypto.auth import Caller, Right, Signer
from services.common.serving.errors import MnemeError
from services.common.serving.serving import Application, CallContext
from services.perception.servicer import Servicer
from tests.perception.world import World, observation

GRANTS = Signer(b"k" * 32, "service")
OBSERVE = "mneme.v1.PerceptionService/Observe"
END_SESSION = "mneme.v1.PerceptionService/EndSession"
CREATE = "mneme.v1.AdminService/CreateNamespace"


def context(prefix: str = "acme", *rights: Right) -> CallContext:
    caller = Caller("tester", (prefix,), frozenset(rights or Right), "t", 4e9)
    return CallContext(GRANTS.grant(caller), timeout_s=20.0, trace={})


def application(world: World) -> Application:
    return Application("perception", GRANTS, Servicer(world.intake, world.refused).handlers())


def observe(world: World, *pages: list[Observation], prefix: str = "acme") -> ObserveResponse:
    """A stream, in pages, as the gateway cuts it."""
    app, state = application(world), b""
    for page in pages:
        requests = [ObserveRequest(observation=o).SerializeToString() for o in page]
        state = asyncio.run(app.fold(OBSERVE, state, requests, context(prefix)))
    return ObserveResponse.FromString(state)


def unary(world: World, method: str, request: Message, prefix: str = "acme") -> bytes:
    return asyncio.run(application(world).unary(method, request.SerializeToString(), context(prefix)))


def test_a_stream_is_counted_over_its_pages(world: World) -> None:
    world.create("acme/b")
    first = [observation(n) for n in range(3)]
    second = [observation(2), observation(3), observation(4, namespace="acme/b")]
    response = observe(world, first, second)
    assert (response.accepted, response.duplicates) == (5, 1)
    highest = {p.partition: p.offset for p in response.positions}
    for n, namespace in ((3, "acme/user"), (4, "acme/b")):
        first_seen = world.known.first(namespace, world.id_mac(f"o{n}", namespace))
        world.known.catch_up()
        first_seen = first_seen or world.known.first(namespace, world.id_mac(f"o{n}", namespace))
        assert first_seen is not None
        assert highest[first_seen.place.partition] >= first_seen.place.offset


def test_an_empty_stream_is_no_error(world: World) -> None:
    assert observe(world) == ObserveResponse()


def test_a_refusal_carries_what_was_taken_before_it(world: World) -> None:
    pages = [[observation(0), observation(1), observation(1)], [observation(2), observation(3, " ")]]
    with pytest.raises(MnemeError) as caught:
        observe(world, *pages)
    error = caught.value
    assert (error.reason, error.field) == ("TEXT_SIZE", "observation.text")
    counts = {k: error.metadata[k] for k in ("accepted", "duplicates", "index")}
    assert counts == {"accepted": "3", "duplicates": "1", "index": "4"}
    assert world.known.first("acme/user", world.id_mac("o2")) is None  # not looked at yet
    world.known.catch_up()
    assert world.known.first("acme/user", world.id_mac("o2")) is not None


def test_invariant_2_the_grant_decides_what_may_be_written(world: World) -> None:
    with pytest.raises(MnemeError) as caught:
        observe(world, [observation(0)], prefix="umbrella")
    assert (caught.value.reason, caught.value.field) == ("PERMISSION_DENIED", "observation.namespace")
    for method, request in (
        (END_SESSION, EndSessionRequest(namespace="acme/user", session="s")),
        (CREATE, CreateNamespaceRequest(namespace="acme/new")),
    ):
        with pytest.raises(MnemeError) as caught:
            unary(world, method, request, prefix="umbrella")
        assert caught.value.reason == "PERMISSION_DENIED"


def test_a_session_ends_at_a_position(world: World) -> None:
    observe(world, [observation(0)])
    request = EndSessionRequest(namespace="acme/user", session="s")
    position = EndSessionResponse.FromString(unary(world, END_SESSION, request)).position
    assert world.known.partition("acme/user") == position.partition
    assert position.offset == world.log.end_offset("mneme.ledger.v1", position.partition) - 1


def test_a_namespace_is_created_once(world: World) -> None:
    request = CreateNamespaceRequest(namespace="acme/new", aliases=[AliasGroup(name="A", aliases=["B"])])
    first = CreateNamespaceResponse.FromString(unary(world, CREATE, request))
    assert CreateNamespaceResponse.FromString(unary(world, CREATE, request)) == first
    with pytest.raises(MnemeError) as caught:
        unary(world, CREATE, CreateNamespaceRequest(namespace="acme/new"))
    assert caught.value.reason == "NAMESPACE_EXISTS"


def test_the_event_loop_is_free_while_a_page_is_taken(world: World) -> None:
    """Another coroutine runs while the intake works (and would not, were it called on the loop)."""
    app = application(world)
    requests = [ObserveRequest(observation=observation(n)).SerializeToString() for n in range(64)]

    async def both() -> int:
        page = asyncio.create_task(app.fold(OBSERVE, b"", requests, context()))
        turns = 0
        while not page.done():
            turns += 1
            await asyncio.sleep(0.001)
        await page
        return turns

    assert asyncio.run(both()) > 10
