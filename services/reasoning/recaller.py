"""Asks episodic, through the gateway, on behalf of a caller. The one file here that speaks gRPC."""

from __future__ import annotations

from typing import Any, Protocol

import grpc
from google.protobuf.message import Message
from mneme.v1.episodic_pb2 import GetErasureEpochRequest, GetErasureEpochResponse, RecallRequest, RecallResponse
from mneme.v1.episodic_service_pb2_grpc import EpisodicServiceStub

from services.common import telemetry
from services.common.serving.errors import from_rpc_error
from services.common.serving.serving import Call
from services.reasoning.config import Door


class Recaller(Protocol):
    async def recall(self, request: RecallRequest, call: Call) -> RecallResponse:
        """What is recalled for the caller of ``call``, within its deadline. MnemeError."""
        ...

    async def erasure_epoch(self, namespace: str, call: Call) -> int:
        """The namespace's as it is now, for the same caller and within the same deadline. MnemeError."""
        ...


class GrpcRecaller:
    """Recall over one channel to the gateway, with the caller's own grant. Of one event loop."""

    def __init__(self, door: Door) -> None:
        # Large answers: 100 texts of 60,000 bytes.
        options: list[tuple[str, int | str]] = [("grpc.max_receive_message_length", 16 * 1024 * 1024)]
        if door.roots is None:
            self._channel = grpc.aio.insecure_channel(door.address, options=options)
        else:
            options += [("grpc.ssl_target_name_override", door.name)] if door.name else []
            credentials = grpc.ssl_channel_credentials(door.roots)
            self._channel = grpc.aio.secure_channel(door.address, credentials, options=options)
        self._stub = EpisodicServiceStub(self._channel)

    async def recall(self, request: RecallRequest, call: Call) -> RecallResponse:
        response: RecallResponse = await self._asked(self._stub.Recall, request, call)
        return response

    async def erasure_epoch(self, namespace: str, call: Call) -> int:
        request = GetErasureEpochRequest(namespace=namespace)
        response: GetErasureEpochResponse = await self._asked(self._stub.GetErasureEpoch, request, call)
        return int(response.erasure_epoch)

    async def _asked(self, method: Any, request: Message, call: Call) -> Any:
        metadata = [("authorization", f"Bearer {call.grant}"), *telemetry.carrier().items()]
        try:
            return await method(request, timeout=call.time_left_s(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def close(self) -> None:
        await self._channel.close()
