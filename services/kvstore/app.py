"""The Serve deployment of the KV store: one replica a node owns that node's arena and control port."""

from __future__ import annotations

import logging
from typing import Any

from ray import serve

from services.common import telemetry
from services.common.config import Settings
from services.common.crypto.seal import MasterKey
from services.common.log.open import open_log
from services.common.serving.serving import deployment_options
from services.kvstore.config import KvstoreConfig
from services.kvstore.node import Node

_log = logging.getLogger(__name__)


class Kvstore:
    """Its callers come over its own port and through shared memory; Serve only keeps it alive."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        telemetry.configure_from("kvstore", settings.common)
        MasterKey.load(settings.common.master_key_path)  # a store alone makes one; here that would replace one
        self._ledger = open_log(settings.common.log_url, settings.common.kafka)
        self._node = Node(settings.common, settings.section("kvstore", KvstoreConfig), self._ledger)
        await self._node.start()
        _log.info("keeping blocks", extra={"seconds": telemetry.since_start_s()})

    async def check_health(self) -> None:
        """Serve asks every second; after three failures it replaces the replica."""
        self._node.require_alive()

    async def __del__(self) -> None:
        await self._node.stop()
        self._ledger.close()
        telemetry.flush()


def build(settings: Settings) -> Any:
    """The Serve application. Deploy it with ``route_prefix=None``; it needs no proxy."""
    config = settings.section("kvstore", KvstoreConfig)
    options = deployment_options(
        settings.common,
        "Kvstore",
        replicas=config.replicas,
        stop_s=5,
    )
    return serve.deployment(Kvstore).options(**options).bind(settings)
