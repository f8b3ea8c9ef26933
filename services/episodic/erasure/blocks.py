"""Erasures to the keepers of KV blocks on this machine: the KV store, and every engine with its pool.

Blocks of the erased cannot be addressed any more once the namespace's epoch has risen; this makes their bytes go, and
counts them. A keeper whose process has ended took its own memory with it; the store's files outlive their owner, whose
successor overwrites them, and reads the erasure from the ledger before it serves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from mneme.v1 import engine_node_pb2, kvstore_pb2
from mneme.v1.engine_node_service_pb2_grpc import EngineNodeServiceStub
from mneme.v1.kvstore_node_service_pb2_grpc import KvstoreNodeServiceStub

from services.common import telemetry
from services.common.crypto.seal import MasterKey
from services.common.nodes.nodes import KVSTORE, Keeper, NodeCredential, keepers
from services.episodic.write.components import Dropped

_AT_ONCE = 8


class BlockDrops:
    """Tells every keeper, each within ``timeout_s``. One that used all of it up is not called again for as long, so
    that a process that hangs takes no more than half of the time of whoever erases, however many erasures wait.
    """

    def __init__(self, data_dir: Path, master: MasterKey, timeout_s: float = 5.0, *, one_machine: bool = False) -> None:
        """``one_machine``: no keeper can run on another one."""
        self._data_dir = data_dir
        self._one_machine = one_machine
        self._credential = NodeCredential(master, "episodic")
        self._timeout_s = timeout_s
        self._hung: dict[tuple[str, int], float] = {}  # (address, pid): not called until then

    def __call__(self, namespace: str, epoch: int, engram_ids: Sequence[str]) -> list[Dropped]:
        """One entry for each keeper that is registered. Safe to repeat."""
        erasure = kvstore_pb2.Erasure(namespace=namespace, erasure_epoch=epoch, engram_ids=engram_ids)
        metadata = (*self._credential.metadata(), *telemetry.carrier().items())
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="drop") as threads:
            registered = keepers(self._data_dir, one_machine=self._one_machine)
            return list(threads.map(lambda each: self._drop(each, erasure, metadata), registered))

    def _drop(self, keeper: Keeper, erasure: kvstore_pb2.Erasure, metadata: Sequence[tuple[str, str]]) -> Dropped:
        if keeper.gone:
            if keeper.kind != KVSTORE:  # a store's successor may have written the same file just now
                keeper.path.unlink(missing_ok=True)
            return Dropped(keeper.name, True, "its process is gone, and what it held with it")
        if keeper.running is False:
            return Dropped(keeper.name, False, _left_behind(keeper))
        if keeper.running is None:  # its address may be another's by now, or another's here
            return Dropped(keeper.name, False, _elsewhere(keeper))
        if time.monotonic() < self._hung.get((keeper.address, keeper.pid), 0.0):
            return _silent(keeper, grpc.StatusCode.DEADLINE_EXCEEDED)
        drop = self._drop_blocks if keeper.kind == KVSTORE else self._drop_pages
        try:
            with grpc.insecure_channel(keeper.address) as channel:
                done, detail = drop(channel, erasure, metadata)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._hung[keeper.address, keeper.pid] = time.monotonic() + self._timeout_s
            return _silent(keeper, error.code())
        self._hung.pop((keeper.address, keeper.pid), None)
        return Dropped(keeper.name, done, detail)

    def _drop_blocks(
        self, channel: grpc.Channel, erasure: kvstore_pb2.Erasure, metadata: Sequence[tuple[str, str]]
    ) -> tuple[bool, str]:
        request = kvstore_pb2.DropBlocksRequest(erasures=[erasure])
        gone = KvstoreNodeServiceStub(channel).DropBlocks(request, timeout=self._timeout_s, metadata=metadata)
        return True, (
            f"{gone.named_blocks} blocks computed from it and {gone.unreachable_blocks} that no key finds any more "
            f"overwritten, {gone.overwritten_bytes} bytes"
        )

    def _drop_pages(
        self, channel: grpc.Channel, erasure: kvstore_pb2.Erasure, metadata: Sequence[tuple[str, str]]
    ) -> tuple[bool, str]:
        request = engine_node_pb2.DropPagesRequest(erasures=[erasure])
        gone = EngineNodeServiceStub(channel).DropPages(request, timeout=self._timeout_s, metadata=metadata)
        in_use = f", {gone.pages_in_use} in use are overwritten when their answers end" if gone.pages_in_use else ""
        return not gone.pages_in_use, f"{gone.pages_wiped} pages computed from it overwritten{in_use}"


def _silent(keeper: Keeper, code: grpc.StatusCode) -> Dropped:
    return Dropped(keeper.name, False, f"did not answer ({code.name}); it is asked again until it does")


def _elsewhere(keeper: Keeper) -> str:
    return (
        "it registered on another machine, or on this one before it was started anew, so that it may run and hold "
        f"blocks: once it is known to have ended, remove {keeper.path}"
    )


def _left_behind(keeper: Keeper) -> str:
    files = " and ".join(str(path) for path in keeper.left)
    return (
        f"its process has ended and left {files}, which may hold blocks: start it again (kvstore.replicas: 1), and it "
        "overwrites them; or remove them and restart what reads them"
    )
