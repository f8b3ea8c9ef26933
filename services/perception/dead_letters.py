"""Dead letters: what could not be taken, sealed, with the reason. Kept for a bounded time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.common_pb2 import Observation, Position
from mneme.v1.ledger_pb2 import DeadLetter

from services.common import telemetry
from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.ledger.entries import MAC_OBSERVATION, SEAL_DEAD_LETTER
from services.common.log.base import Log, Message, Record
from services.common.serving.errors import MnemeError

# What a dead letter holds of a record. An observation has a tenth of it; a record can be as large as its topic takes,
# and a letter that encloses it would be larger.
MAX_PAYLOAD_BYTES = 1024 * 1024
# Of what names no namespace that there is.
NAMESPACE = ""


class DeadLetters:
    """Makes dead letters. One that names a namespace has a key of that, which goes with an erasure; all others of one
    process are sealed under one key, made with the first."""

    def __init__(self, keyring: Keyring, clock: Callable[[], datetime], retention_s: int = 604_800) -> None:
        """``retention_s``: how long the topic keeps a letter, and so its key is of use."""
        self._keyring = keyring
        self._clock = clock
        self._retention_s = retention_s
        self._key_id = ""

    def messages(
        self, record: Record, error: MnemeError, *, with_payload: bool = True, of: Observation | None = None
    ) -> list[Message]:
        """What to append, in the transaction that commits past ``record``. Continues the current trace.

        Without the payload for what was erased and is sent again: the refusal is kept, the text must not live on.
        ``of``: what the record holds, where it names a namespace that there is.
        """
        telemetry.RECORDS.labels("perception", "dead_letter").inc()
        at = Timestamp()
        at.FromDatetime(self._clock())
        payload = (record.value or b"") if with_payload else b""
        ours = _in_our_words(error)
        message = str(ours)
        if len(payload) > MAX_PAYLOAD_BYTES:
            message += f" The payload of {len(payload)} bytes is left out: a dead letter holds {MAX_PAYLOAD_BYTES}."
            payload = b""
        namespace = of.namespace if of is not None else NAMESPACE
        key_id, out = self._key(namespace)
        letter = DeadLetter(
            topic=record.topic,
            position=Position(partition=record.partition, offset=record.offset),
            reason=error.reason,
            message=message,
            payload=self._keyring.seal(key_id, payload, namespace=namespace, purpose=SEAL_DEAD_LETTER),
            at=at,
            field=ours.field,
            remedy=ours.remedy,
        )
        if of is not None:
            letter.namespace_pseudonym = self._keyring.pseudonym(namespace)
            letter.id_mac = self._keyring.mac(namespace, MAC_OBSERVATION, of.id)
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        out.append(Message(topics.DEAD_LETTER, source, letter.SerializeToString(), headers=telemetry.to_headers()))
        return out

    def _key(self, namespace: str) -> tuple[str, list[Message]]:
        """A key for one letter, and what to append where it is new."""
        if namespace == NAMESPACE and self._key_id:
            return self._key_id, []
        until = self._clock().timestamp() + self._retention_s if namespace != NAMESPACE else 0.0
        key = self._keyring.new_key(namespace, until)
        if namespace == NAMESPACE:
            self._key_id = key.key_id
        return key.key_id, [key.message]

    def drop_keys(self, log: Log) -> None:
        """Destroy keys of letters that are gone. LogError."""
        for namespace, key_ids in self._keyring.of_no_more_use(self._clock().timestamp()).items():
            log.append(self._keyring.destroy(namespace, key_ids))

    def withdraw(self) -> None:
        """The transaction failed: its key, if it was the first, is in no log."""
        self._key_id = ""


def _in_our_words(error: MnemeError) -> MnemeError:
    """The refusal, which is kept in clear: of the field its own name, not the one a product gave its metadata."""
    field, _, _ = error.field.partition(".")
    return MnemeError(error.reason, error.message, field=field, remedy=error.remedy)
