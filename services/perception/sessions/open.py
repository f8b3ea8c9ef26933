"""Open episodes: one a session, with the segmenter's state, and their checkpoints in the log.

A checkpoint is written in the transaction that commits the offsets it stands for, so after a crash the checkpoint and
the next record to read always fit together. It is sealed under a key of its own: the state holds embeddings of texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.ledger_pb2 import PerceptionCheckpoint

from services.common.crypto.seal import KeyDestroyed, Keyring, destroying
from services.common.ledger import topics
from services.common.ledger.entries import SEAL_SEGMENTER
from services.common.log.base import Log, Message

_SEPARATOR = b"\0"  # between the plug-in's name and its state


@dataclass(slots=True)
class OpenSession:
    """A session that has an open episode, or had one a short while ago."""

    namespace: str
    session_mac: bytes
    open: list[bytes] = field(default_factory=list)  # ids of the open episode, in order
    # The plug-in has not seen this many of the oldest open ones (its state was lost or another plug-in's).
    unseen: int = 0
    opened_at: datetime | None = None  # event time of the oldest open one
    last_ingested_at: datetime | None = None
    state: bytes = b""
    key_id: str = ""  # of the checkpoint in the log; "" when there is none, or it is destroyed
    saved_as: bytes = b""  # key of its checkpoint in the log; empty where there is none

    def take(self, units: int) -> list[bytes]:
        """Remove and return the ``units`` oldest that the plug-in knows, and those before them that it does not."""
        count = units + self.unseen
        taken, self.open, self.unseen = self.open[:count], self.open[count:], 0
        return taken

    def drop(self, ids: frozenset[bytes]) -> None:
        self.unseen -= sum(i in ids for i in self.open[: self.unseen])
        self.open = [i for i in self.open if i not in ids]


class Checkpoints:
    """Writes open sessions as checkpoints, and reads them back."""

    def __init__(self, log: Log, keyring: Keyring, plugin: str) -> None:
        self._log = log
        self._keyring = keyring
        self._plugin = plugin.encode()

    def load(self, partition: int) -> dict[bytes, OpenSession]:
        """The newest checkpoint of every session of a ledger partition, by session mac."""
        newest: dict[bytes, bytes | None] = {}
        for record in self._log.read(topics.PERCEPTION, partition):
            newest[record.key] = record.value
        sessions = (self._open(key, value) for key, value in newest.items() if value is not None)
        return {s.session_mac: s for s in sessions}

    def save(self, session: OpenSession, *, fresh_key: bool = False) -> Iterator[Message]:
        """Messages that checkpoint the session. ``fresh_key``: under a new key, and the old one is destroyed."""
        if fresh_key and session.key_id:
            yield from destroying(session.namespace, [session.key_id])
            session.key_id = ""
        if not session.key_id:
            key = self._keyring.new_key(session.namespace)
            session.key_id = key.key_id
            yield key.message
        plaintext = self._plugin + _SEPARATOR + session.state
        checkpoint = PerceptionCheckpoint(
            namespace=session.namespace,
            session_mac=session.session_mac,
            open_id_macs=session.open,
            opened_at=_timestamp(session.opened_at),
            last_ingested_at=_timestamp(session.last_ingested_at),
            segmenter=self._keyring.seal(
                session.key_id, plaintext, namespace=session.namespace, purpose=SEAL_SEGMENTER
            ),
        )
        # The mac alone, which is of one namespace: what removes a record keeps its key for a day, so no name is in it.
        place = session.session_mac.hex().encode()
        if session.saved_as not in (b"", place):
            yield self._message(session, session.saved_as, None)  # an earlier version named the namespace in it
        session.saved_as = place
        yield self._message(session, place, checkpoint.SerializeToString())

    def remove(self, session: OpenSession) -> Iterator[Message]:
        """Messages after which no checkpoint of the session, nor its key, is left."""
        if session.key_id:
            yield from destroying(session.namespace, [session.key_id])
            session.key_id = ""
        if session.saved_as:
            yield self._message(session, session.saved_as, None)
            session.saved_as = b""

    def _message(self, session: OpenSession, key: bytes, value: bytes | None) -> Message:
        return Message(topics.PERCEPTION, key, value, partition_key=session.namespace.encode())

    def _open(self, key: bytes, value: bytes) -> OpenSession:
        saved = PerceptionCheckpoint.FromString(value)
        try:
            plaintext = self._keyring.open(saved.segmenter, namespace=saved.namespace, purpose=SEAL_SEGMENTER)
        except KeyDestroyed:
            plaintext = b""
        plugin, _, state = plaintext.partition(_SEPARATOR)
        if plugin != self._plugin:
            state = b""
        return OpenSession(
            namespace=saved.namespace,
            session_mac=saved.session_mac,
            open=list(saved.open_id_macs),
            unseen=0 if plugin == self._plugin else len(saved.open_id_macs),
            opened_at=_datetime(saved, "opened_at"),
            last_ingested_at=_datetime(saved, "last_ingested_at"),
            state=state,
            key_id=saved.segmenter.key_id if plaintext else "",
            saved_as=key,
        )


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    out = Timestamp()
    out.FromDatetime(at)
    return out


def _datetime(saved: PerceptionCheckpoint, name: str) -> datetime | None:
    at: Timestamp = getattr(saved, name)
    return at.ToDatetime(tzinfo=UTC) if saved.HasField(name) else None
