"""The name of a deleted namespace is gone from the log; what is known of it is known on, under its pseudonym."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import ForgetSelector, Ids
from pymilvus import DataType

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ids import unnamed
from services.common.ledger import topics
from services.common.ledger.entries import entry_of
from services.common.ledger.erasures import read_erasures
from services.common.ledger.named import Named
from services.common.log.base import Message, partition_of
from services.common.models.embed import Embedder
from services.episodic.search import milvus_rows as rows
from services.episodic.search.milvus import MilvusIndex
from services.episodic.search.opening import embedded
from services.episodic.state.service_state import OperatorState
from services.episodic.state.state_topic import StateTopic
from services.episodic.write import generation
from tests.episodic.test_crash import Killed, at
from tests.episodic.test_delete import OTHER, assert_gone, deleted, keys_left, newest, told
from tests.episodic.world import NAMESPACE, World

__all__ = ["told"]
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def master(tmp_path: Path) -> None:
    """The same key always, and so the same pseudonyms."""
    (tmp_path / "master.key").write_text("5a" * 32)
    (tmp_path / "master.key").chmod(0o600)


def names(world: World) -> set[str]:
    """As a process reads the ledger that comes now."""
    log = Named(world.store)
    records = (r for p in range(log.partitions(topics.LEDGER)) for r in log.read(topics.LEDGER, p))
    return {entry.namespace for r in records if (entry := entry_of(r)) is not None}


def nameless(world: World) -> str:
    return unnamed(world.keyring.pseudonym(NAMESPACE))


def said_to_name(receipt: pb.StoredReceipt) -> set[str]:
    """The stores that hold the name on, as the receipt says."""
    return {s.store for s in receipt.receipt.stores if "the namespace's name" in s.detail}


def clean(world: World) -> None:
    """As the log does it by and by; removals stay for a day."""
    for topic in (topics.KEYS, topics.FEED, topics.STATE, topics.PERCEPTION):
        world.log.compact(topic)
    world.log.scrub()


def files_naming(folder: Path, name: str = NAMESPACE) -> set[str]:
    """The log, the index, or other files that hold a name in clear."""
    found = (p for p in folder.rglob("*") if p.is_file() and name.encode() in p.read_bytes())
    return {p.relative_to(folder).parts[0].removesuffix("-wal") for p in found}


def test_the_name_of_a_deleted_namespace_is_nowhere(told: World, tmp_path: Path) -> None:
    assert "log.db" in files_naming(tmp_path)
    assert names(told) == {NAMESPACE, OTHER}
    assert said_to_name(deleted(told)) == set()
    clean(told)
    assert files_naming(tmp_path) == set()
    assert files_naming(tmp_path, OTHER) == {"log.db"}
    assert names(told) == {nameless(told), OTHER}
    told.close()


def test_the_index_holds_no_name(told: World, tmp_path: Path) -> None:
    kept = told.host.live.store.collection.sealed([told.base("o0")])[told.base("o0")]
    assert NAMESPACE.encode() not in kept
    told.close()
    assert files_naming(tmp_path) == files_naming(tmp_path, OTHER) == {"log.db"}
    told.open()
    assert {s.namespace for s in told.host.live.store.directory.slots(OTHER)} == {OTHER}
    told.close()


def test_an_index_that_holds_names_is_made_again_from_the_feed(
    told: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, number = told.hash(), told.host.live.number
    told.close()
    schema = rows.schema

    def of_before(*args: Any) -> Any:
        made = schema(*args)
        [field] = [f for f in made.fields if f.name == "pseudonym"]
        field.name = "namespace"
        field.params["max_length"] = 200
        return made

    with monkeypatch.context() as patched:
        patched.setattr(rows, "schema", of_before)
        patched.setattr(rows, "INDEXED", ("namespace", *rows.INDEXED[1:]))
        old = MilvusIndex(str(tmp_path / "index" / "0.db"), searches_vectors=False)
        old.drop(number)
        old.open(number)
        row: dict[str, Any] = {f.name: "" if f.dtype == DataType.VARCHAR else 0 for f in of_before(False).fields}
        row |= {"sparse": {7: 1.0}, "pk": "a", "active": True, "namespace": NAMESPACE}
        old._channel.client.insert(old._name(number), [row])
        old._channel.client.flush(old._name(number))
        old.close()
    assert "index" in files_naming(tmp_path)
    told.open()
    assert told.hash() == before
    assert told.recall("lantern").items
    told.close()
    assert files_naming(tmp_path) == {"log.db"}


def test_making_it_again_goes_on_where_it_was_cut_short(told: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a start that is stopped because it takes long, again and again."""
    monkeypatch.setattr(generation, "_DRAIN", 2)
    before, number = told.hash(OTHER), told.host.live.number
    told.close()
    gone = embedded(told.folder / "index", 0)
    gone.drop(number)
    gone.close()
    feed = sum(told.log.end_offset(topics.FEED, p) for p in range(1))
    noted = [0]
    for _ in range(feed):
        try:
            told.open(step=at("flushed", 2), flush_rows=1)
            break
        except Killed:
            told.host.consumer.close()  # type: ignore[union-attr]
            told.host.parts.index.close()
            noted.append(OperatorState(StateTopic(told.log), told.keyring, 0).progress(number))
    assert len(noted) > 2
    assert noted == sorted(set(noted))
    told.close()
    told.open()
    assert told.hash(OTHER) == before
    told.close()


def test_what_was_deleted_is_known_by_a_process_that_never_read_the_name(told: World) -> None:
    first = deleted(told)
    told.restart()
    assert_gone(told, first)
    assert (NAMESPACE, 2) not in {(e.namespace, e.epoch) for e in read_erasures(told.log, {}).erasures}
    assert told.host.registry.is_gone(NAMESPACE)
    assert told.host.registry.deletion(NAMESPACE) == first.receipt.id
    assert told.forgetting.known_deletion(NAMESPACE, "d1") == first.receipt.id
    assert told.host.registry.next_epoch(NAMESPACE) == first.receipt.erasure_epoch + 1
    told.create()
    told.settle()
    assert told.host.registry.names() == [NAMESPACE, OTHER]
    assert told.host.registry.epoch(NAMESPACE) == first.receipt.erasure_epoch
    told.observe("o3", "A new third lantern.")
    told.observe("o0", "A new lantern.")
    told.settle()
    erased = told.forget(ForgetSelector(ids=Ids(ids=["o0"])))
    assert erased.receipt.erasure_epoch == first.receipt.erasure_epoch + 1
    before = told.hash()
    for _ in range(2):
        told.rebuild()
        assert told.hash() == before
        assert told.texts(told.recall("new lantern")) == ["A new third lantern."]
        told.restart()
    second = deleted(told, "d2")
    assert second.receipt.erasure_epoch == erased.receipt.erasure_epoch + 1
    told.rebuild()
    assert told.host.live.store.directory.slots(NAMESPACE) == []
    told.close()


def test_what_comes_late_of_a_nameless_namespace_leaves_no_key(told: World, tmp_path: Path) -> None:
    assert partition_of(NAMESPACE.encode(), 4) != partition_of(nameless(told).encode(), 4), "else nothing is shown here"
    late = World.__new__(World)
    late.log, late.clock = Named(told.store), told.clock
    late.keyring = Keyring(late.log, MasterKey.load_or_create(tmp_path / "master.key"))
    assert NAMESPACE in {e.namespace for e in read_erasures(late.log, {}).erasures}
    deleted(told)
    told.restart()
    late.observe("o9", "Too late.")
    late.change("c9", [])
    late.close_episode(["o9", "o0"])
    told.settle()
    assert keys_left(told) == []
    clean(told)
    assert files_naming(tmp_path) == set()
    assert told.host.registry.names() == [OTHER]
    told.rebuild()
    assert told.host.registry.names() == [OTHER]
    told.close()


def test_a_ledger_from_before_goes_on_and_its_new_namespaces_have_pseudonyms(
    tmp_path: Path, embedder: Embedder
) -> None:
    world = World(tmp_path, embedder).open()
    world.create(in_clear=True)
    world.observe("o0", "The lantern was lit.")
    world.close_episode(["o0"])
    world.create(OTHER)
    world.observe("o0", "The lantern was put out.", namespace=OTHER)
    world.create("acme/third")
    world.settle()
    keys = {r.key for p in range(1) for r in world.store.read(topics.LEDGER, p)}
    pseudonyms = {world.keyring.pseudonym(name) for name in (OTHER, "acme/third")}
    assert keys == {NAMESPACE.encode(), *(b"\0" + p for p in pseudonyms)}
    before = {name: world.hash(name) for name in (NAMESPACE, OTHER)}
    world.restart()
    world.rebuild()
    assert {name: world.hash(name) for name in (NAMESPACE, OTHER)} == before
    first = deleted(world)
    assert said_to_name(first) == {"ledger"}
    assert keys_left(world) == []
    world.restart()
    assert names(world) == {NAMESPACE, OTHER, "acme/third"}
    world.create()
    world.observe("o0", "The lantern was found.")
    world.settle()
    second = deleted(world, "d2")
    assert said_to_name(second) == {"ledger"}
    assert said_to_name(deleted(world, "d3", "acme/third")) == set()
    assert second.receipt.erasure_epoch == first.receipt.erasure_epoch + 1
    world.restart()
    assert names(world) >= {NAMESPACE, nameless(world), OTHER}, "of before in clear, of since under its pseudonym"
    assert world.host.registry.is_in_clear(NAMESPACE)
    assert not world.host.registry.is_in_clear(OTHER)
    assert world.host.registry.names() == [OTHER]
    assert world.host.registry.next_epoch(NAMESPACE) == second.receipt.erasure_epoch + 1
    world.rebuild()
    assert world.hash(OTHER) == before[OTHER]
    world.close()


@pytest.mark.parametrize("in_clear", [False, True])
def test_the_command_names_the_key_that_goes_last(tmp_path: Path, embedder: Embedder, in_clear: bool) -> None:
    world = World(tmp_path, embedder).open()
    world.create(in_clear=in_clear)
    world.settle()
    world.host.stop()
    world.forgetting.delete(NAMESPACE, "d1", "test")
    [name_key] = world.keyring.keys_of(NAMESPACE, naming=True)
    [command] = [
        entry.namespace_deleted
        for p in range(1)
        for r in world.log.read(topics.LEDGER, p)
        if (entry := entry_of(r)) is not None and entry.HasField("namespace_deleted")
    ]
    assert command.name_key_id == name_key
    world.kill()
    world.open().settle()
    assert world.await_receipt(NAMESPACE, command.receipt_id, 20) is not None
    assert not world.keyring.has(name_key)
    world.close()


def test_receipts_that_an_earlier_version_keyed_by_the_name_are_found_and_go_with_it(told: World) -> None:
    of_today = {r.key: r.value for r in told.log.read(topics.STATE, 0) if r.key.startswith(b"receipt/")}
    [(key, value)] = of_today.items()
    space = nameless(told).encode()
    assert space in key
    ids = b"receipt-ids" + key.removeprefix(b"receipt") + b"/1"
    more = pb.StoredReceipt(base_ids=["e9"]).SerializeToString()
    now = {key: value, ids: more}
    told.log.append([Message(topics.STATE, each.replace(space, NAMESPACE.encode()), v) for each, v in now.items()])
    told.log.append([Message(topics.STATE, key, None)])
    told.restart()
    receipt = told.host.state.receipt(NAMESPACE, key.decode().rsplit("/", 1)[1])
    assert receipt is not None
    assert receipt.base_ids[-1] == "e9"
    held = newest(told, topics.STATE)
    assert {each: held[each] for each in now} == now
    assert not [each for each in held if NAMESPACE.encode() in each]
    deleted(told)
    assert not now.keys() & newest(told, topics.STATE).keys()
    told.close()
