"""Entries of the ledger: how one is keyed, sealed and named. The one place that knows the purposes of seals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from mneme.v1.admin_pb2 import AliasGroup, Namespace
from mneme.v1.ledger_pb2 import Erased, LedgerEntry, Sealed

from services.common import telemetry
from services.common.crypto.seal import KEY_WAIT_S, KeyDestroyed, Keyring
from services.common.ids import digest, engram_id
from services.common.ledger import topics
from services.common.log.base import Log, Message, Record

# Entries that are passed over sooner than another read begins: a broker answers one in some 3 ms.
_NEAR = 200

# What a seal is bound to, beside the namespace (associated data).
SEAL_OBSERVATION = "observation"  # PerceivedObservation
SEAL_REMEMBER = "remember"  # RememberRequest
SEAL_CORRECT = "correct"  # CorrectRequest
SEAL_READING = "reading"  # Reading, of one of these two
SEAL_NAMESPACE = "namespace"  # Namespace with alias groups
SEAL_ENGRAM = "engram"  # EngramRecord, in the feed and in the index
SEAL_SEGMENTER = "segmenter"
SEAL_DEAD_LETTER = "dead-letter"

# What a keyed hash (Keyring.mac) is for.
MAC_OBSERVATION = "observation-id"
MAC_REMEMBER = "remember-id"
MAC_CORRECT = "correct-id"
MAC_FORGET = "forget-id"
MAC_DELETE = "delete-namespace-id"
MAC_CHANGE = "change-namespace-id"
MAC_SELECTOR = "forget-selector"
MAC_SESSION = "session"
MAC_CONTENT = "content"
MAC_TERM = "term"  # lexical terms of the index
MAC_NAME = "forgotten-name"  # the key that names of forgotten persons are hashed with
MAC_VALUE = "value"  # text metadata, actors, sources in filterable fields


def message(entry: LedgerEntry) -> Message:
    """The ledger message of an entry: keyed and partitioned by namespace, with the current trace context."""
    return Message(topics.LEDGER, entry.namespace.encode(), entry.SerializeToString(), headers=telemetry.to_headers())


def entry_of(record: Record) -> LedgerEntry | None:
    """The entry of a ledger record; None where it holds none.

    Episodic makes a dead letter of such a record; to everybody else it says nothing, and stops nobody.
    """
    try:
        return LedgerEntry.FromString(record.value or b"")
    except DecodeError:
        return None


def records_at(log: Log, partition: int, offsets: Iterable[int]) -> Iterator[Record]:
    """The ledger's records at these offsets, in order; those that are near each other by one read."""
    wanted = sorted(set(offsets))
    starts = [n for n, at in enumerate(wanted) if n == 0 or at - wanted[n - 1] > _NEAR]
    for start, end in zip(starts, [*starts[1:], len(wanted)], strict=False):
        near = set(wanted[start:end])
        for record in log.read(topics.LEDGER, partition, wanted[start], wanted[end - 1] + 1):
            if record.offset in near:
                yield record


def seal_aliases(keyring: Keyring, key_id: str, namespace: str, groups: Iterable[AliasGroup]) -> Sealed:
    plaintext = Namespace(name=namespace, aliases=groups).SerializeToString()
    return keyring.seal(key_id, plaintext, namespace=namespace, purpose=SEAL_NAMESPACE)


def open_aliases(keyring: Keyring, namespace: str, sealed: Sealed) -> list[AliasGroup]:
    """None where none were sealed, or an erasure that is still to come has destroyed their key. Tampered."""
    if not sealed.key_id:
        return []
    try:
        opened = keyring.open(sealed, namespace=namespace, purpose=SEAL_NAMESPACE, within_s=KEY_WAIT_S)
    except KeyDestroyed:
        return []
    return list(Namespace.FromString(opened).aliases)


def aliases_in(entry: LedgerEntry) -> list[Sealed]:
    """Every sealed set of alias groups that an entry holds."""
    single = (entry.namespace_created.aliases, entry.namespace_changed.aliases, entry.erased.aliases)
    return [sealed for sealed in (*single, *entry.erased.aliases_before.values()) if sealed.key_id]


def seals_in(entry: LedgerEntry) -> Iterator[tuple[Sealed, str, bytes]]:
    """Everything that an entry holds sealed, what for, and of a text the keyed hash of its id."""
    for body, purpose in (
        (entry.observation_accepted, SEAL_OBSERVATION),
        (entry.remembered, SEAL_REMEMBER),
        (entry.corrected, SEAL_CORRECT),
    ):
        if body.id_mac:
            yield body.sealed, purpose, body.id_mac
    for stated in (entry.remembered, entry.corrected):
        if stated.reading.key_id:
            yield stated.reading, SEAL_READING, stated.id_mac
    for aliases in aliases_in(entry):
        yield aliases, SEAL_NAMESPACE, b""


def text_bytes(entry: LedgerEntry) -> int:
    """Of what an entry tells, as it is sealed; 0 where it tells no text."""
    return sum(len(sealed.ciphertext) for sealed, _, id_mac in seals_in(entry) if id_mac)


def aliases_after(sealed: Sealed, erased: Erased) -> Sealed:
    """A namespace's alias groups once an erasure is in the ledger: what it left of them, if it names their key.

    One that was resolved over older groups than these names another key, so it brings no name back.
    """
    if sealed.key_id not in erased.key_ids:
        return sealed
    before = sealed.key_id in erased.aliases_before  # of a change since, and still needed for what was told till then
    left = Sealed()  # a part of a message keeps all of it in memory
    left.CopyFrom(erased.aliases_before[sealed.key_id] if before else erased.aliases)
    return left


def base_id(namespace: str, observation_id: str) -> str:
    """Id of the base engram of an observation."""
    return engram_id(namespace, "turn", "base", [observation_id])


def remembered_id(namespace: str, remember_id: str) -> str:
    return engram_id(namespace, "remembered", "base", [remember_id])


def corrected_id(namespace: str, correct_id: str) -> str:
    return engram_id(namespace, "corrected", "base", [correct_id])


def episode_id(namespace: str, session_mac: bytes, first_id_mac: bytes) -> str:
    """Hash of namespace, session and first observation.

    Over keyed hashes, as the ledger's boundary has them: so a rebuild gives the episode the same id when its
    first observation has been erased since.
    """
    return digest(namespace, "episode", session_mac, first_id_mac)
