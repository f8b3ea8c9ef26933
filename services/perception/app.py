"""The Serve deployment of perception."""

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
from services.perception.config import PerceptionConfig

_log = logging.getLogger(__name__)


class PerceptionApp(Application):
    """One replica: the calls of the application, and the loops over inbox and ledger."""

    def __init__(self, settings: Settings) -> None:
        # Here, so that whoever only starts the service does not wait for it.
        from services.perception.service import Perception
        from services.perception.servicer import Servicer

        common, config = settings.common, settings.section("perception", PerceptionConfig)
        telemetry.configure_from("perception", common)
        master = MasterKey.load(common.master_key_path)
        self._log = open_log(common.log_url, common.kafka)
        self._perception = Perception(self._log, master, common, config)
        servicer = Servicer(self._perception.intake, self._perception.refused)
        super().__init__("perception", grant_signer(master), servicer.handlers())
        self._perception.start()
        _log.info("perceiving", extra={"count": len(common.inboxes), "seconds": telemetry.since_start_s()})

    async def check_health(self) -> None:
        """Serve asks every second; after three failures it replaces the replica."""
        self._perception.require_alive()

    async def __del__(self) -> None:
        await asyncio.to_thread(self._perception.stop)
        self._log.close()
        telemetry.flush()


def build(settings: Settings) -> Any:
    """The Serve application. Deploy it with ``route_prefix=None``; the gateway calls its handle."""
    config = settings.section("perception", PerceptionConfig)
    options = deployment_options(
        settings.common,
        "Perception",
        replicas=config.replicas,
        stop_s=2 * config.stop_grace_s + 5,
        calls=(config.max_ongoing, config.max_queued),
    )
    return serve.deployment(PerceptionApp).options(**options).bind(settings)
