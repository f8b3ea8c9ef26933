"""The Serve deployment of the gateway: a gRPC server inside a replica, and what it stands on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ray import serve

from services.common import telemetry
from services.common.config import Settings
from services.common.crypto.auth import grant_signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger.assignment import Assignments
from services.common.log.base import LogError
from services.common.log.open import open_log
from services.common.serving import ports
from services.common.serving.methods import METHODS, Method
from services.common.serving.serving import deployment_options
from services.common.serving.shards import SHARDED
from services.gateway.backend import Backend, LocalBackend
from services.gateway.config import GatewayConfig
from services.gateway.revocations import Revocations
from services.gateway.routes import Routes
from services.gateway.serve_backend import ServeBackend
from services.gateway.server import GatewayServer
from services.gateway.servicer import application
from services.gateway.sharded import ShardedBackend
from services.gateway.shards import ShardOffice
from services.gateway.tokens import Credentials, TokenOffice

_log = logging.getLogger(__name__)


class Gateway:
    """One door. Its callers come over its own port; Serve only keeps it alive."""

    async def __init__(self, settings: Settings, methods: Mapping[str, Method]) -> None:  # type: ignore[misc]  # Serve awaits it
        common, config = settings.common, settings.section("gateway", GatewayConfig)
        telemetry.configure_from("gateway", common)
        self._config = config
        self._server: GatewayServer | None = None
        master = MasterKey.load(common.master_key_path)
        tokens, grants = token_signer(master), grant_signer(master)
        self._server_log = open_log(common.log_url, common.kafka)
        self._revocations = Revocations(self._server_log)
        await asyncio.to_thread(self._revocations.refresh)
        assignments = Assignments(self._server_log)
        shards = ShardOffice(assignments, settings.shards)
        local = LocalBackend({"gateway": application(TokenOffice(tokens, self._revocations), shards, grants)})
        self._remote = remote = ServeBackend(config.health_timeout_s)
        backends: dict[str, Backend] = {
            spec.app: local if spec.app == "gateway" else remote for spec in methods.values()
        }
        self._following = [asyncio.create_task(self._follow_revocations())]
        if SHARDED in backends:
            await asyncio.to_thread(assignments.refresh)
            routes = Routes(assignments, config.revocation_period_s)
            backends[SHARDED] = sharded = ShardedBackend(remote, routes)
            self._following += [asyncio.create_task(routes.follow()), asyncio.create_task(sharded.follow())]
        self._server = GatewayServer(config, Credentials(tokens, grants, self._revocations), backends, methods)
        if not config.reuse_port:
            # The gateway before this one may still hold it. Whether it is free, the server finds out for itself.
            await asyncio.to_thread(ports.refusal, config.host, config.port)
        await self._server.start()
        _log.info("listening", extra={"port": self._server.port, "seconds": telemetry.since_start_s()})

    async def check_health(self) -> None:
        """Serve asks every second; after three failures it replaces the replica."""
        if self._server is None or any(task.done() for task in self._following):
            raise RuntimeError("the gateway has stopped")
        self._server.require_alive()

    async def __del__(self) -> None:
        if self._server is not None:
            await self._server.stop()
            await self._remote.close()
            for task in self._following:
                task.cancel()
            self._server_log.close()
        telemetry.flush()

    async def _follow_revocations(self) -> None:
        """Refresh for ever. While the log does not answer, what was known stays in force."""
        while True:
            await asyncio.sleep(self._config.revocation_period_s)
            try:
                await asyncio.to_thread(self._revocations.refresh)
            except LogError:
                _log.warning("revocations cannot be read; the known ones stay in force", exc_info=True)


def build(settings: Settings, methods: Mapping[str, Method] = METHODS) -> Any:
    """The Serve application, routing ``methods``. Deploy it with ``route_prefix=None``; it needs no proxy."""
    config = settings.section("gateway", GatewayConfig)
    options = deployment_options(
        settings.common,
        "Gateway",
        replicas=config.replicas,
        stop_s=config.stop_grace_s + 5,
        shares_port=config.reuse_port,
    )
    return serve.deployment(Gateway).options(**options).bind(settings, methods)
