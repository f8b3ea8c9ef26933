"""Keeps a snapshot of the ledger's facts while a service runs, so that its next start reads only what came since."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from mneme.v1.ledger_pb2 import PartitionFacts

from services.common.ledger.snapshot import SnapshotFile, SnapshotRefused

_log = logging.getLogger(__name__)


class Snapshots:
    """Of one process. Not thread-safe."""

    def __init__(
        self,
        file: SnapshotFile,
        *,
        restore: Callable[[Sequence[PartitionFacts]], None],
        positions: Callable[[], Sequence[int]],
        take: Callable[[], Sequence[PartitionFacts]],
    ) -> None:
        """``positions``: how far the ledger is known, by partition; ``take``: a snapshot of at least that."""
        self._file = file
        self._restore = restore
        self._positions = positions
        self._take = take
        self._written: Sequence[int] = ()  # the positions of the newest

    def restore(self) -> None:
        """Begin with the newest snapshot, if it may be used. LogUnavailable."""
        begun = time.monotonic()
        try:
            partitions = self._file.read()
        except SnapshotRefused as refused:
            _log.warning("the snapshot of the ledger's facts is not used", extra={"error": str(refused)})
            return
        self._restore(partitions)
        _log.info("read the snapshot of the ledger's facts", extra={"seconds": round(time.monotonic() - begun, 3)})

    def write(self) -> None:
        """One, unless nothing came since the last. Where it cannot be written the one before stays, and the log says
        so. LogUnavailable."""
        positions = self._positions()
        if positions == self._written:
            return
        try:
            self._file.write(self._take())
            self._written = positions
        except OSError as error:
            remedy = f"{self._file.path}: {error.strerror}. Make room there; the next start reads more of the ledger."
            _log.warning("no snapshot of the ledger's facts was written", extra={"error": remedy})
