"""The write path: entries in, engrams visible, once, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common import telemetry
from services.common.ledger import entries as ledger
from services.common.models.embed import Embedder
from services.episodic.plugins.base import Filter
from services.episodic.recall import reads
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.state_hash import state_hash
from services.episodic.write import generation, writer
from tests.episodic.world import NAMESPACE, World
from tests.waiting import until


def test_an_observation_can_be_recalled(world: World) -> None:
    world.observe("o1", "Anna keeps a grey parrot called Hugo.", actor="Anna")
    world.observe("o2", "The train to Lyon was two hours late.", actor="Anna")
    world.settle()
    assert world.texts(world.recall("What is the parrot's name?"))[0] == "Anna keeps a grey parrot called Hugo."


def test_a_rebuild_gives_the_same_state(world: World) -> None:
    for n in range(12):
        world.observe(f"o{n}", f"On day {n} the gardener planted {n} tulips near the old gate.", f"s{n % 2}")
    world.close_episode(["o0", "o2", "o4"], "s0")
    world.settle()
    note = world.remember("r1", "The gardener's name is Bert.")
    world.correct("c1", world.base("o2"), "On day 2 the gardener planted roses.")
    world.settle()
    before, number = world.hash(), world.host.live.number
    world.rebuild()
    assert world.host.live.number == number + 1
    assert world.hash() == before
    assert world.reads.get(NAMESPACE, note).record.text == "The gardener's name is Bert."


def test_a_restart_gives_the_same_state(world: World) -> None:
    for n in range(6):
        world.observe(f"o{n}", f"Letter number {n} came from Paris.")
    world.close_episode([f"o{n}" for n in range(4)])
    world.settle()
    before = world.hash()
    world.restart()
    world.settle()
    assert world.hash() == before
    assert "Letter number 3" in " ".join(world.texts(world.recall("letter 3 from Paris")))


def test_invariant_31_the_state_hash_is_computed_beside_the_writer(world: World) -> None:
    world.observe("o1", "Anna keeps a grey parrot called Hugo.")
    world.settle()
    found: list[str] = []
    with world.host.fold_lock:
        asking = threading.Thread(target=lambda: found.append(world.reads.counts(NAMESPACE, with_hash=True).state_hash))
        asking.start()
        asking.join(10)
    assert found == [world.hash()]


def test_a_namespace_that_changes_while_it_is_read_has_no_state_hash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def changing(*args: object) -> str:
        found = state_hash(*args)  # type: ignore[arg-type]
        world.observe(f"o{len(read)}", "One more thing was said.")
        if len(read) != 1:
            world.settle()
        read.append(found)
        return found

    monkeypatch.setattr(reads, "state_hash", changing)
    assert world.reads.counts(NAMESPACE, with_hash=True).state_hash == ""
    assert len(read) == 3
    monkeypatch.undo()
    world.settle()
    assert world.reads.counts(NAMESPACE, with_hash=True).state_hash == world.hash()


def test_pages_of_a_namespace_that_stays_as_it_is_are_cut_from_one_sorted_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        world.observe(f"o{n}", f"Letter number {n} came from Paris.")
    world.settle()
    sorted_again: list[int] = []

    def counted(*args: object, **options: object) -> list[object]:
        sorted_again.append(1)
        return sorted(*args, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(reads, "sorted", counted, raising=False)

    def pages() -> list[str]:
        ids, token = list[str](), ""
        while True:
            page, token = world.reads.page(NAMESPACE, Filter(), 2, token, by_time=True)
            ids += [stored.id for stored in page]
            if not token:
                return ids

    assert pages() == [world.base(f"o{n}") for n in range(9)]
    assert len(sorted_again) == 1
    world.observe("o9", "Letter number 9 came from Paris.")
    world.settle()
    assert pages()[-1] == world.base("o9")
    assert len(sorted_again) == 2


OUTCOMES = ("applied", "duplicate", "poison", "ignored", "erased", "erasure")


def test_what_becomes_of_each_entry_is_counted(world: World) -> None:
    def counted() -> list[int]:
        return [int(telemetry.RECORDS.labels("episodic", outcome)._value.get()) for outcome in OUTCOMES]

    before = counted()
    world.observe("o1", "It rained.")
    world.observe("o1", "It rained.")  # another writer took a retry
    world.observe("o1", "It snowed.")
    world.append(NAMESPACE, session_ended=pb.SessionEnded(session_mac=world.mac(ledger.MAC_SESSION, "s1")))
    world.close_episode([])
    for id in ("o8", "o9"):
        world.close_episode([id])  # what it held is gone
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    world.observe("o1", "It rained.")
    world.settle()
    until(lambda: sum(counted()) == sum(before) + 9, 20)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1, 2, 3, 1]


def test_a_row_that_nobody_can_open_is_left_out_and_taken_out_of_the_index(world: World) -> None:
    for id in ("o0", "o1"):
        world.observe(id, f"Letter {id} came from Paris.")
    world.settle()
    store = world.host.live.store
    slot = store.directory.get(NAMESPACE, world.base("o0"))
    assert slot is not None
    world.keyring.destroy(NAMESPACE, [slot.seal_key, slot.detail_key])
    world.restart()

    def rows() -> set[str]:
        return {row.id for row in world.host.live.store.collection.rows(store.hasher.pseudonym(NAMESPACE))}

    until(lambda: world.texts(world.recall("letter")) == ["Letter o1 came from Paris."], 20)
    until(lambda: rows() == {world.base("o1")}, 20)


def slow(text: str, info: NamespaceInfo | None) -> tuple[Sequence[str], Sequence[str]]:
    if text.startswith("note"):
        time.sleep(0.1)
    return (), ()


def test_texts_that_take_long_are_committed_before_the_writer_loses_its_partition(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty texts of a tenth of a second each: together they take longer than one may be silent."""
    monkeypatch.setattr(writer, "BETWEEN_POLLS_S", 2.5)
    monkeypatch.setattr(generation, "BATCH_S", 0.4)
    world = World(tmp_path, embedder)
    world.create()
    world.entities = slow
    committed: list[str] = []
    world.open(lambda step: committed.append(step) if step == "committed" else None)
    world.settle()
    with world.host.fold_lock:
        for n in range(30):
            world.remember(f"n{n}", f"note {n}")
    committed.clear()
    world.settle(100)
    assert len(committed) > 3
    assert len(world.host.live.store.directory.slots(NAMESPACE)) == 30
    world.close()


def test_an_erasure_that_takes_long_keeps_the_partition(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All that was stated in no session is folded again at once: thirty texts of a tenth of a second each."""
    world = World(tmp_path, embedder)
    world.entities = slow
    world.open()
    world.create()
    world.settle()
    for n in range(30):
        world.remember(f"n{n}", f"note {n}")
    world.settle()
    world.close()
    monkeypatch.setattr(writer, "BETWEEN_POLLS_S", 1.0)
    world.open()
    target = ledger.remembered_id(NAMESPACE, "n7")
    assert world.forget(ForgetSelector(ids=Ids(ids=[target]))).receipt.base_erased == 1
    assert not [record for record in caplog.records if record.message == writer.LOST]
    world.close()


def test_what_a_poll_brings_is_flushed_between_its_pieces(tmp_path: Path, embedder: Embedder) -> None:
    """Or whoever dies amid long texts leaves all of them to be embedded again before the next start serves."""
    steps, go_on = list[str](), threading.Event()

    def record(step: str) -> None:
        steps.append(step)
        assert step != "folded" or go_on.wait(60)

    world = World(tmp_path, embedder).open(step=record, batch_entries=2, flush_after_s=0.0)
    try:
        go_on.set()
        world.create()
        world.settle()
        go_on.clear()
        world.observe("first", "It rained.")
        until(lambda: steps[-1] == "folded", 20)
        for n in range(6):  # the next poll brings them together
            world.observe(f"o{n}", f"It rained {n} times.")
        steps.clear()
        go_on.set()
        world.settle()
        until(lambda: steps.count("flushed") >= 4, 20)
        assert steps.count("committed") == 4
    finally:
        go_on.set()
        world.close()
