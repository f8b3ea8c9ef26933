"""Dead letters: what could not be taken, sealed, with the reason. Kept for a bounded time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.common_pb2 import Position
from mneme.v1.ledger_pb2 import DeadLetter

from services.common import telemetry
from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.ledger.entries import SEAL_DEAD_LETTER
from services.common.log.base import Message, Record
from services.common.serving.errors import MnemeError

# What a dead letter holds of a record. An observation has a tenth of it; a record can be as large as its topic takes,
# and a letter that encloses it would be larger.
MAX_PAYLOAD_BYTES = 1024 * 1024
# Dead letters belong to no namespace: what they hold was not accepted into any.
NAMESPACE = ""


class DeadLetters:
    """Makes dead letters. All of one process are sealed under one key, made with the first."""

    def __init__(self, keyring: Keyring, clock: Callable[[], datetime]) -> None:
        self._keyring = keyring
        self._clock = clock
        self._key_id = ""

    def messages(self, record: Record, error: MnemeError, *, with_payload: bool = True) -> list[Message]:
        """What to append, in the transaction that commits past ``record``. Continues the current trace.

        Without the payload for what was erased and is sent again: the refusal is kept, the text must not live on.
        """
        telemetry.RECORDS.labels("perception", "dead_letter").inc()
        out: list[Message] = []
        if not self._key_id:
            key = self._keyring.new_key(NAMESPACE)
            out.append(key.message)
            self._key_id = key.key_id
        at = Timestamp()
        at.FromDatetime(self._clock())
        payload = (record.value or b"") if with_payload else b""
        ours = _in_our_words(error)
        message = str(ours)
        if len(payload) > MAX_PAYLOAD_BYTES:
            message += f" The payload of {len(payload)} bytes is left out: a dead letter holds {MAX_PAYLOAD_BYTES}."
            payload = b""
        letter = DeadLetter(
            topic=record.topic,
            position=Position(partition=record.partition, offset=record.offset),
            reason=error.reason,
            message=message,
            payload=self._keyring.seal(self._key_id, payload, namespace=NAMESPACE, purpose=SEAL_DEAD_LETTER),
            at=at,
            field=ours.field,
            remedy=ours.remedy,
        )
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        out.append(Message(topics.DEAD_LETTER, source, letter.SerializeToString(), headers=telemetry.to_headers()))
        return out

    def withdraw(self) -> None:
        """The transaction failed: its key, if it was the first, is in no log."""
        self._key_id = ""


def _in_our_words(error: MnemeError) -> MnemeError:
    """The refusal, which is kept in clear: of the field its own name, not the one a product gave its metadata."""
    field, _, _ = error.field.partition(".")
    return MnemeError(error.reason, error.message, field=field, remedy=error.remedy)
