"""Remember and Correct: validated, made idempotent by id, sealed, appended to the ledger."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from google.protobuf.message import Message as Proto
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import CorrectRequest, EngramKind, RememberRequest

from services.common.crypto.seal import TAG_BYTES, KeyDestroyed, Keyring, TextKey
from services.common.ledger import entries as ledger
from services.common.ledger import quota
from services.common.lineage import check_derived_from, is_answer, lineage_of
from services.common.log.base import Appended
from services.common.serving import clocks
from services.common.serving.errors import MnemeError, invalid
from services.common.text.limits import check_text
from services.common.turns import uninterrupted
from services.episodic.state.checks import (
    check_actor,
    check_id,
    check_metadata,
    check_reference,
    claimed,
    not_found,
    unknown_namespace,
)
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.write.ahead import Ahead
from services.episodic.write.backlog import Backlog
from services.episodic.write.writer import Host

_REMEMBERED_COMMANDS = 10_000
_STATABLE = (
    EngramKind.ENGRAM_KIND_UNSPECIFIED,
    EngramKind.ENGRAM_KIND_FACT,
    EngramKind.ENGRAM_KIND_NOTE,
)


class Commands:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._ahead = Ahead(host)
        # Commands that were appended and may not be applied yet: mac -> (content, position).
        self._recent: OrderedDict[tuple[str, bytes], tuple[bytes, Position]] = OrderedDict()
        # Corrections that may not be applied yet: (namespace, what is corrected) -> (the correction's id, position).
        self._correcting: dict[tuple[str, str], tuple[str, Position]] = {}

    @property
    def _keyring(self) -> Keyring:
        return self._host.parts.keyring

    def remember(
        self, request: RememberRequest, info: NamespaceInfo, principal: str, tenant: str
    ) -> tuple[str, Position, bool]:
        """(engram id, position, whether it was known). TEXT_SIZE, INVALID_FIELD, ID_REUSED, ERASED, NOT_FOUND,
        QUOTA_EXCEEDED; OVERLOADED where too much of the tenant's is not folded yet."""
        check_id(request.id)
        check_text(request.text)
        if request.kind not in _STATABLE:
            raise invalid("kind", "Only facts and notes are stated directly.", "Use FACT or NOTE.")
        if request.HasField("event_at"):
            claimed(request.event_at, "event_at")
        clocks.check_offset(request.utc_offset_minutes, "utc_offset_minutes")
        check_metadata(request.metadata, info)
        check_actor(request.actor)
        check_derived_from(request.derived_from)
        for field in ("source", "external_id"):
            check_reference(getattr(request, field), field)
        namespace = request.namespace
        mac = self._keyring.mac(namespace, ledger.MAC_REMEMBER, request.id)
        body = pb.Remembered(id_mac=mac, content_mac=self._content(namespace, request))
        entry = pb.LedgerEntry(namespace=namespace, principal=principal, remembered=body)
        position, known = self._append(entry, entry.remembered, request, ledger.SEAL_REMEMBER, tenant)
        return ledger.remembered_id(namespace, request.id), position, known

    def correct(self, request: CorrectRequest, principal: str, tenant: str) -> tuple[str, Position, bool]:
        """As ``remember``. NOT_FOUND when there is no such engram; INVALID_FIELD when it cannot be corrected."""
        check_id(request.id)
        check_text(request.text)
        namespace = request.namespace
        mac = self._keyring.mac(namespace, ledger.MAC_CORRECT, request.id)
        body = pb.Corrected(id_mac=mac, content_mac=self._content(namespace, request), engram_id=request.engram_id)
        entry = pb.LedgerEntry(namespace=namespace, principal=principal, corrected=body)
        position, known = self._append(entry, entry.corrected, request, ledger.SEAL_CORRECT, tenant)
        return ledger.corrected_id(namespace, request.id), position, known

    def _content(self, namespace: str, request: Proto) -> bytes:
        return self._keyring.mac(namespace, ledger.MAC_CONTENT, request.SerializeToString(deterministic=True))

    def _append(
        self,
        entry: pb.LedgerEntry,
        body: pb.Remembered | pb.Corrected,
        request: RememberRequest | CorrectRequest,
        purpose: str,
        tenant: str,
    ) -> tuple[Position, bool]:
        with self._lock:  # what is refused is not read
            known = self._known(entry.namespace, body)
            if known is not None:
                return known, True
            self._backlog.require_room(tenant, self._host.applied)
        self._require_room(entry.namespace, request.ByteSize())
        namespace = self._host.registry.namespace(entry.namespace)
        reading = self._reading(request.text)
        with uninterrupted(), self._lock:
            if self._host.registry.namespace(entry.namespace) is not namespace:
                if self._host.registry.namespace(entry.namespace) is None:
                    raise unknown_namespace(entry.namespace)
                what, remedy = "The namespace was changed meanwhile.", "Send it again, with the same id."
                raise MnemeError("NOT_FRESH", what, field="namespace", remedy=remedy)
            known = self._known(entry.namespace, body)
            if known is not None:
                return known, True
            if isinstance(request, CorrectRequest):
                self._check_target(entry.namespace, request.engram_id)
            else:
                self._check_sources(entry.namespace, request.derived_from)
            self._backlog.require_room(tenant, self._host.applied)
            plaintext = request.SerializeToString()
            self._require_room(entry.namespace, len(plaintext) + len(reading) + 2 * TAG_BYTES)
            key = self._seal(body, entry.namespace, plaintext, purpose, reading)
            entry.ingested_at.CopyFrom(clocks.now())
            appended = self._host.parts.log.append([*key.messages, ledger.message(entry)])
            position = _position(appended[-1])
            self._backlog.add(tenant, position.offset, len(plaintext))
            self._recent[entry.namespace, body.id_mac] = (body.content_mac, position)
            if isinstance(body, pb.Corrected):
                id = ledger.corrected_id(entry.namespace, request.id)
                self._correcting[entry.namespace, body.engram_id] = (id, position)
            while len(self._recent) > _REMEMBERED_COMMANDS:
                self._recent.popitem(last=False)
            return position, False

    def _require_room(self, namespace: str, size_bytes: int) -> None:
        """QUOTA_EXCEEDED where the namespace may not hold one more text of so many bytes, as it is sealed."""
        limits = self._host.registry.quota(namespace)
        if quota.is_given(limits):
            quota.require_room(namespace, limits, self._ahead.held(namespace), quota.Amount(1, size_bytes))

    def _reading(self, text: str) -> bytes:
        """What the model of names sees in a text. A long one takes seconds, so this is done under no lock, and not when
        the entry is folded: whoever is folded next would wait for it."""
        labels = self._host.parts.toolkit.labels(text)
        return pb.Reading(labels=[pb.Label(start=s, end=e, label=label) for s, e, label in labels]).SerializeToString()

    def _seal(
        self, body: pb.Remembered | pb.Corrected, namespace: str, plaintext: bytes, purpose: str, reading: bytes
    ) -> TextKey:
        """Both under one new key, which is returned."""
        key = self._keyring.text_key(namespace)
        seal = partial(self._keyring.seal, key.key_id, namespace=namespace)
        try:
            body.sealed.CopyFrom(seal(plaintext, purpose=purpose))
            body.reading.CopyFrom(seal(reading, purpose=ledger.SEAL_READING))
        except KeyDestroyed:  # the namespace is deleted in this moment, and its name key went with it
            raise unknown_namespace(namespace) from None
        return key

    def _known(self, namespace: str, body: pb.Remembered | pb.Corrected) -> Position | None:
        """Where this very command was taken before. ERASED, ID_REUSED."""
        if self._host.registry.is_erased_mac(namespace, body.id_mac):
            raise MnemeError("ERASED", "This id was erased.", field="id", remedy="Use a new id.")
        recent = self._recent.get((namespace, body.id_mac))
        if recent is not None and self._host.registry.is_deleted_since(namespace, recent[1].offset):
            recent = None  # the namespace was deleted since, and made anew
        directory = self._host.live.store.directory
        id = directory.by_mac(namespace, body.id_mac)
        slot = directory.get(namespace, id) if id is not None else None
        if recent is None and slot is not None:
            recent = (slot.content_mac, Position(partition=slot.partition, offset=slot.seq))
        if recent is None:
            return None
        if recent[0] != body.content_mac:
            raise MnemeError(
                "ID_REUSED", "The id was taken before with other content.", field="id", remedy="Use a new id."
            )
        return recent[1]

    def _check_target(self, namespace: str, id: str) -> None:
        waiting = self._waiting()  # before the directory is read: what is applied meanwhile is found there
        registry, directory = self._host.registry, self._host.live.store.directory
        slot = directory.get(namespace, id)
        if slot is None or registry.is_erased(namespace, id):
            raise not_found("engram_id", id, "engram")
        if not slot.is_base:
            raise invalid("engram_id", "A derived engram cannot be corrected.", "Correct one of its sources.")
        superseded_by = slot.superseded_by or waiting.get((namespace, id), "")
        if superseded_by:
            raise invalid(
                "engram_id", "The engram was corrected before.", f"Correct {superseded_by}, which replaced it."
            )

    def _check_sources(self, namespace: str, derived_from: Sequence[str]) -> None:
        """ERASED, NOT_FOUND. An answer may be of other namespaces too, so what it names need not be there."""
        registry, directory = self._host.registry, self._host.live.store.directory
        for n, named in enumerate(derived_from):
            field = f"derived_from[{n}]"
            if any(registry.is_erased(namespace, id) for id in lineage_of([named]).engrams):
                remedy = "Do not send it: what is derived from the erased goes with it."
                raise MnemeError("ERASED", "What it is derived from was erased.", field=field, remedy=remedy)
            if not is_answer(named) and directory.get(namespace, named) is None:
                raise not_found(field, named, "engram")

    def _waiting(self) -> dict[tuple[str, str], str]:
        """What is corrected by an entry that is not applied yet, and the correction's id. Call with the lock held."""
        reached = self._host.progress.reached
        self._correcting = {
            target: (id, at)
            for target, (id, at) in self._correcting.items()
            if not reached({at.partition: at.offset + 1})
        }
        return {target: id for target, (id, _) in self._correcting.items()}


def _position(appended: Appended) -> Position:
    return Position(partition=appended.partition, offset=appended.offset)
