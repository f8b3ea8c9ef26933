"""Episodic, wired: what one process runs, without a transport."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
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
from services.common.serving.errors import MnemeError
from services.common.serving.loop import Loop
from services.common.serving.operations import merged, operation_id
from services.common.text import tagger
from services.common.text.extract import NO_ALIASES, Extractor
from services.common.text.times import find as find_times
from services.episodic import plugins
from services.episodic.config import EpisodicConfig
from services.episodic.erasure.blocks import BlockDrops
from services.episodic.partition import Partition
from services.episodic.plugins.base import Interval
from services.episodic.recall import confidence
from services.episodic.recall.recall import Recaller
from services.episodic.search.index import Index, opened
from services.episodic.state.dead_letters import Letters
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.state_topic import StateTopic
from services.episodic.write.components import Components
from services.episodic.write.context import Toolkit
from services.episodic.write.progress import Progress
from services.episodic.write.rebuild import rebuilding

_log = logging.getLogger(__name__)


class Episodic:
    """Everything episodic does in one process. Made, started and stopped once."""

    def __init__(
        self, log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig, owned: Sequence[int] = ()
    ) -> None:
        """Checks the models' digests and opens the indexes; a server that is away is waited for.

        ``owned``: partitions of the ledger; none named: all of them. ModelError, PluginError, IndexUnavailable.
        """
        self.config = config
        self.log = log
        self._grace_s = config.stop_grace_s
        self._count = log.partitions(topics.LEDGER)
        owned = owned or range(self._count)
        self.progress = Progress(self._count)
        if 0 in owned:
            _remove_former(common.data_dir)
        parts, turn = _parts(log, master, common, config, self.progress, owned), threading.Lock()
        self._owned = {number: Partition(parts(number), number, turn) for number in owned}
        self.partitions = list(self._owned.values())
        self._rebuilding = threading.Lock()
        self._snapshots = Loop("episodic.snapshot", self._keep_snapshots, config.snapshot_period_s)
        self.recaller = Recaller(self.partitions[0].host.parts, lambda namespace: self.of(namespace).host)

    def owns(self, partition: int) -> bool:
        return partition in self._owned

    def of(self, namespace: str) -> Partition:
        """What owns a namespace. SERVICE_UNAVAILABLE where that is another shard: who asks knows other shards."""
        owner = self._owned.get(partition_of(namespace.encode(), self._count))
        if owner is None:
            raise MnemeError("SERVICE_UNAVAILABLE", "Another shard serves the namespace.", remedy="Try again shortly.")
        return owner

    def names(self) -> list[str]:
        """Of every namespace, in order."""
        return sorted(name for partition in self.partitions for name in partition.host.registry.names())

    def start(self) -> None:
        """As ``Partition.start``, all at once: joining a group takes a while on Kafka, and no work."""
        with ThreadPoolExecutor(len(self.partitions)) as threads:
            list(threads.map(Partition.start, self.partitions))
        self._snapshots.start()

    def _keep_snapshots(self) -> None:
        for partition in self.partitions:
            partition.host.keep_snapshot()

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
        """What is done of it in all partitions."""
        parts = [partition.host.state.operation(id) for partition in self.partitions]
        return merged(there) if (there := [part for part in parts if part is not None]) else None

    def require_alive(self) -> None:
        """RuntimeError, LoopDied when a thread has ended on its own."""
        self._snapshots.require_alive()
        for partition in self.partitions:
            partition.host.check()

    def stop(self) -> None:
        """End what runs; what is written is flushed."""
        self._snapshots.stop(self._grace_s)
        with ThreadPoolExecutor(len(self.partitions)) as threads:
            list(threads.map(lambda partition: partition.stop(self._grace_s), self.partitions))


def _remove_former(data_dir: Path) -> None:
    """Remove the embedded index of earlier versions, which held every partition: the feed fills those that are now."""
    if (former := data_dir / "index.db").is_dir():
        shutil.rmtree(former)
        _log.warning("the index of an earlier version is removed; it is filled again from the feed")


def _parts(
    log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig, progress: Progress, owned: Sequence[int]
) -> Callable[[int], Components]:
    """What a partition's host is made of; but for the index, all of them share it."""
    embedder = Embedder.packaged(
        threads=common.torch_threads,
        package=config.embed_package,
        sha256=config.embed_sha256,
        setting="episodic.embed_sha256",
    )
    toolkit, built = _toolkit(embedder, config), plugins.build(config.plugins)
    keyring, state = Keyring(log, master, owned), StateTopic(log)
    letters = Letters(log, keyring, common.dead_letter_retention_s)
    drop_blocks = BlockDrops(common.data_dir, master, one_machine=common.log_url.startswith("sqlite"))

    def parts(partition: int) -> Components:
        return Components(
            log=log,
            keyring=keyring,
            state=state,
            index=_index(common, config, partition),
            toolkit=toolkit,
            plugins=built,
            embedder=identity(config.embed_sha256),
            assess=confidence.assess,
            threshold=config.confidence_threshold,
            progress=progress,
            letters=letters,
            drop_blocks=drop_blocks,
            batch_entries=config.batch_entries,
            poll_records=config.poll_records,
            poll_s=config.poll_s,
            flush_rows=config.flush_rows,
            flush_after_s=config.flush_after_s,
            cache_bytes=config.cache_bytes // len(owned),
            inboxes=[inbox.topic for inbox in common.inboxes],
            inbox_retention_s=common.inbox_retention_s,
            dead_letter_retention_s=common.dead_letter_retention_s,
            facts_path=common.data_dir / "episodic" / f"facts-{partition}.snapshot",
        )

    return parts


def _index(common: CommonConfig, config: EpisodicConfig, partition: int) -> Index:
    """A partition's: on a server collections of its own, embedded a file of its own in the folder."""
    uri = config.index_uri or str(common.data_dir.absolute() / "index")
    if "://" not in uri:
        uri = f"{uri}/{partition}.db"
    index = opened(uri, partition, token=config.index_token, timeout_s=config.index_timeout_s)
    if partition == 0:
        index.drop_former()
    return index


def _toolkit(embedder: Embedder, config: EpisodicConfig) -> Toolkit:
    extractor = Extractor(
        package=config.ner_package,
        weights=config.ner_weights,
        sha256=config.ner_sha256,
        setting="episodic.ner_sha256",
    )
    extractor.load()
    tagger.load()

    def entities(text: str, info: NamespaceInfo | None) -> tuple[Sequence[str], Sequence[str]]:
        found = extractor.find(text, aliases=info.known if info else NO_ALIASES)
        return found.people, found.places

    def dates(text: str, now: datetime) -> list[tuple[str, Interval]]:
        return [(mention.text, Interval(mention.start, mention.end)) for mention in find_times(text, now)]

    return Toolkit(embedder.embed, count_tokens, entities, dates)
