"""A rebuild and erasures interleaved: what is being built follows them as what is live does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mneme.v1.admin_pb2 import Operation, OperationState
from mneme.v1.episodic_pb2 import ForgetSelector, Ids, Person

from services.common.log.base import LogUnavailable
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic.write import rebuild
from tests.episodic.test_crash import standing
from tests.episodic.test_erase import readable
from tests.episodic.world import NAMESPACE, World

_TURNS = 12
_ERASED_WITHIN_S = 1.0  # where nothing keeps the erasure from being applied, it takes a tenth of it


class Meeting:
    """Holds the rebuild at the nth time of a step until an erasure was commanded, and applied if that can be."""

    def __init__(self, step: str, nth: int) -> None:
        self._step, self._left = step, nth
        self.reached, self.commanded, self.applied = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, name: str) -> None:
        if threading.current_thread().name != "episodic-rebuild":
            if name == "erased":
                self.applied.set()
            return
        self._left -= name == self._step
        if name == self._step and self._left == 0:
            self.reached.set()
            assert self.commanded.wait(20)
            self.applied.wait(_ERASED_WITHIN_S)


def tell(world: World) -> None:
    for n in range(_TURNS):
        world.observe(f"o{n}", f"The {n}th lantern was lit at dusk by {'Zoë' if n % 3 == 0 else 'Ann'}.")
        if n % 4 == 3:
            world.close_episode([f"o{m}" for m in range(n - 3, n + 1)])


def left(world: World) -> list[int]:
    """Which turns anything that stands still holds."""
    return [n for n in range(_TURNS) if standing(world, f"The {n}th lantern")]


@pytest.fixture
def started(tmp_path: Path, embedder: Embedder) -> World:
    world = World(tmp_path, embedder)
    world.create()
    return world


@pytest.mark.parametrize("step", ["folded", "committed", "indexed", "flushed"])
@pytest.mark.parametrize("nth", [1, 2])
def test_invariant_36_a_generation_being_built_sees_an_erasure_at_any_step(started: World, step: str, nth: int) -> None:
    meeting = Meeting(step, nth)
    world = started.open(step=meeting, batch_entries=5, flush_rows=1)
    tell(world)
    world.settle()
    operation = world.rebuilder.start()
    assert meeting.reached.wait(20)
    # Of what the batch at hand has opened, of what was folded before, and of what is still to come.
    gone = [1, 3, 6, 11]
    selector = ForgetSelector(ids=Ids(ids=[f"o{n}" for n in gone]))
    receipt_id, _ = world.forgetting.command(NAMESPACE, selector, "f1", "test")
    meeting.commanded.set()
    world.rebuilder.wait()
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert ended.state == OperationState.OPERATION_STATE_DONE, ended.result
    receipt = world.await_receipt(NAMESPACE, receipt_id, 20)
    assert receipt is not None
    world.settle()
    assert left(world) == [n for n in range(_TURNS) if n not in gone]
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    world.host.check()
    world.close()


def test_invariant_36_erasures_in_a_thread_beside_rebuilds(started: World) -> None:
    world = started.open(batch_entries=3, flush_rows=1)
    tell(world)
    world.settle()
    receipts = []

    def forget_all() -> None:
        for n in (1, 2, 4, 5):
            receipts.append(world.forget(ForgetSelector(ids=Ids(ids=[f"o{n}"]))))
        receipts.append(world.forget(ForgetSelector(person=Person(name="Zoe"))))

    forgetting = threading.Thread(target=forget_all)
    forgetting.start()
    rebuilds = 0
    while forgetting.is_alive() or rebuilds < 2:
        world.rebuild()  # asserts that it came to its end
        rebuilds += 1
    forgetting.join()
    assert len(receipts) == 5
    assert left(world) == [7, 8, 10, 11]
    for receipt in receipts:
        assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    world.close()


def test_one_rebuild_runs_at_a_time_and_one_that_the_service_s_stop_ends_is_gone_on_with(started: World) -> None:
    meeting = Meeting("folded", 1)
    world = started.open(step=meeting, batch_entries=2, flush_rows=1)
    tell(world)
    world.settle()
    before = world.hash()
    operation = world.rebuilder.start()
    assert meeting.reached.wait(20)
    with pytest.raises(MnemeError) as refused:
        world.rebuilder.start()
    assert refused.value.reason == "OVERLOADED"
    world.rebuilder.stop(timeout_s=0)
    meeting.commanded.set()
    world.rebuilder.wait()
    stopped = world.host.state.operation(operation.id)
    assert stopped is not None
    assert stopped.state == OperationState.OPERATION_STATE_RUNNING
    assert world.hash() == before
    number = world.host.live.number
    world.restart()
    world.rebuilder.wait()
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert (ended.state, ended.result["generation"]) == (OperationState.OPERATION_STATE_DONE, str(number + 1))
    assert world.hash() == before
    world.close()


def test_a_rebuild_that_waited_for_its_turn_when_the_service_stopped_begins_at_the_next_start(world: World) -> None:
    world.observe("o0", "Zoe has a canary.")
    world.settle()
    number = world.host.live.number
    with world.rebuilder._turn:  # another partition is rebuilt
        operation = world.rebuilder.start()
        world.rebuilder.stop()
    assert not world.rebuilder.is_running
    world.restart()
    world.rebuilder.wait()
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert (ended.state, ended.result["generation"]) == (OperationState.OPERATION_STATE_DONE, str(number + 1))
    world.close()


def test_a_rebuild_that_was_swapped_in_when_the_service_died_is_done_and_not_begun_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe("o0", "Zoe has a canary.")
    world.settle()
    number = world.host.live.number
    with monkeypatch.context() as patched:
        patched.setattr(world.rebuilder, "_end_surely", lambda *_: None)
        operation = world.rebuilder.start()
        world.rebuilder.wait()
    world.restart()
    world.rebuilder.wait()
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert (ended.state, ended.result["generation"]) == (OperationState.OPERATION_STATE_DONE, str(number + 1))
    assert world.host.live.number == number + 1
    world.close()


def test_a_rebuild_that_is_done_says_so_once_the_log_takes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "_REPORT_S", 0.01)
    save, away = world.rebuilder._save, [LogUnavailable("away")] * 2

    def saved(operation: Operation) -> None:
        if operation.state == OperationState.OPERATION_STATE_DONE and away:
            raise away.pop()
        save(operation)

    monkeypatch.setattr(world.rebuilder, "_save", saved)
    tell(world)
    world.settle()
    world.rebuild()  # asserts that it came to its end
    assert not away
