"""An erasure reaches every keeper of KV blocks; who does not answer is named in the receipt, and asked again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mneme.v1.episodic_pb2 import ErasureReceipt, ForgetSelector, Ids, StoreErasure

from services.common.nodes import keepers, register_engine, started_at
from services.common.seal import MasterKey
from services.episodic.blocks import BlockDrops
from services.kvstore.client import Origin
from tests.episodic.world import NAMESPACE, World
from tests.kvstore.running import MEMORY, Process, Running, client, keys, memory_folder, payloads

pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="no /dev/shm on this machine")
TOLD = "Ruth hid the emerald under the piano."


def drops(folder: Path) -> BlockDrops:
    return BlockDrops(folder, MasterKey.load_or_create(folder / "master.key"), timeout_s=2.0)


def forget(world: World) -> ErasureReceipt:
    return world.forget(ForgetSelector(ids=Ids(ids=["x"]))).receipt


def of(receipt: ErasureReceipt, keeper: str) -> StoreErasure:
    return next(store for store in receipt.stores if store.store == keeper)


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
        assert "UNAVAILABLE" in pending.detail
        successor = Process(world.folder, memory)
        deadline = time.monotonic() + 20
        while True:
            stored = world.host.state.receipt(NAMESPACE, receipt.id)
            assert stored is not None
            if of(stored.receipt, "kvstore").done:
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        successor.kill()


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
    deadline = time.monotonic() + 20
    while not of(world.host.state.receipt(NAMESPACE, receipt.id).receipt, "engine-silent").done:  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
