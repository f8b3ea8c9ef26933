"""A changed namespace: what was told is folded with the settings of its time, whenever; a forgotten name stays gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType
from mneme.v1.episodic_pb2 import ForgetSelector, Person

from services.common.crypto.seal import KeyDestroyed
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.facts import FOLDED
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic.plugins.base import Filter
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.write.fold import _FOLD
from tests.episodic.world import NAMESPACE, World, named

LEE = [AliasGroup(name="Ann Lee", aliases=["Annie"])]
SMITH = [AliasGroup(name="Ann Smith", aliases=["Annie"])]
POSH = [AliasGroup(name="Murray Posh", aliases=["Mr. Posh"])]
ROOM = MetadataField(name="room", type=MetadataType.METADATA_TYPE_TEXT)
FLOOR = MetadataField(name="floor", type=MetadataType.METADATA_TYPE_NUMBER)


@pytest.fixture
def world(tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    world = World(tmp_path, embedder)
    world.entities = named
    world.open()
    world.create(aliases=LEE)
    world.settle()
    yield world
    world.close()


def people(world: World, *ids: str) -> list[tuple[str, ...]]:
    found = world.host.live.store.fetch(NAMESPACE, ids)
    return [found[id].record.people for id in ids]


def info(world: World) -> NamespaceInfo:
    found = world.host.registry.namespace(NAMESPACE)
    assert found is not None
    return found


def readable_groups(world: World) -> list[bytes]:
    """Every set of alias groups in the ledger that whoever holds the master key can open."""
    partitions = range(world.log.partitions(topics.LEDGER))
    values = [r.value or b"" for p in partitions for r in world.log.read(topics.LEDGER, p)]
    out = []
    for sealed in (sealed for value in values for sealed in ledger.aliases_in(pb.LedgerEntry.FromString(value))):
        try:
            out.append(world.keyring.open(sealed, namespace=NAMESPACE, purpose=ledger.SEAL_NAMESPACE))
        except KeyDestroyed:
            continue
    return out


def test_what_is_folded_needs_the_groups_of_its_time() -> None:
    assert _FOLD.keys() == FOLDED


def test_each_is_read_with_the_groups_of_its_time_whenever_it_is_folded(world: World) -> None:
    before = world.remember("r0", "Annie likes plums.")
    world.settle()
    world.change("n1", SMITH)
    world.settle()
    after = world.remember("r1", "Annie likes pears.")
    world.settle()
    corrected = world.correct("c0", before, "Annie likes damsons.")
    world.settle()
    expected = [("Ann Lee",), ("Ann Smith",), ("Ann Smith",)]
    state = world.hash()
    for again in (lambda: None, world.rebuild, world.restart, world.rebuild):
        again()
        assert people(world, before, after, corrected) == expected
        assert world.hash() == state
    assert list(info(world).aliases) == SMITH


def test_what_nothing_is_folded_with_is_unreadable_and_what_is_needed_stays(world: World) -> None:
    assert len(readable_groups(world)) == 1
    world.change("n1", SMITH)
    world.settle()
    [left] = readable_groups(world)
    assert b"Smith" in left
    world.remember("r0", "Annie likes plums.")
    world.settle()
    world.change("n2", POSH)
    world.settle()
    assert len(readable_groups(world)) == 2
    state = world.hash()
    world.restart().rebuild()
    assert world.hash() == state
    assert len(readable_groups(world)) == 2


def test_the_first_of_two_changes_with_one_id_counts(world: World) -> None:
    world.change("n1", SMITH)
    world.change("n1", POSH)
    world.settle()
    assert list(info(world).aliases) == SMITH
    assert len(readable_groups(world)) == 1  # the other's key is gone
    world.restart()
    assert list(info(world).aliases) == SMITH


def test_a_change_of_fields_alone_leaves_the_groups(world: World) -> None:
    world.remember("r0", "Annie likes plums.")
    world.change("n1", fields=[ROOM, MetadataField(name="room", type=MetadataType.METADATA_TYPE_NUMBER)])
    world.settle()
    assert list(info(world).fields) == [ROOM]  # a declared field keeps its type
    assert list(info(world).aliases) == LEE
    assert info(world).earlier == ()


@pytest.mark.parametrize("changed_back", [True, False])
def test_a_forgotten_persons_names_go_from_groups_of_every_time(world: World, changed_back: bool) -> None:
    world.change("n0", [*POSH, *LEE])
    kept = world.remember("r0", "Annie likes plums.")
    world.remember("r1", "Mr. Posh likes pears.")
    world.settle()
    world.change("n1", SMITH if not changed_back else [*SMITH, *POSH])
    world.settle()
    world.remember("r2", "Annie and Mr. Posh.")
    world.settle()
    assert any(b"Posh" in opened for opened in readable_groups(world))
    receipt = world.forget(ForgetSelector(person=Person(name="Murray Posh", aliases=["Mr. Posh"])))
    assert (receipt.receipt.base_erased, receipt.receipt.alias_groups) == (2, 1)
    state = world.hash()
    for again in (lambda: None, world.rebuild, world.restart, world.rebuild):
        again()
        assert not any(b"Posh" in opened for opened in readable_groups(world))
        assert {p.store: p.readable for p in world.forgetting.probe(NAMESPACE, receipt)}["ledger"] == 0
        assert people(world, kept) == [("Ann Lee",)]
        assert (list(info(world).aliases), world.hash()) == (SMITH, state)


def test_only_a_new_declaration_brings_a_forgotten_name_back(world: World) -> None:
    world.change("n1", POSH)
    world.settle()
    world.forget(ForgetSelector(person=Person(name="Murray Posh")))
    world.change("n1", POSH)  # the same one, sent again
    world.settle()
    assert list(info(world).aliases) == []
    assert readable_groups(world) == []
    world.change("n2", POSH)
    world.settle()
    assert list(info(world).aliases) == POSH


def test_a_doubtful_name_that_stays_is_read_with_what_is_left_of_the_groups(world: World) -> None:
    world.change("n0", [AliasGroup(name="Mark", aliases=["Annie"])])
    doubtful = world.remember("r0", "Mark it down, said Annie.")
    world.settle()
    assert people(world, doubtful) == [("Mark",)]
    world.change("n1", [])
    world.settle()
    receipt = world.forget(ForgetSelector(person=Person(name="Mark")))
    assert receipt.receipt.doubtful_left == 1
    assert people(world, doubtful) == [()]
    state = world.hash()
    world.rebuild()
    assert world.hash() == state


def test_forget_waits_for_a_change_that_may_name_the_person(world: World) -> None:
    world.host.stop()
    world.change("n1", POSH)
    with pytest.raises(MnemeError) as caught:
        world.forgetting.command(NAMESPACE, ForgetSelector(person=Person(name="Murray Posh")), "f", "test")
    assert caught.value.reason == "NOT_FRESH"


def test_a_change_that_comes_after_the_namespace_was_deleted_goes_with_it(world: World) -> None:
    world.forgetting.delete(NAMESPACE, "d", "test")
    world.change("n1", POSH)
    world.settle()
    assert world.host.registry.namespace(NAMESPACE) is None
    assert world.keyring.keys_of(NAMESPACE) == []
    world.create(aliases=SMITH)
    world.settle()
    assert list(info(world).aliases) == SMITH


@pytest.mark.parametrize("by_server", [False, True])
def test_a_later_field_filters_what_was_told_before(tmp_path: Path, embedder: Embedder, by_server: bool) -> None:
    world = World(tmp_path, embedder)
    world.searches_vectors = by_server
    world.open().create()
    for n in range(12):
        told: dict[str, str | float] = {"room": "attic" if n == 3 else "cellar", "floor": float(n)}
        world.observe(f"o{n}", f"Hat {n} lies on a shelf.", metadata=told)
    world.observe("other", "A hat on no shelf.", metadata={"room": 7.0})
    world.settle()
    state = world.hash()
    world.change("n1", fields=[ROOM, FLOOR])
    world.settle()
    world.observe("late", "The last hat lies on a shelf.", metadata={"room": "attic"})
    world.settle()
    attic, high = Filter(metadata_equals={"room": "attic"}), Filter(metadata_range={"floor": (10.5, None)})
    for again in (lambda: None, world.rebuild, world.restart):
        again()
        recalled = [world.recall("hat on a shelf", limit=3, wanted=f) for f in (attic, high)]
        found = [set(world.texts(each)) for each in recalled]
        assert found == [{"Hat 3 lies on a shelf.", "The last hat lies on a shelf."}, {"Hat 11 lies on a shelf."}]
        stages = [{stage for stage, *_ in item.trace} for each in recalled for item in each.items]
        assert all("dense" in each for each in stages)  # by its vector too, not by its words alone
    assert world.hash() != state
    world.close()
