"""A memory of any size in a folder, made without telling it: its ledger, keys, feed and index.

Each engram is sealed, hashed, appended and indexed by the service's own code. What is left out takes long for each text
and is the same for all: naming, embedding (its vector is drawn), plug-ins. Every engram is a turn with one key.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
from mneme.v1 import ledger_pb2 as pb

from services.common.config import Settings, load
from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Log, Message, TopicPartition, partition_of
from services.common.log.open import open_log
from services.common.models.embed import DIMENSION, Vectors, identity
from services.episodic import plugins
from services.episodic.config import EpisodicConfig
from services.episodic.plugins.base import Interval, Key, Record
from services.episodic.search.opening import opened
from services.episodic.state.namespaces import Registry
from services.episodic.state.records import Stored
from services.episodic.state.service_state import OperatorState
from services.episodic.state.state_topic import StateTopic
from services.episodic.state.store import Store, Written, feed_key, key_use, seal
from services.episodic.state.warm import Warm
from services.episodic.write.fold import fingerprint
from services.episodic.write.writer import GROUP

WORDS = 34  # of a text
_SESSION = 20  # turns
_TOGETHER = 100  # namespaces whose sessions are told in turn
_AT_ONCE = 50  # sessions in one transaction
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
_START = datetime(2024, 1, 1, tzinfo=UTC)


def settings(folder: Path, index: str) -> Settings:
    """``index``: as ``episodic.index_uri``, of an embedded one."""
    return load(environ={"MNEME__COMMON__DATA_DIR": str(folder), "MNEME__EPISODIC__INDEX_URI": json.dumps(index)})


class Texts:
    """Words that are as unevenly frequent as those of a language, and so are the texts of them."""

    def __init__(self, seed: int, words: int = 20_000) -> None:
        self._draw = random.Random(seed)
        self._words = list(dict.fromkeys("".join(self._draw.choices(_SYLLABLES, k=3)) for _ in range(words)))
        self._weights = np.cumsum([1 / (rank + 3) for rank in range(len(self._words))]).tolist()

    def text(self, words: int = WORDS) -> str:
        return " ".join(self._draw.choices(self._words, cum_weights=self._weights, k=words))


def drawn(rng: np.random.Generator, count: int) -> Vectors:
    """[count, DIMENSION] float32, unit rows, evenly over the sphere."""
    rows = rng.standard_normal((count, DIMENSION), np.float32)
    made: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def make(folder: Path, spaces: Mapping[str, int], index: str, seed: int = 1) -> None:
    """Namespaces with as many engrams each, all applied: what starts on it has nothing to catch up with."""
    configured = settings(folder, index)
    log = open_log(configured.common.log_url)
    log.ensure_topics(topics.specs(configured.common.partitions, [topics.INBOX]))
    master = MasterKey.load_or_create(configured.common.master_key_path)
    names: dict[int, list[str]] = {p: [] for p in range(configured.common.partitions)}
    for name in spaces:
        names[partition_of(name.encode(), configured.common.partitions)].append(name)
    for partition, own in names.items():
        _Partition(log, master, configured, partition, seed).fill({name: spaces[name] for name in own})
    log.close()


class _Partition:
    def __init__(self, log: Log, master: MasterKey, configured: Settings, partition: int, seed: int) -> None:
        self._log, self._partition = log, partition
        self._keyring = Keyring(log, master, [partition])
        self._config = configured.section("episodic", EpisodicConfig)
        self._index = opened(self._config.index_uri, configured.common.data_dir / "index", partition)
        self._collection, _ = self._index.open(1)
        rng = np.random.default_rng([seed, partition])
        self._texts = Texts(seed)
        registry = Registry(log, self._keyring, partition)
        self._store = Store(
            1, log, self._keyring, registry, self._collection, lambda texts: drawn(rng, len(texts)), warm=Warm(2**28)
        )

    def fill(self, spaces: Mapping[str, int]) -> None:
        self._create(list(spaces))
        names = list(spaces)
        for start in range(0, len(names), _TOGETHER):
            sessions = iter(self._sessions({name: spaces[name] for name in names[start : start + _TOGETHER]}))
            while some := list(islice(sessions, _AT_ONCE)):
                self._tell(some)
        self._applied()
        self._index.close()

    def _create(self, names: Sequence[str]) -> None:
        messages: list[Message] = []
        for name in names:
            messages.append(self._keyring.name_key(name).message)
            key = self._keyring.new_key(name)
            aliases = ledger.seal_aliases(self._keyring, key.key_id, name, [])
            created = pb.LedgerEntry(namespace=name, namespace_created=pb.NamespaceCreated(aliases=aliases))
            messages += [key.message, ledger.message(created)]
        for start in range(0, len(messages), 3_000):
            self._log.append(messages[start : start + 3_000])

    def _sessions(self, spaces: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """(namespace, number of the session, turns in it), of all these namespaces, shuffled."""
        sessions = [
            (name, at // _SESSION, min(_SESSION, count - at))
            for name, count in spaces.items()
            for at in range(0, count, _SESSION)
        ]
        random.Random(len(sessions)).shuffle(sessions)
        return sessions

    def _tell(self, sessions: Sequence[tuple[str, int, int]]) -> None:
        names = {name for name, _, _ in sessions}
        self._keyring.prepare(names)
        self._keyring.prepare(names, key_use(1))
        turns = [(name, f"s{number}", number * _SESSION + n) for name, number, count in sessions for n in range(count)]
        told = [self._observed(*turn) for turn in turns]
        appended = iter(self._log.append([message for _, messages in told for message in messages]))
        sealed = []
        for stored, messages in told:
            *_, at = islice(appended, len(messages))
            record = replace(stored.record, seq=at.offset)
            sealed.append(seal(replace(stored, record=record, version=at.offset, place=at.offset), 1, self._keyring))
        appended = iter(self._log.append([m for stored, feed, keys in sealed for m in (*keys, self._message(feed))]))
        written = []
        for stored, feed, keys in sealed:
            *_, at = islice(appended, len(keys) + 1)
            written.append(Written(feed, at.offset, stored))
        self._store.write(written)

    def _message(self, feed: pb.FeedRecord) -> Message:
        key = feed_key(1, self._keyring.pseudonym(feed.namespace), feed.engram_id)
        return Message(topics.FEED, key, feed.SerializeToString(), partition_key=feed.namespace.encode())

    def _observed(self, name: str, session: str, n: int) -> tuple[Stored, list[Message]]:
        """A turn, and what perception appends of it, the entry last."""
        keyring, text, key = self._keyring, self._texts.text(), self._keyring.text_key(name)
        at = _START + timedelta(minutes=n)
        perceived = pb.PerceivedObservation()
        perceived.observation.namespace, perceived.observation.id, perceived.observation.text = name, str(n), text
        body = pb.ObservationAccepted(
            id_mac=keyring.mac(name, ledger.MAC_OBSERVATION, str(n)),
            content_mac=keyring.mac(name, ledger.MAC_CONTENT, text),
            session_mac=keyring.mac(name, ledger.MAC_SESSION, session),
            sealed=keyring.seal(
                key.key_id, perceived.SerializeToString(), namespace=name, purpose=ledger.SEAL_OBSERVATION
            ),
        )
        record = Record(
            ledger.base_id(name, str(n)),
            name,
            "turn",
            text,
            Interval(at, at),
            session=session,
            actor="Ann",
            keys=(Key("turn", text),),
        )
        stored = Stored(
            record,
            self._partition,
            0,
            0,
            body.id_mac,
            body.content_mac,
            body.session_mac,
            observation_id=str(n),
            seal_key=key.key_id,
        )
        entry = pb.LedgerEntry(namespace=name, observation_accepted=body)
        return stored, [*key.messages, ledger.message(entry)]

    def _applied(self) -> None:
        """Note that all of it was."""
        log, partition = self._log, self._partition
        state = OperatorState(StateTopic(log), self._keyring, partition)
        follows = log.end_offset(topics.FEED, partition)
        self._collection.flush(follows)
        made_by = fingerprint(plugins.build(self._config.plugins), identity(self._config.embed_sha256))
        log.append([state.set_generation(1, made_by), state.set_progress(1, follows)])
        consumer = log.subscribe(f"{GROUP}-{partition}", [topics.LEDGER], partition=partition)
        place = TopicPartition(topics.LEDGER, partition)
        while place not in consumer.assignment():
            consumer.poll(max_records=1, timeout_s=0.05)
        with log.transaction(consumer) as tx:
            tx.commit({place: log.end_offset(topics.LEDGER, partition)})
        consumer.close()
