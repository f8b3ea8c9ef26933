"""Entries that were acknowledged and became no engram: kept with their keys, listed, and within reach of erasures.

The entry itself stays where it is, in the ledger; here is only the note of it. Every rebuild folds it again in its
place, so what mended code understands becomes an engram then. Until an erasure means it, nothing destroys its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import CorrectRequest, RememberRequest

from services.common.crypto.seal import KeyDestroyed, Keyring, Tampered
from services.common.ids import digest
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Log, Message
from services.common.serving import clocks
from services.episodic.plugins.base import Interval, Record
from services.episodic.state.directory import Directory
from services.episodic.state.records import Stored
from services.episodic.state.service_state import OperatorState
from services.episodic.write import said
from services.episodic.write.fold import Entry, Foreign, Poison


@dataclass(frozen=True, slots=True)
class Parked:
    """An entry as the base engram that it would be, and the engram that it cannot outlive: what it corrects, or what
    has its id."""

    stored: Stored
    goes_with: str


class Parking:
    """The notes, in the operator's state. Thread-safe as that is."""

    def __init__(self, state: OperatorState, log: Log, keyring: Keyring) -> None:
        self._state = state
        self._log = log
        self._keyring = keyring

    def park(self, entry: Entry, poison: Poison) -> list[Message]:
        """What notes the entry, to be appended where it is passed. Nothing for what nobody acknowledged, or erased."""
        body = said.of(entry.body)
        if body is None or isinstance(poison, Foreign) or not self._keyring.has(body.sealed.key_id):
            return []
        note = pb.ParkedEntry(
            namespace=entry.namespace,
            position=Position(partition=entry.partition, offset=entry.offset),
            reason=poison.reason,
            message=str(poison),
            key_id=body.sealed.key_id,
            id_mac=body.id_mac,
            engram_id=body.engram_id if isinstance(body, pb.Corrected) else "",
        )
        return [self._state.message(_key(note), note)]

    def meant_by(self, namespace: str, erased: pb.Erased) -> list[pb.ParkedEntry]:
        """Those that an erasure means: by their key or id, or because they correct what it erases."""
        keys, macs, ids = set(erased.key_ids), set(erased.id_macs), set(erased.engram_ids)
        return [n for n in self._notes(namespace) if n.key_id in keys or n.id_mac in macs or n.engram_id in ids]

    def gone(self, notes: list[pb.ParkedEntry]) -> list[Message]:
        return [self._state.message(_key(note), None) for note in notes]

    def of(self, namespace: str) -> list[pb.ParkedEntry]:
        """All of a namespace."""
        return list(self._notes(namespace))

    def waiting(self, namespace: str, directory: Directory) -> list[pb.ParkedEntry]:
        """Those that are no engram of this generation: a rebuild may have made one of an entry since."""
        return [n for n in self._notes(namespace) if not _stands(n, directory)]

    def opened(self, namespace: str, directory: Directory) -> list[Parked]:
        """Those that wait, for selectors to look at."""
        out = []
        for note in self.waiting(namespace, directory):
            at = note.position
            for record in self._log.read(topics.LEDGER, at.partition, at.offset, at.offset + 1):
                entry = ledger.entry_of(record)
                if entry is not None and (body := said.of(entry)) is not None:
                    goes_with = note.engram_id or directory.by_mac(namespace, note.id_mac) or ""
                    out.append(Parked(self._stored(note, entry, body), goes_with))
        return out

    def _stored(self, note: pb.ParkedEntry, entry: pb.LedgerEntry, body: said.Said) -> Stored:
        record, id_mac = self._record(note, entry, body), note.id_mac
        if note.reason == "ID_REUSED":  # another entry has the id: an erasure that means this one leaves the other
            record, id_mac = replace(record, id=_own_id(note)), b""
        return Stored(
            record=record,
            partition=note.position.partition,
            version=note.position.offset,
            place=note.position.offset,
            id_mac=id_mac,
            session_mac=entry.observation_accepted.session_mac,
            seal_key=note.key_id,
        )

    def _record(self, note: pb.ParkedEntry, entry: pb.LedgerEntry, body: said.Said) -> Record:
        """What it says. Of what cannot be read, that it is there: its id, its session and its time name it still."""
        at, namespace, seq = clocks.moment(entry.ingested_at), note.namespace, note.position.offset
        bare = Record(id=_own_id(note), namespace=namespace, kind="note", text="", event=Interval(at, at))
        try:
            raw = self._keyring.open(body.sealed, namespace=namespace, purpose=_PURPOSE[type(body)])
            if isinstance(body, pb.ObservationAccepted):
                return said.observed(namespace, pb.PerceivedObservation.FromString(raw), seq)
            if isinstance(body, pb.Remembered):
                return said.remembered(namespace, RememberRequest.FromString(raw), entry.ingested_at, seq)
            r = CorrectRequest.FromString(raw)
        except (KeyDestroyed, Tampered, DecodeError, KeyError, ValueError, OverflowError):
            return bare
        return replace(bare, id=ledger.corrected_id(namespace, r.id), text=r.text)

    def _notes(self, namespace: str) -> Iterator[pb.ParkedEntry]:
        found = (note for _, note in self._state.items("parked/", pb.ParkedEntry))
        return (note for note in found if note.namespace == namespace)


_PURPOSE: dict[type[said.Said], str] = {
    pb.ObservationAccepted: ledger.SEAL_OBSERVATION,
    pb.Remembered: ledger.SEAL_REMEMBER,
    pb.Corrected: ledger.SEAL_CORRECT,
}


def _key(note: pb.ParkedEntry) -> str:
    return f"parked/{note.position.partition}/{note.position.offset}"


def _own_id(note: pb.ParkedEntry) -> str:
    return digest(note.namespace, "parked", note.position.partition, note.position.offset)


def _stands(note: pb.ParkedEntry, directory: Directory) -> bool:
    id = directory.by_mac(note.namespace, note.id_mac)
    slot = directory.get(note.namespace, id) if id is not None else None
    return slot is not None and slot.seal_key == note.key_id
