"""A large erasure is applied in pieces: others are served between them, and a kill anywhere loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import ForgetSelector

from services.common.log.base import partition_of
from services.common.models.embed import Embedder
from services.episodic.write import erasing
from tests.episodic.test_crash import at, standing, wait_for_death
from tests.episodic.test_erase import readable
from tests.episodic.world import NAMESPACE, World

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SESSIONS = 4
BUSY = ForgetSelector(source="diary")
OTHER = "acme/ben"


@pytest.fixture
def told(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> World:
    """Of each session the even turns are to go, and one session is a piece."""
    monkeypatch.setattr(erasing, "_AT_ONCE", 5)
    assert partition_of(OTHER.encode(), 4) != partition_of(NAMESPACE.encode(), 4)
    world = World(tmp_path, embedder, partitions=4)
    for namespace in (NAMESPACE, OTHER):
        world.create(namespace)
    world.open()
    for s in range(SESSIONS):
        for n in range(4):
            source = "diary" if n % 2 == 0 else ""
            world.observe(f"o{s}{n}", f"The {s}{n}th lantern was lit.", session=f"s{s}", source=source)
        world.close_episode([f"o{s}{n}" for n in range(4)], session=f"s{s}")
    world.settle()
    return world


def assert_forgotten(world: World, receipt: pb.StoredReceipt | None) -> None:
    assert receipt is not None
    of = receipt.receipt
    assert (of.base_erased, of.derived_rebuilt, of.derived_retired) == (2 * SESSIONS, SESSIONS, 0)
    assert sorted(receipt.base_ids) == sorted(world.base(f"o{s}{n}") for s in range(SESSIONS) for n in (0, 2))
    assert of.keys_destroyed == len(set(receipt.key_ids)) > 2 * SESSIONS
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    for s in range(SESSIONS):
        assert [bool(standing(world, f"The {s}{n}th lantern")) for n in range(4)] == [False, True, False, True]
    assert not world.host.state.notes(NAMESPACE, of.id)
    after = world.hash()
    world.rebuild()
    assert world.hash() == after


@pytest.mark.parametrize("step", ["erased in part", "committed", "indexed"])
@pytest.mark.parametrize("nth", [1, 2, SESSIONS - 1])
def test_invariant_04_an_erasure_killed_between_its_pieces_is_completed_and_counted_once(
    told: World, step: str, nth: int
) -> None:
    told.close()
    world = told.open(step=at(step, nth))
    receipt_id, _ = world.forgetting.command(NAMESPACE, BUSY, "f1", "test")
    wait_for_death(world)
    world.kill()
    world.open()
    assert_forgotten(world, world.await_receipt(NAMESPACE, receipt_id, 20))
    world.close()


def test_invariant_31_another_namespace_is_folded_between_the_pieces_of_an_erasure(told: World) -> None:
    told.close()
    said: list[Position] = []
    visible: list[bool] = []

    def between(name: str) -> None:
        if name == "erased in part" and not said:
            said.append(told.observe("b1", "Ben bought a kettle.", namespace=OTHER))
        if name == "erased":
            visible.append(told.host.progress.reached({said[0].partition: said[0].offset + 1}))

    world = told.open(step=between)
    receipt_id, _ = world.forgetting.command(NAMESPACE, BUSY, "f1", "test")
    assert_forgotten(world, world.await_receipt(NAMESPACE, receipt_id, 20))
    assert visible == [True]
    world.close()


def test_what_is_swapped_in_between_two_pieces_is_gone_through_as_well(told: World) -> None:
    told.close()
    rebuilt: list[int] = []

    def between(name: str) -> None:
        if name == "erased in part" and not rebuilt:
            rebuilt.append(told.host.live.number)
            told.rebuild()

    world = told.open(step=between)
    receipt_id, _ = world.forgetting.command(NAMESPACE, BUSY, "f1", "test")
    receipt = world.await_receipt(NAMESPACE, receipt_id, 60)
    assert world.host.live.number == rebuilt[0] + 1
    assert receipt is not None
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    for s in range(SESSIONS):
        assert [bool(standing(world, f"The {s}{n}th lantern")) for n in range(4)] == [False, True, False, True]
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.close()
