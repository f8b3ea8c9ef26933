"""The Serve deployment of reasoning: wires configuration, the way to the gateway, the engine, and the servicer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from ray import serve

from services.common import telemetry
from services.common.config import Settings
from services.common.crypto.auth import grant_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger.erasures import all_erasures
from services.common.serving.background import all_give_way
from services.common.serving.serving import CallContext, Refused, Waiting, deployment_options
from services.reasoning.config import ReasoningConfig, door
from services.reasoning.recaller import GrpcRecaller

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from services.reasoning.runtime import Runtime


class ReasoningApp:
    """The entry points that the gateway calls, each handed to the ``Application``."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        # Here, so that whoever only starts the service does not wait for it.
        from services.reasoning.servicer import Reasoning, application

        all_give_way()  # an answer takes seconds, and others' recalls, which take hundredths, may not wait for it
        common = settings.common
        telemetry.configure_from("reasoning", common)
        master = MasterKey.load(common.master_key_path)
        config = settings.section("reasoning", ReasoningConfig)
        self._recaller = GrpcRecaller(door(settings))
        self._runtime: Runtime | None = None
        writer = kv_stats = None
        if config.model.configured:
            from services.reasoning.runtime import Runtime  # with torch, which nobody imports who does not compute

            self._runtime = Runtime(config, common.data_dir, master, store=settings.keeps_kv)
            writer = await self._runtime.start(partial(all_erasures, common.log_url, common.kafka))
            kv_stats = self._runtime.kv_stats
        reasoning = Reasoning(config, self._recaller, writer, kv_stats)
        self._application = application(reasoning, grant_signer(master))
        _log.info("answering", extra={"seconds": telemetry.since_start_s()})

    async def check_health(self) -> None:
        """Serve asks every second; after three failures it replaces the replica."""
        if self._runtime is not None:
            self._runtime.check_health()

    async def ping(self) -> None:
        await self._application.ping()

    async def pulse(self) -> AsyncGenerator[bytes, None]:
        async for beat in self._application.pulse():
            yield beat

    async def serve_call(self, entry: str, *args: Any) -> Any:
        return await self._application.serve_call(entry, *args)

    async def serve_stream(
        self, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting | Refused, None]:
        async with aclosing(self._application.serve_stream(method, request, context)) as messages:
            async for message in messages:
                yield message

    async def __del__(self) -> None:
        if self._runtime is not None:
            await self._runtime.close()
        await self._recaller.close()
        telemetry.flush()


def build(settings: Settings) -> Any:
    """The Serve application. Deploy it with ``route_prefix=None``. ModelError when the model is not the one."""
    config = settings.section("reasoning", ReasoningConfig)
    door(settings)  # an unreadable certificate stops the start here, not in a replica
    config.model.check_files()
    options = deployment_options(
        settings.common,
        "Reasoning",
        replicas=config.replicas,
        stop_s=config.stop_grace_s,
        calls=(config.max_ongoing, config.max_queued),
    )
    return serve.deployment(ReasoningApp).options(**options).bind(settings)
