"""A partition goes from one process to another: what was under way ends or goes on there, and nothing is done twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Iterator
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from mneme.v1 import episodic_pb2
from mneme.v1.admin_pb2 import OperationState
from mneme.v1.common_pb2 import Freshness
from mneme.v1.episodic_pb2 import ForgetSelector

from services.common.config import load
from services.common.crypto.auth import Caller, Right, grant_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger import topics
from services.common.ledger.named import Named
from services.common.log.base import LogUnavailable
from services.common.log.sqlite import SqliteLog
from services.common.models.embed import Embedder
from services.common.serving.serving import Application, CallContext
from services.common.serving.shards import Moved
from services.episodic import holding
from services.episodic.config import EpisodicConfig
from services.episodic.service import Episodic, StillRunning
from services.episodic.servicer import Servicer
from services.episodic.write import writer
from tests.episodic.world import World
from tests.partitions import one_in_each

M = TypeVar("M", bound=Message)
PARTITIONS = 2
# One in each partition.
SPACES = one_in_each("acme/", PARTITIONS)
E = "mneme.v1.EpisodicService/"


class Shard:
    """A process's part of episodic, with its own log over a world's file; the world only tells."""

    def __init__(self, world: World, owned: Collection[int]) -> None:
        self.world = world
        settings = load(
            environ={
                "MNEME__COMMON__DATA_DIR": str(world.folder),
                "MNEME__EPISODIC__BATCH_ENTRIES": "8",
            }
        )
        key = MasterKey.load(settings.common.master_key_path)
        config = settings.section("episodic", EpisodicConfig)
        self._log = SqliteLog(world.folder / "log.db")
        self.episodic = Episodic(Named(self._log), key, settings.common, config, sorted(owned))
        self.servicer = Servicer(self.episodic)
        self._grants = grant_signer(key)
        self._application = Application("episodic", self._grants, self.servicer.handlers())
        self.episodic.start()

    async def hold(self, *partitions: int) -> None:
        await self.servicer.holding.hold(lambda: partitions)

    async def call(self, method: str, request: Message, answer: type[M]) -> M:
        raw = await self._application.unary(E + method, request.SerializeToString(), self._context())
        return answer.FromString(raw)

    async def watch(self, space: str, cursor: bytes = b"") -> tuple[list[str], bytes]:
        request = episodic_pb2.WatchRequest(namespace=space, from_start=True).SerializeToString()
        messages, after = await self._application.page(E + "Watch", request, cursor, self._context())
        return [episodic_pb2.WatchResponse.FromString(raw).engram.text for raw in messages], after

    async def recall(self, space: str, query: str = "lantern") -> list[str]:
        request = episodic_pb2.RecallRequest(namespace=space, query=query, freshness=Freshness(strong=True))
        return [i.engram.text for i in (await self.call("Recall", request, episodic_pb2.RecallResponse)).items]

    def hash(self, space: str) -> str:
        return self.episodic.of(space).reads.counts(space, with_hash=True).state_hash

    def settle(self) -> None:
        log = self.world.log
        ends = {p.number: log.end_offset(topics.LEDGER, p.number) for p in self.episodic.partitions}
        assert self.episodic.progress.wait(ends, 30.0)

    def stop(self) -> None:
        self.servicer.stop()
        self.episodic.stop()
        self._log.close()

    def _context(self) -> CallContext:
        caller = Caller("test", ("",), frozenset(Right), "t", time.time() + 60)
        return CallContext(self._grants.sign(caller), 20.0, {})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[tuple[Shard, Shard]]:
    world = World(tmp_path_factory.mktemp("moving"), embedder, partitions=PARTITIONS)
    for n, space in enumerate(SPACES):
        world.create(space)
        world.observe("o0", f"The lantern of house {n} is green.", namespace=space)
    made = Shard(world, range(PARTITIONS)), Shard(world, ())
    yield made
    for shard in made:
        shard.stop()


@pytest.fixture
def shards(both: tuple[Shard, Shard]) -> tuple[Shard, Shard]:
    """One that holds both partitions, each of which holds a namespace, and one that holds none."""
    here, there = both
    asyncio.run(there.hold())
    asyncio.run(here.hold(*range(PARTITIONS)))
    here.settle()
    return here, there


def test_what_is_held_moves_and_goes_on_from_where_it_was(shards: tuple[Shard, Shard]) -> None:
    here, there = shards
    log = here.world.log
    hashes = [here.hash(space) for space in SPACES]
    folded = [log.end_offset(topics.FEED, p) for p in range(PARTITIONS)]

    async def move() -> None:
        seen, cursor = await here.watch(SPACES[1])
        await here.hold(0)
        for call in (here.recall(SPACES[1]), here.watch(SPACES[1])):
            with pytest.raises(Moved):
                await call
        assert await here.recall(SPACES[0])
        await there.hold(1)
        assert there.hash(SPACES[1]) == hashes[1]
        assert [log.end_offset(topics.FEED, p) for p in range(PARTITIONS)] == folded, "nothing is folded again"
        here.world.observe("o1", "A second lantern is red.", namespace=SPACES[1])
        assert "A second lantern is red." in await there.recall(SPACES[1], "A second lantern is red.")
        more, _ = await there.watch(SPACES[1], cursor)
        assert set(more) >= {"A second lantern is red."}
        assert "The lantern of house 1 is green." in seen
        await there.hold()
        await here.hold(0, 1)
        assert "A second lantern is red." in await here.recall(SPACES[1], "A second lantern is red.")
        here.episodic.require_alive()
        there.episodic.require_alive()

    asyncio.run(move())
    assert here.hash(SPACES[0]) == hashes[0]
    moved = here.hash(SPACES[1])
    assert moved != hashes[1]
    here.episodic.rebuild("anew")
    assert_ended(here, "rebuild-anew")
    assert here.hash(SPACES[1]) == moved, "as one process folds the ledger anew"


def test_what_comes_back_is_no_second_holder(shards: tuple[Shard, Shard], caplog: pytest.LogCaptureFixture) -> None:
    """Whoever held a partition before has its transactions' names from then, which the other took since."""
    here, there = shards

    def remember(n: int, shard: Shard) -> str:
        here.world.observe(f"b{n}", f"Lantern {n} of those that move.", f"back-{n}", namespace=SPACES[1])
        shard.settle()
        return f"back-{n}"

    async def forget(session: str, shard: Shard) -> None:
        request = episodic_pb2.ForgetRequest(namespace=SPACES[1], id=session, selector=ForgetSelector(session=session))
        assert (await shard.call("Forget", request, episodic_pb2.ForgetResponse)).receipt.base_erased == 1

    async def move() -> None:
        await forget(remember(0, here), here)
        await here.hold(0)
        await there.hold(1)
        await forget(remember(1, there), there)
        await there.hold()
        await here.hold(0, 1)
        await forget(remember(2, here), here)

    asyncio.run(move())
    assert writer.LOST not in caplog.messages


def assert_ended(shard: Shard, id: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        found = shard.episodic.operation(id)
        if found is not None and found.state != OperationState.OPERATION_STATE_RUNNING:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert found.state == OperationState.OPERATION_STATE_DONE, found


def test_a_call_that_waits_is_sent_on_at_once_and_the_writer_ends_after_its_batch(shards: tuple[Shard, Shard]) -> None:
    here, there = shards
    host = here.episodic.of(SPACES[1]).host

    async def move() -> None:
        with host.fold_lock:
            here.world.observe("o2", "A third lantern is lit.", namespace=SPACES[1])
            waiting = asyncio.create_task(here.recall(SPACES[1]))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            letting_go = asyncio.create_task(here.hold(0))
            with pytest.raises(Moved):
                await asyncio.wait_for(waiting, 0.5)
            await asyncio.sleep(0.1)
        await letting_go
        await there.hold(1)
        assert "A third lantern is lit." in await there.recall(SPACES[1], "A third lantern is lit.")

    asyncio.run(move())


def test_a_call_that_works_is_waited_for(shards: tuple[Shard, Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = shards
    at_work, go_on = threading.Event(), threading.Event()
    recall = here.episodic.recaller.recall

    def slow(query: object) -> object:
        at_work.set()
        assert go_on.wait(10)
        return recall(query)  # type: ignore[arg-type]

    monkeypatch.setattr(here.episodic.recaller, "recall", slow)

    async def move() -> None:
        working = asyncio.create_task(here.recall(SPACES[1]))
        await asyncio.to_thread(at_work.wait, 10)
        letting_go = asyncio.create_task(here.hold(0))
        await asyncio.sleep(0.3)
        assert not letting_go.done()
        go_on.set()
        await letting_go
        assert "The lantern of house 1 is green." in await working

    asyncio.run(move())


def test_an_erasure_that_is_not_done_is_done_by_whoever_holds_the_partition_then(
    shards: tuple[Shard, Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = shards
    here.world.observe("e0", "A lantern made of brass.", "s2", namespace=SPACES[1])
    here.settle()
    selector = ForgetSelector(session="s2")
    request = episodic_pb2.ForgetRequest(namespace=SPACES[1], id="f1", selector=selector)
    begun = threading.Event()

    def away(_: object) -> None:
        begun.set()
        raise LogUnavailable("it compacts for minutes")

    monkeypatch.setattr(here.episodic.of(SPACES[1]).host.receipts, "finish", away)
    monkeypatch.setattr(holding, "_DRAIN_S", 0.2)

    async def move() -> episodic_pb2.ForgetResponse:
        commanding = asyncio.create_task(here.call("Forget", request, episodic_pb2.ForgetResponse))
        assert await asyncio.to_thread(begun.wait, 10)
        await here.hold(0)
        with pytest.raises(Moved):
            await commanding
        await there.hold(1)
        return await there.call("Forget", request, episodic_pb2.ForgetResponse)

    receipt = asyncio.run(move()).receipt
    assert (receipt.base_erased, bool(receipt.stores)) == (1, True)
    assert "A lantern made of brass." not in asyncio.run(there.recall(SPACES[1], "A lantern made of brass."))


def test_a_rebuild_under_way_is_gone_on_with(shards: tuple[Shard, Shard]) -> None:
    here, there = shards
    for n in range(60):
        here.world.observe(f"m{n}", f"Lantern number {n}.", namespace=SPACES[1])
    here.settle()
    before = here.hash(SPACES[1])

    async def move() -> None:
        here.episodic.rebuild("moving")
        await here.hold(0)
        await there.hold(1)

    asyncio.run(move())
    assert_ended(there, "rebuild-moving")
    assert there.hash(SPACES[1]) == before


def test_what_does_not_end_in_time_is_not_let_go(shards: tuple[Shard, Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = shards
    host = here.episodic.of(SPACES[1]).host

    async def move() -> None:
        with host.fold_lock:
            here.world.observe("o3", "A fourth lantern is out.", namespace=SPACES[1])
            await asyncio.sleep(0.2)
            with monkeypatch.context() as patched:
                patched.setattr(here.episodic, "_grace_s", 0.2)
                with pytest.raises(StillRunning):
                    await here.hold(0)
            with pytest.raises(Moved):
                await here.recall(SPACES[1])
        await here.hold(0)
        await there.hold(1)
        assert "A fourth lantern is out." in await there.recall(SPACES[1], "A fourth lantern is out.")

    asyncio.run(move())


def test_a_partition_that_cannot_be_taken_is_taken_when_it_can(
    shards: tuple[Shard, Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = shards

    def away(*_: object) -> None:
        raise LogUnavailable("in the middle of a start")

    async def move() -> None:
        await here.hold(0)
        with monkeypatch.context() as patched:
            patched.setattr("services.episodic.write.rebuild.Rebuilder.recover", away)
            with pytest.raises(LogUnavailable):
                await there.hold(1)
        assert there.episodic.partitions == []
        await there.hold(1)
        assert await there.recall(SPACES[1])

    asyncio.run(move())
