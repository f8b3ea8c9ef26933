"""From the inbox topics into the ledger: one transaction takes records, appends entries and commits offsets.

What cannot be taken becomes a dead letter in the same transaction and the partition goes on. Products are not
trusted: which namespaces a topic may write, and who writes there, is configuration, never what a record says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from mneme.v1.common_pb2 import Observation

from services.common import telemetry
from services.common.config import Inbox
from services.common.crypto.auth import Caller, Right
from services.common.ids import is_namespace
from services.common.log.away import too_large
from services.common.log.base import (
    BETWEEN_POLLS_S,
    Consumer,
    Log,
    LogError,
    LogUnavailable,
    Message,
    MessageTooLarge,
    Record,
    TopicPartition,
)
from services.common.serving import wire_json
from services.common.serving.errors import MnemeError, internal, invalid
from services.perception.dead_letters import CONTENT_TYPE, DeadLetters
from services.perception.intake.accept import Intake
from services.perception.intake.decision import Examined, outcome_name
from services.perception.intake.held import Held

GROUP = "perception-inbox"
BINARY = b"application/x-protobuf"
JSON = b"application/json"
_LOOK_PERIOD_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Refused:
    """What becomes a dead letter, and the observation where the record is one."""

    record: Record
    error: MnemeError
    observation: Observation | None


@dataclass(slots=True)
class _Batch:
    """Records of one transaction: what passed the examination, and what is refused already."""

    examined: list[tuple[Record, Examined]] = field(default_factory=list)
    refused: list[_Refused] = field(default_factory=list)

    @property
    def namespaces(self) -> set[str]:
        """Those that its observations name, refused ones too."""
        refused = {r.observation.namespace for r in self.refused if r.observation is not None}
        return refused.union(e.observation.namespace for _, e in self.examined)


class InboxConsumer:
    """Takes what products wrote. ``step`` is the body of a loop; not thread-safe."""

    def __init__(
        self,
        log: Log,
        intake: Intake,
        dead_letters: DeadLetters,
        inboxes: Sequence[Inbox],
        *,
        batch: int = 64,
        poll_s: float = 0.2,
        trim_period_s: float = 30.0,
        unknown_namespace_wait_s: float = 0.0,
    ) -> None:
        """``unknown_namespace_wait_s``: how long a record waits for its namespace to be created."""
        self._log = log
        self._intake = intake
        self._dead_letters = dead_letters
        self._callers = {i.topic: caller_of(i) for i in inboxes}
        self._batch = batch
        self._poll_s = poll_s
        self._trim_period_s = trim_period_s
        self._consumer: Consumer | None = None
        self._held = Held(unknown_namespace_wait_s)
        self._reached: dict[TopicPartition, int] = {}  # the offset behind what was read
        self._trimmed_at = time.monotonic()
        self._looked_at = 0.0
        # The erasures whose bytes were seen to, in these partitions. At a start, none: nobody knows what was erased
        # since somebody last did.
        self._scrubbed: tuple[int, frozenset[TopicPartition]] = (0, frozenset())
        self._scrub_after = 0.0

    def step(self) -> None:
        """Take one batch, or wait a little for one. When it fails, nothing was committed and the next step starts
        from the committed offsets. LogError: step again."""
        done = False
        try:
            self._step()
            done = True
        finally:
            if not done:
                self.close()

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._held.clear()
        self._reached.clear()
        if consumer is not None:
            with suppress(LogError):  # it leaves its group; where the log is away, its session times out instead
                consumer.close()

    def _step(self) -> None:
        if self._consumer is None:
            self._consumer = self._log.subscribe(GROUP, sorted(self._callers), BETWEEN_POLLS_S)
        records = self._consumer.poll(self._batch, self._poll_s)
        self._held.keep(self._consumer.assignment())
        due = self._held.due(lambda name: self._intake.known.namespace(name) is not None)
        self._reached.update({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        if records or due:
            self._take(self._consumer, due, records)
        self._look_around(self._consumer)
        self._trim_when_due(self._consumer)

    def _take(self, consumer: Consumer, due: Sequence[Record], records: Sequence[Record]) -> None:
        """Those that were held and are released, and those that came."""
        batch = _Batch()
        for record in due:
            self._examine(record, batch, may_wait=False)
        for record in records:
            self._examine(record, batch)
        offsets = {p: self._next(p) for p in (TopicPartition(r.topic, r.partition) for r in (*due, *records))}
        while (too_long := self._accept(consumer, offsets, batch)) is not None:
            record, examined = batch.examined.pop(too_long[0])
            batch.refused.append(_Refused(record, too_large(too_long[1]), examined.observation))
            self._held.clear()  # the transaction failed: the consumer reads again from what is committed, these too

    def _next(self, partition: TopicPartition) -> int:
        """The offset to commit: nothing that is held is passed."""
        first = self._held.first(partition)
        return self._reached[partition] if first is None else first

    def _accept(
        self, consumer: Consumer, offsets: Mapping[TopicPartition, int], batch: _Batch
    ) -> tuple[int, MessageTooLarge] | None:
        """Append all of a batch with its offsets, or say which of the examined the log does not take."""
        with self._intake.known.exclusive(batch.namespaces):
            decision = self._intake.decide([examined for _, examined in batch.examined])
            refused = list(batch.refused)
            refused += [
                _Refused(record, error, examined.observation)
                for (record, examined), error in zip(batch.examined, decision.refusals, strict=True)
                if error is not None
            ]
            sent = 0
            try:
                append = telemetry.Stages("perception")("append")
                with append, self._dead_letters.appending(), self._log.transaction(consumer) as tx:
                    for message in decision.messages:
                        tx.append(message)
                        sent += 1
                    for one in refused:
                        for message in self._buried(one):
                            tx.append(message)
                    tx.commit(offsets)
            except BaseException as failed:
                self._intake.withdraw(decision, failed)
                if isinstance(failed, MessageTooLarge) and sent < len(decision.messages):
                    return decision.whose(sent), failed
                raise
            outcomes = decision.outcomes(tx.appended)
        for outcome in (*outcomes, *(r.error for r in batch.refused)):
            telemetry.RECORDS.labels("perception", outcome_name(outcome)).inc()
        for one in refused:
            _log.warning("dead letter", extra={**_place(one.record), "reason": one.error.reason})
        return None

    def _buried(self, refused: _Refused) -> list[Message]:
        """Inside ``known.exclusive``: what was erased leaves no text, for whatever reason it is refused."""
        record, observation = refused.record, refused.observation
        with telemetry.span("perception.dead_letter", parent=telemetry.from_headers(record.headers)):
            erased = observation is not None and self._intake.was_erased(observation)
            # Of what an inbox may not write nobody is shown a word whom it names.
            of = observation if not erased and refused.error.reason != "PERMISSION_DENIED" else None
            of = of if of is not None and is_namespace(of.namespace) else None
            return self._dead_letters.messages(record, refused.error, with_payload=not erased, of=of)

    def _examine(self, record: Record, batch: _Batch, *, may_wait: bool = True) -> None:
        observation: Observation | None = None
        try:
            observation = decode(record)
            namespace = observation.namespace
            if may_wait and self._held.waits_for(namespace) and self._held.hold(record, namespace):
                return  # behind those before it
            trace = telemetry.from_headers(record.headers)
            batch.examined.append((record, self._intake.examine(observation, self._callers[record.topic], trace)))
        except MnemeError as error:
            may_wait = may_wait and error.reason == "UNKNOWN_NAMESPACE"
            if may_wait and observation is not None and self._held.hold(record, observation.namespace):
                return
            batch.refused.append(_Refused(record, error, observation))
        except (LogError, OSError, MemoryError):
            raise  # the machine's trouble, not the record's
        except Exception:  # noqa: BLE001  # logged and buried: raised, it would stop every tenant at this record for ever
            _log.exception("a record cannot be examined", extra=_place(record))
            batch.refused.append(_Refused(record, internal(), observation))

    def _look_around(self, consumer: Consumer) -> None:
        """Now and then: how far behind, and was anything erased."""
        if time.monotonic() - self._looked_at >= _LOOK_PERIOD_S:
            self._looked_at = time.monotonic()
            telemetry.LAG.labels("perception", "inbox").set(consumer.lag())
            self._intake.known.catch_up()

    def _trim_when_due(self, consumer: Consumer) -> None:
        """Remove what was accepted: on a timer, and its bytes too, at once, when something was erased or a partition
        came. The inbox is plaintext."""
        due = time.monotonic() - self._trimmed_at >= self._trim_period_s
        mine = consumer.assignment()
        erased = (self._intake.known.erasures, mine)
        to_scrub = erased != self._scrubbed and time.monotonic() >= self._scrub_after
        if not due and not to_scrub:
            return
        for partition in sorted(mine):
            before = consumer.committed(partition)
            self._log.trim(partition.topic, partition.partition, before)
        self._trimmed_at = time.monotonic()
        self._dead_letters.drop_keys(self._log)
        if to_scrub:
            try:
                self._log.scrub()
                self._scrubbed = erased
            except LogUnavailable:  # somebody reads the file for long, a backup say: what arrives must not wait for it
                _log.warning("the inbox's bytes are not overwritten yet; trying again later")
                self._scrub_after = time.monotonic() + self._trim_period_s


def decode(record: Record) -> Observation:
    """The observation of an inbox record: protobuf JSON, or binary where its ``content-type`` header says so.

    INVALID_FIELD without a word of the payload but the field that is wrong, "value" where it is the whole.
    """
    remedy = "Send one mneme.v1.Observation as protobuf JSON, or binary with `content-type: application/x-protobuf`."
    content_type = record.headers.get(CONTENT_TYPE, JSON).split(b";")[0].strip().lower()
    if record.value is None:
        raise invalid("value", "The record has no value.", remedy)
    if content_type == JSON:
        return wire_json.parse(record.value, Observation)
    if content_type == BINARY:
        try:
            return Observation.FromString(record.value)
        except DecodeError as error:
            raise invalid("value", "The value is not an Observation.", remedy) from error
    raise invalid(CONTENT_TYPE, "The content type is not known.", remedy)


def _place(record: Record) -> dict[str, str | int]:
    """For our own log: where the record is."""
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


def caller_of(inbox: Inbox) -> Caller:
    """Who writes what comes through an inbox."""
    return Caller(inbox.principal, (inbox.prefix,), frozenset({Right.WRITE}), f"inbox:{inbox.topic}", float("inf"))
