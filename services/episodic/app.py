"""The Serve deployment of episodic."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray import serve

from services.common import telemetry
from services.common.config import Settings
from services.common.crypto.auth import grant_signer
from services.common.crypto.seal import MasterKey
from services.common.log.open import open_log
from services.common.serving.serving import Application, deployment_options
from services.episodic.config import EpisodicConfig

_log = logging.getLogger(__name__)


class EpisodicApp(Application):
    """The one replica of a shard: it writes the shard's partitions of the ledger, each in order."""

    def __init__(self, settings: Settings, shard: int) -> None:
        # Here, so that whoever only starts the service does not wait for the index and the models.
        from services.episodic.service import Episodic
        from services.episodic.servicer import Servicer

        common, config, shards = settings.common, settings.section("episodic", EpisodicConfig), settings.shards
        telemetry.configure_from(shards.applications[shard], common)
        master = MasterKey.load(common.master_key_path)
        self._log = open_log(common.log_url, common.kafka)
        self._episodic = Episodic(self._log, master, common, config, shards.owned(shard))
        self._servicer = Servicer(self._episodic)
        super().__init__("episodic", grant_signer(master), self._servicer.handlers())
        self._episodic.start()
        partitions = len(self._episodic.partitions)
        _log.info("remembering", extra={"count": partitions, "seconds": telemetry.since_start_s()})

    async def check_health(self) -> None:
        """Serve asks every second; after three failures it replaces the replica."""
        self._episodic.require_alive()

    async def __del__(self) -> None:
        await asyncio.to_thread(self._episodic.stop)
        self._servicer.stop()
        self._log.close()
        telemetry.flush()


def build(settings: Settings, shard: int = 0) -> Any:
    """The Serve application of a shard. Deploy it with ``route_prefix=None``; the gateway calls its handle."""
    config = settings.section("episodic", EpisodicConfig)
    options = deployment_options(
        settings.common,
        "Episodic",
        replicas=1,
        stop_s=config.stop_grace_s + 5,
        calls=(config.max_ongoing, config.max_queued),
    )
    return serve.deployment(EpisodicApp).options(**options).bind(settings, shard)
