"""Dead letters: what could not be taken, sealed, with the reason. Kept for a bounded time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.common_pb2 import Observation, Position
from mneme.v1.ledger_pb2 import DeadLetter

from services.common import telemetry
from services.common.crypto.seal import Keyring, destroying
from services.common.ledger import topics
from services.common.ledger.entries import MAC_OBSERVATION, SEAL_DEAD_LETTER
from services.common.ledger.quota import EXCEEDED
from services.common.log.base import Log, Message, Record
from services.common.serving.errors import MnemeError

# What a dead letter holds of a record. An observation has a tenth of it; a record can be as large as its topic takes,
# and a letter that encloses it would be larger.
MAX_PAYLOAD_BYTES = 1024 * 1024
# Of what names none, or one that its inbox may not write to.
NAMESPACE = ""
CONTENT_TYPE = "content-type"  # header of a record
_MAX_CONTENT_TYPE = 200


class DeadLetters:
    """Makes dead letters, each under a key of its own. Where it names a namespace, be it one that is created later, the
    key is one of that namespace's, which goes with an erasure."""

    def __init__(self, keyring: Keyring, clock: Callable[[], datetime], retention_s: int = 604_800) -> None:
        """``retention_s``: how long the topic keeps a letter, and so its key is of use."""
        self._keyring = keyring
        self._clock = clock
        self._retention_s = retention_s
        self._made: list[str] = []  # keys of letters that are not known to be in the log

    def messages(
        self, record: Record, error: MnemeError, *, with_payload: bool = True, of: Observation | None = None
    ) -> list[Message]:
        """What to append, in the transaction that commits past ``record``. Continues the current trace.

        Without the payload for what was erased and is sent again: the refusal is kept, the text must not live on.
        ``of``: what the record holds, where it names a namespace that its inbox may write to.
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
        key = self._keyring.new_key(namespace, self._clock().timestamp() + self._retention_s)
        self._made.append(key.key_id)
        letter = DeadLetter(
            topic=record.topic,
            position=Position(partition=record.partition, offset=record.offset),
            reason=error.reason,
            message=message,
            payload=self._keyring.seal(key.key_id, payload, namespace=namespace, purpose=SEAL_DEAD_LETTER),
            at=at,
            field=ours.field,
            remedy=ours.remedy,
            content_type=record.headers.get(CONTENT_TYPE, b"").decode(errors="replace")[:_MAX_CONTENT_TYPE],
        )
        if of is not None:
            letter.namespace_pseudonym = self._keyring.pseudonym(namespace)
            letter.id_mac = self._keyring.mac(namespace, MAC_OBSERVATION, of.id)
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        made = Message(topics.DEAD_LETTER, source, letter.SerializeToString(), headers=telemetry.to_headers())
        return [key.message, made]

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Around the transaction that all letters made so far go into: a failed one leaves no key of theirs here."""
        try:
            yield
        except BaseException as error:
            self._keyring.withdraw(self._made, error)
            raise
        finally:
            self._made.clear()

    def drop_keys(self, log: Log) -> None:
        """Destroy keys of letters that are gone. LogError."""
        for namespace, key_ids in self._keyring.of_no_more_use(self._clock().timestamp()).items():
            log.append(destroying(namespace, key_ids))


def _in_our_words(error: MnemeError) -> MnemeError:
    """The refusal, which is kept in clear: of the field its own name, not the one a product gave its metadata."""
    field = error.field if error.reason == EXCEEDED else error.field.partition(".")[0]
    return MnemeError(error.reason, error.message, field=field, remedy=error.remedy)
