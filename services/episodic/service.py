"""Episodic, wired: what one process runs, without a transport."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.common.config import CommonConfig
from services.common.crypto.seal import Keyring, MasterKey
from services.common.log.base import Log
from services.common.models.embed import Embedder, identity
from services.common.models.tokens import count_tokens
from services.common.text import tagger
from services.common.text.extract import Aliases, Extractor
from services.common.text.times import find as find_times
from services.episodic import plugins
from services.episodic.config import EpisodicConfig
from services.episodic.erasure.blocks import BlockDrops
from services.episodic.erasure.forget import Forgetting
from services.episodic.plugins.base import Interval
from services.episodic.recall import confidence
from services.episodic.recall.reads import Reads
from services.episodic.recall.recall import Recaller
from services.episodic.search.index import opened
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.write.commands import Commands
from services.episodic.write.components import Components
from services.episodic.write.context import Toolkit
from services.episodic.write.rebuild import Rebuilder
from services.episodic.write.writer import Host


class Episodic:
    """Everything episodic does in one process. Made, started and stopped once."""

    def __init__(self, log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig) -> None:
        """Checks the models' digests and opens the index; a server that is away is waited for.

        ModelError, PluginError, IndexUnavailable.
        """
        self.config = config
        self._grace_s = config.stop_grace_s
        self.host = Host(_parts(log, master, common, config))
        self.rebuilder = Rebuilder(self.host)
        self.forgetting = Forgetting(self.host)
        self.commands = Commands(self.host)
        self.reads = Reads(self.host)
        self.recaller = Recaller(self.host)

    def start(self) -> None:
        """Returns when the index follows the feed. Where it was made by something else than is configured, it answers
        until the one that is made beside it is whole."""
        self.host.start()
        self.rebuilder.recover()
        self.rebuilder.upgrade()

    def require_alive(self) -> None:
        """RuntimeError when a thread has ended on its own."""
        self.host.check()

    def stop(self) -> None:
        """End what runs; what is written is flushed."""
        self.rebuilder.stop(self._grace_s)
        self.host.stop(self._grace_s)
        self.host.parts.index.close()


def _parts(log: Log, master: MasterKey, common: CommonConfig, config: EpisodicConfig) -> Components:
    embedder = Embedder.packaged(
        threads=common.torch_threads,
        package=config.embed_package,
        sha256=config.embed_sha256,
        setting="episodic.embed_sha256",
    )
    return Components(
        log=log,
        keyring=Keyring(log, master),
        index=opened(
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
