"""One process that owns several partitions of the ledger, as ``mneme up`` starts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import Operation, OperationState

from services.common.config import load
from services.common.crypto.seal import MasterKey
from services.common.ledger import topics
from services.common.log.base import Message, Record, TopicPartition, partition_of
from services.common.models.embed import Embedder
from services.episodic.config import EpisodicConfig
from services.episodic.plugins.base import Query
from services.episodic.search.opening import embedded
from services.episodic.service import Episodic
from services.episodic.write.writer import GROUP
from tests.episodic.world import START, World

PARTITIONS = 4
SPACES = ["acme/anna", "acme/ben", "acme/cleo", "acme/dora", "acme/emil"]


class Service:
    """The service over a world's log; the world only tells."""

    def __init__(self, world: World) -> None:
        self.world = world
        settings = load(environ={"MNEME__COMMON__DATA_DIR": str(world.folder)})
        key = MasterKey.load(settings.common.master_key_path)
        self.episodic = Episodic(world.log, key, settings.common, settings.section("episodic", EpisodicConfig))
        self.episodic.start()

    def settle(self) -> None:
        log = self.world.log
        ends = {p: log.end_offset(topics.LEDGER, p) for p in range(PARTITIONS)}
        assert self.episodic.progress.wait(ends, 30.0)

    def hash(self, namespace: str) -> str:
        return self.episodic.of(namespace).reads.counts(namespace, with_hash=True).state_hash

    def recall(self, text: str, *namespaces: str) -> list[str]:
        query = Query(namespaces, text, 5, None, START + timedelta(days=1))
        return [item.record.text for item in self.episodic.recaller.recall(query).items]

    def ended(self, id: str) -> Operation:
        deadline = time.monotonic() + 60
        while (found := self.episodic.operation(id)) is None or found.state == OperationState.OPERATION_STATE_RUNNING:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


@pytest.fixture
def service(tmp_path: Path, embedder: Embedder) -> Iterator[Service]:
    world = World(tmp_path, embedder, partitions=PARTITIONS)
    for n, space in enumerate(SPACES):
        world.create(space)
        world.observe("o0", f"The lantern of house {n} is green.", namespace=space)
        world.observe("o1", "Nobody was at home.", namespace=space)
    assert len({partition_of(space.encode(), PARTITIONS) for space in SPACES}) > 2
    service = Service(world)
    service.settle()
    yield service
    service.episodic.stop()


def test_what_is_kept_as_state_is_read_once_for_all_partitions(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, seen = service.world.log, list[int]()
    read = log.read

    def counted(topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        for record in read(topic, partition, start, end):
            if topic == topics.STATE:
                seen.append(record.offset)
            yield record

    monkeypatch.setattr(log, "read", counted)
    [told] = log.append([Message(topics.STATE, b"test", b"")])
    for partition in service.episodic.partitions:
        assert partition.host.state.operation("none") is None
    assert seen.count(told.offset) == 1


def test_scopes_in_several_partitions_are_recalled_together(service: Service) -> None:
    assert service.recall("lantern house 3", SPACES[0], *SPACES[2:])[0] == "The lantern of house 3 is green."
    assert {text for text in service.recall("lantern", *SPACES[:2]) if "lantern" in text} == {
        f"The lantern of house {n} is green." for n in range(2)
    }
    assert service.episodic.names() == sorted(SPACES)


def test_a_rebuild_is_one_operation_over_every_partition(service: Service) -> None:
    before = {space: service.hash(space) for space in SPACES}
    assert all(before.values())
    started = service.episodic.rebuild("")
    ended = service.ended(started.id)
    assert ended.state == OperationState.OPERATION_STATE_DONE
    assert ended.done == ended.total == sum(service.episodic.progress.snapshot())
    assert {partition.host.live.number for partition in service.episodic.partitions} == {2}
    assert {space: service.hash(space) for space in SPACES} == before
    assert service.episodic.operation("rebuild-of-nobody") is None


def test_a_start_goes_on_from_a_snapshot_of_every_partition(service: Service) -> None:
    before = {space: service.hash(space) for space in SPACES}
    service.episodic.stop()
    files = sorted((service.world.folder / "episodic").glob("facts-*.snapshot"))
    assert [file.name for file in files] == [f"facts-{p}.snapshot" for p in range(PARTITIONS)]
    again = Service(service.world)
    again.settle()
    assert again.episodic.names() == sorted(SPACES)
    assert {space: again.hash(space) for space in SPACES} == before
    again.episodic.require_alive()
    again.episodic.stop()


def test_what_one_process_held_for_all_partitions_goes_on_in_partitions(service: Service) -> None:
    """As an earlier version left it: one group, one generation, one index for all."""
    world, log = service.world, service.world.log
    before = {space: service.hash(space) for space in SPACES}
    number, fingerprint = 1, service.episodic.partitions[0].host.parts.fingerprint
    service.episodic.stop()
    old = log.subscribe(GROUP, [topics.LEDGER])
    while len(old.assignment()) < PARTITIONS:
        old.poll(timeout_s=0.05)
    old.commit({TopicPartition(topics.LEDGER, p): log.end_offset(topics.LEDGER, p) for p in range(PARTITIONS)})
    old.close()
    state = [record.key for record in log.read(topics.STATE, 0)]
    in_use = pb.Generation(number=number, fingerprint=fingerprint).SerializeToString()
    log.append(
        [*(Message(topics.STATE, key, None) for key in state), Message(topics.STATE, b"generation/in-use", in_use)]
    )
    _forget_groups(world)
    for p in range(PARTITIONS):
        index = embedded(world.folder / "index", p)
        index.drop(number)
        index.close()
    (world.folder / "index.db").mkdir()
    feed = [log.end_offset(topics.FEED, p) for p in range(PARTITIONS)]

    again = Service(world)
    again.settle()
    assert {space: again.hash(space) for space in SPACES} == before
    assert [log.end_offset(topics.FEED, p) for p in range(PARTITIONS)] == feed  # nothing was folded again
    assert not (world.folder / "index.db").exists()
    again.episodic.stop()


def _forget_groups(world: World) -> None:
    """Take away what the partitions' own groups had committed."""
    with world.store._db.writing() as db:
        db.execute("DELETE FROM offsets WHERE grp LIKE 'episodic-%'")
