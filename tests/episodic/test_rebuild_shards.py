"""A rebuild over two shards, one of which does not answer: nothing begins, or what has is said and the rest follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mneme.v1.admin_pb2 import (
    GetOperationRequest,
    GetOperationResponse,
    Operation,
    OperationState,
    RebuildRequest,
    RebuildResponse,
)

from services.common.config import load
from services.common.crypto.auth import Caller, Right, grant_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger.assignment import Assignment, Assignments
from services.common.log.base import LogUnavailable, partition_of
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.common.serving.serving import Application, CallContext
from services.common.serving.shards import application_of
from services.episodic.config import EpisodicConfig
from services.episodic.service import Episodic
from services.episodic.servicer import Servicer
from services.gateway.backend import LocalBackend
from services.gateway.errors import unavailable
from services.gateway.routes import Routes
from services.gateway.sharded import ShardedBackend
from tests.episodic.world import World

A = "mneme.v1.AdminService/"
SPACES = ["acme/anna", "acme/ben", "acme/cleo", "acme/dora", "acme/emil"]


class Freezing(LocalBackend):
    """Shards in this process. One that is frozen answers as the port to Serve does of it: not, at once."""

    def __init__(self, shards: dict[str, Application]) -> None:
        super().__init__(shards)
        self.frozen: dict[str, str] = {}  # shard, and the method from which on it is

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        if self.frozen.get(app) in ("", method):
            raise unavailable(app)
        return await super().unary(app, method, request, context)


class Fleet:
    def __init__(self, world: World) -> None:
        settings = load(environ={"MNEME__COMMON__DATA_DIR": str(world.folder)})
        master = MasterKey.load(settings.common.master_key_path)
        self.grants = grant_signer(master)
        config = settings.section("episodic", EpisodicConfig)
        assignments = Assignments(world.log)
        assignments.assign(Assignment.of([0, 1, 0, 1]))
        self.shards = [Episodic(world.log, master, settings.common, config, [n, n + 2]) for n in range(2)]
        self.servicers = [Servicer(shard) for shard in self.shards]
        applications = {
            application_of(n): Application("episodic", self.grants, servicer.handlers())
            for n, servicer in enumerate(self.servicers)
        }
        self.inner = Freezing(applications)
        self.backend = ShardedBackend(self.inner, Routes(assignments, 1.0))
        for shard in self.shards:
            shard.start()

    def call(self, method: str, request: RebuildRequest | GetOperationRequest) -> bytes:
        caller = Caller("test", ("",), frozenset(Right), "t", time.time() + 60)
        context = CallContext(self.grants.sign(caller), 20.0, {})
        return asyncio.run(self.backend.unary("episodic", A + method, request.SerializeToString(), context))

    def rebuild(self, id: str = "") -> Operation:
        return RebuildResponse.FromString(self.call("Rebuild", RebuildRequest(id=id))).operation

    def operation(self, id: str) -> Operation:
        return GetOperationResponse.FromString(self.call("GetOperation", GetOperationRequest(id=id))).operation

    def ended(self, id: str) -> Operation:
        until = time.monotonic() + 60
        while (operation := self.operation(id)).state == OperationState.OPERATION_STATE_RUNNING:
            assert time.monotonic() < until
            time.sleep(0.05)
        return operation

    def generations(self) -> list[int]:
        return [partition.host.live.number for shard in self.shards for partition in shard.partitions]


@pytest.fixture
def fleet(tmp_path: Path, embedder: Embedder) -> Iterator[Fleet]:
    world = World(tmp_path, embedder, partitions=4)
    for space in SPACES:
        world.create(space)
        world.observe("o0", "The lantern is green.", namespace=space)
    assert len({partition_of(space.encode(), 4) % 2 for space in SPACES}) == 2
    fleet = Fleet(world)
    yield fleet
    for servicer, shard in zip(fleet.servicers, fleet.shards, strict=True):
        servicer.stop()
        shard.stop()


def refused(fleet: Fleet, id: str = "") -> MnemeError:
    with pytest.raises(MnemeError) as caught:
        fleet.rebuild(id)
    return caught.value


@pytest.mark.parametrize("shard", ["episodic", "episodic-1"])
def test_while_a_shard_does_not_answer_nothing_begins(fleet: Fleet, shard: str) -> None:
    fleet.inner.frozen = {shard: ""}
    assert refused(fleet, "r1").reason == "SERVICE_UNAVAILABLE"
    fleet.inner.frozen = {}
    with pytest.raises(MnemeError) as none:
        fleet.operation("rebuild-r1")
    assert none.value.reason == "NOT_FOUND"
    assert fleet.ended(fleet.rebuild("r1").id).state == OperationState.OPERATION_STATE_DONE
    assert fleet.generations() == [2, 2, 2, 2]


def test_a_rebuild_that_began_in_part_says_so_and_begins_in_the_rest_when_asked_again(fleet: Fleet) -> None:
    fleet.inner.frozen = {"episodic-1": A + "Rebuild"}  # just then
    error = refused(fleet)
    assert error.reason == "SERVICE_UNAVAILABLE"
    assert "begun in 1 of 2 shards" in error.message
    id, operation = error.metadata["id"], error.metadata["operation"]
    assert error.metadata["retry_after_ms"]
    assert id not in str(error), "a caller may have chosen it"
    half = fleet.ended(operation)
    assert half.result["no_part_in"] == "partitions 1, 3"
    assert fleet.generations() == [2, 2, 1, 1]
    fleet.inner.frozen = {}
    assert fleet.rebuild(id).id == operation
    whole = fleet.ended(operation)
    assert (whole.state, "no_part_in" in whole.result) == (OperationState.OPERATION_STATE_DONE, False)
    assert fleet.generations() == [2, 2, 2, 2]
    assert fleet.rebuild(id).state == OperationState.OPERATION_STATE_DONE
    assert fleet.generations() == [2, 2, 2, 2], "what was done is not begun again"


def test_of_two_rebuilds_at_once_one_begins_nowhere(fleet: Fleet) -> None:
    held = [partition.host.fold_lock for shard in fleet.shards for partition in shard.partitions]
    for lock in held:
        lock.acquire()  # so that the first is under way
    try:
        first = fleet.rebuild("a")
        assert refused(fleet, "b").reason == "OVERLOADED"
    finally:
        for lock in held:
            lock.release()
    with pytest.raises(MnemeError):
        fleet.operation("rebuild-b")
    assert fleet.ended(first.id).state == OperationState.OPERATION_STATE_DONE


def test_a_partition_that_could_not_begin_begins_when_asked_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = fleet.shards[0]

    def away(*given: object, **named: object) -> Operation:
        raise LogUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(shard.partitions[1].rebuilder, "start", away)
        with pytest.raises(LogUnavailable):
            shard.rebuild("r1")
    shard.rebuild("r1")
    until = time.monotonic() + 60
    while [p.host.live.number for p in shard.partitions] != [2, 2]:
        assert time.monotonic() < until
        time.sleep(0.05)
