"""An erasure reaches every keeper of KV blocks; who does not answer is named in the receipt, and asked again."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import ErasureProbe, ErasureReceipt, ForgetSelector, Ids, StoreErasure

from services.common.crypto.seal import MasterKey
from services.common.ledger import topics
from services.common.nodes.node_port import NodePort
from services.common.nodes.nodes import keepers, node_signer, register_engine
from services.episodic.erasure.blocks import BlockDrops
from services.episodic.write.components import Dropped
from services.kvstore.client import Origin
from services.reasoning.blocks import Scope, Span
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine.port import Finished, Request
from services.reasoning.engine_node import engine_port
from services.reasoning.models.load import LoadedModel
from tests.episodic.world import NAMESPACE, World
from tests.kvstore.running import MEMORY, Process, Running, client, eventually, keys, memory_folder, payloads
from tests.reasoning.engine.small import load, prompt, settings

pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="no /dev/shm on this machine")
TOLD = "Ruth hid the emerald under the piano."


def drops(folder: Path) -> BlockDrops:
    return BlockDrops(folder, MasterKey.load_or_create(folder / "master.key"), timeout_s=2.0)


def tell(world: World, drop: Callable[[str, int, Sequence[str]], list[Dropped]]) -> Position:
    """Have the world remember "x", with ``drop`` as its way to the keepers; where it lies in the ledger."""
    world.close()
    world.open(drop_blocks=drop)
    position = world.observe("x", TOLD)
    world.settle()
    return position


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
        position = tell(world, drops(world.folder))
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
        tell(world, drops(world.folder))
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
        tell(world, drops(world.folder))
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
    registration = register_engine(world.folder, "engine-silent", "127.0.0.1:9")
    tell(world, drops(world.folder))
    receipt = forget(world)
    assert not of(receipt, "engine-silent").done
    world.close()
    registration.withdraw()  # it has stopped in good order, while nobody looked
    world.open(drop_blocks=drops(world.folder))
    eventually(lambda: of(stored(world, receipt), "engine-silent").done, 20)


_ENGINE = """
import pathlib, sys, time
from services.common.nodes.nodes import register_engine
registration = register_engine(pathlib.Path(sys.argv[1]), "engine-1", "127.0.0.1:9")
print("registered", flush=True)
time.sleep(60)
"""


@contextmanager
def engine_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has registered as an engine, and answers nobody."""
    command = [sys.executable, "-c", _ENGINE, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "registered\n"
        try:
            yield process
        finally:
            process.kill()


def rewrite(folder: Path, **changed: object) -> None:
    """Change what the registration says, in place: the process's lock stays on it."""
    path = folder / "engines" / "engine-1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_an_engine_whose_process_is_gone_holds_nothing(tmp_path: Path) -> None:
    with engine_process(tmp_path) as process:
        [alive] = drops(tmp_path)("acme/anna", 1, ["e"])
        assert not alive.done
        process.kill()
        process.wait()
        [gone] = drops(tmp_path)("acme/anna", 1, ["e"])
    assert gone.done
    assert not keepers(tmp_path)
    assert drops(tmp_path)("acme/anna", 1, ["e"]) == []


def test_invariant_32_an_engine_that_no_process_table_here_shows_is_pending_while_it_lives(tmp_path: Path) -> None:
    """As one in a PID namespace of its own: the number that it knows itself by is nobody's here."""
    with engine_process(tmp_path) as process:
        rewrite(tmp_path, pid=2**22)
        [alive] = drops(tmp_path)("acme/anna", 1, ["e"])
        assert (alive.done, "did not answer" in alive.detail) == (False, True)
        assert [keeper.name for keeper in keepers(tmp_path)] == ["engine-1"]
        process.kill()
        process.wait()
        [gone] = drops(tmp_path)("acme/anna", 1, ["e"])
        assert gone.done


def test_invariant_32_an_engine_of_another_machine_is_pending_by_name_until_somebody_takes_it_out(
    tmp_path: Path,
) -> None:
    """Its lock is not seen here, and its address is nobody's or another's: silence proves nothing."""
    with engine_process(tmp_path) as process:
        process.kill()
    rewrite(tmp_path, boot="another kernel")
    for _ in range(2):
        [unknown] = drops(tmp_path)("acme/anna", 1, ["e"])
        assert (unknown.keeper, unknown.done) == ("engine-1", False)
        assert str(tmp_path / "engines" / "engine-1.json") in unknown.detail
    (tmp_path / "engines" / "engine-1.json").unlink()
    assert drops(tmp_path)("acme/anna", 1, ["e"]) == []


def test_where_there_is_one_machine_alone_who_registered_before_a_reboot_has_ended(tmp_path: Path) -> None:
    with engine_process(tmp_path) as process:
        process.kill()
    rewrite(tmp_path, boot="before")
    drop = BlockDrops(tmp_path, MasterKey.load_or_create(tmp_path / "master.key"), one_machine=True)
    [gone] = drop("acme/anna", 1, ["e"])
    assert gone.done


@contextmanager
def silent_port() -> Iterator[tuple[str, list[socket.socket]]]:
    """Takes connections and never says a word, as a stopped process does: its address, and who came."""
    came: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            while True:
                try:
                    came.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", came
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in came:
        each.close()


def test_a_keeper_that_hangs_is_waited_for_once_and_not_once_for_each_receipt(tmp_path: Path) -> None:
    with silent_port() as (address, came):
        registration = register_engine(tmp_path, "engine-hung", address)
        drop = drops(tmp_path)
        [hung] = drop("acme/anna", 1, ["e"])
        assert (hung.done, "DEADLINE_EXCEEDED" in hung.detail, len(came)) == (False, True, 1)
        for epoch in range(2, 22):
            assert drop("acme/anna", epoch, ["e"]) == [hung]
        assert len(came) == 1
        time.sleep(2.1)
        assert drop("acme/anna", 22, ["e"]) == [hung]
        assert len(came) == 2, "asked again after a while"
        registration.withdraw()


def test_a_store_that_was_stopped_and_goes_on_finishes_the_receipt(world: World) -> None:
    with memory_folder() as memory:
        store = Process(world.folder, memory)
        tell(world, drops(world.folder))
        store.signal(signal.SIGSTOP)
        receipt = forget(world)
        assert "DEADLINE_EXCEEDED" in of(receipt, "kvstore").detail
        store.signal(signal.SIGCONT)
        eventually(lambda: of(stored(world, receipt), "kvstore").done, 20)
        store.kill()


def test_asking_again_writes_nothing_where_nothing_has_changed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.episodic.write.receipts._AGAIN_S", 0.01)
    asked: list[int] = []
    answers = {"kvstore": Dropped("kvstore", False, "did not answer"), "engine": Dropped("engine", False, "busy")}

    def drop(namespace: str, epoch: int, ids: Sequence[str]) -> list[Dropped]:
        asked.append(epoch)
        return list(answers.values())

    tell(world, drop)
    receipt = forget(world)
    before = world.log.end_offset(topics.STATE, 0)
    eventually(lambda: len(asked) > 10)
    assert world.log.end_offset(topics.STATE, 0) == before
    answers["engine"] = Dropped("engine", True, "2 pages")
    eventually(lambda: of(stored(world, receipt), "engine").done)
    assert not of(stored(world, receipt), "kvstore").done


def test_a_new_erasure_goes_before_those_that_are_owed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.episodic.write.receipts._AGAIN_S", 0.5)
    asked: list[int] = []
    in_round, go_on = threading.Event(), threading.Event()

    def drop(namespace: str, epoch: int, ids: Sequence[str]) -> list[Dropped]:
        first_of_a_round = epoch in asked and len(set(asked)) == 3
        asked.append(epoch)
        if first_of_a_round and not in_round.is_set():
            in_round.set()
            assert go_on.wait(20)
        return [Dropped("kvstore", False, "did not answer")]

    world.close()
    world.open(drop_blocks=drop)
    for n in range(4):
        world.observe(f"x{n}", f"{TOLD} {n}")
    world.settle()

    def command(n: int) -> str:
        return world.forgetting.command(NAMESPACE, ForgetSelector(ids=Ids(ids=[f"x{n}"])), f"f{n}", "test")[0]

    for n in range(3):
        assert world.await_receipt(NAMESPACE, command(n), 20) is not None
    assert in_round.wait(20)
    rounds_first = len(asked) - 1
    late = command(3)
    eventually(lambda: not world.host.receipts.unfinished.empty())
    go_on.set()
    assert world.await_receipt(NAMESPACE, late, 20) is not None
    eventually(lambda: len(asked) >= rounds_first + 3)
    owed, new, next_owed = asked[rounds_first : rounds_first + 3]
    assert new == max(asked)
    assert next_owed not in (owed, new), "the round goes on where it was left"


@contextmanager
def engine_of(folder: Path, model: LoadedModel) -> Iterator[LocalEngine]:
    """An engine of this machine, registered, with its port; a sequence whose reader lags 8 tokens pauses."""
    engine = LocalEngine(model, settings(stream_buffer=8))
    engine.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> NodePort:
        port = engine_port(engine, "engine-1", node_signer(MasterKey.load_or_create(folder / "master.key")))
        await port.start("127.0.0.1")
        return port

    port = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    registration = register_engine(folder, "engine-1", f"127.0.0.1:{port.port}")
    try:
        yield engine
    finally:
        asyncio.run_coroutine_threadsafe(port.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        engine.close()
        registration.withdraw()


def test_pages_that_an_answer_uses_are_pending_and_readable_until_it_ends(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = load(tmp_path_factory.mktemp("small"))
    with engine_of(world.folder, model) as engine:
        tell(world, drops(world.folder))
        [slot] = world.forgetting.resolve(NAMESPACE, ForgetSelector(ids=Ids(ids=["x"]))).base
        spans = (Span(0, frozenset({(NAMESPACE, slot.id)})),)
        stream = engine.submit(Request("r", prompt(100), 300, Scope.of(NAMESPACE, {NAMESPACE: 0}), spans))
        eventually(lambda: engine.stats().generated_tokens == 8)  # its reader never comes
        receipt = forget(world)
        pending = of(receipt, "engine-1")
        assert (pending.done, pending.HasField("by")) == (False, False)
        assert pending.detail == "0 pages computed from it overwritten, 7 in use are overwritten when their answers end"
        for _ in range(2):
            [probe] = [p for p in probes(world, receipt) if p.store == "blocks"]
            assert (probe.readable, "7 in use" in probe.detail) == (1, True)
        engine.cancel("r")
        assert [event for event in stream if isinstance(event, Finished)]
        eventually(lambda: of(stored(world, receipt), "engine-1").done, 20)
        assert of(stored(world, receipt), "engine-1").detail == "7 pages computed from it overwritten"
        [probe] = [p for p in probes(world, receipt) if p.store == "blocks"]
        assert probe.readable == 0
