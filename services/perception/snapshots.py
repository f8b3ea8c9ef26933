"""Keeps a snapshot of the ledger's facts, so that the next start reads only what came since."""

from __future__ import annotations

import logging
import time

from services.common.ledger.snapshot import SnapshotFile, SnapshotRefused
from services.perception.ledger_facts import LedgerFacts

_log = logging.getLogger(__name__)


class Snapshots:
    """Of one process. ``write`` is the body of a loop; not thread-safe."""

    def __init__(self, file: SnapshotFile, known: LedgerFacts) -> None:
        self._file = file
        self._known = known
        self._written: dict[int, int] = {}  # positions of the newest

    def restore(self) -> None:
        """Begin with the newest snapshot, if it may be used. LogUnavailable."""
        begun = time.monotonic()
        try:
            partitions = self._file.read()
        except SnapshotRefused as refused:
            _log.warning("the snapshot of the ledger's facts is not used", extra={"error": str(refused)})
            return
        self._known.restore(partitions)
        self._written = self._known.positions
        _log.info("read a snapshot of the ledger's facts", extra={"seconds": round(time.monotonic() - begun, 3)})

    def write(self) -> None:
        """One, unless nothing came since the last. Where it cannot be written the one before stays, and the log says
        so. LogUnavailable."""
        positions = self._known.positions
        if positions == self._written:
            return
        try:
            self._file.write(self._known.snapshot())
            self._written = positions
        except OSError as error:
            remedy = f"{self._file.path}: {error.strerror}. Make room there; the next start reads more of the ledger."
            _log.warning("no snapshot of the ledger's facts was written", extra={"error": remedy})
