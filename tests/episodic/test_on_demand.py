"""Namespaces are loaded when somebody asks for them: with room for one of them everything is as with room for all."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import ForgetSelector, Ids, Person, RememberRequest

from services.common import telemetry
from services.common.ledger import topics
from services.common.log.base import Record, partition_of
from services.common.models.embed import Embedder
from services.episodic.plugins.base import Filter
from services.episodic.state.records import stamp
from tests.episodic.test_crash import at, wait_for_death
from tests.episodic.world import World

SPACES = [f"acme/n{n}" for n in range(6)]
LITE, FILES = "{}/index", "sqlite"
THINGS = ["lantern", "anchor", "compass", "barometer", "sextant"]
QUESTION = "Where does Ann keep the compass?"


def loaded() -> int:
    """Namespaces loaded so far in this process."""
    return int(telemetry.RECORDS.labels("episodic", "namespace_loaded")._value.get())


def tell(world: World, space: str, since: int = 0) -> None:
    for n, thing in enumerate(THINGS):
        text = f"Ann keeps the {thing} of {space} in chest {n + since}."
        world.observe(f"o{n + since}", text, f"s{n % 2}", space, people=["Ann"])


def told(world: World) -> World:
    """In turn, so that each entry is of another namespace than the one before."""
    for space in SPACES:
        world.create(space)
    for n, thing in enumerate(THINGS):
        for space in SPACES:
            world.observe(f"o{n}", f"Ann keeps the {thing} of {space} in chest {n}.", f"s{n % 2}", space)
    world.settle()
    for space in SPACES:
        world.close_episode(["o0", "o2", "o4"], "s0", space)
        info = world.host.registry.namespace(space)
        assert info is not None
        text, at = f"The compass of {space} was mended.", stamp(world.clock)
        world.commands.remember(RememberRequest(namespace=space, id="r0", text=text, event_at=at), info, "test", "test")
    world.settle()
    for space in SPACES:
        world.correct("c0", world.base("o1", space), f"Ann keeps the anchor of {space} on deck.", space)
    world.settle()
    return world


def answers(world: World, space: str) -> list[tuple[str, float, tuple[tuple[str, int, float], ...]]]:
    recalled = world.recall(QUESTION, space)
    return [(item.record.id, item.score, item.trace) for item in recalled.items]


def everything(world: World) -> dict[str, object]:
    return {space: (world.hash(space), answers(world, space)) for space in SPACES}


def made(folder: Path, embedder: Embedder, warm_bytes: int | None, partitions: int = 1, *, kind: str = LITE) -> World:
    folder.mkdir()
    (folder / "master.key").write_text("5a" * 32)  # hashes of terms are keyed: so that those of two worlds are the same
    (folder / "master.key").chmod(0o600)
    world = World(folder, embedder, partitions=partitions)
    world.warm_bytes, world.index_uri = warm_bytes, kind.format(folder)
    return world


@pytest.fixture(params=[LITE, FILES])
def pair(request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder) -> Iterator[tuple[World, World]]:
    """The same told to one that has room for one namespace, and to one that has room for all."""
    little, much = (
        made(tmp_path / name, embedder, room, kind=request.param) for name, room in (("little", 1), ("much", None))
    )
    for world in (little, much):
        told(world.open())
    yield little, much
    for world in (little, much):
        world.close()


def numbers(receipt: pb.StoredReceipt) -> tuple[object, ...]:
    of = receipt.receipt
    return (
        of.base_erased,
        of.derived_retired,
        of.derived_rebuilt,
        of.keys_destroyed,
        of.erasure_epoch,
        list(receipt.base_ids),
        list(receipt.derived_ids),
    )


def test_with_room_for_one_namespace_all_is_as_with_room_for_all(pair: tuple[World, World]) -> None:
    little, much = pair
    before = loaded()
    assert everything(little) == everything(much)
    assert loaded() - before == len(SPACES), "one holds all, the other none but the last"
    selectors = [
        ForgetSelector(ids=Ids(ids=["o2"])),
        ForgetSelector(session="s1"),
        ForgetSelector(person=Person(name="Ann")),
    ]
    for space, selector in zip(SPACES, selectors, strict=False):
        assert numbers(little.forget(selector, space)) == numbers(much.forget(selector, space))
    for world in pair:
        world.forgetting.delete(SPACES[4], "d", "test")
        world.create(SPACES[5] + "x")
        world.settle()
    assert everything(little) == everything(much)
    for world in pair:
        world.rebuild()
    assert everything(little) == everything(much)
    for world in pair:
        world.restart()
    assert everything(little) == everything(much)


def test_a_cold_namespace_answers_as_a_warm_one(pair: tuple[World, World]) -> None:
    _, world = pair
    warm = {space: (answers(world, space), world.reads.counts(space, with_hash=True)) for space in SPACES}
    pages = {space: world.reads.page(space, Filter(), 4, "", by_time=True) for space in SPACES}
    world.restart()
    before = loaded()
    assert {space: (answers(world, space), world.reads.counts(space, with_hash=True)) for space in SPACES} == warm
    assert loaded() - before == len(SPACES)
    again = {space: world.reads.page(space, Filter(), 4, "", by_time=True) for space in SPACES}
    assert {space: [s.id for s in stored] for space, (stored, _) in again.items()} == {
        space: [s.id for s in stored] for space, (stored, _) in pages.items()
    }
    assert loaded() - before == len(SPACES), "each was loaded once"


@contextmanager
def feed_reads(world: World) -> Iterator[list[Record]]:
    seen: list[Record] = []
    read = world.log.read

    def counted(topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        for record in read(topic, partition, start, end):
            if topic == topics.FEED:
                seen.append(record)
            yield record

    world.log.read = counted  # type: ignore[method-assign]
    yield seen


def test_a_start_loads_no_namespace_and_reads_nothing_of_the_feed(tmp_path: Path, embedder: Embedder) -> None:
    world = told(made(tmp_path / "w", embedder, None).open())
    before = everything(world)
    world.close()
    world._begin_anew()
    loads = loaded()
    with feed_reads(world) as read:
        world.open()
        assert (loaded() - loads, read) == (0, [])
        assert answers(world, SPACES[3]) == before[SPACES[3]][1]  # type: ignore[index]
        assert (loaded() - loads, read) == (1, [])
        tell(world, SPACES[2], since=10)
        world.settle()
        assert loaded() - loads == 2, "what is folded into is loaded, and nothing else"
    assert everything(world).keys() == before.keys()
    world.close()


def test_an_erasure_reaches_a_namespace_that_nobody_has_asked_for(tmp_path: Path, embedder: Embedder) -> None:
    world = told(made(tmp_path / "w", embedder, None).open())
    others = {space: world.hash(space) for space in SPACES[1:]}
    world.restart()
    loads = loaded()
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o2"])), SPACES[0])
    assert loaded() - loads == 1
    assert receipt.receipt.base_erased == 1
    assert all("compass" not in text for text in world.texts(world.recall(QUESTION, SPACES[0])) if "keeps" in text)
    with pytest.raises(Exception, match="no such engram"):
        world.reads.get(SPACES[0], world.base("o2", SPACES[0]))
    left = world.hash(SPACES[0])
    world.restart()
    assert world.hash(SPACES[0]) == left
    assert {space: world.hash(space) for space in SPACES[1:]} == others
    world.rebuild()
    assert world.hash(SPACES[0]) == left
    world.close()


@pytest.mark.parametrize("step", ["committed", "indexed", "erased"])
def test_an_erasure_of_a_cold_namespace_killed_in_the_middle_is_completed(
    tmp_path: Path, embedder: Embedder, step: str
) -> None:
    world = told(made(tmp_path / "w", embedder, 1).open())
    world.close()
    world._begin_anew()
    world.open(step=at(step))
    receipt_id, _ = world.forgetting.command(SPACES[0], ForgetSelector(ids=Ids(ids=["o2"])), "f", "test")
    wait_for_death(world)
    world.kill()
    world.open()
    world.settle()
    assert world.await_receipt(SPACES[0], receipt_id, 20) is not None
    held = world.host.live.store.directory
    assert held.get(SPACES[0], world.base("o2", SPACES[0])) is None
    left = world.hash(SPACES[0])
    rows = {row.id for row in world.host.live.store.collection.rows(world.host.live.store.hasher.pseudonym(SPACES[0]))}
    assert world.base("o2", SPACES[0]) not in rows
    world.rebuild()
    assert world.hash(SPACES[0]) == left
    world.close()


_ASKING = """
import os, signal, sys, threading
from pathlib import Path
from services.common.models.embed import Embedder
from services.episodic.plugins.base import Filter
from tests.episodic.test_on_demand import QUESTION, SPACES, tell
from tests.episodic.world import World
world = World(Path(sys.argv[1]), Embedder.packaged(threads=1))
world.index_uri = sys.argv[3]
world.open()
threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
for since in range(10, 10_000, 10):
    for space in SPACES:
        tell(world, space, since)
        world.recall(QUESTION, SPACES[since // 10 % len(SPACES)])
    world.settle()  # or whoever comes after has minutes to fold
"""


@pytest.mark.parametrize(("after_s", "kind"), [(0.4, LITE), (1.3, LITE), (1.3, FILES)])
def test_a_real_kill_9_while_namespaces_come_and_go(
    tmp_path: Path, embedder: Embedder, after_s: float, kind: str
) -> None:
    world = told(made(tmp_path / "w", embedder, 1, kind=kind).open())
    world.close()
    command = [sys.executable, "-c", _ASKING, str(world.folder), str(after_s), world.index_uri]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    world._begin_anew()
    world.open()
    world.settle(120)
    after = {space: world.hash(space) for space in SPACES}
    world.rebuild()
    assert {space: world.hash(space) for space in SPACES} == after
    world.close()


def test_many_ask_for_more_than_there_is_room_for_while_more_is_told(tmp_path: Path, embedder: Embedder) -> None:
    world = made(tmp_path / "w", embedder, 150_000, partitions=2).open()
    for space in SPACES:
        world.create(space)
        tell(world, space)
    world.settle()
    assert len({partition_of(space.encode(), 2) for space in SPACES}) == 2, "the budget is of all partitions"

    def ask(n: int) -> int:
        found = 0
        for turn in range(25):
            space = SPACES[(n * 7 + turn) % len(SPACES)]
            recalled = world.recall(QUESTION, space)
            texts = world.texts(recalled)
            assert any(f"compass of {space}" in text for text in texts), (space, turn, texts, recalled.weights)
            found += len(recalled.items)
        return found

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, n) for n in range(8)]
        for since in (10, 20):
            for space in SPACES:
                tell(world, space, since)
        assert all(each.result(120) > 0 for each in asked)
    world.settle()
    for space in SPACES:
        wanted = {world.base(f"o{n + since}", space) for n in range(len(THINGS)) for since in (0, 10, 20)}
        held = world._host_of(space).live.store.directory
        assert wanted <= {slot.id for slot in held.slots(space)}
    world.close()


# --- an index that does not go with the log ---


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(getattr(r, "error", "")) for r in caplog.records if "an index is of no use" in r.message]


@pytest.mark.parametrize("kind", [LITE, FILES])
def test_an_index_that_knows_more_than_the_log_is_refused_by_name(
    tmp_path: Path, embedder: Embedder, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    world = told(made(tmp_path / "w", embedder, 1, kind=kind).open())
    before = everything(world)
    world.close()
    world.store.close()
    shutil.copy(tmp_path / "w" / "log.db", tmp_path / "backup")
    uri = world.index_uri
    world = World(tmp_path / "w", embedder)
    world.index_uri = uri
    world.open()
    for space in SPACES:
        tell(world, space, since=10)
    world.settle()
    world.close()
    world.store.close()
    shutil.move(tmp_path / "backup", tmp_path / "w" / "log.db")
    caplog.set_level(logging.WARNING)
    world = World(tmp_path / "w", embedder)
    world.index_uri = uri
    world.open()
    [said] = refusals(caplog)
    assert "partition 0, generation 1: follows: it knows the feed up to offset" in said
    assert everything(world) == before
    world.close()


def asked(world: World) -> None:
    """Told, erased and rebuilt: what another index than this one does not see."""
    tell(world, SPACES[0], since=10)
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=["o2"])), SPACES[1])
    world.forgetting.delete(SPACES[2], "d", "test")
    world.settle()


def chosen(world: World, kind: str) -> World:
    world.close()
    world._begin_anew()
    world.index_uri = kind.format(world.folder)
    return world.open()


@pytest.mark.parametrize(
    ("first", "then", "is_noticed"),
    [
        (LITE, FILES, False),
        (FILES, LITE, False),
        (LITE, "sqlite:{}/elsewhere", True),
        (FILES, "{}/elsewhere", True),
    ],
)
def test_one_index_is_chosen_and_then_the_other_and_the_first_again(
    tmp_path: Path, embedder: Embedder, caplog: pytest.LogCaptureFixture, first: str, then: str, is_noticed: bool
) -> None:
    world = told(made(tmp_path / "w", embedder, 1, kind=first).open())
    before = everything(world)
    assert everything(chosen(world, then)) == before
    asked(world)
    kept = [space for space in SPACES if space != SPACES[2]]
    after = {space: (world.hash(space), answers(world, space)) for space in kept}
    assert after[SPACES[1]] != before[SPACES[1]]
    caplog.set_level(logging.WARNING)
    chosen(world, first)
    assert {space: (world.hash(space), answers(world, space)) for space in kept} == after
    store = world.host.live.store
    assert not list(store.collection.rows(store.hasher.pseudonym(SPACES[2])))
    assert len(refusals(caplog)) == is_noticed, "in one folder, one leaves nothing of the other"
    assert all("another index was used up to" in said for said in refusals(caplog))
    world.rebuild()
    assert {space: (world.hash(space), answers(world, space)) for space in kept} == after
    world.close()


@pytest.mark.parametrize("kind", [LITE, FILES])
def test_an_index_that_was_made_and_never_filled_is_filled(tmp_path: Path, embedder: Embedder, kind: str) -> None:
    """Killed between that it is there and that this is noted."""
    world = told(made(tmp_path / "w", embedder, 1, kind=kind).open())
    before, number = everything(world), world.host.live.number
    world.close()
    shutil.rmtree(tmp_path / "w" / "index")
    index = world._index(0)
    index.open(number)
    index.close()
    world._begin_anew()
    assert everything(world.open()) == before
    world.close()
