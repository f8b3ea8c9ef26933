"""One replica's engine, wired: model, pool, the node's KV store, and the port on which it hears of erasures."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import torch
from mneme.v1 import engine_node_pb2, kvstore_pb2
from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.engine_node_service_pb2_grpc import EngineNodeServiceStub

from services.common import telemetry
from services.common.crypto.seal import MasterKey
from services.common.ledger.erasures import Erasure
from services.common.nodes.nodes import ENGINES, NodeCredential, Registration, keepers, node_signer, register_engine
from services.common.serving.errors import MnemeError
from services.kvstore.client import KvClient
from services.reasoning import converters, spelled
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.core import identity_of
from services.reasoning.engine.kv_client import KvClientStore, store_identity
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine_node import engine_port
from services.reasoning.models.load import load_model
from services.reasoning.writer import Writer

_STATS_S = 2.0
_LEARN_S = 30.0
# The port has no TLS: workers and episodic memory run on this machine.
_HOST = "127.0.0.1"


class Runtime:
    """From ``start`` to ``close``, in the event loop that serves."""

    def __init__(self, config: ReasoningConfig, data_dir: Path, master: MasterKey, *, store: bool) -> None:
        """``store``: whether this node has a KV store; without, the engine keeps to its own pool."""
        self._config = config
        self._data_dir = data_dir
        self._name = f"engine-{os.getpid()}-{secrets.token_hex(2)}"
        self._nodes = node_signer(master)
        self._credential = NodeCredential(master, self._name)
        self._wants_store = store
        self._kv: KvClient | None = None
        self._registered: Registration | None = None
        self._totals = telemetry.Totals("engine")

    async def start(self, all_erasures: Callable[[], Sequence[Erasure]]) -> Writer:
        """Loads the model, which takes seconds, and what wordings are checked with beside it, and learns what was
        erased: ``all_erasures``, up to its call.

        ModelError for whatever keeps it from running, LogError.
        """
        (self._engine, writer), _ = await asyncio.gather(asyncio.to_thread(self._load), asyncio.to_thread(spelled.load))
        self._port = engine_port(self._engine, self._name, self._nodes)
        await self._port.start(_HOST)
        # Before the first request, so that no erasure misses what it computes; and before ``all_erasures``, so that
        # what is erased from now on is told, and what was before is read.
        self._registered = register_engine(self._data_dir, self._name, f"{_HOST}:{self._port.port}")
        await asyncio.to_thread(self._learn_erasures, all_erasures)
        return writer

    def check_health(self) -> None:
        """EngineDown when the engine's loop has died. Asked every second, and shows the metrics meanwhile."""
        self._engine.check_health()
        stats = converters.to_engine_stats(self._name, self._engine.stats())
        self._totals.show(stats.counts)
        telemetry.QUEUE.labels("engine", "requests").set(stats.waiting)
        for kind in ("pages_free", "pages_cached", "pages_used", "running"):
            telemetry.HELD.labels("engine", kind).set(getattr(stats, kind))

    async def close(self) -> None:
        """Safe to repeat. An engine that does not stop in time stays registered: it ends with its process."""
        if self._registered is not None:
            await self._port.stop()
            if await asyncio.to_thread(self._engine.close):
                # No sooner: while pages are here, whoever erases must find whom to ask.
                self._registered.withdraw()
        if self._kv is not None:
            await asyncio.to_thread(self._kv.close)

    async def kv_stats(self) -> pb.GetKvStatsResponse:
        """Of the store and every engine of this node that answers now."""
        store = await asyncio.to_thread(self._store_stats)
        engines = [k for k in keepers(self._data_dir) if k.kind == ENGINES and not k.gone]
        found = await asyncio.gather(*(self._engine_stats(each.address) for each in engines))
        return pb.GetKvStatsResponse(store=store, engines=[stats for stats in found if stats is not None])

    def _load(self) -> tuple[LocalEngine, Writer]:
        config = self._config
        torch.set_num_threads(config.torch_threads or max(1, (os.cpu_count() or 1) // config.replicas))
        model = load_model(config.model)
        store = None
        if self._wants_store:
            identity = store_identity(identity_of(model, config.engine))
            self._kv = KvClient(self._data_dir, identity, self._credential).start()
            store = KvClientStore(self._kv)
        engine = LocalEngine(model, config.engine, store)
        engine.start()
        eos = model.transformer.config.eos_ids
        writer = Writer(engine, model.tokenizer, model.name, self._name, eos, config.engine.max_context)
        return engine, writer

    def _learn_erasures(self, all_erasures: Callable[[], Sequence[Erasure]]) -> None:
        """A prompt from before an erasure that this engine never heard of is to leave nothing here, either."""
        erased = all_erasures()
        lineage = [(erasure.namespace, id) for erasure in erased for id in erasure.engram_ids]
        epochs: dict[str, int] = {}
        for erasure in erased:
            epochs[erasure.namespace] = max(erasure.epoch, epochs.get(erasure.namespace, 0))
        self._engine.drop(lineage, epochs, timeout_s=_LEARN_S)

    def _store_stats(self) -> pb.KvStoreStats | None:
        if self._kv is None:
            return None
        try:
            stats: kvstore_pb2.StoreStatsResponse = self._kv.stats()
        except MnemeError:
            return None  # the response says so: no store
        return pb.KvStoreStats(
            blocks=stats.blocks,
            used_bytes=stats.used_bytes,
            capacity_bytes=stats.capacity_bytes,
            counts=stats.counts,
            eviction=stats.eviction,
        )

    async def _engine_stats(self, address: str) -> pb.EngineStats | None:
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                answer = await EngineNodeServiceStub(channel).GetEngineStats(
                    engine_node_pb2.GetEngineStatsRequest(), timeout=_STATS_S, metadata=self._credential.metadata()
                )
            except grpc.aio.AioRpcError:
                return None  # it stops just now
            stats: pb.EngineStats = answer.stats
            return stats
