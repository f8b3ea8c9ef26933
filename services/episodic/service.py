"""Episodic, wired: what one process runs, without a transport."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.common import tagger
from services.common.config import CommonConfig
from services.common.embed import Embedder, identity
from services.common.extract import Aliases, Extractor
from services.common.log.base import Log
from services.common.seal import Keyring, MasterKey
from services.common.times import find as find_times
from services.common.tokens import count_tokens
from services.episodic import confidence, plugins
from services.episodic.blocks import BlockDrops
from services.episodic.commands import Commands
from services.episodic.config import EpisodicConfig
from services.episodic.context import Toolkit
from services.episodic.forget import Forgetting
from services.episodic.host import Host
from services.episodic.index import Index
from services.episodic.parts import Parts
from services.episodic.plugins.base import Interval
from services.episodic.reads import Reads
from services.episodic.rebuild import Rebuilder
from services.episodic.recall import Recaller
from services.episodic.registry import NamespaceInfo


class Episodic:
    """Everything episodic does in one process. Made, started and stopped once."""

    def __init__(self, log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig) -> None:
        """Checks the models' digests and opens the index. ModelError, PluginError, IndexUnavailable."""
        self.config = config
        self._grace_s = config.stop_grace_s
        self.host = Host(_parts(log, master, common, config))
        self.rebuilder = Rebuilder(self.host)
        self.forgetting = Forgetting(self.host)
        self.commands = Commands(self.host)
        self.reads = Reads(self.host)
        self.recaller = Recaller(self.host)

    def start(self) -> None:
        """Returns when the index follows the feed, and was made by what is configured."""
        self.host.start()
        self.rebuilder.recover()
        if self.host.outdated:
            self.rebuilder.start()
            self.rebuilder.wait()

    def require_alive(self) -> None:
        """RuntimeError when a thread has ended on its own."""
        self.host.check()

    def stop(self) -> None:
        """End what runs; what is written is flushed."""
        self.rebuilder.stop(self._grace_s)
        self.host.stop(self._grace_s)
        self.host.parts.index.close()


def _parts(log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig) -> Parts:
    embedder = Embedder.packaged(
        threads=common.torch_threads,
        package=config.embed_package,
        sha256=config.embed_sha256,
        setting="episodic.embed_sha256",
    )
    return Parts(
        log=log,
        keyring=Keyring(log, master),
        index=Index(
            config.index_uri or str(common.data_dir.absolute() / "index.db"),
            token=config.index_token,
            timeout_s=config.index_timeout_s,
        ),
        toolkit=_toolkit(embedder, config),
        plugins=plugins.build(config.plugins),
        embedder=identity(config.embed_sha256),
        assess=confidence.assess,
        threshold=config.confidence_threshold,
        drop_blocks=BlockDrops(common.data_dir, master, one_machine=common.log_url.startswith("sqlite")),
        batch_entries=config.batch_entries,
        poll_records=config.poll_records,
        poll_s=config.poll_s,
        flush_rows=config.flush_rows,
        flush_after_s=config.flush_after_s,
        cache_bytes=config.cache_bytes,
        inboxes=[inbox.topic for inbox in common.inboxes],
        inbox_retention_s=common.inbox_retention_s,
        dead_letter_retention_s=common.dead_letter_retention_s,
    )


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
        found = extractor.find(text, aliases=Aliases(info.aliases if info else ()))
        return found.people, found.places

    def dates(text: str, now: datetime) -> list[tuple[str, Interval]]:
        return [(mention.text, Interval(mention.start, mention.end)) for mention in find_times(text, now)]

    return Toolkit(embedder.embed, count_tokens, entities, dates)
