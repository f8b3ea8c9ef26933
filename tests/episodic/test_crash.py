"""Killed at every step, twice over in-process and once for real: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import OperationState
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common import topics
from services.common.embed import Embedder
from tests.episodic.test_erase import readable
from tests.episodic.world import NAMESPACE, World

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


def tell(world: World) -> None:
    for n in range(5):
        world.observe(f"o{n}", f"The {n}th lantern was lit at dusk.")
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
    receipt = world.host.await_receipt(NAMESPACE, receipt_id, 20)
    assert receipt is not None
    assert receipt.receipt.base_erased == 1
    assert receipt.receipt.derived_rebuilt == 1
    assert [s.id for s in targets.base] == list(receipt.base_ids)
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    after = world.hash()
    world.rebuild()
    assert world.hash() == after
    world.close()


def test_a_rebuild_killed_in_the_middle_leaves_nothing(started: World) -> None:
    armed: list[str] = []

    def kill_when_armed(name: str) -> None:
        if name in armed:
            raise Killed(name)

    world = started.open(step=kill_when_armed)
    tell(world)
    world.settle()
    before, number = world.hash(), world.host.live.number
    world.host.live.flush()
    armed.append("committed")
    operation = world.rebuilder.start()
    world.rebuilder.wait()
    world.kill()
    assert generations(world) == {number, number + 1}
    world.open()
    assert world.hash() == before
    assert generations(world) == {number} == set(world.host.parts.index.generations())
    ended = world.host.state.operation(operation.id)
    assert ended is not None
    assert ended.state == OperationState.OPERATION_STATE_FAILED
    world.rebuild()
    assert world.hash() == before
    world.close()


def generations(world: World) -> set[int]:
    """Generations with engrams in the feed."""
    newest = {r.key: r.value for p in range(world.log.partitions(topics.FEED)) for r in world.log.read(topics.FEED, p)}
    return {pb.FeedRecord.FromString(value).generation for value in newest.values() if value is not None}


CHILD = """
import sys, time
from pathlib import Path
from services.common.embed import Embedder
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
