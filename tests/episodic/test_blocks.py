"""An erasure reaches every keeper of KV blocks; who does not answer is named in the receipt, and asked again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mneme.v1.episodic_pb2 import ErasureProbe, ErasureReceipt, ForgetSelector, Ids, StoreErasure

from services.common.nodes import keepers, register_engine, started_at
from services.common.seal import MasterKey
from services.episodic.blocks import BlockDrops
from services.kvstore.client import Origin
from tests.episodic.world import NAMESPACE, World
from tests.kvstore.running import MEMORY, Process, Running, client, eventually, keys, memory_folder, payloads

pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="no /dev/shm on this machine")
TOLD = "Ruth hid the emerald under the piano."


def drops(folder: Path) -> BlockDrops:
    return BlockDrops(folder, MasterKey.load_or_create(folder / "master.key"), timeout_s=2.0)


def forget(world: World) -> ErasureReceipt:
    return world.forget(ForgetSelector(ids=Ids(ids=["x"]))).receipt


def of(receipt: ErasureReceipt, keeper: str) -> StoreErasure:
    return next(store for store in receipt.stores if store.store == keeper)


def stored(world: World, receipt: ErasureReceipt) -> ErasureReceipt:
    """The receipt as it stands now."""
    found = world.host.state.receipt(NAMESPACE, receipt.id)
    assert found is not None
    return found.receipt


def probes(world: World, receipt: ErasureReceipt) -> list[ErasureProbe]:
    found = world.host.state.receipt(NAMESPACE, receipt.id)
    assert found is not None
    return world.forgetting.probe(NAMESPACE, found)


def test_the_receipt_counts_what_the_store_dropped(world: World, tmp_path: Path) -> None:
    with memory_folder() as memory:
        store = Running(world.folder, memory).start()
        world.close()
        world.open(drop_blocks=drops(world.folder))
        position = world.observe("x", TOLD)
        world.settle()
        [slot] = world.forgetting.resolve(NAMESPACE, ForgetSelector(ids=Ids(ids=["x"]))).base
        with client(store.data_dir) as kv:
            kv.put(keys(3), payloads(3), Origin(NAMESPACE, {NAMESPACE: 0}, [(NAMESPACE, slot.id)]))
            kv.put(keys(2), payloads(2), Origin("acme/ben", {"acme/ben": 0}))
            receipt = forget(world)
            assert position.offset < receipt.position.offset
            assert of(receipt, "kvstore").done
            assert of(receipt, "kvstore").detail.startswith("3 blocks computed from it and 0 ")
            assert kv.stats().blocks == 2
        store.stop()


def test_a_store_that_does_not_answer_is_pending_by_name_until_it_does(world: World) -> None:
    with memory_folder() as memory:
        store = Process(world.folder, memory)
        world.close()
        world.open(drop_blocks=drops(world.folder))
        world.observe("x", TOLD)
        world.settle()
        store.kill()
        receipt = forget(world)
        pending = of(receipt, "kvstore")
        assert (pending.done, pending.HasField("by")) == (False, False)
        assert "its process has ended" in pending.detail
        successor = Process(world.folder, memory)
        eventually(lambda: of(stored(world, receipt), "kvstore").done, 20)
        successor.kill()


def test_a_killed_store_is_gone_once_its_memory_is(world: World) -> None:
    """After a reboot, or with ``kvstore.replicas: 0``, no successor comes to overwrite it or to answer."""
    with memory_folder() as memory:
        store = Process(world.folder, memory)
        world.close()
        world.open(drop_blocks=drops(world.folder))
        world.observe("x", TOLD)
        world.settle()
        store.kill()
        receipt = forget(world)
        left = sorted(str(path) for path in memory.iterdir() if path.suffix != ".lock")
        assert len(left) == 2
        assert all(path in of(receipt, "kvstore").detail for path in left)
        assert "kvstore.replicas" in of(receipt, "kvstore").detail
        [probe] = [p for p in probes(world, receipt) if p.store == "blocks"]
        assert probe.readable == 1
        assert left[0] in probe.detail
        for path in left:
            Path(path).unlink()
        eventually(lambda: of(stored(world, receipt), "kvstore").done)
        assert "its process is gone" in of(stored(world, receipt), "kvstore").detail
        [probe] = [p for p in probes(world, receipt) if p.store == "blocks"]
        assert probe.readable == 0


def test_a_pending_keeper_is_asked_again_after_a_restart(world: World) -> None:
    path = register_engine(world.folder, "engine-silent", "127.0.0.1:9")
    world.close()
    world.open(drop_blocks=drops(world.folder))
    world.observe("x", TOLD)
    world.settle()
    receipt = forget(world)
    assert not of(receipt, "engine-silent").done
    world.close()
    path.unlink()  # it has stopped in good order, while nobody looked
    world.open(drop_blocks=drops(world.folder))
    eventually(lambda: of(stored(world, receipt), "engine-silent").done, 20)


def test_an_engine_whose_process_is_gone_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    path = register_engine(tmp_path, "engine-1", "127.0.0.1:9")
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "pid": process.pid, "started": started_at(process.pid)})
    )
    [alive] = drops(tmp_path)("acme/anna", 1, ["e"])
    assert not alive.done
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    [gone] = drops(tmp_path)("acme/anna", 1, ["e"])
    assert gone.done
    assert not keepers(tmp_path)
    assert drops(tmp_path)("acme/anna", 1, ["e"]) == []
