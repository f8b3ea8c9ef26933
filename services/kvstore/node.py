"""One node's store, from files to port: takes the arena, listens, beats, and tells clients where it is."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time

from services.common import telemetry
from services.common.config import CommonConfig
from services.common.crypto.auth import grant_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger.erasures import read_erasures
from services.common.log.base import Log, LogError
from services.common.nodes.nodes import Registration, node_signer
from services.kvstore.arena import Arena, Paths
from services.kvstore.config import KvstoreConfig
from services.kvstore.endpoint import Endpoint
from services.kvstore.erasures import Erasures
from services.kvstore.errors import StartError
from services.kvstore.server import ControlPort
from services.kvstore.servicer import KvstoreServicer
from services.kvstore.store import Store

_log = logging.getLogger(__name__)


class Node:
    """Owns the arena from ``start`` to ``stop``. One event loop."""

    def __init__(self, common: CommonConfig, config: KvstoreConfig, log: Log | None) -> None:
        """``log``: whose ledger to follow for erasures; None where there is no ledger, as in a benchmark."""
        self._common = common
        self._config = config
        self._log = log
        self._arena: Arena | None = None
        self._store: Store | None = None
        self._registration: Registration | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """StartError names the setting that cannot be used; nothing is left behind then."""
        config, common = self._config, self._common
        paths = Paths.of(config.arena_dir, common.data_dir)
        self._arena = Arena(
            paths,
            payload_bytes=config.arena_bytes,
            min_block_bytes=config.min_block_bytes,
            staging_bytes=config.staging_bytes,
            owner_timeout_s=config.owner_timeout_s,
        )
        try:
            self._erasures = Erasures(common.data_dir / "kvstore" / "erasures.db", config.erased_ids)
            self._store = store = Store(config, self._arena, self._erasures, time.monotonic)
            if self._log is not None:
                # Before anybody can put: what was erased while no store was here.
                missed = await asyncio.to_thread(read_erasures, self._log, self._erasures.positions)
                self._erasures.record(missed.erasures, missed.positions)
            master = MasterKey.load_or_create(common.master_key_path)
            self._port = ControlPort(KvstoreServicer(store, config), node_signer(master), grant_signer(master), config)
            await self._port.start()
        except (OSError, sqlite3.Error) as error:
            self._give_back()
            raise StartError(
                f"common.data_dir: {common.data_dir} cannot hold what the KV store keeps ({error}). Name a folder "
                "that this user can write."
            ) from error
        except LogError as error:
            self._give_back()
            raise StartError(
                f"common.log: the ledger's erasures cannot be read ({error}). Start it; `mneme up` makes its topics."
            ) from error
        except StartError:
            self._give_back()
            raise
        self._ticking = asyncio.create_task(self._tick(store))
        self._following = asyncio.create_task(self._follow(store, self._log)) if self._log is not None else None
        header = self._arena.header
        endpoint = Endpoint(
            f"{config.host}:{self._port.port}",
            str(paths.arena),
            str(paths.staging),
            header.arena_id.hex(),
            header.owner_epoch,
        )
        self._registration = endpoint.register(common.data_dir)
        _log.info("listening", extra={"port": self._port.port})

    def require_alive(self) -> None:
        """RuntimeError when a part has died."""
        ended = self._following is not None and self._following.done()
        if self._ticking is None or self._ticking.done() or ended:
            raise RuntimeError("the KV store has stopped")

    async def stop(self) -> None:
        """Readers miss at once; calls in flight get a moment; the memory is overwritten and goes back."""
        if self._ticking is None or self._arena is None:
            return
        self._arena.disown()
        self._ticking.cancel()
        if self._following is not None:
            self._following.cancel()
        await self._port.stop()
        self._give_back()
        self._erasures.close()
        self._ticking = None

    def _give_back(self) -> None:
        if self._store is not None:
            self._store.close()
        if self._registration is not None:  # no sooner: while blocks are here, whoever erases must find whom to ask
            self._registration.withdraw()
        if self._arena is not None:
            self._arena.close()
        self._store = self._registration = self._arena = None

    async def _tick(self, store: Store) -> None:
        totals = telemetry.Totals("kvstore")
        while True:
            store.tick()
            totals.show(store.counts)
            for kind, held in store.stats().items():
                telemetry.HELD.labels("kvstore", kind).set(held)
            await asyncio.sleep(self._config.heartbeat_s)

    async def _follow(self, store: Store, log: Log) -> None:
        """Apply the ledger's erasures for ever. While log or disk fail, what is known stays in force."""
        while True:
            await asyncio.sleep(self._config.ledger_period_s)
            try:
                batch = await asyncio.to_thread(read_erasures, log, dict(self._erasures.positions))
            except LogError:
                _log.warning("the ledger cannot be read for erasures", exc_info=True)
                continue
            try:
                if batch.positions:
                    store.drop(batch.erasures, batch.positions)
            except sqlite3.Error:  # a full disk: the positions stay, so the same erasures are read again
                _log.warning("the ledger's erasures cannot be kept", exc_info=True)
