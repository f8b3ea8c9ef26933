"""Killed at every step, twice over in-process and once for real: nothing is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import OperationState
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common.crypto.seal import KeyDestroyed
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Consumer, Fenced, LogUnavailable, Record, TopicPartition
from services.common.log.sqlite import SqliteLog
from services.common.models.embed import Embedder
from services.episodic.plugins import build
from services.episodic.search.index import IndexUnavailable
from services.episodic.search.milvus import MilvusCollection
from services.episodic.search.rows import Row
from services.episodic.state.service_state import OperatorState
from services.episodic.state.state_topic import StateTopic
from services.episodic.state.store import open_whole
from services.episodic.write import writer
from tests.episodic.test_erase import readable
from tests.episodic.world import NAMESPACE, World
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Killed(BaseException):
    """Stands for the end of the process."""


def at(step: str, nth: int = 1) -> Callable[[str], None]:
    seen = 0

    def kill(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == nth:
            raise Killed(step)

    return kill


def wait_for_death(world: World) -> None:
    deadline = time.monotonic() + 20
    while world.host._failure is None:
        assert time.monotonic() < deadline, "the step was never reached"
        time.sleep(0.01)


def tell(world: World, *, closed: bool = True) -> None:
    for n in range(5):
        world.observe(f"o{n}", f"The {n}th lantern was lit at dusk.")
    if closed:
        world.close_episode(["o0", "o1", "o2", "o3"])


@pytest.fixture
def started(tmp_path: Path, embedder: Embedder) -> World:
    world = World(tmp_path, embedder)
    world.create()
    return world


@pytest.mark.parametrize("step", ["folded", "committed", "indexed", "flushed"])
def test_invariant_04_a_crash_neither_loses_nor_doubles(
    started: World, embedder: Embedder, tmp_path: Path, step: str
) -> None:
    world = started.open(step=at(step, 2) if step == "flushed" else at(step), flush_after_s=0.01)
    tell(world)
    wait_for_death(world)
    world.kill()
    world.open()
    world.settle()
    slots = world.host.live.store.directory.slots(NAMESPACE)
    assert sorted(s.kind for s in slots) == ["episode"] + ["turn"] * 5
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    for slot in world.host.live.store.directory.slots(NAMESPACE):
        assert len(world.reads.history(NAMESPACE, slot.id)) == 1
    world.close()


@pytest.mark.parametrize("step", ["committed", "indexed", "erased", "scrubbed"])
def test_an_erasure_killed_in_the_middle_is_completed(started: World, step: str) -> None:
    world = started.open()
    tell(world)
    world.settle()
    world.close()
    world.open(step=at(step))
    receipt_id, targets = world.forgetting.command(NAMESPACE, ForgetSelector(ids=Ids(ids=["o1"])), "f1", "test")
    wait_for_death(world)
    world.kill()
    world.open()
    world.settle()
    receipt = world.await_receipt(NAMESPACE, receipt_id, 20)
    assert receipt is not None
    assert receipt.receipt.base_erased == 1
    assert receipt.receipt.derived_rebuilt == 1
    assert [s.id for s in targets.base] == list(receipt.base_ids)
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.close()


@pytest.mark.parametrize("step", ["folded", "committed", "indexed", "flushed"])
@pytest.mark.parametrize("nth", [1, 2])
def test_invariant_35_a_rebuild_killed_in_the_middle_is_gone_on_with(started: World, step: str, nth: int) -> None:
    world = started.open(batch_entries=2)
    tell(world)
    world.settle()
    before, number = world.hash(), world.host.live.number
    world.close()
    steps: list[str] = []

    def kill(name: str) -> None:
        if threading.current_thread().name == "episodic-rebuild":
            steps.append(name)
            if steps.count(step) == nth:
                raise Killed(step)

    world.open(step=kill, batch_entries=2, flush_rows=1)
    operation = world.rebuilder.start()
    world.rebuilder.wait()
    done = steps.count("committed")
    world.kill()
    steps.clear()
    world.open(step=lambda name: steps.append(name), batch_entries=2)
    world.rebuilder.wait()
    assert world.hash() == before
    assert generations(world) == {number + 1} == set(world.host.parts.index.generations())
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert (ended.state, ended.result["generation"]) == (OperationState.OPERATION_STATE_DONE, str(number + 1))
    batches = 4  # two of turns, one that holds the last turn and the boundary, and what made the namespace before them
    assert steps.count("committed") == batches - done
    world.rebuild()
    assert world.hash() == before
    world.close()


def test_invariant_35_an_upgrade_answers_from_the_old_index_until_the_new_one_is_whole(started: World) -> None:
    midway = Midway()
    midway.world = world = started.open(batch_entries=6, flush_rows=1)
    tell(world)
    world.settle()
    number = world.host.live.number
    world.close()
    world.plugins = build([{"turns": {"words": 0}}, "episodes", "dense", "lexical"])
    world.open(step=midway, batch_entries=2, flush_rows=1)
    world.rebuilder.upgrade()
    assert midway.reached.wait(20)
    world.observe("new", "A heron stood on the lighthouse.")
    world.settle()
    assert world.host.live.number == number
    assert world.texts(world.recall("heron on the lighthouse"))[0] == "A heron stood on the lighthouse."
    midway.go_on.set()
    world.rebuilder.wait()
    assert world.host.live.number == number + 1
    assert not world.host.generations.outdated
    assert world.texts(world.recall("heron on the lighthouse"))[0] == "A heron stood on the lighthouse."
    world.close()


class Midway:
    """Steps of a host whose rebuild waits in the middle, and whose writer meets ``error`` at the nth of a step."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.dead = False
        self.error: BaseException | None = None
        self.left = 0
        self.world: World

    def __call__(self, name: str) -> None:
        thread = threading.current_thread().name
        if thread == "episodic-rebuild" and name == "flushed" and self.world.host.generations.building is not None:
            self.reached.set()
            self.go_on.wait(30)
            if self.dead:
                raise Killed(name)
        elif thread == "episodic-writer" and name == "indexed" and self.error is not None:
            self.left -= 1
            if self.left == 0:
                raise self.error

    def begin(self, world: World) -> str:
        """A world told of lanterns, and a rebuild of it that has read the first four turns and waits; its id."""
        self.world = world.open(step=self, batch_entries=6, flush_rows=1)
        tell(world)
        for n in range(12):
            world.observe(f"later{n}", f"Ship {n} came in.", "s2")
        world.settle()
        operation = world.rebuilder.start()
        assert self.reached.wait(20)
        return operation.id


@pytest.mark.parametrize("nth", [1, 2])
def test_invariant_13_an_erasure_killed_beside_a_rebuild_is_completed(started: World, nth: int) -> None:
    midway = Midway()
    midway.begin(started)
    midway.error, midway.left = Killed("indexed"), nth
    rid, _ = started.forgetting.command(NAMESPACE, ForgetSelector(ids=Ids(ids=["o1"])), "f1", "test")
    wait_for_death(started)
    midway.dead = True
    midway.go_on.set()
    started.rebuilder.wait()
    started.kill()
    world = started.open()
    world.settle()
    receipt = world.await_receipt(NAMESPACE, rid, 20)
    assert receipt is not None
    assert (receipt.receipt.base_erased, receipt.receipt.derived_rebuilt) == (1, 1)
    assert_forgotten(world, receipt)
    world.rebuilder.wait()  # gone on with, where it had followed
    assert_forgotten(world, receipt)
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.close()


def test_invariant_13_a_rebuild_that_an_erasure_did_not_reach_is_given_up(started: World) -> None:
    midway = Midway()
    operation = midway.begin(started)
    midway.error, midway.left = IndexUnavailable("away"), 2
    receipt = started.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    midway.go_on.set()
    started.rebuilder.wait()
    ended = started.host.state.operation(operation)
    assert ended is not None
    assert (ended.state, ended.result["reason"]) == (OperationState.OPERATION_STATE_FAILED, "Abandoned")
    assert_forgotten(started, receipt)
    started.rebuild()
    assert_forgotten(started, receipt)
    started.host.check()
    started.close()


@pytest.mark.parametrize("error", [IndexUnavailable("away"), ZeroDivisionError()])
@pytest.mark.parametrize("refused", [0, 2])
def test_invariant_13_a_failed_rebuild_keeps_nothing_from_an_erasure(
    started: World, monkeypatch: pytest.MonkeyPatch, error: Exception, refused: int
) -> None:
    """``refused``: how often the index does not drop what was left. A defect is none that is only logged."""
    armed, raised = [True], list[BaseException | None]()
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))

    def fail(name: str) -> None:
        if name == "committed" and threading.current_thread().name == "episodic-rebuild" and armed:
            raise error

    world = started.open(step=fail, batch_entries=6)
    tell(world)
    for n in range(6):
        world.observe(f"later{n}", f"Ship {n} came in.", "s2")
    world.settle()
    number = world.host.live.number
    operation = world.rebuilder.start()
    world.rebuilder.wait()
    assert raised == [error] * isinstance(error, ZeroDivisionError)
    refuse_drops(world, monkeypatch, refused)
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert (ended.state, ended.result["reason"]) == (
        OperationState.OPERATION_STATE_FAILED,
        type(error).__name__,
    )
    assert world.host.generations.building is None
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    assert generations(world) == {number} == set(world.host.parts.index.generations())
    assert not anywhere_in_feed(world, "1th lantern")
    assert anywhere_in_feed(world, "2th lantern")
    assert_forgotten(world, receipt)
    armed.clear()
    world.rebuild()
    assert_forgotten(world, receipt)
    world.host.check()
    world.close()


def test_the_generation_before_is_dropped_until_it_is_gone(started: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = started.open()
    tell(world)
    world.settle()
    number = world.host.live.number
    refuse_drops(world, monkeypatch, 3, of=number)
    world.rebuild()
    assert generations(world) == {number, number + 1}
    deadline = time.monotonic() + 20
    while generations(world) != {number + 1} or set(world.host.parts.index.generations()) != {number + 1}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    world.host.check()
    world.close()


def refuse_drops(world: World, monkeypatch: pytest.MonkeyPatch, times: int, of: int | None = None) -> None:
    index, left = world.host.parts.index, [None] * times
    drop = index.drop

    def refuse(number: int) -> None:
        if left and of in (None, number):
            left.pop()
            raise IndexUnavailable("away")
        drop(number)

    monkeypatch.setattr(index, "drop", refuse)


def anywhere_in_feed(world: World, words: str) -> list[str]:
    """Ids of what can be opened in the feed, of any generation, and holds the words."""
    found = []
    for partition in range(world.log.partitions(topics.FEED)):
        for record in world.log.read(topics.FEED, partition):
            feed = pb.FeedRecord.FromString(record.value or b"")
            with contextlib.suppress(KeyDestroyed):
                if record.value is not None and not feed.erased:
                    opened = open_whole(feed, world.keyring).record
                    found += [opened.id for text in (opened.text, *(k.text for k in opened.keys)) if words in text]
    return found


@pytest.mark.parametrize("closed", [True, False])
def test_invariant_13_an_erasure_reaches_what_was_made_of_a_text_whose_row_is_gone(
    started: World, closed: bool
) -> None:
    world = started.open()
    tell(world, closed=closed)
    world.settle()
    slot = world.host.live.store.directory.get(NAMESPACE, world.base("o1"))
    assert slot is not None
    with world.host.fold_lock:
        world.keyring.destroy(NAMESPACE, [slot.seal_key])
        rid, _ = world.forgetting.command(NAMESPACE, ForgetSelector(ids=Ids(ids=["o1"])), "f1", "test")
        world.host.live.store.forget(NAMESPACE, [slot.id])  # as loading does with rows that nobody can read
        assert standing(world, "1th lantern")
    receipt = world.await_receipt(NAMESPACE, rid, 20)
    assert receipt is not None
    assert_forgotten(world, receipt)
    world.close()


def assert_forgotten(world: World, receipt: pb.StoredReceipt) -> None:
    assert not standing(world, "1th lantern")
    assert standing(world, "2th lantern")
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}


def standing(world: World, words: str) -> list[str]:
    """Ids of the engrams whose text or keys hold the words."""
    store = world.host.live.store
    wholes = [store.whole(NAMESPACE, slot.id) for slot in store.directory.slots(NAMESPACE)]
    return [
        w.id
        for w in wholes
        if w is not None and any(words in t for t in (w.record.text, *(k.text for k in w.record.keys)))
    ]


def generations(world: World) -> set[int]:
    """Generations with engrams in the feed."""
    newest = {r.key: r.value for p in range(world.log.partitions(topics.FEED)) for r in world.log.read(topics.FEED, p)}
    return {pb.FeedRecord.FromString(value).generation for value in newest.values() if value is not None}


@pytest.mark.parametrize("step", ["committed", "indexed"])
def test_an_index_that_is_away_for_a_moment_is_caught_up(started: World, step: str) -> None:
    away: list[str] = []

    def index_is_away(name: str) -> None:
        if name == step and name in away:
            away.remove(name)
            raise IndexUnavailable("away")

    world = started.open(step=index_is_away)
    away.append(step)
    tell(world)
    world.settle()
    assert len(world.host.live.store.directory.slots(NAMESPACE)) == 6
    away.append(step)
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    assert not away
    world.settle()
    assert world.recall("lantern").epochs == {NAMESPACE: 1}
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.host.check()
    world.close()


def test_what_an_index_that_stays_away_did_not_take_comes_again(
    started: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started.open()
    started.settle()
    write, left = MilvusCollection.write, [3]  # the fold, and two looks whether it is back

    def away(self: MilvusCollection, new: Sequence[Row], gone: Sequence[str] = ()) -> None:
        if (new or gone) and left[0]:
            left[0] -= 1
            raise IndexUnavailable("away")
        write(self, new, gone)

    monkeypatch.setattr(MilvusCollection, "write", away)
    started.observe("late", "The baker sold a violet bicycle.")
    started.settle()
    assert left == [0]
    assert started.texts(started.recall("Who sold a bicycle?"))[0] == "The baker sold a violet bicycle."
    state = started.hash()
    assert started.restart().hash() == state
    started.close()


def test_the_writer_joins_again_once_the_log_is_back(started: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = started.open()
    consumer, subscribe = world.host.consumer, world.log.subscribe
    assert consumer is not None
    away = ["twice", "in a row"]

    def fenced(*_: object, **__: object) -> list[Record]:
        raise Fenced("another member came")

    def join(*args: Any, **named: Any) -> Consumer:
        if away:
            raise LogUnavailable(f"away {away.pop()}")
        return subscribe(*args, **named)

    monkeypatch.setattr(world.log, "subscribe", join)
    monkeypatch.setattr(consumer, "poll", fenced)
    tell(world)
    world.settle()
    assert not away
    assert world.host.consumer is not consumer
    assert len(world.host.live.store.directory.slots(NAMESPACE)) == 6
    world.host.check()
    world.close()


def test_joined_again_it_is_fenced_no_more_by_what_another_member_did(
    started: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = started.open()
    tell(world)
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=["o1"])))  # it has all the names of its transactions
    consumer, other = world.host.consumer, SqliteLog(world.folder / "log.db")
    assert consumer is not None

    def fenced(*_: object, **__: object) -> list[Record]:
        monkeypatch.undo()
        for name in (f"keys-{world.host.partition}", f"episodic-{world.host.partition}-1"):
            with other.transaction(name=name):
                pass
        raise Fenced("another member came")

    monkeypatch.setattr(consumer, "poll", fenced)
    until(lambda: world.host.consumer is not consumer, within_s=10)
    world.forget(ForgetSelector(ids=Ids(ids=["o2"])))
    assert caplog.messages.count(writer.LOST) == 1
    world.close()
    other.close()


def test_invariant_13_what_another_member_erased_meanwhile_is_known_once_it_has_joined_again(
    started: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = started.open()
    tell(world)
    world.settle()
    consumer, subscribe = world.host.consumer, world.log.subscribe
    assert consumer is not None
    erased = world.mac(ledger.MAC_OBSERVATION, "o9")

    def fenced(*_: object, **__: object) -> list[Record]:
        raise Fenced("another member came")

    def join(*args: Any, **named: Any) -> Consumer:
        """Only after the other has applied an erasure and gone."""
        monkeypatch.undo()
        at = world.append(NAMESPACE, erased=pb.Erased(receipt_id="r", id_macs=[erased], erasure_epoch=7))
        other = subscribe(*args, **named)
        while not other.assignment():
            other.poll(1, 0.05)
        other.commit({TopicPartition(topics.LEDGER, at.partition): at.offset + 1})
        other.close()
        return subscribe(*args, **named)

    monkeypatch.setattr(world.log, "subscribe", join)
    monkeypatch.setattr(consumer, "poll", fenced)
    world.settle()
    deadline = time.monotonic() + 10
    while world.host.consumer is consumer:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    world.settle()
    assert world.host.registry.is_erased_mac(NAMESPACE, erased)
    assert world.host.registry.epoch(NAMESPACE) == 7
    world.host.check()
    world.close()


@pytest.mark.parametrize("nth", [1, 2])
def test_receipts_are_finished_once_the_log_is_back(started: World, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """``nth``: of the looks into the state by the thread that finishes receipts."""
    looks = 0
    read = started.log.read

    def away(topic: str, *args: Any) -> Iterator[Record]:
        nonlocal looks
        if topic == topics.STATE and threading.current_thread().name == "episodic-receipts":
            looks += 1
            if looks == nth:
                raise LogUnavailable("away")
        return read(topic, *args)

    monkeypatch.setattr(started.log, "read", away)
    world = started.open()
    tell(world)
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    time.sleep(0.2)  # what the thread does after a receipt is finished
    world.forget(ForgetSelector(ids=Ids(ids=["o2"])))
    world.host.check()
    world.close()


def test_progress_is_noted_only_of_rows_that_are_on_disk(started: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = started.open()
    tell(world)
    world.settle()
    world.host.live.flush()
    noted = OperatorState(StateTopic(world.log), world.keyring, 0).progress(world.host.live.number)
    world.observe("late", "The last lantern was put out.")
    world.settle()

    def fails(follows: int) -> None:
        raise IndexUnavailable("the machine ends here")

    with monkeypatch.context() as failing:
        failing.setattr(world.host.live.store.collection, "flush", fails)
        with world.host.live.lock, pytest.raises(IndexUnavailable):
            world.host.live.flush()
    assert OperatorState(StateTopic(world.log), world.keyring, 0).progress(world.host.live.number) == noted
    world.host.live.flush()
    after = OperatorState(StateTopic(world.log), world.keyring, 0).progress(world.host.live.number)
    assert after == noted + 1
    world.close()


CHILD = """
import sys, time
from pathlib import Path
from services.common.models.embed import Embedder
from services.episodic.plugins import build
from services.episodic.search.index import IndexUnavailable
from tests.episodic.world import World

world = World(Path(sys.argv[1]), Embedder.packaged(threads=1))
world.open(flush_after_s=0.05, batch_entries=3)
print("ready", flush=True)
time.sleep(60)
"""


def test_invariant_04_a_real_kill_9(started: World) -> None:
    """The host in a process of its own, killed while it writes; what it acknowledged nowhere is all in the ledger."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(started.folder)], stdout=subprocess.PIPE, env=env)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    for n in range(40):
        started.observe(f"o{n}", f"Wave {n} broke on the pier.", f"s{n % 3}")
    time.sleep(0.15)
    child.send_signal(signal.SIGKILL)
    child.wait()
    world = started.open()
    world.settle()
    assert len(world.host.live.store.directory.slots(NAMESPACE)) == 40
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.close()
