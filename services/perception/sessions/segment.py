"""Cutting sessions into episodes: a consumer of the ledger that writes boundaries into the ledger.

One transaction takes a batch of entries, appends the episodes that they close and the checkpoints of the sessions
they touch, and commits offsets. A boundary in the ledger is never cut again: after a crash the checkpoint knows what
is still open, and our own entries, which come back through the ledger, change nothing.

The wall clock is read for one thing, to decide that an idle episode shall be closed; that becomes a ledger entry, and
who replays reads the entry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.ledger_pb2 import EpisodeClosed, LedgerEntry, PerceivedObservation

from services.common import telemetry
from services.common.crypto.seal import KEY_WAIT_S, KeyDestroyed, Keyring, Tampered
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.settings import Place
from services.common.log.base import BETWEEN_POLLS_S, Consumer, Log, LogError, Message, Record, TopicPartition
from services.common.serving.errors import MnemeError
from services.perception.dead_letters import DeadLetters
from services.perception.ledger_facts import LedgerFacts
from services.perception.sessions.open import Checkpoints, OpenSession
from services.perception.sessions.segmentation.base import Cut, Segmentation, Unit, Vector, Vectors

GROUP = "perception"
PRINCIPAL = "perception"
_LOOK_PERIOD_S = 1.0

Embed = Callable[[Sequence[str]], Sequence[Vector]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an episode, whatever the plug-in says."""

    max_units: int
    max_span: timedelta
    idle: timedelta


@dataclass(slots=True)
class _Partition:
    """What is open in one ledger partition."""

    sessions: dict[bytes, OpenSession]
    next: int  # the committed offset that the sessions belong to
    newest: datetime | None = None  # when the newest entry read was ingested


@dataclass(slots=True)
class _Output:
    """What a batch appends."""

    messages: list[Message] = field(default_factory=list)
    dirty: dict[bytes, OpenSession] = field(default_factory=dict)
    rekeyed: set[bytes] = field(default_factory=set)  # sessions whose checkpoint needs a new key
    episodes: int = 0


class Segmenter:
    """Keeps the open episodes of the partitions it is given. ``step`` is the body of a loop; not thread-safe."""

    def __init__(
        self,
        log: Log,
        keyring: Keyring,
        known: LedgerFacts,
        segmentation: Segmentation,
        embed: Embed,
        limits: Limits,
        clock: Callable[[], datetime],
        dead_letters: DeadLetters,
        *,
        batch: int = 64,
        poll_s: float = 0.2,
    ) -> None:
        """``embed`` is called when the plug-in asks for vectors."""
        self._log = log
        self._keyring = keyring
        self._known = known
        self._plugin = segmentation
        self._embed = embed
        self._limits = limits
        self._clock = clock
        self._dead_letters = dead_letters
        self._checkpoints = Checkpoints(log, keyring, segmentation.name)
        self._batch = batch
        self._poll_s = poll_s
        self._consumer: Consumer | None = None
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._looked_at = 0.0

    def step(self) -> None:
        """Take one batch, or wait a little for one; now and then close what is idle.

        When it fails, whatever was in memory is forgotten: the next step starts from the committed offsets and their
        checkpoints. LogError: step again.
        """
        done = False
        try:
            self._step()
            done = True
        finally:
            if not done:
                self.close()

    def has(self, partition: int) -> bool:
        """Whether this partition of the ledger is one of its own now. From any thread."""
        return TopicPartition(topics.LEDGER, partition) in self._partitions

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._partitions.clear()
        if consumer is not None:
            with suppress(LogError):  # it leaves its group; where the log is away, its session times out instead
                consumer.close()

    def _step(self) -> None:
        if self._consumer is None:
            self._consumer = self._log.subscribe(GROUP, [topics.LEDGER], BETWEEN_POLLS_S)
        consumer = self._consumer
        records = consumer.poll(self._batch, self._poll_s)
        due = time.monotonic() - self._looked_at >= _LOOK_PERIOD_S
        if records or due:
            self._follow_assignment(consumer)
        if records:
            with telemetry.Stages("perception")("segment"):
                self._take(consumer, records)
        if due:
            self._looked_at = time.monotonic()
            self._known.catch_up()
            lag = consumer.lag()
            telemetry.LAG.labels("perception", "ledger").set(lag)
            self._close_idle(consumer, drained=lag == 0)

    def _follow_assignment(self, consumer: Consumer) -> None:
        """Partitions that came bring their checkpoints; those that went are forgotten.

        A consumer that was away may have lost a partition and have it again without a word: then somebody else has
        committed meanwhile, and what we hold is stale.
        """
        mine = consumer.assignment()
        for gone in self._partitions.keys() - mine:
            del self._partitions[gone]
        for one in sorted(mine):
            committed = consumer.committed(one)
            if one not in self._partitions or self._partitions[one].next != committed:
                self._partitions[one] = _Partition(self._checkpoints.load(one.partition), committed)

    def _take(self, consumer: Consumer, records: Sequence[Record]) -> None:
        # Erasures further on in the ledger are known before anything is closed over what they erased.
        self._known.catch_up({r.partition for r in records})
        entries = [(r, entry) for r in records if (entry := ledger.entry_of(r)) is not None]
        output = _Output()
        units = self._units(entries, output)
        for record, entry in entries:
            partition = self._partitions[TopicPartition(record.topic, record.partition)]
            with telemetry.span("perception.segment", parent=telemetry.from_headers(record.headers)):
                self._apply(partition, record, entry, units.get((record.partition, record.offset)), output)
            partition.newest = entry.ingested_at.ToDatetime(tzinfo=UTC)
        offsets = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}
        self._commit(consumer, offsets, output)

    def _apply(
        self, partition: _Partition, record: Record, entry: LedgerEntry, unit: Unit | None, output: _Output
    ) -> None:
        match entry.WhichOneof("body"):
            case "observation_accepted" if unit is not None:
                session = partition.sessions.setdefault(
                    entry.observation_accepted.session_mac,
                    OpenSession(entry.namespace, entry.observation_accepted.session_mac),
                )
                self._add(session, unit, output)
                session.last_ingested_at = entry.ingested_at.ToDatetime(tzinfo=UTC)
            case "session_ended":
                if (ended := partition.sessions.get(entry.session_ended.session_mac)) is not None:
                    self._close(ended, "session_end", output)
                    self._forget(partition, ended, output)
            case "episode_closed":
                # Our own, come back: nothing of it is open any more. Should somebody else have cut, the ledger counts.
                closed = frozenset(entry.episode_closed.id_macs)
                cut = partition.sessions.get(entry.episode_closed.session_mac)
                if cut is not None and closed.intersection(cut.open):
                    self._drop(cut, closed, output)
            case "erased":
                gone = frozenset(entry.erased.id_macs)
                for one in self._sessions(partition, entry.namespace):
                    if self._drop(one, gone, output):
                        output.rekeyed.add(one.session_mac)
            case "namespace_deleted":
                for one in self._sessions(partition, entry.namespace):
                    self._forget(partition, one, output)
            case _:
                pass

    def _sessions(self, partition: _Partition, namespace: str) -> list[OpenSession]:
        """Of a namespace, which may read nameless by now: their checkpoints know its name."""
        pseudonym = self._keyring.pseudonym
        return [s for s in partition.sessions.values() if pseudonym(s.namespace) == pseudonym(namespace)]

    # --- observations -------------------------------------------------------------------------------------------

    def _units(self, entries: Sequence[tuple[Record, LedgerEntry]], output: _Output) -> dict[tuple[int, int], Unit]:
        """The units that a batch adds, by place."""
        out: dict[tuple[int, int], Unit] = {}
        for record, entry in entries:
            if entry.WhichOneof("body") == "observation_accepted" and self._counts(record, entry):
                perceived = self._open(record, entry, output)
                if perceived is not None:
                    at = perceived.observation.observed_at.ToNanoseconds() / 1e9
                    out[record.partition, record.offset] = Unit(entry.observation_accepted.id_mac, at)
        return out

    def _vectors_of(self, session: OpenSession) -> Vectors:
        """Vectors of units that a plug-in asks for; their texts are in the ledger."""

        def vectors(ids: Sequence[bytes]) -> Sequence[Vector]:
            with telemetry.Stages("perception")("embed"):
                return self._embed([self._text(session.namespace, i) for i in ids])

        return vectors

    def _text(self, namespace: str, id_mac: bytes) -> str:
        """The text of an accepted observation; "" once it is erased: its unit is dropped when the erasure is read."""
        first = self._known.first(namespace, id_mac)
        if first is None or self._known.erased(namespace, id_mac) is not None:
            return ""
        place = first.place
        for record in self._log.read(topics.LEDGER, place.partition, place.offset, place.offset + 1):
            try:
                raw = self._unseal(LedgerEntry.FromString(record.value or b""), record.partition)
            except KeyDestroyed:
                break
            return PerceivedObservation.FromString(raw).observation.text
        return ""

    def _counts(self, record: Record, entry: LedgerEntry) -> bool:
        """Whether an accepted observation is one: not erased, and the first with its id.

        Two writers that did not see each other, or the erasure, may have appended one that is not. It is no turn of the
        session. Whoever folds the ledger into memory destroys its key, or keeps it within reach of erasures.
        """
        accepted, here = entry.observation_accepted, Place(record.partition, record.offset)
        if self._known.deleted_since(entry.namespace, record.offset) or self._known.is_gone(entry.namespace):
            return False
        erased = self._known.erased(entry.namespace, accepted.id_mac)
        first = self._known.first(entry.namespace, accepted.id_mac)
        return erased is None and first is not None and first.place == here

    def _open(self, record: Record, entry: LedgerEntry, output: _Output) -> PerceivedObservation | None:
        sealed = entry.observation_accepted.sealed
        try:
            return PerceivedObservation.FromString(self._unseal(entry, record.partition))
        except KeyDestroyed:
            _log.info("an observation was erased before it was segmented", extra={"offset": record.offset})
        except Tampered:
            error = MnemeError("INTERNAL", "The seal of this ledger entry does not fit.", field=sealed.key_id)
            _log.error(
                "a ledger entry cannot be opened", extra={"partition": record.partition, "offset": record.offset}
            )
            output.messages += self._dead_letters.messages(record, error)
        return None

    def _unseal(self, entry: LedgerEntry, partition: int) -> bytes:
        """The plaintext. Waits a little for a key, as whoever follows the ledger must, but not for one erased."""
        accepted = entry.observation_accepted

        def opened(within_s: float) -> bytes:
            return self._keyring.open(
                accepted.sealed, namespace=entry.namespace, purpose=ledger.SEAL_OBSERVATION, within_s=within_s
            )

        try:
            return opened(0.0)
        except KeyDestroyed:
            self._known.catch_up([partition])
            if self._known.erased(entry.namespace, accepted.id_mac) is not None:
                raise
        return opened(KEY_WAIT_S)

    def _add(self, session: OpenSession, unit: Unit, output: _Output) -> None:
        at = datetime.fromtimestamp(unit.at, UTC)
        if session.opened_at is not None and session.open and abs(at - session.opened_at) > self._limits.max_span:
            self._close(session, "span", output)
        session.open.append(unit.id)
        session.opened_at = session.opened_at if len(session.open) > 1 and session.opened_at else at
        session.state, cuts = self._plugin.push(session.state, unit, self._vectors_of(session))
        before = len(session.open)
        self._cut(session, cuts, output)
        if len(session.open) < before:
            session.opened_at = at  # of the newest: close enough for a bound, and no other is at hand
        if len(session.open) >= self._limits.max_units:
            self._close(session, "count", output)
        output.dirty[session.session_mac] = session

    # --- boundaries ---------------------------------------------------------------------------------------------

    def _cut(self, session: OpenSession, cuts: Iterable[Cut], output: _Output) -> None:
        for cut in cuts:
            self._write(session, session.take(cut.units), cut.reason, output)

    def _close(self, session: OpenSession, reason: str, output: _Output) -> None:
        """Close what is open; the plug-in may cut inside it first."""
        session.state, cuts = self._plugin.end(session.state, self._vectors_of(session))
        self._cut(session, cuts, output)
        self._write(session, session.take(len(session.open)), reason, output)
        session.opened_at = None
        output.dirty[session.session_mac] = session

    def _write(self, session: OpenSession, ids: Sequence[bytes], reason: str, output: _Output) -> None:
        """The boundary as a ledger entry, over what is not erased."""
        left = [i for i in ids if self._known.erased(session.namespace, i) is None]
        if not left:
            return
        now = Timestamp()
        now.FromDatetime(self._clock())
        entry = LedgerEntry(namespace=session.namespace, ingested_at=now, principal=PRINCIPAL)
        entry.episode_closed.CopyFrom(EpisodeClosed(session_mac=session.session_mac, id_macs=left, reason=reason))
        output.messages.append(ledger.message(entry))
        output.episodes += 1

    def _drop(self, session: OpenSession, gone: frozenset[bytes], output: _Output) -> bool:
        """Take ids out of the open episode and the plug-in's state; whether there were any."""
        state = self._plugin.drop(session.state, gone)
        if state == session.state and not gone.intersection(session.open):
            return False
        session.state = state
        session.drop(gone)
        output.dirty[session.session_mac] = session
        return True

    def _forget(self, partition: _Partition, session: OpenSession, output: _Output) -> None:
        """Nothing of the session is open: neither memory nor checkpoint is kept."""
        del partition.sessions[session.session_mac]
        output.dirty.pop(session.session_mac, None)
        output.messages += self._checkpoints.remove(session)

    def _close_idle(self, consumer: Consumer, *, drained: bool) -> None:
        """Close episodes that nothing was added to for so long. While there is a backlog, its own time is the
        measure: what an episode waits for may lie ahead in the ledger."""
        wall = self._clock()
        output = _Output()
        for partition in self._partitions.values():
            now = wall if drained else partition.newest
            if now is None:
                continue
            for session in list(partition.sessions.values()):
                if session.last_ingested_at is None or now - session.last_ingested_at >= self._limits.idle:
                    self._close(session, "idle", output)
                    self._forget(partition, session, output)
        if output.messages:
            # The same offsets again: it is their commit that proves the partitions are still ours.
            self._commit(consumer, {tp: p.next for tp, p in self._partitions.items()}, output)

    def _commit(self, consumer: Consumer, offsets: Mapping[TopicPartition, int], output: _Output) -> None:
        with self._dead_letters.appending(), self._log.transaction(consumer) as tx:
            for message in self._all_messages(output):
                tx.append(message)
            tx.commit(offsets)
        for partition, offset in offsets.items():
            self._partitions[partition].next = offset
        telemetry.RECORDS.labels("perception", "episode").inc(output.episodes)

    def _all_messages(self, output: _Output) -> Iterator[Message]:
        yield from output.messages
        for session in output.dirty.values():
            yield from self._checkpoints.save(session, fresh_key=session.session_mac in output.rekeyed)
