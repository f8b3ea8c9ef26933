"""Accepting: validate, know again, extract, seal, append. The one way into the ledger for what products send.

Two steps, so that the slow one (names and times) runs beside others: ``examine`` looks at one observation alone;
``decide``, inside ``LedgerFacts.exclusive``, compares it with the ledger and makes the entries. Who appends them
differs: a call appends alone, the inbox together with its offsets and dead letters.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import Namespace, UpdateNamespaceRequest
from mneme.v1.common_pb2 import MetadataValue, Observation, ObservationKind, TimeRange
from mneme.v1.ledger_pb2 import (
    LedgerEntry,
    NamespaceChanged,
    NamespaceCreated,
    ObservationAccepted,
    PerceivedObservation,
    SessionEnded,
    TimeMention,
)

from services.common import telemetry
from services.common.crypto.auth import Caller
from services.common.crypto.seal import KEY_WAIT_S, TAG_BYTES, KeyDestroyed, Keyring
from services.common.ids import digest
from services.common.ledger import entries as ledger
from services.common.ledger.quota import NOTHING, Amount, keeps
from services.common.ledger.room import ENGRAM_BYTES, HOST_BYTES, ID_BYTES, names_that_fit
from services.common.ledger.settings import Place
from services.common.lineage import lineage_of
from services.common.log.away import too_large, unavailable
from services.common.log.base import Appended, Log, LogError, Message, MessageTooLarge
from services.common.serving import clocks
from services.common.serving.errors import MnemeError
from services.common.text import times
from services.common.text.extract import Extractor
from services.perception.intake.decision import Accepted, Decision, Examined, outcome_name
from services.perception.intake.validate import (
    check_change,
    check_declared,
    check_id,
    check_namespace,
    check_new_namespace,
    check_observation,
    latest_allowed,
)
from services.perception.ledger_facts import LedgerFacts, NamespaceSettings


class Intake:
    """Accepts observations, session ends and namespaces. Thread-safe."""

    def __init__(
        self,
        log: Log,
        keyring: Keyring,
        known: LedgerFacts,
        extractor: Extractor,
        clock: Callable[[], datetime],
        *,
        max_ahead_s: int = 86_400,
    ) -> None:
        """``clock`` gives the time of ingest (aware, UTC); it enters entries and nothing that is decided from them."""
        self._log = log
        self._keyring = keyring
        self.known = known
        self._extractor = extractor
        self._clock = clock
        self._max_ahead_s = max_ahead_s

    def observe(self, observations: Sequence[Observation], caller: Caller) -> list[Accepted | MnemeError]:
        """Accept in order, up to the first that is refused: the result ends with the refusal, if there is one.

        What is accepted is durable when this returns. LOG_UNAVAILABLE: nothing of the page is known to be.
        """
        with _log_errors():
            examined, refusal = self._examine_all(observations, caller)
            with self.known.exclusive(e.observation.namespace for e in examined):
                decision = self.decide(examined, stop_at_refusal=True)
                outcomes = decision.outcomes(self._append(decision))
        if refusal is not None and not any(isinstance(o, MnemeError) for o in outcomes):
            outcomes.append(refusal)
        for outcome in outcomes:
            telemetry.RECORDS.labels("perception", outcome_name(outcome)).inc()
        return outcomes

    def examine(self, observation: Observation, caller: Caller, trace: Mapping[str, str] | None = None) -> Examined:
        """Validate an observation and extract what it speaks of; MnemeError says why it is refused.

        ``trace``: the producer's trace context, else the current one goes on.
        """
        with telemetry.span("perception.accept", parent=trace):
            observation.DiscardUnknownFields()  # they are bounded by nothing that is checked
            settings = self._require_valid(observation, caller)
            if observation.kind == ObservationKind.OBSERVATION_KIND_UNSPECIFIED:
                observation.kind = ObservationKind.OBSERVATION_KIND_TURN
            namespace = observation.namespace
            id_mac = self._keyring.mac(namespace, ledger.MAC_OBSERVATION, observation.id)
            bare, content_mac = (
                self._keyring.mac(namespace, ledger.MAC_CONTENT, content) for content in _contents(observation)
            )
            known_already = self._is_known(namespace, id_mac) or self._is_known_of_a_full_one(observation, id_mac)
            perceived = (
                PerceivedObservation(observation=observation)
                if known_already
                else self._perceive(observation, settings)
            )
            same = frozenset({bare, content_mac})
            return Examined(observation, id_mac, content_mac, same, perceived, caller.principal, telemetry.carrier())

    def _is_known(self, namespace: str, id_mac: bytes) -> bool:
        return self.known.first(namespace, id_mac) is not None or self.known.erased(namespace, id_mac) is not None

    def _is_known_of_a_full_one(self, observation: Observation, id_mac: bytes) -> bool:
        """Whether the id is known of a namespace that has no more room; QUOTA_EXCEEDED where it is not: in what is
        refused no names are looked for, so that who sends on and on beyond the quota holds nobody up."""
        namespace, at_least = observation.namespace, Amount(1, observation.ByteSize())
        try:
            self.known.require_room(namespace, at_least)
        except MnemeError:
            self.known.catch_up([self.known.partition(namespace)])
            if self._is_known(namespace, id_mac):
                return True
            self.known.require_room(namespace, at_least)
        return False

    def was_erased(self, observation: Observation) -> bool:
        """Whether one with its id was, or what it is derived from, as far as the ledger is known. It need not be
        valid."""
        namespace = observation.namespace
        id_mac = self._keyring.mac(namespace, ledger.MAC_OBSERVATION, observation.id)
        return self.known.erased(namespace, id_mac) is not None or self._erased_source(observation) is not None

    def _erased_source(self, observation: Observation) -> int | None:
        """The first of ``derived_from`` that names an engram which was erased."""
        for n, named in enumerate(observation.derived_from):
            if any(self.known.is_erased(observation.namespace, id) for id in lineage_of([named]).engrams):
                return n
        return None

    def decide(self, examined: Sequence[Examined], *, stop_at_refusal: bool = False) -> Decision:
        """Compare with the ledger and make the entries. Call it inside ``known.exclusive``, and append there."""
        decision = Decision()
        new: dict[bytes, tuple[bytes, int]] = {}
        ahead: defaultdict[str, Amount] = defaultdict(Amount)  # of what is accepted here, by namespace
        self._keyring.prepare({one.observation.namespace for one in examined})
        for one in examined:
            refusal = self._refusal(one, new) or self._beyond_quota(one, new, ahead)
            first = self.known.first(one.observation.namespace, one.id_mac)
            if refusal is not None:
                decision.refuse(refusal)
                if stop_at_refusal:
                    break
            elif first is not None:
                decision.found(first.place)
            elif one.id_mac in new:
                decision.repeated(new[one.id_mac][1])
            else:
                try:
                    new[one.id_mac] = (one.content_mac, self._seal(one, decision))
                    ahead[one.observation.namespace] += _amount(one)
                except KeyDestroyed:  # the namespace is deleted in this moment, and its name key went with it
                    decision.refuse(_unknown_namespace(one.observation.namespace))
                    if stop_at_refusal:
                        break
        return decision

    def end_session(self, namespace: str, session: str, caller: Caller) -> Place:
        """The entry that ends the session; the one that is there when nothing came since."""
        check_namespace(namespace)
        check_id("session", session, "Name the session to end.")
        caller.require_namespace(namespace)
        with _log_errors():
            self._require_namespace(namespace)
        session_mac = self._keyring.mac(namespace, ledger.MAC_SESSION, session)
        with _log_errors(), self.known.exclusive([namespace]):
            seen = self.known.session(namespace, session_mac)
            if seen is None:
                raise MnemeError(
                    "NOT_FOUND",
                    "No observation of this session is accepted.",
                    field="session",
                    remedy="Send its observations first; those sent through an inbox are known once accepted.",
                )
            if seen.ended:
                return seen.place
            entry = self._entry(namespace, caller.principal)
            entry.session_ended.CopyFrom(SessionEnded(session_mac=session_mac))
            [at] = self._append_messages([ledger.message(entry)])
            return Place(at.partition, at.offset)

    def create_namespace(self, settings: Namespace, caller: Caller) -> Place:
        """The entry that created it; the one that is there when it has the same settings."""
        check_new_namespace(settings)
        caller.require_namespace(settings.name)
        with _log_errors():
            self._await_gone(settings.name, KEY_WAIT_S)
        with _log_errors(), self.known.exclusive([settings.name]):
            there = self.known.namespace(settings.name)
            if there is None:
                self._await_gone(settings.name, 0.0)
                self._create(settings, caller.principal)
                self.known.catch_up([self.known.partition(settings.name)])
                there = self.known.namespace(settings.name)
                assert there is not None
            # Compared after the append too: another process may have been first, with other settings.
            if _same_settings(there.settings, settings):
                return there.place
        remedy = "Use it as it is (ListNamespaces shows it), change it (UpdateNamespace), or choose another name."
        if there.names_erased:
            remedy += " Names of forgotten persons are gone from its aliases: leave them out."
        raise MnemeError(
            "NAMESPACE_EXISTS", "The namespace exists with other settings.", field="namespace", remedy=remedy
        )

    def change_namespace(self, request: UpdateNamespaceRequest, caller: Caller) -> Place:
        """The entry that changed it; the one that is there when one with its id asked for the same."""
        name = request.namespace
        check_namespace(name)
        check_id("id", request.id, "Give every change an id of its own.")
        caller.require_namespace(name)
        id_mac = self._keyring.mac(name, ledger.MAC_CHANGE, request.id)
        content_mac = self._keyring.mac(name, ledger.MAC_CONTENT, request.SerializeToString(deterministic=True))
        with _log_errors(), self.known.exclusive([name]):
            there = self._require_namespace(name)
            if id_mac not in there.changes:
                check_change(request, there.fields, self.known.alias_bytes_needed(name))
                self._change(request, id_mac, content_mac, caller.principal)
                self.known.catch_up([self.known.partition(name)])
                there = self._require_namespace(name)
            # Looked up after the append too: another process may have been first, with other settings.
            first = there.changes[id_mac]
        if first.content_mac != content_mac:
            raise MnemeError(
                "ID_REUSED",
                "The id belongs to a change with other settings.",
                field="id",
                remedy="Give this one an id of its own.",
                metadata={"id": request.id},
            )
        return first.place

    def _examine_all(
        self, observations: Sequence[Observation], caller: Caller
    ) -> tuple[list[Examined], MnemeError | None]:
        examined: list[Examined] = []
        for observation in observations:
            try:
                examined.append(self.examine(observation, caller))
            except MnemeError as error:
                return examined, error
        return examined, None

    def _require_valid(self, observation: Observation, caller: Caller) -> NamespaceSettings:
        check_namespace(observation.namespace)
        caller.require_namespace(observation.namespace)
        check_observation(observation, latest_allowed(self._clock(), self._max_ahead_s))
        settings = self._require_namespace(observation.namespace)
        check_declared(observation.metadata, settings.fields)
        return settings

    def _require_namespace(self, name: str) -> NamespaceSettings:
        settings = self.known.namespace(name)
        if settings is None:
            raise _unknown_namespace(name)
        return settings

    def _perceive(self, observation: Observation, settings: NamespaceSettings) -> PerceivedObservation:
        with telemetry.Stages("perception")("extract"):
            known = [observation.actor] if observation.actor else []
            entities = self._extractor.find(observation.text, aliases=settings.aliases, known=known)
            said_at = clocks.moment(observation.observed_at, observation.utc_offset_minutes)
            mentions = times.find(observation.text, said_at)
        people, places = names_that_fit(_room(observation), entities.people, entities.places)
        return PerceivedObservation(
            observation=observation,
            people=people,
            places=places,
            times=[TimeMention(text=m.text, range=_range(m.start, m.end)) for m in mentions],
        )

    def _refusal(self, one: Examined, new: Mapping[bytes, tuple[bytes, int]]) -> MnemeError | None:
        namespace = one.observation.namespace
        if self.known.namespace(namespace) is None:
            return _unknown_namespace(namespace)  # it was deleted since it was examined
        if self.known.erased(namespace, one.id_mac) is not None:
            return MnemeError(
                "ERASED",
                "The observation with this id was erased.",
                field="id",
                remedy="Do not send it again. Something else needs an id of its own.",
                metadata={"id": one.observation.id},
            )
        if (source := self._erased_source(one.observation)) is not None:
            return MnemeError(
                "ERASED",
                "What the observation is derived from was erased.",
                field=f"derived_from[{source}]",
                remedy="Do not send it: what is derived from the erased goes with it.",
                metadata={"id": one.observation.id},
            )
        first = self.known.first(namespace, one.id_mac)
        content = first.content_mac if first else new[one.id_mac][0] if one.id_mac in new else one.content_mac
        if content not in one.content_macs:
            return MnemeError(
                "ID_REUSED",
                "The id belongs to an observation with another content.",
                field="id",
                remedy="Give this one an id of its own; to put the first right, use Correct.",
                metadata={"id": one.observation.id},
            )
        return None

    def _beyond_quota(self, one: Examined, new: Container[bytes], ahead: Mapping[str, Amount]) -> MnemeError | None:
        """What is told again takes no room."""
        namespace = one.observation.namespace
        if one.id_mac in new or self.known.first(namespace, one.id_mac) is not None:
            return None
        try:
            self.known.require_room(namespace, _amount(one), ahead.get(namespace, NOTHING))
        except MnemeError as error:
            return error
        return None

    def _seal(self, one: Examined, decision: Decision) -> int:
        namespace = one.observation.namespace
        with telemetry.span("perception.seal", parent=one.trace):
            key = self._keyring.text_key(namespace)
            plaintext = one.perceived.SerializeToString()
            entry = self._entry(namespace, one.principal)
            entry.observation_accepted.CopyFrom(
                ObservationAccepted(
                    id_mac=one.id_mac,
                    content_mac=one.content_mac,
                    session_mac=self._keyring.mac(namespace, ledger.MAC_SESSION, one.observation.session),
                    sealed=self._keyring.seal(
                        key.key_id, plaintext, namespace=namespace, purpose=ledger.SEAL_OBSERVATION
                    ),
                )
            )
            return decision.accept(key, ledger.message(entry))

    def _create(self, settings: Namespace, principal: str) -> None:
        # First, and alone, so that nobody meets the entry before it can be read by its name. One that no entry follows,
        # because the log went away here, is there for who tries again.
        self._append_messages([self._keyring.name_key(settings.name).message])
        key = self._keyring.new_key(settings.name)
        sealed = ledger.seal_aliases(self._keyring, key.key_id, settings.name, settings.aliases)
        entry = self._entry(settings.name, principal)
        entry.namespace_created.CopyFrom(NamespaceCreated(metadata_fields=settings.metadata_fields, aliases=sealed))
        if settings.HasField("quota"):
            entry.namespace_created.quota.CopyFrom(settings.quota)
        self._append_messages([key.message, ledger.message(entry)])

    def _await_gone(self, name: str, within_s: float) -> None:
        """Until nothing is left of one that was deleted, whose keys would take the new one's with them.

        NAMESPACE_EXISTS.
        """
        deadline = time.monotonic() + within_s
        while self.known.is_going(name):
            if time.monotonic() >= deadline:
                raise MnemeError(
                    "NAMESPACE_EXISTS",
                    "A namespace of that name is being deleted.",
                    field="namespace",
                    remedy="Create it once that is done: the deletion's receipt tells.",
                )
            time.sleep(0.02)

    def _change(self, request: UpdateNamespaceRequest, id_mac: bytes, content_mac: bytes, principal: str) -> None:
        name, keys = request.namespace, list[Message]()
        changed = NamespaceChanged(id_mac=id_mac, content_mac=content_mac, metadata_fields=request.metadata_fields)
        if request.HasField("aliases"):
            key = self._keyring.new_key(name)
            keys.append(key.message)
            changed.aliases.CopyFrom(ledger.seal_aliases(self._keyring, key.key_id, name, request.aliases.groups))
        if request.HasField("quota"):
            changed.quota.CopyFrom(request.quota)
        entry = self._entry(name, principal)
        entry.namespace_changed.CopyFrom(changed)
        self._append_messages([*keys, ledger.message(entry)])

    def _entry(self, namespace: str, principal: str) -> LedgerEntry:
        return LedgerEntry(namespace=namespace, ingested_at=_timestamp(self._clock()), principal=principal)

    def _append(self, decision: Decision) -> list[Appended]:
        try:
            return self._append_messages(decision.messages)
        except LogError as error:
            self.withdraw(decision, error)
            raise

    def withdraw(self, decision: Decision, error: BaseException) -> None:
        """Forget the keys of a decision that ``error`` kept from being appended."""
        self._keyring.withdraw(decision.key_ids, error)

    def _append_messages(self, messages: Sequence[Message]) -> list[Appended]:
        if not messages:
            return []
        with telemetry.Stages("perception")("append"):
            return self._log.append(messages)


@contextmanager
def _log_errors() -> Iterator[None]:
    """The port's errors, as a caller may see them."""
    try:
        yield
    except MessageTooLarge as error:
        raise too_large(error) from error
    except LogError as error:
        raise unavailable(
            error,
            "The log does not take writes now; nothing of this was acknowledged.",
            "Send it again later; what was written is known by its id. The operator finds the cause in the log.",
        ) from error


def _room(o: Observation) -> int:
    """Bytes that an engram has for names beside what it keeps of an observation."""
    given = o.ByteSize() - sum(len(named.encode()) for named in o.derived_from)
    return ENGRAM_BYTES - HOST_BYTES - given - ID_BYTES * len(lineage_of(o.derived_from).engrams)


def _contents(o: Observation) -> tuple[str, str]:
    """Everything that makes two observations the same one, apart from their id; without and with their offset.

    A ledger from before there were offsets holds the first, and what it took may be sent again as it was.
    """
    metadata = [part for name in sorted(o.metadata) for part in (name, *_value(o.metadata[name]))]
    at = (o.observed_at.seconds, o.observed_at.nanos)
    fields = (o.session, o.text, o.actor, *at, o.kind, o.external_id, o.source)
    bare = digest(*fields, len(o.derived_from), *o.derived_from, *metadata)
    return bare, digest(bare, o.utc_offset_minutes) if o.utc_offset_minutes else bare


def _value(value: MetadataValue) -> tuple[str, str]:
    return ("number", repr(value.number)) if value.WhichOneof("value") == "number" else ("text", value.text)


def _unknown_namespace(name: str) -> MnemeError:
    return MnemeError(
        "UNKNOWN_NAMESPACE",
        f'There is no namespace "{name}".',
        field="namespace",
        remedy="Create it with AdminService.CreateNamespace, or correct the name.",
        metadata={"namespace": name},
    )


def _amount(one: Examined) -> Amount:
    """Of the text as it is sealed."""
    return Amount(1, one.perceived.ByteSize() + TAG_BYTES)


def _same_settings(there: Namespace, asked: Namespace) -> bool:
    """Of the quota what is asked for: who asks for none need not know what was set since."""
    return _settings_key(there) == _settings_key(asked) and keeps(there.quota, asked.quota)


def _settings_key(n: Namespace) -> tuple[object, ...]:
    """Order does not matter, of fields, groups or aliases."""
    fields = sorted((f.name, f.type) for f in n.metadata_fields)
    return n.name, fields, sorted((g.name, sorted(g.aliases)) for g in n.aliases)


def _range(start: datetime, end: datetime) -> TimeRange:
    return TimeRange(start=_timestamp(start), end=_timestamp(end))


def _timestamp(at: datetime) -> Timestamp:
    out = Timestamp()
    out.FromDatetime(at)
    return out
