"""Looking for what is left of an erasure: in every store by ids and keys, and of a person in what was not erased."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import ErasureProbe

from services.common.crypto.seal import KeyDestroyed, Keyring
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.turns import checkpoint
from services.episodic.erasure.person import said_in
from services.episodic.state.mentions import DOUBTFUL_BYTES, LIKELY, NONE, Mentions, mentions_key, short_id
from services.episodic.state.records import Stored
from services.episodic.state.store import from_index, open_core, open_whole
from services.episodic.write.components import Components
from services.episodic.write.erased_stores import dropped_of
from services.episodic.write.fold import Entry, Poison
from services.episodic.write.generation import decode
from services.episodic.write.writer import Host

_BATCH = 256
_LISTED = 1_000


class Probing:
    def __init__(self, host: Host) -> None:
        self._host = host

    def verify(self, namespace: str, receipt: pb.StoredReceipt) -> tuple[list[ErasureProbe], list[str]]:
        """As ``probe``; of a person also whether what was left names them, with the ids of what may."""
        probes, erased = self.probe(namespace, receipt), self._command(receipt)
        if not erased.names:
            return probes, []
        probe, possible = self._probe_mentions(namespace, receipt, erased)
        return [*probes, probe], possible

    def probe(self, namespace: str, receipt: pb.StoredReceipt) -> list[ErasureProbe]:
        """Try to read the erased in every store. A readable count of 0 everywhere is clean."""
        macs = set(self._command(receipt).id_macs)
        ids = {*receipt.base_ids, *receipt.derived_ids}
        blocks = self._probe_blocks(namespace, receipt.receipt.erasure_epoch, ids)
        partition = receipt.receipt.position.partition
        return [*self.look_for(namespace, partition, ids, macs, receipt.key_ids), *blocks]

    def _command(self, receipt: pb.StoredReceipt) -> pb.Erased:
        """What the ledger holds of the erasure."""
        at = receipt.receipt.position
        for record in self._host.parts.log.read(topics.LEDGER, at.partition, at.offset, at.offset + 1):
            return decode(record).body.erased
        return pb.Erased()

    def _probe_mentions(
        self, namespace: str, receipt: pb.StoredReceipt, erased: pb.Erased
    ) -> tuple[ErasureProbe, list[str]]:
        """Whether texts that the selector left, of those told before, hold a name all the same."""
        mentions = Mentions(erased.names, mentions_key(self._host.parts.keyring, namespace))
        told_of = {erased.doubtful[at : at + DOUBTFUL_BYTES] for at in range(0, len(erased.doubtful), DOUBTFUL_BYTES)}
        looked = likely = doubtful = 0
        possible: list[str] = []
        for stored in self._left(namespace, receipt.receipt.position.offset):
            checkpoint()
            looked += 1
            how = max(map(mentions.within, (*said_in(stored.record), *stored.given_ids)))
            known = short_id(stored.id) in told_of
            if how == NONE and not known:
                continue
            if len(possible) < _LISTED:
                possible.append(stored.id)
            doubtful += known
            likely += how == LIKELY and not known
        detail = f"texts left that seem to hold a name; beside them {doubtful} that the receipt counts as doubtful"
        return ErasureProbe(store="mentions", looked_at=looked, readable=likely, detail=detail), possible

    def _left(self, namespace: str, before: int) -> Iterator[Stored]:
        """Base engrams that stand, of ledger entries before an offset, opened in pages."""
        store = self._host.live.store
        ids = sorted(s.id for s in store.directory.slots(namespace) if s.is_base and s.seq < before)
        for start in range(0, len(ids), _BATCH):
            yield from store.fetch(namespace, ids[start : start + _BATCH]).values()
        parked = self._host.parking.opened(namespace, store.directory)
        yield from (each.stored for each in parked if each.stored.version < before)

    def look_for(
        self, namespace: str, partition: int, ids: set[str], macs: set[bytes], key_ids: Sequence[str]
    ) -> list[ErasureProbe]:
        """What can be read of engrams, of observations by the hashes of their ids, and under data keys."""
        return [
            self._probe_keys(key_ids),
            self._probe_feed(partition, ids, set(key_ids)),
            self._probe_index(namespace, ids),
            self._probe_ledger(namespace, partition, macs, set(key_ids)),
            self._probe_recall(namespace, ids),
            self._probe_letters(namespace, macs),
        ]

    def _probe_blocks(self, namespace: str, epoch: int, ids: set[str]) -> list[ErasureProbe]:
        return probe_blocks(self._host.parts, namespace, epoch, sorted(ids))

    def _probe_keys(self, key_ids: Sequence[str]) -> ErasureProbe:
        left = sum(self._host.parts.keyring.has(key_id) for key_id in key_ids)
        return ErasureProbe(store="keys", looked_at=len(key_ids), readable=left, detail="data keys that still exist")

    def _probe_feed(self, partition: int, ids: set[str], key_ids: set[str]) -> ErasureProbe:
        looked = readable = 0
        for record in self._host.parts.log.read(topics.FEED, partition):
            feed = pb.FeedRecord.FromString(record.value) if record.value is not None else pb.FeedRecord()
            looked += 1
            if feed.engram_id in ids or {feed.sealed.key_id, feed.detail.key_id} & key_ids:
                readable += self._readable(feed)
        return ErasureProbe(store="feed", looked_at=looked, readable=readable, detail="records that can be opened")

    def _readable(self, feed: pb.FeedRecord) -> bool:
        return is_readable(feed, self._host.parts.keyring)

    def _probe_index(self, namespace: str, ids: set[str]) -> ErasureProbe:
        rows = self._host.live.store.collection.sealed(sorted(ids))
        readable = sum(self._readable(from_index(sealed, namespace)) for sealed in rows.values())
        detail = f"{len(rows)} rows with these ids"
        return ErasureProbe(store="index", looked_at=len(ids), readable=max(readable, len(rows)), detail=detail)

    def _probe_ledger(self, namespace: str, partition: int, macs: set[bytes], key_ids: set[str]) -> ErasureProbe:
        looked = readable = 0
        for record in self._host.parts.log.read(topics.LEDGER, partition):
            looked += 1
            try:
                entry = decode(record)
            except Poison:
                continue  # a dead letter, sealed under a key of its own
            if entry.namespace == namespace and (sealed := _sealed_of(entry, macs, key_ids)) is not None:
                readable += opens(self._host.parts.keyring, namespace, *sealed)
        detail = "sealed texts and alias groups that can be opened"
        return ErasureProbe(store="ledger", looked_at=looked, readable=readable, detail=detail)

    def _probe_letters(self, namespace: str, macs: set[bytes]) -> ErasureProbe:
        detail = "letters of these ids that can be opened"
        return probe_letters(self._host.parts, namespace, lambda letter: letter.id_mac in macs, detail)

    def _probe_recall(self, namespace: str, ids: set[str]) -> ErasureProbe:
        found = self._host.live.store.fetch(namespace, sorted(ids))
        return ErasureProbe(store="recall", looked_at=len(ids), readable=len(found), detail="engrams that are returned")


def _sealed_of(entry: Entry, macs: set[bytes], key_ids: set[str]) -> tuple[pb.Sealed, str] | None:
    """What an entry holds sealed of the erased, and what it is sealed for: the text of an id, or alias groups."""
    for sealed, purpose, id_mac in ledger.seals_in(entry.body):
        if id_mac in macs or (not id_mac and sealed.key_id in key_ids):
            return sealed, purpose
    return None


def is_readable(feed: pb.FeedRecord, keyring: Keyring) -> bool:
    """Whether what a record holds sealed, or a part of it, can be opened."""
    if feed.erased:
        return False
    for opening in (open_core, open_whole):
        try:
            opening(feed, keyring)
        except KeyDestroyed:
            continue
        return True
    return False


def probe_letters(
    parts: Components, namespace: str, is_erased: Callable[[pb.DeadLetter], bool], detail: str
) -> ErasureProbe:
    """Reads all dead letters itself: what was told of them when the keys were chosen is not asked. Of those that name
    the namespace, ``is_erased`` tells which should be unreadable."""
    pseudonym = parts.keyring.pseudonym(namespace)
    looked = readable = 0
    for partition in range(parts.log.partitions(topics.DEAD_LETTER)):
        for record in parts.log.read(topics.DEAD_LETTER, partition):
            letter = pb.DeadLetter.FromString(record.value or b"")
            looked += 1
            if letter.namespace_pseudonym == pseudonym and is_erased(letter):
                readable += opens(parts.keyring, namespace, letter.payload, ledger.SEAL_DEAD_LETTER)
    return ErasureProbe(store="dead letters", looked_at=looked, readable=readable, detail=detail)


def opens(keyring: Keyring, namespace: str, sealed: pb.Sealed, purpose: str) -> bool:
    try:
        keyring.open(sealed, namespace=namespace, purpose=purpose)
    except KeyDestroyed:
        return False
    return True


def probe_blocks(parts: Components, namespace: str, epoch: int, ids: Sequence[str]) -> list[ErasureProbe]:
    """Dropping twice is dropping once, and a keeper says what is left then. None where nobody keeps any."""
    asked = dropped_of(parts, namespace, epoch, ids)
    left = [f"{each.keeper}: {each.detail}" for each in asked if not each.done]
    detail = "; ".join(["keepers of KV blocks", *left])
    probe = ErasureProbe(store="blocks", looked_at=len(asked), readable=len(left), detail=detail)
    return [probe] if asked else []
