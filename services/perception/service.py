"""Perception, wired: what one process runs, without a transport."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from services.common import telemetry
from services.common.config import CommonConfig
from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import topics
from services.common.log.base import Log, LogError
from services.common.models import packages as models
from services.common.serving.loop import Loop
from services.common.text import tagger
from services.common.text.extract import Extractor
from services.perception.config import PerceptionConfig
from services.perception.dead_letters import DeadLetters
from services.perception.intake.accept import Intake
from services.perception.intake.inbox import InboxConsumer
from services.perception.ledger_facts import LedgerFacts
from services.perception.refused import RefusedRecords
from services.perception.sessions import segmentation
from services.perception.sessions.segment import Embed, Limits, Segmenter
from services.perception.sessions.segmentation.base import Vector

if TYPE_CHECKING:
    from services.common.models.embed import Embedder


_SIZE_PERIOD_S = 10.0


class Perception:
    """Everything perception does in one process. Made, started and stopped once."""

    def __init__(self, log: Log, master: MasterKey, common: CommonConfig, config: PerceptionConfig) -> None:
        """Before it returns it reads a snapshot and what the ledger holds since, or the whole ledger, and checks the
        models' digests. LogError, ModelError."""
        keyring = Keyring(log, master)
        known = LedgerFacts(log, keyring)
        self._snapshots = known.kept_in(common.data_dir / "perception" / "facts.snapshot")
        self._snapshots.restore()
        known.catch_up()
        extractor = Extractor(
            package=config.ner_package,
            weights=config.ner_weights,
            sha256=config.ner_sha256,
            setting="perception.ner_sha256",
        )
        extractor.load()
        tagger.load()
        self._log, self._grace_s = log, config.stop_grace_s
        self.intake = Intake(log, keyring, known, extractor, _now, max_ahead_s=config.max_ahead_s)
        self._inbox = InboxConsumer(
            log,
            self.intake,
            DeadLetters(keyring, _now, common.dead_letter_retention_s),
            common.inboxes,
            batch=config.batch,
            trim_period_s=config.trim_period_s,
            unknown_namespace_wait_s=config.unknown_namespace_wait_s,
        )
        self.refused = RefusedRecords(log, keyring, self.intake, common.inboxes)
        plugin = segmentation.build(config)
        self._segmenter = Segmenter(
            log,
            keyring,
            known,
            plugin,
            _embedder(config, common.torch_threads) if plugin.needs_vectors else _no_vectors,
            limits(config),
            _now,
            DeadLetters(keyring, _now),
            batch=config.batch,
        )
        self._loops = [
            Loop("perception.segment", self._segmenter.step),
            Loop("perception.snapshot", self._snapshots.write, config.snapshot_period_s),
            Loop("perception.size", self._tell_size, _SIZE_PERIOD_S),
        ]
        if common.inboxes:
            self._loops.append(Loop("perception.inbox", self._inbox.step))

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    def _tell_size(self) -> None:
        """Of the ledger, by the one replica that has its first partition: what replicas tell adds up. LogError."""
        size = self._log.stored_bytes(topics.LEDGER) if self._segmenter.has(0) else None
        if size is None:
            telemetry.LEDGER_BYTES.clear()
        else:
            telemetry.LEDGER_BYTES.labels(topics.LEDGER).set(size)

    def require_alive(self) -> None:
        """LoopDied when one of the loops has ended by itself."""
        for loop in self._loops:
            loop.require_alive()

    def stop(self) -> None:
        """Let the batches in hand be committed, and leave the groups, so that others take over at once."""
        ended = [loop.stop(self._grace_s) for loop in self._loops]
        if all(ended):
            self._segmenter.close()
            self._inbox.close()
            with suppress(LogError):  # then the one before stays
                self._snapshots.write()


def limits(config: PerceptionConfig) -> Limits:
    return Limits(
        max_units=config.episode_max_units,
        max_span=timedelta(seconds=config.episode_max_span_s),
        idle=timedelta(seconds=config.episode_idle_s),
    )


def _embedder(config: PerceptionConfig, threads: int) -> Embed:
    """The packaged embedder, its digest checked now and torch imported when the first vector is asked for."""
    setting = "perception.embed_sha256"
    models.verify(models.locate(config.embed_package) / "model" / "model.safetensors", config.embed_sha256, setting)

    @cache
    def loaded() -> Embedder:
        from services.common.models.embed import Embedder

        return Embedder.packaged(
            threads=threads, package=config.embed_package, sha256=config.embed_sha256, setting=setting
        )

    return lambda texts: list(loaded().embed(texts))


def _no_vectors(texts: Sequence[str]) -> Sequence[Vector]:
    raise AssertionError("the segmentation plug-in needs no vectors")


def _now() -> datetime:
    return datetime.now(UTC)
