"""A small world for tests: a real SQLite log, real Milvus Lite, the real embedder, and perception's part by hand."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup, MetadataField, Namespace
from mneme.v1.common_pb2 import MetadataValue, Observation, Position
from mneme.v1.episodic_pb2 import CorrectRequest, ForgetSelector, RememberRequest

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.named import Named
from services.common.log.base import Record, partition_of
from services.common.log.sqlite import SqliteLog
from services.common.models.embed import Embedder
from services.common.models.tokens import count_tokens
from services.common.serving import clocks
from services.common.serving.errors import MnemeError
from services.common.text.extract import NO_ALIASES
from services.episodic.erasure.forget import Forgetting
from services.episodic.plugins import build
from services.episodic.plugins.base import Filter, Plugin, Query
from services.episodic.recall.audit import Audit
from services.episodic.recall.confidence import assess
from services.episodic.recall.export import Export
from services.episodic.recall.reads import Reads
from services.episodic.recall.recall import Recalled, Recaller
from services.episodic.search.index import Index
from services.episodic.search.milvus import MilvusIndex
from services.episodic.search.opening import opened
from services.episodic.state.dead_letters import Letters
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.state_hash import state_hash
from services.episodic.state.state_topic import StateTopic
from services.episodic.state.warm import Warm
from services.episodic.write.commands import Commands
from services.episodic.write.components import Components
from services.episodic.write.context import Scope, Toolkit
from services.episodic.write.generation import Step, no_step
from services.episodic.write.progress import Progress
from services.episodic.write.rebuild import Rebuilder
from services.episodic.write.writer import Host
from services.perception.dead_letters import DeadLetters
from tests.episodic.plugins.world import SHIPPED

PLUGINS = build(SHIPPED)
START = datetime(2024, 3, 4, 9, tzinfo=UTC)
NAMESPACE = "acme/anna"
ANY = Filter()
Entities: TypeAlias = Callable[[str, NamespaceInfo | None], tuple[Sequence[str], Sequence[str]]]


def named(text: str, info: NamespaceInfo | None) -> tuple[Sequence[str], Sequence[str]]:
    """As the extractor, of which the test needs the aliases alone."""
    return tuple(dict.fromkeys(name for *_, name in (info.known if info else NO_ALIASES).within(text))), ()


class World:
    """Folders of one machine, and whatever runs on them. ``open`` again after ``kill`` is a restart."""

    def __init__(self, folder: Path, embedder: Embedder, plugins: Sequence[Plugin] = PLUGINS, partitions: int = 1):
        self.entities: Entities = lambda text, info: ((), ())
        self.searches_vectors = False  # as by default; True: in Milvus Lite, as a server does
        # Of namespaces kept in memory: as little as can be, so that what tests ask for is mostly read from the index.
        self.warm_bytes: int | None = 1
        self.folder = folder
        self.index_uri, self.index_timeout_s = str(folder / "index"), 10.0  # Milvus Lite, as by default
        self.embedder = embedder
        self.plugins = plugins
        self.store = SqliteLog(folder / "log.db")
        self.store.ensure_topics(topics.specs(partitions, [topics.INBOX]))
        self._begin_anew()
        self.clock = START
        self.hosts: list[Host] = []
        self.host: Host

    # --- life ---

    def open(self, step: Step = no_step, **numbers: object) -> World:
        progress = Progress(self.log.partitions(topics.LEDGER))
        numbers = {"warm": Warm(self.warm_bytes), **numbers}
        self.hosts = [Host(self._parts(n, progress, numbers), n, step) for n in range(len(progress.snapshot()))]
        self.host = self._host_of(NAMESPACE)
        for host in self.hosts:
            host.start()
        self.rebuilder = Rebuilder(self.host, threading.Lock())
        self.rebuilder.recover()
        self.forgetting = Forgetting(self.host)
        self.commands = Commands(self.host)
        self.reads = Reads(self.host)
        self.export = Export(self.host)
        self.audit = Audit(self.host)
        self.recaller = Recaller(self.host.parts, self._host_of)
        return self

    def _host_of(self, namespace: str) -> Host:
        return self.hosts[partition_of(namespace.encode(), len(self.hosts))]

    def _index(self, partition: int) -> Index:
        if self.searches_vectors and "://" not in self.index_uri:
            return MilvusIndex(f"{self.index_uri}/{partition}.db", partition, searches_vectors=True)
        return opened(self.index_uri, self.folder / "index", partition, timeout_s=self.index_timeout_s)

    def _parts(self, partition: int, progress: Progress, numbers: Mapping[str, object]) -> Components:
        return Components(
            log=self.log,
            keyring=self.keyring,
            state=self.state,
            index=self._index(partition),
            toolkit=self.toolkit(),
            plugins=self.plugins,
            embedder="test",
            assess=assess,
            threshold=0.5,
            progress=progress,
            letters=Letters(self.log, self.keyring, 604_800),
            **{"poll_s": 0.01, **numbers},  # type: ignore[arg-type]
        )

    def close(self) -> None:
        self.rebuilder.stop()
        for host in self.hosts:
            host.stop()
            host.parts.index.close()

    def kill(self) -> None:
        """As if the process had died: nothing is flushed or finished; the kernel takes it out of its group."""
        for host in self.hosts:
            host._stop.set()
            host.receipts.unfinished.put(None)
            for thread in (host._thread, host._finisher):
                if thread is not None:
                    thread.join(10)
            if host.consumer is not None:
                host.consumer.close()
            host.parts.index.close()
        self._begin_anew()

    def restart(self) -> World:
        self.close()
        self._begin_anew()
        return self.open()

    def _begin_anew(self) -> None:
        """As a process that knows nothing yet."""
        self.log = Named(self.store)
        self.keyring = Keyring(self.log, MasterKey.load_or_create(self.folder / "master.key"))
        self.state = StateTopic(self.log)

    # --- what perception writes ---

    def create(
        self,
        namespace: str = NAMESPACE,
        aliases: Sequence[AliasGroup] = (),
        fields: Sequence[MetadataField] = (),
        *,
        in_clear: bool = False,
    ) -> None:
        """``in_clear``: as before there were pseudonyms."""
        if not in_clear:
            self.log.append([self.keyring.name_key(namespace).message])
        key = self.keyring.new_key(namespace)
        settings = Namespace(name=namespace, aliases=aliases, metadata_fields=fields)
        sealed = self.keyring.seal(
            key.key_id, settings.SerializeToString(), namespace=namespace, purpose=ledger.SEAL_NAMESPACE
        )
        self.append(
            namespace, key.message, namespace_created=pb.NamespaceCreated(metadata_fields=fields, aliases=sealed)
        )

    def change(
        self,
        id: str,
        aliases: Sequence[AliasGroup] | None = None,
        fields: Sequence[MetadataField] = (),
        namespace: str = NAMESPACE,
    ) -> Position:
        """``aliases``: None leaves them as they are."""
        keys, changed = [], pb.NamespaceChanged(id_mac=self.mac(ledger.MAC_CHANGE, id, namespace))
        changed.metadata_fields.extend(fields)
        if aliases is not None:
            key = self.keyring.new_key(namespace)
            keys.append(key.message)
            changed.aliases.CopyFrom(ledger.seal_aliases(self.keyring, key.key_id, namespace, aliases))
        return self.append(namespace, *keys, namespace_changed=changed)

    def observe(
        self,
        id: str,
        text: str,
        session: str = "s1",
        namespace: str = NAMESPACE,
        *,
        actor: str = "",
        source: str = "",
        people: Sequence[str] = (),
        at: datetime | None = None,
        times: Sequence[tuple[datetime, datetime]] = (),
        metadata: dict[str, str | float] | None = None,
        derived_from: Sequence[str] = (),
        external_id: str = "",
    ) -> Position:
        self.clock += timedelta(minutes=1)
        observation = Observation(
            id=id,
            namespace=namespace,
            session=session,
            text=text,
            actor=actor,
            source=source,
            metadata={
                k: MetadataValue(text=v) if isinstance(v, str) else MetadataValue(number=v)
                for k, v in (metadata or {}).items()
            },
            derived_from=derived_from,
            external_id=external_id,
        )
        observation.observed_at.FromDatetime(at or self.clock)
        if (east := clocks.offset_of(at or self.clock)) != 0:
            observation.utc_offset_minutes = east
        perceived = pb.PerceivedObservation(observation=observation, people=people)
        for start, end in times:
            mention = perceived.times.add()
            mention.range.start.FromDatetime(start)
            mention.range.end.FromDatetime(end)
        key = self.keyring.text_key(namespace)
        plaintext = perceived.SerializeToString()
        body = pb.ObservationAccepted(
            id_mac=self.mac(ledger.MAC_OBSERVATION, id, namespace),
            content_mac=self.mac(ledger.MAC_CONTENT, text, namespace),
            session_mac=self.mac(ledger.MAC_SESSION, session, namespace),
            sealed=self.keyring.seal(key.key_id, plaintext, namespace=namespace, purpose=ledger.SEAL_OBSERVATION),
        )
        return self.append(namespace, *key.messages, observation_accepted=body)

    def close_episode(self, ids: Sequence[str], session: str = "s1", namespace: str = NAMESPACE) -> Position:
        body = pb.EpisodeClosed(
            session_mac=self.mac(ledger.MAC_SESSION, session, namespace),
            id_macs=[self.mac(ledger.MAC_OBSERVATION, i, namespace) for i in ids],
            reason="count",
        )
        return self.append(namespace, episode_closed=body)

    def append(self, namespace: str, *before: object, **body: object) -> Position:
        entry = pb.LedgerEntry(namespace=namespace, **body)  # type: ignore[arg-type]
        entry.ingested_at.CopyFrom(Timestamp(seconds=int(self.clock.timestamp())))
        [*_, at] = self.log.append([*before, ledger.message(entry)])  # type: ignore[list-item]
        return Position(partition=at.partition, offset=at.offset)

    def mac(self, purpose: str, value: str, namespace: str = NAMESPACE) -> bytes:
        return self.keyring.mac(namespace, purpose, value)

    def toolkit(self) -> Toolkit:
        entities = self.entities
        return Toolkit(
            self.embedder.embed,
            count_tokens,
            lambda text, info, labels: entities(text, info),
            lambda text: (),
            lambda text, now: [],
        )

    # --- what callers do ---

    def settle(self, timeout_s: float = 90.0) -> None:
        """Until everything in the ledger is visible. TimeoutError where nothing became visible for so long."""
        ends = {p: self.log.end_offset(topics.LEDGER, p) for p in range(self.log.partitions(topics.LEDGER))}
        before = self.host.progress.snapshot()
        while not self.host.progress.wait(ends, timeout_s):
            self.host.check()
            if (applied := self.host.progress.snapshot()) == before:
                raise TimeoutError(f"applied {applied}, wanted {ends}")
            before = applied

    def remember(self, id: str, text: str, namespace: str = NAMESPACE, derived_from: Sequence[str] = ()) -> str:
        info = self.host.registry.namespace(namespace)
        assert info is not None
        request = RememberRequest(namespace=namespace, id=id, text=text, derived_from=derived_from)
        return self.commands.remember(request, info, "test", "test")[0]

    def correct(self, id: str, engram_id: str, text: str, namespace: str = NAMESPACE) -> str:
        request = CorrectRequest(namespace=namespace, id=id, engram_id=engram_id, text=text)
        return self.commands.correct(request, "test", "test")[0]

    def forget(self, selector: ForgetSelector, namespace: str = NAMESPACE) -> pb.StoredReceipt:
        receipt_id, _ = self.forgetting.command(namespace, selector, secrets.token_hex(4), "test")
        receipt = self.await_receipt(namespace, receipt_id, 30.0)
        assert receipt is not None
        return receipt

    def refuse(self, id: str, text: str, namespace: str = NAMESPACE) -> pb.DeadLetter:
        """A dead letter, as the inbox makes it of an observation whose id was taken."""
        made = Observation(namespace=namespace, id=id, session="s1", text=text)
        record = Record(topics.INBOX, 0, secrets.randbelow(10**9), b"", made.SerializeToString(), {}, 0)
        letters = DeadLetters(self.keyring, lambda: self.clock)
        messages = letters.messages(record, MnemeError("ID_REUSED", "It was taken."), of=made)
        self.log.append(messages)
        return pb.DeadLetter.FromString(messages[-1].value or b"")

    def await_receipt(self, namespace: str, id: str, timeout_s: float) -> pb.StoredReceipt | None:
        """The finished receipt, or None when it is not there in time."""
        deadline = time.monotonic() + timeout_s
        while (receipt := self.host.finished_receipt(namespace, id)) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return receipt

    def recall(self, text: str, *namespaces: str, limit: int = 5, wanted: Filter = ANY) -> Recalled:
        return self.recaller.recall(
            Query(namespaces or (NAMESPACE,), text, limit, None, self.clock + timedelta(hours=1), wanted)
        )

    def scope(self, namespace: str = NAMESPACE) -> Scope:
        return Scope(self.host.live.store, self.host.registry.namespace(namespace))

    def texts(self, recalled: Recalled) -> list[str]:
        return [item.record.text for item in recalled.items]

    @contextmanager
    def ledger_reads(self) -> Iterator[list[Record]]:
        """Every record of the ledger that is read meanwhile, but for the writer's own following of it."""
        seen: list[Record] = []
        read = self.log.read

        def counted(topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
            for record in read(topic, partition, start, end):
                if topic == topics.LEDGER:
                    seen.append(record)
                yield record

        self.log.read = counted  # type: ignore[method-assign]
        try:
            yield seen
        finally:
            self.log.read = read  # type: ignore[method-assign]

    def hash(self, namespace: str = NAMESPACE) -> str:
        with self.host.fold_lock:
            return state_hash(self.host.live.store.collection, self.keyring, namespace)

    def rebuild(self) -> None:
        operation = self.rebuilder.start()
        self.rebuilder.wait()
        ended = self.host.state.operation(operation.id)
        assert ended is not None
        assert ended.state == 2, ended  # DONE

    def base(self, id: str, namespace: str = NAMESPACE) -> str:
        return ledger.base_id(namespace, id)
