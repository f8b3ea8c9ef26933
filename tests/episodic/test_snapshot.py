"""Episodic started from a snapshot of the ledger's facts: it knows the same, by name, and reads what came since."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType
from mneme.v1.episodic_pb2 import ForgetSelector, Ids
from mneme.v1.ledger_pb2 import PartitionFacts

from services.common.ledger import topics
from services.common.ledger.stored_facts import gone_on_with
from services.common.log.base import Record
from services.common.models.embed import Embedder
from services.episodic.state.namespaces import Registry
from tests.episodic.test_delete import deleted
from tests.episodic.world import NAMESPACE, World

OTHER, CLEAR = "acme/other", "acme/of-before"
LEE = [AliasGroup(name="Ann Lee", aliases=["Annie"])]
POSH = [AliasGroup(name="Murray Posh", aliases=["Mr. Posh"])]
ROOM = MetadataField(name="room", type=MetadataType.METADATA_TYPE_TEXT)


@pytest.fixture
def world(tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    world = World(tmp_path, embedder)
    opened(world)
    world.create(aliases=LEE, fields=[ROOM])
    yield world
    world.close()


def opened(world: World) -> World:
    return world.open(facts_path=world.folder / "facts.snapshot")


def restarted(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Start again; how many entries of the ledger the start read, by partition."""
    world.close()
    world._begin_anew()
    read, counts = world.store.read, dict.fromkeys(range(world.log.partitions(topics.LEDGER)), 0)

    def counted(topic: str, partition: int, *args: Any) -> Iterator[Record]:
        for record in read(topic, partition, *args):
            if topic == topics.LEDGER:
                counts[partition] += 1
            yield record

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "read", counted)
        opened(world)
    return counts


def known(registry: Registry, committed: int) -> list[object]:
    """All that a registry answers."""
    out: list[object] = [registry.names()]
    for name in (NAMESPACE, OTHER, CLEAR):
        out += [registry.namespace(name), registry.alias_keys(name), registry.deletion(name), registry.is_going(name)]
        out += [
            registry.needless(name),
            registry.is_gone(name),
            registry.is_in_clear(name),
            registry.epoch(name),
            registry.next_epoch(name),
        ]
        told_at = registry.told_at(name, committed)
        out += [told_at, registry.sizes(name, told_at), registry.usage(name), registry.held(name)[0]]
        for offset in range(0, committed + 1, 3):
            out += [registry.namespace_at(name, offset), registry.is_deleted_since(name, offset)]
    return out


def erased(world: World, *ids: str, namespace: str = NAMESPACE) -> None:
    world.forget(ForgetSelector(ids=Ids(ids=[world.base(i) for i in ids])), namespace)


def test_a_start_reads_what_came_since(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(12):
        at = world.observe(f"o{n}", f"The {n}th lantern was lit at dusk.")
    world.settle()
    state = world.hash()
    counts = restarted(world, monkeypatch)
    assert counts[at.partition] == 1, "the last one, by which the ledger is known again"
    assert at.offset >= 12
    assert world.hash() == state
    assert world.host.registry.names() == [NAMESPACE]


def test_what_was_erased_before_and_after_the_snapshot_stays_erased(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create(OTHER)
    for n in range(4):
        world.observe(f"o{n}", f"The {n}th lantern was lit at dusk.")
        world.observe(f"o{n}", f"The {n}th lamp was lit at dawn.", namespace=OTHER)
    world.settle()
    erased(world, "o0")
    path = world.folder / "facts.snapshot"
    restarted(world, monkeypatch)
    old = path.read_bytes()
    erased(world, "o1")
    deleted(world, namespace=OTHER)
    world.close()
    path.write_bytes(old)
    world._begin_anew()
    opened(world)
    for n in range(2):
        world.observe(f"o{n}", f"The {n}th lantern was lit at dusk.")
    world.settle()
    assert {s.id for s in world.host.live.store.directory.slots(NAMESPACE)} >= {world.base("o2"), world.base("o3")}
    assert not {s.id for s in world.host.live.store.directory.slots(NAMESPACE)} & {world.base("o0"), world.base("o1")}
    assert world.host.registry.names() == [NAMESPACE]
    assert world.host.registry.is_gone(OTHER)
    assert world.host.registry.epoch(NAMESPACE) == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_known_with_and_without(world: World, seed: int) -> None:
    draw = random.Random(seed)
    world.create(OTHER)
    world.create(CLEAR, aliases=POSH, in_clear=True)
    world.settle()
    told: list[str] = []

    def tell(n: int) -> None:
        told.append(f"o{n}")
        world.observe(f"o{n}", f"The {n}th lantern was lit at dusk.")

    def make_anew(n: int) -> None:
        deleted(world, f"d{n}", OTHER)
        world.create(OTHER, aliases=LEE)

    steps: list[Callable[[int], object]] = [
        tell,
        lambda n: world.change(f"n{n}", aliases=draw.choice([LEE, POSH, None]), fields=draw.choice([[], [ROOM]])),
        lambda n: world.change(f"n{n}", aliases=LEE, namespace=CLEAR),
        lambda n: erased(world, told.pop()) if told else None,
        make_anew,
    ]
    taken = PartitionFacts(partition=0)
    for n in range(24):
        draw.choices(steps, [6, 3, 1, 2, 1])[0](n)
        world.settle()
        if n % 5 == seed:
            taken = gone_on_with(taken, world.log, world.keyring, world.host.applied)
    committed = world.host.applied
    with_snapshot, without = (Registry(world.log, world.keyring, 0) for _ in range(2))
    with_snapshot.restore([taken])
    for registry in (with_snapshot, without):
        registry.fold_all(committed)
    assert known(with_snapshot, committed) == known(without, committed)
    assert b"acme" not in taken.SerializeToString(), "nor one in clear"


def test_a_damaged_one_is_refused_and_the_ledger_read(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.observe("o0", "The lantern was lit at dusk.")
    world.settle()
    erased(world, "o0")
    restarted(world, monkeypatch)
    path = world.folder / "facts.snapshot"
    world.close()
    path.write_bytes(path.read_bytes()[:-1])
    world._begin_anew()
    with caplog.at_level(logging.WARNING):
        opened(world)
    assert any(f"{path}: length: " in getattr(r, "error", "") for r in caplog.records)
    assert world.host.registry.is_erased(NAMESPACE, world.base("o0"))
