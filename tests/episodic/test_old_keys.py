"""A log that an earlier version wrote, with a record in the keys topic for each text, is read and goes on."""

import gzip
from pathlib import Path

import pytest
from mneme.v1.ledger_pb2 import DataKey

from services.common.ledger import topics
from services.common.models.embed import Embedder
from tests.episodic.test_erase import ids
from tests.episodic.world import NAMESPACE, World

WRITTEN = Path(__file__).with_name("logs") / "a_key_a_text.db.gz"
MASTER = "6d" * 32
TEXTS = {
    "A heron stood in the reeds.",
    "It did not move.",
    "The ferry left at ten.",
    "The piano was tuned in May.",
}


@pytest.fixture
def world(tmp_path: Path, embedder: Embedder) -> World:
    (tmp_path / "log.db").write_bytes(gzip.decompress(WRITTEN.read_bytes()))
    (tmp_path / "log.db").chmod(0o600)
    (tmp_path / "master.key").write_text(MASTER)
    (tmp_path / "master.key").chmod(0o600)
    world = World(tmp_path, embedder).open()
    world.settle()
    return world


def keys(world: World) -> list[DataKey]:
    newest = {record.key: record.value for record in world.log.read(topics.KEYS, 0)}
    return [DataKey.FromString(value) for value in newest.values() if value is not None]


def texts(world: World, namespace: str = NAMESPACE) -> set[str]:
    store = world.host.live.store
    active = [slot.id for slot in store.directory.slots(namespace) if slot.is_base and slot.active]
    return {stored.record.text for stored in store.fetch(namespace, active).values()}


def test_what_was_told_is_read_and_more_is_told_beside_it(world: World) -> None:
    assert not any(key.nodes for key in keys(world)), "the file is of before there were trees"
    assert texts(world) == TEXTS
    assert texts(world, "acme/old") == {"An older namespace has its name in the ledger."}
    before = len(keys(world))
    more = {f"Step {n} of the stairs was painted." for n in range(40)}
    for n, text in enumerate(sorted(more)):
        world.observe(f"m{n}", text)
    world.settle()
    assert texts(world) == TEXTS | more
    assert sum(bool(key.nodes) for key in keys(world)) == len(keys(world)) - before == 2, (
        "of texts, and of derived ones"
    )
    world.observe("p1", "One more.", namespace="acme/old")
    world.settle()
    assert texts(world.restart(), "acme/old") == {"An older namespace has its name in the ledger.", "One more."}
    assert texts(world) == TEXTS | more
    world.close()


def test_invariant_08_it_is_rebuilt_to_what_it_was(world: World) -> None:
    world.observe("m", "The stairs were painted.")
    world.settle()
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    assert texts(world) == TEXTS | {"The stairs were painted."}
    world.close()


def test_invariant_13_what_either_form_of_key_sealed_is_erased(world: World) -> None:
    world.observe("m", "The stairs were painted.")
    world.observe("n", "The scraper was lost.")
    world.settle()
    receipt = world.forget(ids("o0", "m"))
    assert all(probe.readable == 0 for probe in world.forgetting.probe(NAMESPACE, receipt))
    left = TEXTS - {"A heron stood in the reeds."} | {"The scraper was lost."}
    assert texts(world) == left
    assert texts(world.restart()) == left
    assert not any(world.keyring.has(key_id) for key_id in receipt.key_ids)
    world.close()
