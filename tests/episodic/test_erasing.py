"""A large erasure is applied in pieces: others are served between them, and a kill anywhere loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common.ledger.entries import MAC_OBSERVATION, MAC_SESSION, corrected_id, remembered_id
from services.common.log.base import Record, partition_of
from services.common.models.embed import Embedder
from services.episodic.state.view import Part
from services.episodic.write import erase, erasing
from services.episodic.write.fold import Entry
from services.episodic.write.generation import decode
from tests.episodic.test_context import Nearest
from tests.episodic.test_crash import at, standing, wait_for_death
from tests.episodic.test_erase import readable
from tests.episodic.world import NAMESPACE, PLUGINS, World

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


def test_of_a_session_that_has_lost_the_rows_of_the_erased_the_rest_is_folded_again_and_no_other(
    told: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill: the rows are gone, and the command comes again."""
    told.host.live.store.forget(NAMESPACE, [told.base("o21")])
    offsets = folded_again(monkeypatch)
    left = [slot.seq for slot in told.host.live.store.directory.slots(NAMESPACE, "s2") if slot.is_base]
    [boundary] = told.host.registry.boundaries(NAMESPACE, told.mac(MAC_SESSION, "s2"))
    erased = pb.Erased(receipt_id="r", erasure_epoch=1, engram_ids=[told.base("o21")])
    erased.id_macs.append(told.mac(MAC_OBSERVATION, "o21"))
    told.append(NAMESPACE, erased=erased)
    told.settle()
    assert offsets == [*sorted(left), boundary]
    for s in range(SESSIONS):
        assert [bool(standing(told, f"The {s}{n}th lantern")) for n in range(4)] == [True, s != 2, True, True]
    told.close()


def test_where_a_plug_in_reads_all_of_a_namespace_its_notes_are_folded_again_too(
    tmp_path: Path, embedder: Embedder
) -> None:
    world = World(tmp_path, embedder, [*PLUGINS, Nearest()]).open()
    world.create()
    for n in range(4):
        world.observe(f"o{n}", f"The {n}th lantern was lit.", session=f"s{n % 2}")
    world.close_episode(["o0", "o2"], "s0")
    world.settle()
    note = world.remember("n0", "The lantern of the 1st house is green.")
    world.settle()
    better = world.correct("c0", note, "The lantern of the 1st house is red.")
    world.settle()
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    assert receipt.receipt.base_erased == 1
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    left = {slot.id for slot in world.host.live.store.directory.slots(NAMESPACE) if slot.is_base}
    assert left == {*(world.base(f"o{n}") for n in (0, 2, 3)), note, better}
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.close()


# --- what was stated outside of any session ---


@pytest.fixture
def noted(tmp_path: Path, embedder: Embedder) -> World:
    """Eight notes of lanterns, the first of which was corrected twice."""
    world = World(tmp_path, embedder)
    world.open()
    world.create()
    world.settle()
    for n in range(8):
        world.remember(f"n{n}", f"The lantern of house {n} is green.")
    world.settle()
    newest = remembered_id(NAMESPACE, "n0")
    for n, colour in enumerate(("red", "blue")):
        newest = world.correct(f"c{n}", newest, f"The lantern of house 0 is {colour}.")
        world.settle()
    return world


def folded_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Offsets of what erasures fold again from here on."""
    offsets: list[int] = []

    def decoded(record: Record) -> Entry:
        offsets.append(record.offset)
        return decode(record)

    monkeypatch.setattr(erase, "decode", decoded)
    return offsets


def test_an_erasure_of_a_note_folds_no_other_again(noted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = folded_again(monkeypatch)
    [gone] = [
        slot for slot in noted.host.live.store.directory.slots(NAMESPACE) if slot.id == remembered_id(NAMESPACE, "n3")
    ]
    receipt = noted.forget(ForgetSelector(ids=Ids(ids=[gone.id])))
    assert offsets == [gone.seq]
    assert receipt.receipt.base_erased == 1
    assert [bool(standing(noted, f"house {n} is green")) for n in range(1, 8)] == [n != 3 for n in range(1, 8)]
    noted.close()


@pytest.mark.parametrize("corrected", [0, 1, 2])
def test_a_note_and_its_corrections_are_folded_again_together(
    noted: World, monkeypatch: pytest.MonkeyPatch, corrected: int
) -> None:
    ids = [remembered_id(NAMESPACE, "n0"), corrected_id(NAMESPACE, "c0"), corrected_id(NAMESPACE, "c1")]
    offsets = folded_again(monkeypatch)
    receipt = noted.forget(ForgetSelector(ids=Ids(ids=[ids[corrected]])))
    assert len(offsets) == 3
    assert set(readable(noted.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    assert not [colour for colour in ("green", "red", "blue") if standing(noted, f"house 0 is {colour}")]
    assert receipt.receipt.base_erased == 3
    after = noted.hash()
    noted.rebuild()
    assert noted.hash() == after
    noted.close()


def test_notes_are_erased_in_pieces_as_large_as_can_be_done_in_their_time(
    noted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_AT_FIRST", 1)
    monkeypatch.setattr(erasing, "_PIECE_S", 0.0)
    steps: list[str] = []
    noted.close()
    noted.open(step=steps.append)
    ids = [remembered_id(NAMESPACE, f"n{n}") for n in range(2, 7)]
    receipt = noted.forget(ForgetSelector(ids=Ids(ids=ids)))
    assert (steps.count("erased in part"), receipt.receipt.base_erased) == (4, 5)
    after = noted.hash()
    noted.rebuild()
    assert noted.hash() == after
    noted.close()


def test_a_piece_grows_where_there_is_time() -> None:
    pieces = erasing.Pieces([(Part(alone={str(n)}), 1) for n in range(1_000)])
    sizes = []
    while pieces:
        with pieces.next() as piece:
            assert piece is not None
            sizes.append(len(piece.alone))
    assert sizes == [8, 500, 492]


def test_a_piece_that_takes_long_of_its_own_is_cut_no_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "_PIECE_S", 0.0)
    pieces, sizes = erasing.Pieces([(Part(alone={str(n)}), 1) for n in range(20)]), []
    while pieces:
        with pieces.next() as piece:
            assert piece is not None
            sizes.append(len(piece.alone))
    assert sizes == [8, 8, 4]


def test_groups_that_share_an_engram_are_one() -> None:
    assert erasing._joined([{"a", "b"}, {"c"}, {"b", "d"}, {"e", "c"}, {"f"}]) == [{"a", "b", "d"}, {"c", "e"}, {"f"}]
