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
from services.common.ledger.assignment import Assignments
from services.common.log.base import LogError
from services.common.log.open import open_log
from services.common.serving.errors import MnemeError
from services.common.serving.serving import Application, deployment_options
from services.common.serving.shards import application_of
from services.episodic.config import EpisodicConfig

_log = logging.getLogger(__name__)


class EpisodicApp(Application):
    """The one replica of a shard: it writes the partitions of the ledger that the log assigns it, each in order."""

    def __init__(self, settings: Settings, shard: int, since: int) -> None:
        """``since``: the offset of an assignment of partitions; that one counts, or a later one."""
        # Here, so that whoever only starts the service does not wait for the index and the models.
        from services.episodic.service import Episodic
        from services.episodic.servicer import Servicer

        common, config = settings.common, settings.section("episodic", EpisodicConfig)
        telemetry.configure_from(application_of(shard), common)
        master = MasterKey.load(common.master_key_path)
        self._log = open_log(common.log_url, common.kafka)
        self._shard, self._assignments = shard, Assignments(self._log)
        owned = self._assignments.refreshed(since).held_by(shard)
        self._episodic = Episodic(self._log, master, common, config, owned)
        self._servicer = Servicer(self._episodic)
        super().__init__("episodic", grant_signer(master), self._servicer.handlers())
        self._episodic.start()
        _log.info("remembering", extra={"count": len(owned), "seconds": telemetry.since_start_s()})

    async def hold(self, since: int) -> list[int]:
        """Hold what the assignment that was written at the offset ``since``, or a later one, says; what is held then.

        Once it returns, nothing is open here of any other partition. SERVICE_UNAVAILABLE: asked again, it goes on.
        """
        from services.episodic.search.index import IndexUnavailable
        from services.episodic.service import StillRunning

        try:
            return await self._servicer.holding.hold(lambda: self._assignments.refreshed(since).held_by(self._shard))
        except (StillRunning, LogError, IndexUnavailable) as error:
            raise MnemeError("SERVICE_UNAVAILABLE", str(error), remedy="Ask again.") from error

    async def check_health(self) -> None:
        """Serve asks every second; after three failures it replaces the replica."""
        self._episodic.require_alive()

    async def __del__(self) -> None:
        await asyncio.to_thread(self._episodic.stop)
        self._servicer.stop()
        self._log.close()
        telemetry.flush()


def build(settings: Settings, shard: int = 0, since: int = -1) -> Any:
    """The Serve application of a shard. Deploy it with ``route_prefix=None``; the gateway calls its handle.

    ``since``: as ``EpisodicApp`` has it.
    """
    config = settings.section("episodic", EpisodicConfig)
    options = deployment_options(
        settings.common,
        "Episodic",
        replicas=1,
        stop_s=config.stop_grace_s + 5,
        calls=(config.max_ongoing, config.max_queued),
    )
    return serve.deployment(EpisodicApp).options(**options).bind(settings, shard, since)
