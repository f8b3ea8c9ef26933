"""What a namespace was told, read back from the ledger in pages: what can be told again elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import Told

from services.common.crypto.seal import KeyDestroyed, Tampered
from services.common.ledger import entries as ledger
from services.common.serving.pages import PAGE_BYTES, no_such_page
from services.episodic.write.writer import Host

_PAGE = 500  # entries looked at
_TOKEN = re.compile(r"([0-9]{1,19}):([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Exported:
    told: list[Told]
    next_page_token: str  # "" on the last page
    unreadable: int


class Export:
    """Of the namespaces of one partition."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def page(self, namespace: str, token: str) -> Exported:
        """From ``token`` on, or from the beginning to what is applied now. INVALID_FIELD; LogError.

        A token counts what the namespace alone was told: an offset would tell what others write.
        """
        applied = self._host.progress.snapshot()[self._host.partition]
        offsets = self._host.registry.told_at(namespace, applied)
        start, end = _bounds(token) if token else (0, len(offsets))
        offsets = offsets[start:end]
        told: list[Told] = []
        unreadable = size = 0
        for n, record in enumerate(ledger.records_at(self._host.parts.log, self._host.partition, offsets[:_PAGE])):
            if size > PAGE_BYTES:
                return Exported(told, f"{start + n}:{end}", unreadable)
            entry = ledger.entry_of(record)
            if entry is None or entry.namespace != namespace:
                continue
            try:
                one = self._told(entry)
            except KeyDestroyed:
                continue
            except (Tampered, DecodeError):
                unreadable += 1
                continue
            if one is not None:
                told.append(one)
                size += one.ByteSize()
        return Exported(told, f"{start + _PAGE}:{end}" if len(offsets) > _PAGE else "", unreadable)

    def _told(self, entry: pb.LedgerEntry) -> Told | None:
        """None of what is erased, or holds nothing of a caller's. KeyDestroyed, Tampered, DecodeError."""
        for sealed, purpose, id_mac in ledger.seals_in(entry):
            if not id_mac or self._host.registry.is_erased_mac(entry.namespace, id_mac):
                continue
            one = Told(told_at=entry.ingested_at)
            _ADD[purpose](one, self._host.parts.keyring.open(sealed, namespace=entry.namespace, purpose=purpose))
            return one
        return None


def _observation(one: Told, plain: bytes) -> None:
    one.observation.CopyFrom(pb.PerceivedObservation.FromString(plain).observation)


# By what is sealed.
_ADD: dict[str, Callable[[Told, bytes], object]] = {
    ledger.SEAL_OBSERVATION: _observation,
    ledger.SEAL_REMEMBER: lambda one, plain: one.remember.MergeFromString(plain),
    ledger.SEAL_CORRECT: lambda one, plain: one.correct.MergeFromString(plain),
}


def _bounds(token: str) -> tuple[int, int]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise no_such_page()
    return int(found[1]), int(found[2])
