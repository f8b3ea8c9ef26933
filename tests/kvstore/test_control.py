"""The control port: who may do what, and what is refused, over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from mneme.v1 import kvstore_node_service_pb2 as service_pb
from mneme.v1 import kvstore_pb2 as pb
from mneme.v1.kvstore_node_service_pb2_grpc import KvstoreNodeServiceStub

from services.common.crypto.auth import Right, grant_signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.nodes.nodes import NodeCredential, node_signer
from services.common.serving.errors import MnemeError, from_rpc_error
from services.kvstore import layout
from services.kvstore.client import KvClient, Origin
from services.kvstore.endpoint import Endpoint
from tests.kvstore.running import BLOCK, IDENTITY, NAMESPACE, Running, eventually, keys, payloads

Metadata = tuple[tuple[str, str], ...]


@pytest.fixture
def stub(store: Running) -> Iterator[KvstoreNodeServiceStub]:
    endpoint = Endpoint.read(store.data_dir)
    assert endpoint is not None
    with grpc.insecure_channel(endpoint.address) as channel:
        yield KvstoreNodeServiceStub(channel)


@pytest.fixture
def master(store: Running) -> MasterKey:
    return MasterKey.load_or_create(store.data_dir / "master.key")


@pytest.fixture
def node(master: MasterKey) -> Metadata:
    return NodeCredential(master, "test").metadata()


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def grant(master: MasterKey, prefix: str, *rights: Right) -> Metadata:
    token, _ = grant_signer(master).issue("ann", (prefix,), frozenset(rights), 60)
    return bearer(token)


def refused(call: object, request: object, metadata: Metadata, timeout: float | None = 5) -> MnemeError:
    with pytest.raises(grpc.RpcError) as info:
        call(request, timeout=timeout, metadata=metadata)  # type: ignore[operator]
    return from_rpc_error(info.value)


REQUESTS = {
    "LookupBlocks": pb.LookupBlocksRequest(keys=keys(1)),
    "LeaseBlocks": pb.LeaseBlocksRequest(holder="x", keys=keys(1)),
    "ReserveStaging": pb.ReserveStagingRequest(holder="x", blocks=1, block_bytes=16),
    "PutBlocks": pb.PutBlocksRequest(holder="x"),
    "ClaimBlocks": pb.ClaimBlocksRequest(holder="x", keys=keys(1)),
    "WaitBlocks": pb.WaitBlocksRequest(keys=keys(1)),
    "ReleaseBlocks": pb.ReleaseBlocksRequest(holder="x"),
    "DropBlocks": pb.DropBlocksRequest(),
    "Heartbeat": pb.HeartbeatRequest(holder="x"),
    "StoreStats": pb.StoreStatsRequest(),
}


def test_the_table_of_requests_is_whole() -> None:
    methods = service_pb.DESCRIPTOR.services_by_name["KvstoreNodeService"].methods_by_name
    assert set(REQUESTS) == set(methods)


@pytest.mark.parametrize("method", REQUESTS)
def test_every_call_is_authenticated(stub: KvstoreNodeServiceStub, master: MasterKey, method: str) -> None:
    foreign, _ = node_signer(MasterKey(bytes(32))).issue("x", ("",), frozenset(Right), 60)
    stale, _ = node_signer(master).issue("x", ("",), frozenset(Right), -10)
    token, _ = token_signer(master).issue("x", ("",), frozenset(Right), 60)
    for metadata in ((), bearer("x"), bearer(foreign), bearer(stale), bearer(token), (("authorization", stale),)):
        assert refused(getattr(stub, method), REQUESTS[method], metadata).reason == "UNAUTHENTICATED"


@pytest.mark.parametrize("method", sorted(set(REQUESTS) - {"DropBlocks", "StoreStats"}))
def test_a_caller_s_grant_is_no_engine(stub: KvstoreNodeServiceStub, master: MasterKey, method: str) -> None:
    metadata = grant(master, "", *Right)
    assert refused(getattr(stub, method), REQUESTS[method], metadata).reason == "UNAUTHENTICATED"


def test_a_grant_may_drop_in_its_namespaces_with_the_right_to_forget(
    stub: KvstoreNodeServiceStub, master: MasterKey
) -> None:
    request = pb.DropBlocksRequest(erasures=[pb.Erasure(namespace=NAMESPACE, erasure_epoch=2)])
    assert stub.DropBlocks(request, timeout=5, metadata=grant(master, "acme", Right.FORGET)).named_blocks == 0
    for metadata in (grant(master, "acme", Right.READ), grant(master, "bolt", Right.FORGET)):
        assert refused(stub.DropBlocks, request, metadata).reason == "PERMISSION_DENIED"


def test_a_call_without_a_deadline_is_refused(stub: KvstoreNodeServiceStub, node: Metadata) -> None:
    assert refused(stub.StoreStats, pb.StoreStatsRequest(), node, timeout=None).field == "deadline"


def put_request(kv: KvClient, key: bytes, digest: bytes, reservation: int, offset: int) -> pb.PutBlocksRequest:
    return pb.PutBlocksRequest(
        holder="raw",
        reservation=reservation,
        namespace=NAMESPACE,
        identity=IDENTITY,
        blocks=[pb.PutBlock(key=key, offset=offset, length=BLOCK, digest=digest)],
    )


def reserve(stub: KvstoreNodeServiceStub, node: Metadata) -> pb.ReserveStagingResponse:
    request = pb.ReserveStagingRequest(holder="raw", blocks=1, block_bytes=BLOCK)
    response: pb.ReserveStagingResponse = stub.ReserveStaging(request, timeout=5, metadata=node)
    return response


def test_invariant_22_staged_bytes_that_are_not_what_was_digested_are_not_published(
    store: Running, stub: KvstoreNodeServiceStub, node: Metadata, kv: KvClient
) -> None:
    key, payload = keys(1)[0], payloads(1)[0]
    lent = reserve(stub, node)
    with store.file("staging").open("r+b") as f:
        f.seek(lent.offsets[0])
        f.write(payload[:-1] + bytes([payload[-1] ^ 1]))
    digest = layout.payload_digest(payload, key, IDENTITY)
    request = put_request(kv, key, digest, lent.reservation, lent.offsets[0])
    assert stub.PutBlocks(request, timeout=5, metadata=node).outcomes == [pb.PUT_OUTCOME_CORRUPT]
    assert kv.lookup([key]) == 0
    assert payload[:64] not in store.file("arena").read_bytes()


def test_a_put_writes_only_where_it_was_lent(stub: KvstoreNodeServiceStub, node: Metadata, kv: KvClient) -> None:
    lent = reserve(stub, node)
    request = put_request(kv, keys(1)[0], bytes(16), lent.reservation, lent.offsets[0] + 4096)
    assert refused(stub.PutBlocks, request, node).field == "blocks.offset"


def test_a_reservation_serves_one_put_and_its_holder_only(
    stub: KvstoreNodeServiceStub, node: Metadata, kv: KvClient
) -> None:
    lent = reserve(stub, node)
    request = put_request(kv, keys(1)[0], bytes(16), lent.reservation, lent.offsets[0])
    thief = pb.PutBlocksRequest()
    thief.CopyFrom(request)
    thief.holder = "other"
    assert refused(stub.PutBlocks, thief, node).reason == "NOT_FOUND"
    stub.PutBlocks(request, timeout=5, metadata=node)
    assert refused(stub.PutBlocks, request, node).reason == "NOT_FOUND"


def test_a_lineage_without_its_epoch_is_refused(stub: KvstoreNodeServiceStub, node: Metadata, kv: KvClient) -> None:
    lent = reserve(stub, node)
    request = put_request(kv, keys(1)[0], bytes(16), lent.reservation, lent.offsets[0])
    request.lineage.add(namespace=NAMESPACE, engram_id="e1")
    assert refused(stub.PutBlocks, request, node).field == "epochs"


def test_invariant_29_the_ring_moves_on_past_reservations_that_nobody_used(
    stub: KvstoreNodeServiceStub, node: Metadata, kv: KvClient
) -> None:
    """Lent slots come back by themselves."""
    whole = pb.ReserveStagingRequest(holder="raw", blocks=1000, block_bytes=BLOCK)
    lent = stub.ReserveStaging(whole, timeout=5, metadata=node)
    assert len(lent.offsets) == (1 << 18) // BLOCK
    assert not stub.ReserveStaging(whole, timeout=5, metadata=node).offsets
    eventually(lambda: not kv.stats().staging_used_bytes)
    assert len(stub.ReserveStaging(whole, timeout=5, metadata=node).offsets) == (1 << 18) // BLOCK


def test_lookup_over_the_port_agrees_with_the_shared_index(
    stub: KvstoreNodeServiceStub, node: Metadata, kv: KvClient
) -> None:
    chain = keys(5)
    kv.put(chain[:3], payloads(3), Origin(NAMESPACE))
    assert stub.LookupBlocks(pb.LookupBlocksRequest(keys=chain), timeout=5, metadata=node).present == 3


def test_bad_keys_are_refused(stub: KvstoreNodeServiceStub, node: Metadata) -> None:
    for bad in (b"short", bytes(16), bytes(17)):
        assert refused(stub.LookupBlocks, pb.LookupBlocksRequest(keys=[bad]), node).field == "keys"
    many = pb.LookupBlocksRequest(keys=keys(8193))
    assert refused(stub.LookupBlocks, many, node).reason == "OVERLOADED"
