"""Perception on a real SQLite log, with a clock that a test moves, and what the ledger then holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import AliasGroup, Namespace
from mneme.v1.common_pb2 import Observation
from mneme.v1.ledger_pb2 import DeadLetter, Erased, LedgerEntry, PerceivedObservation

from services.common.config import Inbox
from services.common.crypto.auth import Caller, Right
from services.common.crypto.seal import Keyring, MasterKey, destroying
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.named import Named
from services.common.log.base import Appended, Log, Message, partition_of
from services.common.log.sqlite import SqliteLog
from services.common.text.extract import Extractor
from services.perception.dead_letters import DeadLetters
from services.perception.intake.accept import Intake
from services.perception.intake.decision import Accepted
from services.perception.intake.inbox import InboxConsumer
from services.perception.ledger_facts import LedgerFacts
from services.perception.refused import RefusedRecords
from services.perception.sessions.segment import Embed, Limits, Segmenter
from services.perception.sessions.segmentation.base import Segmentation, Vector
from services.perception.sessions.segmentation.fixed import FixedSize

PARTITIONS = 4
ACME_INBOX = "acme.observations.v1"
INBOXES = (
    Inbox(topic=topics.INBOX, prefix="", principal="inbox"),
    Inbox(topic=ACME_INBOX, prefix="acme", principal="acme-app"),
)
ANYBODY = Caller("tester", ("",), frozenset(Right), "t", float("inf"))
EPOCH = datetime(1888, 4, 10, 12, tzinfo=UTC)
LIMITS = Limits(max_units=40, max_span=timedelta(days=1), idle=timedelta(minutes=30))


def bag_of_words(texts: Sequence[str]) -> list[Vector]:
    """Unit vectors that depend on each text's words alone: enough for boundaries to mean something."""
    out = []
    for text in texts:
        total = np.zeros(32, dtype=np.float32)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
            total += np.random.default_rng(seed).standard_normal(32).astype(np.float32)
        out.append((total / np.linalg.norm(total)).astype(np.float32))
    return out


class World:
    """One process of perception. Several may share the folder, as processes share a log."""

    def __init__(self, folder: Path, extractor: Extractor, log: Log | None = None) -> None:
        self.folder = folder
        self.log: Log = Named(log or SqliteLog(folder / "log.db"))
        self.log.ensure_topics(topics.specs(PARTITIONS, [i.topic for i in INBOXES]))
        self.now = datetime(2026, 11, 21, 9, tzinfo=UTC)
        self.keyring = Keyring(self.log, MasterKey(bytes(range(32))))
        self.known = LedgerFacts(self.log, self.keyring)
        self.known.catch_up()
        self.intake = Intake(self.log, self.keyring, self.known, extractor, self.clock)
        self.refused = RefusedRecords(self.log, self.keyring, self.intake, INBOXES)
        self._segmenters: list[Segmenter] = []
        self._inboxes: list[InboxConsumer] = []

    def clock(self) -> datetime:
        return self.now

    def close(self) -> None:
        for segmenter in self._segmenters:
            segmenter.close()
        for inbox in self._inboxes:
            inbox.close()
        self.log.close()

    # --- doing -----------------------------------------------------------------------------------------------------

    def create(self, name: str, **settings: object) -> None:
        self.intake.create_namespace(Namespace(name=name, **settings), ANYBODY)  # type: ignore[arg-type]

    def observe(self, *observations: Observation, caller: Caller = ANYBODY) -> list[Accepted]:
        """Accept all; a refusal is raised."""
        outcomes = self.intake.observe(observations, caller)
        for outcome in outcomes:
            if not isinstance(outcome, Accepted):
                raise outcome
        return [o for o in outcomes if isinstance(o, Accepted)]

    def erase(self, *ids: str, namespace: str = "acme/user") -> None:
        """What Forget does to the log: the command, and the keys of the texts."""
        macs = [self.id_mac(i, namespace) for i in ids]
        engrams = [ledger.base_id(namespace, i) for i in ids]
        keys = [
            e.observation_accepted.sealed.key_id
            for e in self.entries(namespace)
            if e.WhichOneof("body") == "observation_accepted" and e.observation_accepted.id_mac in macs
        ]
        entry = LedgerEntry(namespace=namespace, ingested_at=self._timestamp(), principal="tester")
        entry.erased.CopyFrom(Erased(receipt_id="r", id_macs=macs, key_ids=keys, engram_ids=engrams, erasure_epoch=1))
        with self.keyring.transaction(self.known.partition(namespace), keys) as tx:
            tx.append(ledger.message(entry))

    def erase_names(self, left: Sequence[AliasGroup], namespace: str) -> None:
        """What Forget by person does to the log about alias groups: ``left`` are those that stay."""
        [*_, now] = [sealed for entry in self.entries(namespace) for sealed in ledger.aliases_in(entry)]
        entry = LedgerEntry(namespace=namespace, ingested_at=self._timestamp(), principal="tester")
        entry.erased.CopyFrom(Erased(receipt_id="n", key_ids=[now.key_id], erasure_epoch=1))
        key = self.keyring.new_key(namespace)
        entry.erased.aliases.CopyFrom(ledger.seal_aliases(self.keyring, key.key_id, namespace, left))
        gone = destroying(namespace, entry.erased.key_ids)
        self.log.append([key.message, ledger.message(entry), *gone])

    def send(
        self, value: bytes | None, *, topic: str = topics.INBOX, headers: Mapping[str, bytes] | None = None
    ) -> Appended:
        [at] = self.log.append([Message(topic, b"producer-key", value, headers=headers or {})])
        return at

    def inbox(self, **options: float) -> InboxConsumer:
        made = InboxConsumer(
            self.log,
            self.intake,
            DeadLetters(self.keyring, self.clock),
            INBOXES,
            poll_s=0.0,
            **options,  # type: ignore[arg-type]
        )
        self._inboxes.append(made)
        return made

    def segmenter(
        self,
        plugin: Segmentation | None = None,
        *,
        limits: Limits = LIMITS,
        batch: int = 64,
        embed: Embed = bag_of_words,
    ) -> Segmenter:
        made = Segmenter(
            self.log,
            self.keyring,
            self.known,
            plugin or FixedSize(units=4),
            embed,
            limits,
            self.clock,
            DeadLetters(self.keyring, self.clock),
            batch=batch,
            poll_s=0.0,
        )
        self._segmenters.append(made)
        return made

    def drain(self, segmenter: Segmenter) -> None:
        """Step until the segmenter has read the whole ledger, its own entries too."""
        for _ in range(1_000):
            segmenter.step()
            if self.lag() == 0:
                return
        raise AssertionError("the segmenter does not come to the ledger's end")

    def lag(self) -> int:
        return sum(s._consumer.lag() for s in self._segmenters if s._consumer is not None)

    # --- looking ---------------------------------------------------------------------------------------------------

    def id_mac(self, observation_id: str, namespace: str = "acme/user") -> bytes:
        return self.keyring.mac(namespace, ledger.MAC_OBSERVATION, observation_id)

    def entries(self, namespace: str | None = None) -> list[LedgerEntry]:
        """All ledger entries, by partition and offset."""
        entries = [
            LedgerEntry.FromString(r.value or b"") for p in range(PARTITIONS) for r in self.log.read(topics.LEDGER, p)
        ]
        return [e for e in entries if namespace is None or e.namespace == namespace]

    def entry(self, accepted: Accepted) -> LedgerEntry:
        place = accepted.place
        [record] = self.log.read(topics.LEDGER, place.partition, place.offset, place.offset + 1)
        return LedgerEntry.FromString(record.value or b"")

    def perceived(self, accepted: Accepted) -> PerceivedObservation:
        entry = self.entry(accepted)
        sealed = entry.observation_accepted.sealed
        return PerceivedObservation.FromString(
            self.keyring.open(sealed, namespace=entry.namespace, purpose=ledger.SEAL_OBSERVATION)
        )

    def episodes(self, namespace: str = "acme/user") -> list[tuple[list[str], str]]:
        """Boundaries in the ledger, with the ids that this test sent (o0, o1, ...): (ids, reason), in order."""
        names = {self.id_mac(f"o{n}", namespace): f"o{n}" for n in range(300)}
        return [
            ([names[i] for i in e.episode_closed.id_macs], e.episode_closed.reason)
            for e in self.entries(namespace)
            if e.WhichOneof("body") == "episode_closed"
        ]

    def dead_letters(self) -> list[DeadLetter]:
        return [
            DeadLetter.FromString(r.value or b"")
            for p in range(PARTITIONS)
            for r in self.log.read(topics.DEAD_LETTER, p)
        ]

    def checkpoints(self, namespace: str = "acme/user") -> dict[bytes, bytes]:
        """Checkpoints that are there, by session key."""
        newest: dict[bytes, bytes | None] = {}
        for r in self.log.read(topics.PERCEPTION, partition_of(namespace.encode(), PARTITIONS)):
            newest[r.key] = r.value
        return {k: v for k, v in newest.items() if v is not None}

    def bytes_on_disk(self) -> bytes:
        return b"".join(f.read_bytes() for f in sorted(self.folder.glob("log.db*")) if f.is_file())

    def _timestamp(self) -> Timestamp:
        at = Timestamp()
        at.FromDatetime(self.now)
        return at


def observation(
    n: int | str, text: str = "", *, namespace: str = "acme/user", session: str = "s", **more: object
) -> Observation:
    """Observation o<n>, one minute after the one before it."""
    index = n if isinstance(n, int) else 0
    at = Timestamp()
    at.FromDatetime(EPOCH + timedelta(minutes=index))
    made = Observation(
        id=f"o{n}" if isinstance(n, int) else n,
        namespace=namespace,
        session=session,
        text=text or f"Nothing much happened, number {n}.",
        observed_at=at,
    )
    for name, value in more.items():
        field = getattr(made, name)
        if hasattr(field, "CopyFrom"):
            field.CopyFrom(value)
        elif hasattr(field, "extend"):
            field.extend(value)
        else:
            setattr(made, name, value)
    return made
