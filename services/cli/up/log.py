"""The log, before anything runs on it: its topics, and whether its key is there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from mneme.v1.ledger_pb2 import DataKey

from services.cli.up.errors import StartError
from services.cli.up.folder import master_key
from services.common.config import Settings
from services.common.crypto.seal import wrapped_by
from services.common.ledger import topics
from services.common.log.base import Log, LogError, LogUnavailable
from services.common.log.open import open_log

_WAIT_S, _RETRY_S = 300.0, 2.0


def ensure_topics(settings: Settings, progress: Callable[[str], None]) -> None:
    """Make or check every topic. A broker that is away is waited for; StartError when it stays so.

    StartError, too, when the log has data and the master key is missing or another one: nothing of it could be read.
    """
    common = settings.common
    specs = topics.specs(
        common.partitions,
        [inbox.topic for inbox in common.inboxes],
        common.inbox_retention_s,
        common.dead_letter_retention_s,
        common.audit_retention_s,
    )
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            with contextlib.closing(open_log(common.log_url, common.kafka)) as log:
                log.ensure_topics(specs)
                _require_its_key(log, common.master_key_path)
            return
        except LogUnavailable as error:
            if time.monotonic() > deadline:
                raise StartError(f"common.log: {error}") from error
            progress(f"common.log: {error} Trying again")
            time.sleep(_RETRY_S)
        except LogError as error:
            raise StartError(f"common.log: {error}") from error


def _require_its_key(log: Log, path: Path) -> None:
    """StartError when the log has data and the master key is missing, or is another one: nothing could be read."""
    if not path.exists():
        if _has_data(log):
            raise StartError(
                f"common.master_key_file: {path} is missing, but the log has data. "
                "Put the copy back: without it, nothing in the log can be read."
            )
        return
    master = master_key(path)
    for partition in range(log.partitions(topics.KEYS)):
        records = log.read(topics.KEYS, partition)
        keys = (DataKey.FromString(record.value) for record in records if record.value is not None)
        first = next((key for key in keys if not key.name_key_id), None)
        if first is not None and not wrapped_by(master, first):
            raise StartError(
                f"common.master_key_file: {path} is another key than that of the log. Put back the one that belongs to "
                "it: with this one, nothing in the log can be read."
            )


def _has_data(log: Log) -> bool:
    kept = (topics.LEDGER, topics.KEYS)
    return any(log.end_offset(topic, partition) for topic in kept for partition in range(log.partitions(topic)))
