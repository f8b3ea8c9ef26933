"""Deleting a namespace: nothing of it is left, its name and ids are free, and a kill at any step changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup, OperationState
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.erasures import read_erasures
from services.common.log.base import Message
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic.write import deletion as delete
from services.episodic.write.components import Dropped
from tests.episodic.test_crash import at, wait_for_death
from tests.episodic.test_rebuild_erasure import Meeting, tell
from tests.episodic.world import NAMESPACE, World
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

OTHER = "acme/other"
STEPS = [
    ("deletion begun", 1),
    ("deletion index", 1),
    ("deletion index", 2),
    ("deletion keys", 1),
    ("deletion keys", 2),
    ("deletion feed", 1),
    ("deletion receipts", 1),
    ("deletion ended", 1),
    ("scrubbed", 2),  # the first is of the erasure before
]


@pytest.fixture
def told(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two namespaces, of which one has texts, an episode, alias groups, and a receipt; in small pieces."""
    monkeypatch.setattr(delete, "_AT_ONCE", 2)
    world = World(tmp_path, embedder).open()
    for namespace in (NAMESPACE, OTHER):
        world.create(namespace, aliases=[AliasGroup(name="Ruth Fenwick", aliases=["Ruthie"])])
        for n in range(4):
            world.observe(f"o{n}", f"The {n}th lantern was lit by Ruthie.", namespace=namespace)
        world.close_episode(["o0", "o1", "o2", "o3"], namespace=namespace)
    world.settle()
    world.remember("r0", "Ruthie owns a boat.")
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=["o3"])))
    return world


def deleted(world: World, id: str = "d1", namespace: str = NAMESPACE) -> pb.StoredReceipt:
    receipt = world.await_receipt(namespace, world.forgetting.delete(namespace, id, "test"), 30)
    assert receipt is not None
    return receipt


def keys_left(world: World, namespace: str = NAMESPACE) -> list[str]:
    return world.keyring.keys_of(namespace)


def newest(world: World, topic: str) -> dict[bytes, bytes]:
    """What a topic holds, once deletions count."""
    out: dict[bytes, bytes] = {}
    for partition in range(world.log.partitions(topic)):
        for record in world.log.read(topic, partition):
            if record.value is None:
                out.pop(record.key, None)
            else:
                out[record.key] = record.value
    return out


def assert_gone(world: World, receipt: pb.StoredReceipt) -> None:
    host = world.host
    assert host.registry.namespace(NAMESPACE) is None
    assert host.registry.names() == [OTHER]
    assert host.live.store.directory.slots(NAMESPACE) == []
    assert list(host.live.store.collection.rows(host.live.store.hasher.pseudonym(NAMESPACE))) == []
    assert keys_left(world) == []
    for topic in (topics.FEED, topics.STATE, topics.KEYS):
        held = newest(world, topic)
        assert not [key for key, value in held.items() if NAMESPACE.encode() in key + value], topic
    assert host.state.deletion(receipt.receipt.id) == receipt
    assert receipt.receipt.namespace == ""
    assert (receipt.receipt.base_erased, receipt.receipt.derived_retired) == (4, 1)
    assert {s.store for s in receipt.receipt.stores} >= {"keys", "ledger", "feed", "index", "inbox", "dead letters"}


def assert_other_stands(world: World) -> None:
    assert len(world.host.live.store.directory.slots(OTHER)) == 5
    assert world.recall("lantern", OTHER).items


def test_nothing_of_a_deleted_namespace_is_left(told: World) -> None:
    receipt = deleted(told)
    assert receipt.receipt.id == told.mac(ledger.MAC_DELETE, "d1").hex()
    assert receipt.receipt.at.seconds == pytest.approx(time.time(), abs=60)
    assert receipt.receipt.erasure_epoch == 2
    assert_gone(told, receipt)
    assert_other_stands(told)
    assert not told.recall("lantern").items
    before = told.hash(OTHER)
    told.restart()
    assert_gone(told, receipt)
    told.rebuild()
    assert_gone(told, receipt)
    assert told.hash(OTHER) == before
    told.close()


def test_on_an_idle_service_its_name_leaves_every_file_of_the_log(told: World) -> None:
    deleted(told)
    later = time.time() + 120  # by then what was superseded has to be gone
    told.store._db._clock = lambda: later
    told.store._next_housekeeping = told.store._next_emptying = 0.0
    files = [file for file in told.folder.iterdir() if file.name.startswith("log.db") and file.is_file()]
    until(lambda: not any(NAMESPACE.encode() in file.read_bytes() for file in files), within_s=30)
    assert any(OTHER.encode() in file.read_bytes() for file in files)
    told.close()


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_a_deletion_killed_between_its_steps_is_finished_by_the_start(told: World, step: str, nth: int) -> None:
    told.close()
    world = told.open(step=at(step, nth - (step == "scrubbed")))
    receipt_id = world.forgetting.delete(NAMESPACE, "d1", "test")
    wait_for_death(world)
    world.kill()
    world.store.compact(topics.KEYS)  # what was destroyed is not read again
    world.open()
    assert world.host.registry.namespace(NAMESPACE) is None
    world.settle()
    receipt = world.await_receipt(NAMESPACE, receipt_id, 20)
    assert receipt is not None
    assert len({s.store for s in receipt.receipt.stores}) == len(receipt.receipt.stores)
    assert_gone(world, receipt)
    assert_other_stands(world)
    world.rebuild()
    assert_gone(world, receipt)
    world.close()


def test_its_keys_go_a_piece_at_a_time_and_the_one_that_names_it_last(told: World) -> None:
    told.close()
    left: list[tuple[str, int, int]] = []

    def count(step: str) -> None:
        if step in ("deletion begun", "deletion keys", "deletion feed", "deletion ended"):
            sealing, naming = (len(told.keyring.keys_of(NAMESPACE, naming=naming)) for naming in (False, True))
            left.append((step, sealing, naming))

    told.open(step=count)
    begun = len(told.keyring.keys_of(NAMESPACE, naming=False))
    receipt = deleted(told)
    pieces = [(keys, naming) for step, keys, naming in left if step == "deletion keys"]
    assert pieces == [(keys, 1) for keys in [*range(begun - 2, 0, -2), 0]]
    assert {each[1:] for each in left if each[0] == "deletion feed"} == {(0, 1)}
    assert (left[0], left[-1]) == (("deletion begun", begun, 1), ("deletion ended", 0, 0))
    assert receipt.receipt.keys_destroyed == begun + 1
    told.close()


def test_a_deleted_namespace_is_made_anew_empty_with_its_ids(told: World) -> None:
    first = deleted(told)
    told.create(NAMESPACE)
    told.settle()
    assert told.host.live.store.directory.slots(NAMESPACE) == []
    # An id that was erased, one that was told, one that was remembered: all of the namespace before.
    told.observe("o3", "A new third lantern.")
    told.observe("o0", "A new lantern.")
    told.settle()
    told.remember("r0", "Somebody else owns a boat.")
    told.settle()
    texts = told.texts(told.recall("new lantern boat"))
    assert set(texts) == {"A new third lantern.", "A new lantern.", "Somebody else owns a boat."}
    assert told.host.registry.epoch(NAMESPACE) == first.receipt.erasure_epoch
    erased = told.forget(ForgetSelector(ids=Ids(ids=["o0"])))
    assert erased.receipt.erasure_epoch == first.receipt.erasure_epoch + 1
    before = told.hash()
    told.rebuild()
    assert told.hash() == before
    told.restart()
    assert told.hash() == before
    second = deleted(told, "d2")
    assert second.receipt.erasure_epoch == erased.receipt.erasure_epoch + 1
    assert told.forgetting.known_deletion(NAMESPACE, "d1") == first.receipt.id
    told.close()


def test_made_anew_before_it_was_gone_it_shows_nothing_of_before(told: World) -> None:
    told.host.stop()
    told.forgetting.delete(NAMESPACE, "d1", "test")
    told.create(NAMESPACE)
    told.kill()
    with_writer_late = told.open(step=at("deletion begun"))
    assert with_writer_late.host.registry.namespace(NAMESPACE) is None
    wait_for_death(told)
    told.kill()
    told.open()
    told.settle()
    assert told.host.registry.namespace(NAMESPACE) is not None
    assert told.host.live.store.directory.slots(NAMESPACE) == []
    told.close()


def test_what_comes_late_for_a_deleted_namespace_leaves_no_readable_text(told: World) -> None:
    deleted(told)
    told.observe("o9", "Too late.")
    told.settle()
    assert keys_left(told) == []
    assert not newest(told, topics.DEAD_LETTER)
    told.close()


def test_the_same_key_deletes_once(told: World) -> None:
    ids = [f"d{n}" for n in range(8)]
    assert [told.forgetting.known_deletion(NAMESPACE, id) for id in ids] == [None] * 8
    receipt = deleted(told)
    assert [told.forgetting.known_deletion(NAMESPACE, id) is not None for id in ids] == [id == "d1" for id in ids]
    end = sum(told.log.end_offset(topics.LEDGER, p) for p in range(told.log.partitions(topics.LEDGER)))
    assert told.forgetting.known_deletion(NAMESPACE, "d1") == receipt.receipt.id
    assert told.forgetting.delete(NAMESPACE, "d1", "test") == receipt.receipt.id
    with pytest.raises(MnemeError) as refused:
        told.forgetting.delete(NAMESPACE, "d2", "test")
    assert refused.value.reason == "UNKNOWN_NAMESPACE"
    with pytest.raises(MnemeError):
        told.forget(ForgetSelector(session="s1"))
    assert end == sum(told.log.end_offset(topics.LEDGER, p) for p in range(told.log.partitions(topics.LEDGER)))
    told.close()


def test_a_dead_letter_goes_with_the_namespace_that_it_names(told: World) -> None:
    gone, stays = told.refuse("x", "Ruth hid it."), told.refuse("x", "Soup.", OTHER)
    receipt = told.await_receipt(NAMESPACE, told.forgetting.delete(NAMESPACE, "d1", "test"), 20)
    assert receipt is not None
    assert_gone(told, receipt)
    assert [told.keyring.has(letter.payload.key_id) for letter in (gone, stays)] == [False, True]
    told.close()


def verified(world: World, receipt: pb.StoredReceipt) -> dict[str, int]:
    probes, possible = world.forgetting.verify(NAMESPACE, receipt)
    assert possible == []
    assert all(probe.detail for probe in probes)
    return {probe.store: probe.readable for probe in probes}


CLEAN = dict.fromkeys(("keys", "ledger", "feed", "index", "recall", "dead letters"), 0)


def test_a_deletion_is_verified_in_every_store_by_its_receipt(told: World) -> None:
    told.refuse("x", "Ruth hid it.")
    keys = {id: newest(told, topics.KEYS)[id.encode()] for id in keys_left(told)}
    feed = [r for r in told.log.read(topics.FEED, 0) if r.value and NAMESPACE.encode() in r.value]
    receipt = deleted(told)
    assert told.forgetting.is_deletion(NAMESPACE, receipt.receipt.id)
    assert not told.forgetting.is_deletion(OTHER, receipt.receipt.id)
    assert verified(told, receipt) == CLEAN
    # As a restored backup: the keys are there again, and with them what they sealed.
    told.log.append([Message(topics.KEYS, id.encode(), v, partition_key=NAMESPACE.encode()) for id, v in keys.items()])
    left = verified(told, receipt)
    assert left["keys"] == len(keys)
    assert left["ledger"] >= 4  # three texts, one Remember; alias groups
    assert left["dead letters"] == 1
    assert (left["feed"], left["index"], left["recall"]) == (0, 0, 0)
    told.log.append([Message(topics.FEED, r.key, r.value, partition_key=NAMESPACE.encode()) for r in feed])
    assert verified(told, receipt)["feed"] > 0
    told.close()


def test_what_was_told_after_a_namespace_was_made_anew_is_not_left_of_the_deletion(told: World) -> None:
    receipt = deleted(told)
    told.create(NAMESPACE)
    told.observe("o0", "A new lantern.")
    told.settle()
    assert told.texts(told.recall("lantern")) == ["A new lantern."]
    assert told.forgetting.is_deletion(NAMESPACE, receipt.receipt.id)
    assert verified(told, receipt) == CLEAN
    told.restart()
    assert verified(told, receipt) == CLEAN
    told.close()


def test_keepers_of_kv_blocks_are_told_and_asked_until_they_answer(told: World) -> None:
    asked: list[tuple[str, int, int]] = []

    def drop(namespace: str, epoch: int, ids: object) -> list[Dropped]:
        asked.append((namespace, epoch, len(list(ids))))  # type: ignore[call-overload]
        return [Dropped("engine", len(asked) > 1, "")]

    object.__setattr__(told.host.parts, "drop_blocks", drop)
    receipt_id = told.forgetting.delete(NAMESPACE, "d1", "test")
    pending = told.await_receipt(NAMESPACE, receipt_id, 20)
    assert pending is not None
    assert asked[0] == (NAMESPACE, 2, 5)
    for _ in range(100):
        receipt = told.await_receipt(NAMESPACE, receipt_id, 20)
        assert receipt is not None
        if not receipt.receipt.namespace:
            break
        told.host._stop.wait(0.1)
    assert receipt is not None
    assert_gone(told, receipt)
    assert (NAMESPACE, 2) in {(e.namespace, e.epoch) for e in read_erasures(told.log, {}).erasures}
    told.close()


@pytest.mark.parametrize("step", ["folded", "committed", "indexed", "flushed"])
def test_invariant_36_a_namespace_is_deleted_beside_a_rebuild(tmp_path: Path, embedder: Embedder, step: str) -> None:
    meeting = Meeting(step, 1)
    world = World(tmp_path, embedder)
    world.create()
    world.create(OTHER)
    world.observe("x", "It rained.", namespace=OTHER)
    world.open(step=meeting, batch_entries=5, flush_rows=1)
    tell(world)
    world.settle()
    operation = world.rebuilder.start()
    assert meeting.reached.wait(20)
    receipt_id = world.forgetting.delete(NAMESPACE, "d1", "test")
    meeting.commanded.set()
    world.rebuilder.wait()
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert ended.state == OperationState.OPERATION_STATE_DONE, ended.result
    assert world.await_receipt(NAMESPACE, receipt_id, 20) is not None
    world.settle()
    assert world.host.live.store.directory.slots(NAMESPACE) == []
    assert keys_left(world) == []
    assert len(world.host.live.store.directory.slots(OTHER)) == 1
    world.close()
