"""What the tests of those who follow the ledger tell it."""

from __future__ import annotations

from mneme.v1.ledger_pb2 import Erased, LedgerEntry

from services.common.ledger.entries import message
from services.common.log.sqlite import SqliteLog


def append_erasure(log: SqliteLog, namespace: str, epoch: int, *engram_ids: str) -> None:
    erased = Erased(receipt_id="r", engram_ids=engram_ids, erasure_epoch=epoch)
    log.append([message(LedgerEntry(namespace=namespace, erased=erased))])
