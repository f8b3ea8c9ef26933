"""The file of a snapshot of the ledger's facts: a start reads it, and then only what the ledger holds since.

A snapshot is never needed. One that is damaged, of another format, of another ledger or of more than the ledger holds
is refused, with the reason, and the whole ledger is read instead; the next one takes its place. It holds keyed hashes,
offsets, and alias groups sealed as they are in the ledger: where an erasure destroyed their key they cannot be opened
from here either. What was erased since is in the ledger after its position.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from mneme.v1.ledger_pb2 import FactsSnapshot, PartitionFacts

from services.common.crypto.seal import MAC_BYTES, Keyring
from services.common.files import private_part, try_lock
from services.common.ledger import topics
from services.common.ledger.entries import entry_of
from services.common.log.base import Log, Record

_MAGIC = b"mneme-facts "
_FORMAT = 3  # 2 does not tell how much a namespace holds
_LENGTH_BYTES = 8
_REMEDY = "The whole ledger is read instead, and the next snapshot takes its place."


class SnapshotRefused(Exception):
    """A snapshot that may not be used. The message names the file, the field and the remedy."""


class SnapshotFile:
    """One service's own. Not thread-safe; several processes may share it."""

    def __init__(self, path: Path, log: Log, keyring: Keyring, partitions: Sequence[int]) -> None:
        """``partitions``: of the ledger, that it is of."""
        self.path = path
        self._partitions = list(partitions)
        self._log = log
        self._keyring = keyring

    def read(self) -> Sequence[PartitionFacts]:
        """One for each partition; [] where there is none. SnapshotRefused, LogUnavailable."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._refused("file", f"it cannot be read ({error.strerror})") from error
        partitions = self._decoded(raw).partitions
        if (theirs := [facts.partition for facts in partitions]) != self._partitions:
            raise self._refused("partitions", f"it is of {theirs}, and of {self._partitions} it is read here")
        for facts in partitions:
            self._require_of_this_ledger(facts)
        return partitions

    def write(self, partitions: Sequence[PartitionFacts]) -> None:
        """Durably, in place of the one before; that stays when this fails. Does nothing while another process writes.

        OSError, LogUnavailable.
        """
        for facts in partitions:
            facts.last_mac = self._last_mac(facts)
        body = FactsSnapshot(partitions=partitions).SerializeToString()
        content = b"%s%d\n%s%s%s" % (_MAGIC, _FORMAT, len(body).to_bytes(_LENGTH_BYTES, "big"), self._mac(body), body)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(lock):
                return
            for left in self.path.parent.glob(f"{self.path.name}.*.part"):
                left.unlink()  # of a process that was killed while it wrote
            with private_part(self.path, content) as part:
                os.replace(part, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            os.close(lock)

    def _last_mac(self, facts: PartitionFacts) -> bytes:
        """A keyed hash of the last entry that is known; b"" where none is. LogUnavailable."""
        next = facts.next
        for record in self._log.read(topics.LEDGER, facts.partition, next - 1, next) if next else ():
            return self._keyring.mac("", "ledger-entry", _without_name(record))
        return b""

    def _decoded(self, raw: bytes) -> FactsSnapshot:
        first, _, rest = raw.partition(b"\n")
        if not first.startswith(_MAGIC):
            raise self._refused("format", "it is no snapshot of facts")
        if first != b"%s%d" % (_MAGIC, _FORMAT):
            theirs = first.removeprefix(_MAGIC)[:20].decode(errors="replace")
            raise self._refused("format", f"it is of format {theirs}, and {_FORMAT} is read here")
        start = _LENGTH_BYTES + MAC_BYTES
        body, length = rest[start:], int.from_bytes(rest[:_LENGTH_BYTES], "big")
        if len(rest) < start or len(body) != length:
            raise self._refused("length", f"it holds {len(body)} bytes of {length}")
        if rest[_LENGTH_BYTES:start] != self._mac(body):
            raise self._refused("checksum", "it is damaged, or was made with another master key")
        try:
            return FactsSnapshot.FromString(body)
        except DecodeError as error:
            raise self._refused("body", "it cannot be decoded") from error

    def _require_of_this_ledger(self, facts: PartitionFacts) -> None:
        partition = facts.partition
        end = self._log.end_offset(topics.LEDGER, partition)
        if facts.next > end:
            what = f"it knows partition {partition} up to offset {facts.next}, and the ledger ends at {end}"
            raise self._refused("next", what)
        if facts.last_mac != self._last_mac(facts):
            what = f"it is of another ledger, by the entry before offset {facts.next} of partition {partition}"
            raise self._refused("last_mac", what)

    def _mac(self, body: bytes) -> bytes:
        return self._keyring.mac("", "facts-snapshot", body)

    def _refused(self, field: str, what: str) -> SnapshotRefused:
        return SnapshotRefused(f"{self.path}: {field}: {what}. {_REMEDY}")


def _without_name(record: Record) -> bytes:
    """What stays of an entry however its namespace reads."""
    entry = entry_of(record)
    if entry is None:
        return record.value or b""
    entry.ClearField("namespace")
    entry.ClearField("pseudonym")
    return entry.SerializeToString(deterministic=True)
