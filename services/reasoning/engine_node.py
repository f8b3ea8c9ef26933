"""The engine's port for our own nodes: drops what was erased, and says how the engine is."""

from __future__ import annotations

import asyncio
import concurrent.futures

from google.protobuf.message import Message
from mneme.v1 import engine_node_pb2 as pb

from services.common.crypto.auth import Caller, Signer
from services.common.nodes.node_port import NodePort, Work
from services.common.serving.errors import MnemeError
from services.reasoning import converters
from services.reasoning.blocks import EngramRef, unlisted
from services.reasoning.engine.port import Engine, EngineDown

SERVICE = "mneme.v1.EngineNodeService"
_MAX_RUNNING = 64


class EngineNode:
    """Translates the port's calls to the engine. MnemeError."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    async def drop_pages(self, request: pb.DropPagesRequest, caller: Caller, left_s: float) -> pb.DropPagesResponse:
        lineage: set[EngramRef] = set()
        epochs: dict[str, int] = {}
        for erasure in request.erasures:
            caller.require_namespace(erasure.namespace, "erasures.namespace")
            lineage |= {(erasure.namespace, id) for id in erasure.engram_ids}
            lineage.add(unlisted(erasure.namespace))
            epochs[erasure.namespace] = max(erasure.erasure_epoch, epochs.get(erasure.namespace, 0))
        try:
            # A thread: the engine answers between two steps.
            done = await asyncio.to_thread(self._engine.drop, lineage, epochs, timeout_s=left_s)
        except (TimeoutError, concurrent.futures.TimeoutError) as error:
            raise MnemeError("DEADLINE", "The engine did not get to it.", remedy="Ask again.") from error
        except EngineDown as error:
            raise MnemeError("SERVICE_UNAVAILABLE", "The engine has stopped.", remedy="Ask again.") from error
        return pb.DropPagesResponse(keys=done.keys, pages_wiped=done.pages_wiped, pages_in_use=done.pages_in_use)

    async def get_engine_stats(
        self, request: pb.GetEngineStatsRequest, caller: Caller, left_s: float
    ) -> pb.GetEngineStatsResponse:
        return pb.GetEngineStatsResponse(stats=converters.to_engine_stats(self._name, self._engine.stats()))


def engine_port(engine: Engine, name: str, nodes: Signer) -> NodePort:
    """The port, not yet listening. Make it in the event loop that serves."""
    node = EngineNode(engine, name)
    methods: dict[str, tuple[type[Message], Work]] = {
        "DropPages": (pb.DropPagesRequest, node.drop_pages),
        "GetEngineStats": (pb.GetEngineStatsRequest, node.get_engine_stats),
    }
    return NodePort(SERVICE, methods, nodes, max_running=_MAX_RUNNING)
