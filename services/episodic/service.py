"""Episodic, wired: what one process runs, without a transport."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from mneme.v1.admin_pb2 import Operation

from services.common.config import CommonConfig
from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import topics
from services.common.log.base import Log, partition_of
from services.common.models.embed import Embedder, identity
from services.common.models.tokens import count_tokens
from services.common.serving.loop import Loop
from services.common.serving.operations import merged, operation_id
from services.common.serving.shards import Moved
from services.common.text import tagger
from services.common.text.extract import NO_ALIASES, Extractor, Label
from services.common.text.times import find as find_times
from services.episodic import plugins
from services.episodic.config import EpisodicConfig
from services.episodic.erasure.blocks import BlockDrops
from services.episodic.partition import Partition
from services.episodic.plugins.base import Interval
from services.episodic.recall import confidence
from services.episodic.recall.recall import Recaller
from services.episodic.search.index import Index
from services.episodic.search.opening import opened
from services.episodic.state.dead_letters import Letters
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.service_state import operation_parts
from services.episodic.state.state_topic import StateTopic
from services.episodic.state.warm import Warm
from services.episodic.write.components import Components
from services.episodic.write.context import Toolkit
from services.episodic.write.progress import Progress
from services.episodic.write.rebuild import rebuilding

_log = logging.getLogger(__name__)


class StillRunning(Exception):
    """What a partition has under way did not end in time; nobody else may take it yet."""


class Episodic:
    """Everything episodic does in one process. Made, started and stopped once; partitions come and go meanwhile."""

    def __init__(
        self,
        log: Log,
        master: MasterKey,
        common: CommonConfig,
        config: EpisodicConfig,
        owned: Sequence[int] | None = None,
    ) -> None:
        """Checks the models' digests and opens the indexes; a server that is away is waited for.

        ``owned``: partitions of the ledger; None: all of them. ModelError, PluginError, IndexUnavailable.
        """
        self.config = config
        self.log = log
        self._grace_s = config.stop_grace_s
        self._count = log.partitions(topics.LEDGER)
        self.progress = Progress(self._count)
        self._wiring = Wiring(log, master, common, config, self.progress)
        self._turn = threading.Lock()
        self._snapshotting = threading.Lock()  # also held while a partition goes: its snapshot is its next owner's then
        self._owned = {number: self._made(number) for number in (range(self._count) if owned is None else owned)}
        self._leaving: dict[int, Partition] = {}
        self._rebuilding = threading.Lock()
        self._snapshots = Loop("episodic.snapshot", self._keep_snapshots, config.snapshot_period_s)
        self.recaller = Recaller(self._wiring, lambda namespace: self.of(namespace).host)

    def _made(self, number: int) -> Partition:
        return Partition(self._wiring.components(number), number, self._turn)

    @property
    def partitions(self) -> list[Partition]:
        """Those that the process holds now."""
        return [partition for _, partition in sorted(self._owned.items())]

    def owns(self, partition: int) -> bool:
        return partition in self._owned

    def of(self, namespace: str) -> Partition:
        """What holds a namespace. Moved where that is another shard."""
        owner = self._owned.get(partition_of(namespace.encode(), self._count))
        if owner is None:
            raise Moved
        return owner

    def names(self) -> list[str]:
        """Of every namespace, in order."""
        return sorted(name for partition in self.partitions for name in partition.host.registry.names())

    def start(self) -> None:
        """As ``Partition.start``, all at once: joining a group takes a while on Kafka, and no work."""
        with ThreadPoolExecutor(max(1, len(self.partitions))) as threads:
            list(threads.map(Partition.start, self.partitions))
        self._snapshots.start()

    def take(self, number: int) -> None:
        """Hold a partition that nobody holds, from where the last one left it. LogError, IndexUnavailable; then it is
        not held."""
        partition = self._made(number)
        try:
            partition.start()
        except BaseException:
            partition.stop(self._grace_s)
            raise
        self._owned[number] = partition

    def let_go(self, number: int) -> None:
        """Leave a partition to whoever takes it next: once this returns, nothing of it is open here.

        What runs ends first, and what is written is flushed. StillRunning when that takes too long: let go again.
        """
        with self._snapshotting:
            if number in self._owned:
                self._leaving[number] = self._owned.pop(number)
            partition = self._leaving[number]
            if not partition.finish(self._grace_s):
                raise StillRunning(f"What runs in partition {number} has not ended after {self._grace_s:g} s.")
            partition.close()
            del self._leaving[number]

    def _keep_snapshots(self) -> None:
        for number in list(self._owned):
            with self._snapshotting:
                if number in self._owned:
                    self._owned[number].host.keep_snapshot()

    def rebuild(self, asked: str) -> Operation:
        """Begin to rebuild every partition. ``asked``: the id it is asked for by, or "".

        Where some have begun by this id, the others begin. OVERLOADED while another one runs.
        """
        id = operation_id(asked)
        with self._rebuilding:
            parts = {each: each.host.state.operation(id) for each in self.partitions}
            if any(part is None and each.rebuilder.is_running for each, part in parts.items()):
                raise rebuilding()
            return merged([part or each.rebuilder.start(id=id) for each, part in parts.items()])

    def operation(self, id: str) -> Operation | None:
        """What is done of it in all partitions of the ledger, whoever holds them; it names those that have no part."""
        parts = operation_parts(self._wiring.state, id)
        if not parts:
            return None
        operation = merged(list(parts.values()))
        if without := [str(number) for number in range(self._count) if number not in parts]:
            operation.result["no_part_in"] = f"partitions {', '.join(without)}"
        return operation

    def require_alive(self) -> None:
        """RuntimeError, LoopDied when a thread has ended on its own."""
        self._snapshots.require_alive()
        for partition in self.partitions:
            partition.host.check()

    def stop(self) -> None:
        """End what runs; what is written is flushed."""
        self._snapshots.stop(self._grace_s)
        partitions = [*self.partitions, *self._leaving.values()]
        with ThreadPoolExecutor(max(1, len(partitions))) as threads:
            list(threads.map(lambda partition: partition.stop(self._grace_s), partitions))


def _remove_former(data_dir: Path) -> None:
    """Remove the embedded index of earlier versions, which held every partition: the feed fills those that are now."""
    if (former := data_dir / "index.db").is_dir():
        shutil.rmtree(former)
        _log.warning("the index of an earlier version is removed; it is filled again from the feed")


class Wiring:
    """What the partitions of a process share, and what each one's host is made of."""

    def __init__(
        self, log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig, progress: Progress
    ) -> None:
        self._log, self._master, self._common, self._config = log, master, common, config
        self._embedder = Embedder.packaged(
            threads=common.torch_threads,
            package=config.embed_package,
            sha256=config.embed_sha256,
            setting="episodic.embed_sha256",
        )
        self.toolkit = _toolkit(self._embedder, config)
        self.plugins = plugins.build(config.plugins)
        self.assess = confidence.assess
        self.threshold = config.confidence_threshold
        self.progress = progress
        self.state = StateTopic(log)
        self._warm = Warm(config.warm_bytes)
        self._letters = Letters(log, Keyring(log, master, ()), common.dead_letter_retention_s)
        one_machine = common.log_url.startswith("sqlite")
        self._drop_blocks = BlockDrops(common.data_dir, master, one_machine=one_machine)

    def components(self, partition: int) -> Components:
        """Of one partition. Its keys are its own, and go with it. IndexUnavailable."""
        common, config = self._common, self._config
        if partition == 0:
            _remove_former(common.data_dir)
        return Components(
            log=self._log,
            keyring=Keyring(self._log, self._master, (partition,)),
            state=self.state,
            index=_index(common, config, partition),
            toolkit=self.toolkit,
            plugins=self.plugins,
            embedder=identity(config.embed_sha256),
            assess=self.assess,
            threshold=self.threshold,
            progress=self.progress,
            letters=self._letters,
            drop_blocks=self._drop_blocks,
            batch_entries=config.batch_entries,
            poll_records=config.poll_records,
            poll_s=config.poll_s,
            flush_rows=config.flush_rows,
            flush_after_s=config.flush_after_s,
            cache_bytes=config.cache_bytes // self._log.partitions(topics.LEDGER),
            warm=self._warm,
            inboxes=[inbox.topic for inbox in common.inboxes],
            inbox_retention_s=common.inbox_retention_s,
            dead_letter_retention_s=common.dead_letter_retention_s,
            facts_path=common.data_dir / "episodic" / f"facts-{partition}.snapshot",
        )


def _index(common: CommonConfig, config: EpisodicConfig, partition: int) -> Index:
    """A partition's: on a server collections of its own, embedded a file or a folder of its own."""
    folder = common.data_dir.absolute() / "index"
    return opened(config.index_uri, folder, partition, token=config.index_token, timeout_s=config.index_timeout_s)


def _toolkit(embedder: Embedder, config: EpisodicConfig) -> Toolkit:
    extractor = Extractor(
        package=config.ner_package,
        weights=config.ner_weights,
        sha256=config.ner_sha256,
        setting="episodic.ner_sha256",
    )
    extractor.load()
    tagger.load()

    def entities(
        text: str, info: NamespaceInfo | None, labels: Sequence[Label] | None
    ) -> tuple[Sequence[str], Sequence[str]]:
        found = extractor.find(text, aliases=info.known if info else NO_ALIASES, labels=labels)
        return found.people, found.places

    def dates(text: str, now: datetime) -> list[tuple[str, Interval]]:
        return [(mention.text, Interval(mention.start, mention.end)) for mention in find_times(text, now)]

    return Toolkit(embedder.embed, count_tokens, entities, extractor.labels, dates)
