"""The Serve deployment of reasoning: wires configuration, the way to the gateway, and the servicer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ray import serve

from services.common import telemetry
from services.common.auth import grant_signer
from services.common.config import Settings
from services.common.seal import MasterKey
from services.common.serving import CallContext, actor_options
from services.reasoning.config import ReasoningConfig, door
from services.reasoning.recaller import GrpcRecaller
from services.reasoning.servicer import Reasoning, application


class ReasoningApp:
    """The entry points that the gateway calls, each handed to the ``Application``."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        telemetry.configure_from("reasoning", settings.common)
        grants = grant_signer(MasterKey.load_or_create(settings.common.master_key_path))
        config = settings.section("reasoning", ReasoningConfig)
        self._recaller = GrpcRecaller(door(settings))
        self._application = application(Reasoning(config, self._recaller), grants)

    async def ping(self) -> None:
        await self._application.ping()

    async def stream(self, method: str, request: bytes, context: CallContext) -> AsyncIterator[bytes]:
        async for message in self._application.stream(method, request, context):
            yield message

    async def __del__(self) -> None:
        await self._recaller.close()
        telemetry.flush()


def build(settings: Settings) -> Any:
    """The Serve application. Deploy it with ``route_prefix=None``."""
    config = settings.section("reasoning", ReasoningConfig)
    door(settings)  # an unreadable certificate stops the start here, not in a replica
    deployment = serve.deployment(ReasoningApp).options(
        name="Reasoning",
        num_replicas=config.replicas,
        max_ongoing_requests=config.max_ongoing,
        max_queued_requests=config.max_queued,
        ray_actor_options=actor_options(settings.common),
        health_check_period_s=1,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=config.stop_grace_s,
    )
    return deployment.bind(settings)
