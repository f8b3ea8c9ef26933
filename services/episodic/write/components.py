"""What the host is made of, in one hand: the log, keys, index, plug-ins, and the numbers that bound it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.log.base import Log
from services.episodic.plugins.base import Context, Plan, Plugin, Ranked
from services.episodic.search.index import Index
from services.episodic.state.dead_letters import Letters
from services.episodic.state.state_topic import StateTopic
from services.episodic.state.warm import Warm
from services.episodic.write.context import Toolkit
from services.episodic.write.fold import fingerprint
from services.episodic.write.progress import Progress


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of one keeper's KV blocks.

    Not ``done``: it did not answer, or answers under way still use what was computed from the erased. Asked again.
    """

    keeper: str
    done: bool
    detail: str


def no_blocks(namespace: str, epoch: int, engram_ids: Sequence[str]) -> list[Dropped]:
    """Where nobody keeps KV blocks."""
    return []


@dataclass(frozen=True, slots=True)
class Components:
    log: Log
    keyring: Keyring
    state: StateTopic
    index: Index  # of one partition of the ledger
    toolkit: Toolkit
    plugins: Sequence[Plugin]
    embedder: str  # names the vectors; part of the generation
    # How sure recall is of its items, 0 to 1, and from where on they count as found.
    assess: Callable[[Plan, Sequence[Ranked], Context], float]
    threshold: float
    progress: Progress
    letters: Letters
    # (namespace, epoch, engram ids) erased: tells the keepers of KV blocks, and what each of them did.
    drop_blocks: Callable[[str, int, Sequence[str]], list[Dropped]] = no_blocks
    batch_entries: int = 128
    poll_records: int = 256
    poll_s: float = 0.05
    flush_rows: int = 500
    flush_after_s: float = 2.0
    cache_bytes: int = 64 * 1024 * 1024
    warm: Warm = field(default_factory=lambda: Warm(None))  # of all partitions
    inboxes: Sequence[str] = (topics.INBOX,)
    inbox_retention_s: int = 86_400
    dead_letter_retention_s: int = 604_800
    facts_path: Path | None = None  # of the snapshot of the ledger's facts; without one none is kept

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.plugins, self.embedder)
